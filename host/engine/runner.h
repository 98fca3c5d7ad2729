/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A runner: a running VM as the ticker and the poller know it. This file has everything that they
 * do to a VM; the rest of a VM is in vm/.
 */
#ifndef FERRY_HOST_RUNNER_H
#define FERRY_HOST_RUNNER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "ipc/endpoint.h"
#include "lib/lock.h"

/* The indexes that a guest had published, and its count of events, when a thread looked last. */
struct ring_snapshot {
    uint32_t out_head, in_tail, home_tail, release_head, events;
};

struct runner {
    struct endpoint *endpoint;
    uint64_t deadline_ns; /* when its time limit is reached; 0: never */
    /* Hook: the time limit is reached. Under the ticker's lock, perhaps repeatedly. */
    void (*time_over)(struct runner *runner);
    uint64_t alarm_ns; /* when its alarm rings, once; 0: never. Under the ticker's lock */
    /* Hook: the alarm rings. Under the ticker's lock. */
    void (*alarm)(struct runner *runner);
    uint64_t cpu_ns; /* when to look how much processor time it took; 0: never. Likewise */
    /* Hook: looks, and returns when to look again; 0: never. Under the ticker's lock. */
    uint64_t (*cpu_look)(struct runner *runner);
    /* Hook: makes the guest exit. Only while the VM is among the running ones. */
    void (*kick)(struct runner *runner);

    /* Held by the thread that serves the guest, but not while the guest runs. Its holder finds the
     * VMM's side of the out ring at rest. */
    struct lock serving;
    atomic_uint in_guest;     /* how many of its CPUs are in the guest */
    atomic_ullong entered_ns; /* when its guest was entered last */
    atomic_ullong exits_immediate, exits_natural;

    struct runner *next_running, *previous_running; /* the ticker's, as all to looked_ns */
    struct runner *next_watched;
    uint64_t exits_seen;
    unsigned idle_looks;
    uint64_t looked_ns;
    atomic_bool watched; /* the ticker looks at it; see ticker.h */

    struct runner *next_polled;  /* the poller's, as what follows */
    struct ring_snapshot polled; /* as it saw them last */
    atomic_bool left;            /* it left a message to the VM's own thread */
};

/* Makes a running guest leave the VM: a natural exit. Only while it is among the running. */
void runner_kick(struct runner *runner);

/* Whether descriptors wait in its out ring. Any thread. */
bool runner_has_pending(const struct runner *runner);

/* Sends the plain output that the VM gathered if the receiver waits for it. Any thread. */
void runner_send_gathered(struct runner *runner);

/* Looks at what its guest kernel read and wrote, unless the VM's own thread is serving it. Any
 * thread. */
void runner_look_at_stream(struct runner *runner);

/* Drains the VM's rings if anything changed since the last look, unless the VM's own thread is
 * serving it. On the poller's thread. */
void runner_poll(struct runner *runner);

#endif
