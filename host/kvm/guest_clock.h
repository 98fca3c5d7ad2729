/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The clocks of an engine's VMs: the VMM's side of the page of clocks, which it renews at ticks and
 * at system calls that ask for the time. These are answered by the page too: so a program that asks
 * now by the vDSO and now by the system call never sees CLOCK_MONOTONIC run backwards.
 *
 * The page is closed, and so all programs make the system call, while the host's kernel does not use
 * the TSC for its own clocks (it then has its reasons), while a reading of the host's clock takes so
 * long that it would not be exact, and while nobody renews the page. Then, and only then, the system
 * call tells the host's clock: no less than the page has told, and the page tells no less than it
 * once it is open again.
 */
#ifndef FERRY_HOST_GUEST_CLOCK_H
#define FERRY_HOST_GUEST_CLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include <ferry/abi/clock.h>

#include "kvm/clock_line.h"
#include "lib/lock.h"

struct guest_clock {
    struct lock lock;                /* of all below */
    struct ferry_clock_page *shared; /* what guests read; written only */
    struct ferry_clock_page page;    /* the same; tsc and ticks are read by any thread */
    struct clock_line lines[FERRY_LINES];
    atomic_bool tsc_is_trusted; /* read by any thread */
    uint64_t look_ns;           /* when to look next whether it is */
    unsigned failures;          /* readings in a row that were not close */
};

/* Begins to write the page, which is zero. */
void guest_clock_init(struct guest_clock *clock, struct ferry_clock_page *page);
void guest_clock_fini(struct guest_clock *clock);

/* Any thread. */
void guest_clock_renew(struct guest_clock *clock);
/* The same if the page is old, unless another thread is at it. A guest is about to run. */
void guest_clock_refresh(struct guest_clock *clock);

/* Nobody will renew the page for a while: it tells nothing until somebody does. Any thread. */
void guest_clock_close(struct guest_clock *clock);

/* What a clock of the host with an entry in the page shows. Any thread. */
struct timespec guest_clock_read(struct guest_clock *clock, clockid_t id);

#endif
