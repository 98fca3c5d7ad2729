/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The page of clocks: the VMM writes it, the vDSO of every VM reads it (guest/vdso/). The guest has
 * both read-only. Freestanding: included by host, vDSO and tests.
 *
 * Each clock is a straight line over the processor's time-stamp counter (TSC), and holds for a
 * limited number of ticks from `tsc` on. A TSC that reads anything else, for whatever reason, is
 * outside of them, and the caller makes the system call: the page is stale, or the VM shows another
 * TSC than the host's, or the host slept.
 */
#ifndef FERRY_ABI_CLOCK_H
#define FERRY_ABI_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "layout.h"

/* The numbers that Linux gives them. */
enum ferry_clock {
    FERRY_CLOCK_REALTIME = 0,
    FERRY_CLOCK_MONOTONIC = 1,
    FERRY_CLOCK_MONOTONIC_RAW = 4,
    FERRY_CLOCK_REALTIME_COARSE = 5,
    FERRY_CLOCK_MONOTONIC_COARSE = 6,
    FERRY_CLOCK_BOOTTIME = 7,
    FERRY_CLOCK_TAI = 11,
};

/* Nanoseconds, in parts of 2^32, that a tick adds: up to the bend, where the line has come to the
 * host's clock, and after it. */
struct ferry_clock_line {
    uint64_t ns, scale;
    uint64_t bend_ticks, bend_ns, bend_scale;
};

enum { FERRY_LINE_MONOTONIC, FERRY_LINE_RAW, FERRY_LINES };

struct ferry_clock_page {
    /* Odd while the page is being written. Who finds another number after reading reads again. */
    uint32_t sequence;
    uint32_t fine_step_ns, coarse_step_ns; /* what clock_getres tells */
    uint32_t zero;
    uint64_t tsc;   /* where the lines begin */
    uint64_t ticks; /* so many from there they hold; 0: none */
    struct ferry_clock_line lines[FERRY_LINES];
    int64_t realtime_ns, boottime_ns, tai_ns; /* beyond CLOCK_MONOTONIC */
    /* The coarse clocks when the lines began. */
    uint64_t monotonic_coarse_ns, realtime_coarse_ns;
};

FERRY_STATIC_ASSERT(sizeof(struct ferry_clock_page) <= FERRY_PAGE_BYTES, "a page");
FERRY_STATIC_ASSERT(offsetof(struct ferry_clock_page, tsc) == 16, "no padding");
FERRY_STATIC_ASSERT(sizeof(struct ferry_clock_page) == 152, "no padding");

/* The coarse clocks of the host are at most so far behind its others: a tick that is handled late. */
#define FERRY_COARSE_LAG_NS 20000000u

/* Whether that clock can be told without a system call. */
static inline int ferry_clock_known(uint32_t clock)
{
    return clock <= FERRY_CLOCK_MONOTONIC ||
           (clock >= FERRY_CLOCK_MONOTONIC_RAW && clock <= FERRY_CLOCK_BOOTTIME) ||
           clock == FERRY_CLOCK_TAI;
}

static inline int ferry_clock_is_coarse(uint32_t clock)
{
    return clock == FERRY_CLOCK_REALTIME_COARSE || clock == FERRY_CLOCK_MONOTONIC_COARSE;
}

/* A word of the page, which may be written meanwhile: the sequence tells. */
#define FERRY_CLOCK_WORD(word) __atomic_load_n(&(word), __ATOMIC_RELAXED)

/* No product overflows: lines hold for far less than 4 s. */
static inline uint64_t ferry_line_at(const struct ferry_clock_line *line, uint64_t ticks)
{
    uint64_t bend = FERRY_CLOCK_WORD(line->bend_ticks);

    if (ticks < bend)
        return FERRY_CLOCK_WORD(line->ns) + (ticks * FERRY_CLOCK_WORD(line->scale) >> 32);
    return FERRY_CLOCK_WORD(line->bend_ns) +
           ((ticks - bend) * FERRY_CLOCK_WORD(line->bend_scale) >> 32);
}

/* What the clock shows at that reading of the TSC. 0: that is not known from the page. */
static inline int ferry_clock_at(const struct ferry_clock_page *page, uint64_t tsc, uint32_t clock,
                                 uint64_t *ns)
{
    uint64_t ticks = tsc - FERRY_CLOCK_WORD(page->tsc), monotonic;

    if (ticks >= FERRY_CLOCK_WORD(page->ticks) || !ferry_clock_known(clock))
        return 0;
    if (clock == FERRY_CLOCK_MONOTONIC_RAW) {
        *ns = ferry_line_at(&page->lines[FERRY_LINE_RAW], ticks);
        return 1;
    }
    monotonic = ferry_line_at(&page->lines[FERRY_LINE_MONOTONIC], ticks);
    switch (clock) {
    case FERRY_CLOCK_REALTIME:
        *ns = monotonic + (uint64_t)FERRY_CLOCK_WORD(page->realtime_ns);
        break;
    case FERRY_CLOCK_BOOTTIME:
        *ns = monotonic + (uint64_t)FERRY_CLOCK_WORD(page->boottime_ns);
        break;
    case FERRY_CLOCK_TAI:
        *ns = monotonic + (uint64_t)FERRY_CLOCK_WORD(page->tai_ns);
        break;
    case FERRY_CLOCK_REALTIME_COARSE:
    case FERRY_CLOCK_MONOTONIC_COARSE:
        /* The host's may have gone on since. */
        if (monotonic - FERRY_CLOCK_WORD(page->monotonic_coarse_ns) >=
            2 * (uint64_t)FERRY_CLOCK_WORD(page->coarse_step_ns))
            return 0;
        *ns = clock == FERRY_CLOCK_REALTIME_COARSE ? FERRY_CLOCK_WORD(page->realtime_coarse_ns)
                                                   : FERRY_CLOCK_WORD(page->monotonic_coarse_ns);
        break;
    default:
        *ns = monotonic;
        break;
    }
    return 1;
}

/* The second that time(2) tells, which is that of the coarse clock. 0: that is not known, since a
 * second may just have begun for it, or is about to. */
static inline int ferry_second_of(uint64_t realtime_ns, uint64_t *second)
{
    *second = realtime_ns / 1000000000u;
    return realtime_ns >= FERRY_COARSE_LAG_NS &&
           (realtime_ns - FERRY_COARSE_LAG_NS) / 1000000000u == *second;
}

#endif
