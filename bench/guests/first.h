/* SPDX-License-Identifier: BSD-2-Clause */
/* What the programs `first` and `again` write to standard error. */
#ifndef FERRY_BENCH_GUESTS_FIRST_H
#define FERRY_BENCH_GUESTS_FIRST_H

#include <stdint.h>

struct first {
    uint64_t first_tick; /* the time-stamp counter at its first instruction */
    /* The clock, read between two looks at the counter: the closest of some tries. */
    uint64_t before_tick, clock_ns, after_tick;
    uint64_t touched_tick; /* of `again`: when it had written to its pages */
};

#endif
