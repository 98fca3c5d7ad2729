/* SPDX-License-Identifier: BSD-2-Clause */
/* When a program in a VM ran an instruction, by the clock of the host. */
#include "first_tick.h"

#include <math.h>
#include <x86intrin.h>

#include "bench.h"

struct clocks clocks_now(void)
{
    return (struct clocks){__rdtsc(), bench_now_ns()};
}

/* The guest's counter is the host's, or the host's with an offset: which of the two its look at the clock
 * tells, and that look is as exact as it took long. */
double first_ns(const struct first *first, const struct clocks *from, const struct clocks *to)
{
    double tick_ns = (double)(to->ns - from->ns) / (double)(to->tick - from->tick);
    double doubt_ns = (double)(first->after_tick - first->before_tick) / 2 * tick_ns;
    double middle_ns = ((double)(int64_t)(first->before_tick - from->tick)) * tick_ns + doubt_ns;
    double offset_ns = (double)(first->clock_ns - from->ns) - middle_ns;
    double ns = (double)(int64_t)(first->first_tick - from->tick) * tick_ns;

    return fabs(offset_ns) <= doubt_ns ? ns : ns + offset_ns;
}
