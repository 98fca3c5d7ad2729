/* SPDX-License-Identifier: BSD-2-Clause */
/* When a program in a VM ran an instruction, by the clock of the host. */
#ifndef FERRY_BENCH_FIRST_TICK_H
#define FERRY_BENCH_FIRST_TICK_H

#include <stdint.h>

#include "guests/first.h"

/* The host's time-stamp counter and clock, read together. */
struct clocks {
    uint64_t tick, ns;
};

struct clocks clocks_now(void);

/* How long after `from` the first instruction ran, by CLOCK_MONOTONIC. */
double first_ns(const struct first *first, const struct clocks *from, const struct clocks *to);

#endif
