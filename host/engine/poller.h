/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The polled engine: one thread that watches the rings of all running VMs, for use where a core
 * costs less than the exits. It drains a VM's out ring while the guest runs, so that neither a
 * doorbell nor a natural exit is needed.
 *
 * It sleeps while no guest runs: with all VMs blocked in the VMM nothing can appear in a ring.
 */
#ifndef FERRY_HOST_POLLER_H
#define FERRY_HOST_POLLER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "engine/runner.h"
#include "lib/lock.h"

struct poller {
    bool running; /* there is such a thread */
    int cpu;      /* where alone it runs; or -1 */
    pthread_t thread;
    atomic_bool stopping;
    atomic_uint events; /* a futex: counts up to end its sleep */
    atomic_bool asleep;
    char pad[64];       /* separates what entering guests read from what each look writes */
    atomic_uint wanted; /* others want the lock: it makes way */
    struct lock lock;   /* the list */
    struct runner *runners;
};

/* `cpu`: where it runs; NULL: where its creator may run. */
int poller_start(struct poller *poller, const int *cpu);
void poller_stop(struct poller *poller);

/* A VM's thread begins to take part, and ends. They do nothing if there is no poller. */
void poller_add(struct poller *poller, struct runner *runner);
void poller_remove(struct poller *poller, struct runner *runner);

void poller_wake(struct poller *poller);

/* A guest is about to run: called after in_guest was set. One load unless the poller sleeps. */
static inline void poller_guest_runs(struct poller *poller)
{
    if (atomic_load(&poller->asleep))
        poller_wake(poller);
}

#endif
