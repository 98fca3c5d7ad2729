/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VM as the ticker and the poller know it: one whose thread runs a guest. What they do to it they
 * do here; all else about it is its VM's.
 */
#ifndef FERRY_HOST_RUNNER_H
#define FERRY_HOST_RUNNER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "ipc/endpoint.h"

/* What a guest published, and what happened to it: as it was when somebody looked. */
struct runner_marks {
    uint32_t out_head, in_tail, home_tail, release_head, events;
};

struct runner {
    struct endpoint *endpoint;
    uint64_t deadline_ns; /* when its time is over; 0: never */
    /* Its time is over. Under the ticker's lock, perhaps again and again. */
    void (*time_over)(struct runner *runner);
    /* Makes the guest leave. Only while it is among the running. */
    void (*kick)(struct runner *runner);

    /* Held by whoever serves its guest, so not while the guest runs: whoever has it finds the out
     * ring as the guest left it. */
    pthread_mutex_t serving;
    atomic_uint in_guest;     /* so many of its CPUs are */
    atomic_ullong entered_ns; /* when its guest was entered last */
    atomic_ullong exits_immediate, exits_natural;

    struct runner *next_running, *before_running; /* the ticker's, as all to looked_ns */
    struct runner *next_watched;
    uint64_t exits_seen;
    unsigned idle_looks;
    uint64_t looked_ns;
    atomic_bool watched; /* the ticker looks at it; see ticker.h */

    struct runner *next_polled; /* the poller's, as what follows */
    struct runner_marks polled; /* what it saw last */
};

/* Makes a running guest leave the VM: a natural exit. Only while it is among the running. */
void runner_kick(struct runner *runner);

/* Whether descriptors wait in its out ring. Any thread. */
bool runner_has_pending(const struct runner *runner);

/* Sends the plain output it gathered if the receiver waits for it. Any thread. */
void runner_send_gathered(struct runner *runner);

/* Drains its rings if anything changed since the last look, unless its thread does so itself
 * right now. On the poller's thread. */
void runner_poll(struct runner *runner);

#endif
