/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest program of the benchmark measures and tells the host. Included
 * by both, so that processes and VMs count the same way.
 */
#ifndef FERRY_BENCH_GUESTS_REPORT_H
#define FERRY_BENCH_GUESTS_REPORT_H

#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <x86intrin.h>

/* Fits an inline message. */
struct report {
    double ns;             /* of one message or piece: the mean; of one exchange: the median */
    double p90, p99, p999; /* of exchanges */
};

static inline uint64_t report_clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/*
 * Single exchanges are timed by the time-stamp counter, as reading the clock
 * leaves the VM. The clock is read before and after all of them: that gives
 * the counter's frequency, whatever its offset is.
 */
struct stopwatch {
    uint64_t *ticks; /* of each exchange; the caller's, not NULL */
    size_t count;
    uint64_t start_ns, start_tick;
};

static inline void stopwatch_start(struct stopwatch *watch, uint64_t *ticks)
{
    *watch = (struct stopwatch){.ticks = ticks};
    watch->start_ns = report_clock_ns();
    watch->start_tick = __rdtsc();
}

static inline int stopwatch_compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static inline double stopwatch_at(const struct stopwatch *watch, double part)
{
    size_t place = (size_t)((double)watch->count * part);

    return (double)watch->ticks[place < watch->count ? place : watch->count - 1];
}

static inline void stopwatch_stop(struct stopwatch *watch, size_t count, struct report *out)
{
    uint64_t ticks = __rdtsc() - watch->start_tick, ns = report_clock_ns() - watch->start_ns;
    double tick_ns = (double)ns / (double)ticks;

    watch->count = count;
    /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker) */
    qsort(watch->ticks, count, sizeof *watch->ticks, stopwatch_compare);
    *out = (struct report){
        .ns = stopwatch_at(watch, 0.5) * tick_ns,
        .p90 = stopwatch_at(watch, 0.9) * tick_ns,
        .p99 = stopwatch_at(watch, 0.99) * tick_ns,
        .p999 = stopwatch_at(watch, 0.999) * tick_ns,
    };
}

#endif
