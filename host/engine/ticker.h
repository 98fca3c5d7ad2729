/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ticker: one thread per engine that bounds how long a deferred message or a release waits in a
 * VM that makes no exit by itself, and how long a VM runs.
 *
 * It looks at watched VMs only: those whose guest ran a short while ago. A VM whose thread is in
 * the VMM needs no ticker: its exit processed everything its guest did, and before it blocks there,
 * endpoint_prepare processes the rest. When no VM is watched it sleeps until the next time limit.
 * So neither idle VMs nor an idle engine cost time.
 *
 * The thread of a VM that enters its guest checks whether the VM is watched: one load of a word of
 * this VM, which the ticker writes when it stops watching. Neither can miss the other: the VM
 * stores in_guest and then loads watched; the ticker stores watched and then loads in_guest; all
 * four are sequentially consistent. So either the VM finds that it is not watched, and reports
 * itself, or the ticker finds it in its guest, and goes on watching it. The first of the two that
 * sets watched puts it on its list, so it is on one list only. Likewise with the ticker's sleep: a
 * VM puts itself on the list and then loads asleep; the ticker stores asleep and then loads the
 * list.
 */
#ifndef FERRY_HOST_TICKER_H
#define FERRY_HOST_TICKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/runner.h"
#include "kvm/guest_clock.h"
#include "lib/lock.h"

struct ticker {
    pthread_t thread;
    bool started;
    uint64_t interval_ns;
    bool polled; /* there is a poller as well */
    struct guest_clock *clock;

    struct lock lock; /* the four below; no VM's hot path takes it */
    bool stopping;
    struct runner *running;
    struct runner *watched;
    uint64_t next_limit_ns; /* the earliest time limit or alarm, or one that is over */

    char pad[64];
    atomic_uint events;              /* a futex: counts up to end a wait, under any lock or none */
    struct runner *_Atomic reported; /* by themselves, not yet among the watched */
    atomic_bool asleep;              /* until it is woken or a time limit comes */
    atomic_bool stuck;               /* a loan somewhere could not be closed */
};

/* The rings of a guest are looked at after interval_ns at most. `polled`: there is a poller that
 * takes queued messages. `clock` is renewed at ticks; NULL: there is none. */
int ticker_start(struct ticker *ticker, uint64_t interval_ns, bool polled,
                 struct guest_clock *clock);
/* There are no VMs any more. The first call tells the ticker to end, which takes one wake;
 * ticker_stop waits until it has ended. */
void ticker_tell_end(struct ticker *ticker);
void ticker_stop(struct ticker *ticker);

/* A VM's thread begins; and ends, after its guest ran for the last time. */
void ticker_add(struct ticker *ticker, struct runner *runner);
void ticker_remove(struct ticker *ticker, struct runner *runner);

/* Reports a VM that entered its guest and is not watched. On the VM's own thread. */
void ticker_report(struct ticker *ticker, struct runner *runner);

/* When a VM whose guest runs must be looked at: an interval after the guest was entered (everything
 * it had done before was processed then), or after the last look. So a VM that exits more often
 * than that by itself is never disturbed, and its batches stay whole. */
uint64_t ticker_due(const struct runner *runner, uint64_t interval_ns);

/* The VM's alarm rings at that moment, in place of the one that was set before; CLOCK_NEVER: it does
 * not. Any thread. */
void ticker_alarm(struct ticker *ticker, struct runner *runner, uint64_t moment_ns);

/* Looks at the processor time of the VM at that moment, or earlier if it would have anyway. Any
 * thread. */
void ticker_watch_cpu(struct ticker *ticker, struct runner *runner, uint64_t moment_ns);

/* A loan that was released could not be closed: the next tick tries again. Any thread. */
void ticker_stuck(struct ticker *ticker);

#endif
