/* SPDX-License-Identifier: BSD-2-Clause */
/* A clock of the host as a straight line over the TSC. */
#include "kvm/clock_line.h"

#include <stdbool.h>

#include "lib/bits.h"

/* Products of a time in ns or ticks by 2^32 need more than 64 bits when the time is longer than 4 s,
 * as that between two samples may be. */
typedef unsigned __int128 wide;

static uint64_t scale_of(uint64_t ns, uint64_t ticks)
{
    wide scale = ((wide)ns << 32) / ticks;

    return scale > UINT64_MAX ? UINT64_MAX : (uint64_t)scale;
}

static uint64_t ticks_of(uint64_t ns, uint64_t scale)
{
    wide ticks = ((wide)ns << 32) / scale;

    return ticks > UINT64_MAX ? UINT64_MAX : (uint64_t)ticks;
}

static uint64_t ns_of(uint64_t ticks, uint64_t scale)
{
    return (uint64_t)((wide)ticks * scale >> 32);
}

void clock_line_reset(struct clock_line *line)
{
    *line = (struct clock_line){.shown_ns = line->shown_ns};
}

/* Whether the host's clock can have changed its speed so much: by adjtimex(2) it may run a tenth
 * faster or slower. */
static bool is_possible(const struct clock_line *line, uint64_t scale)
{
    uint64_t most = line->scale / 4;

    return scale && (!line->scale || (scale > line->scale - most && scale < line->scale + most));
}

uint64_t clock_line_measure(struct clock_line *line, struct clock_sample sample)
{
    if (line->base.tsc && (sample.tsc <= line->base.tsc || sample.ns < line->base.ns))
        clock_line_reset(line); /* the TSC began anew */
    if (!line->base.tsc) {
        line->base = line->next_base = sample;
        return 0;
    }
    uint64_t measured_ns = sample.ns - line->base.ns;
    if (measured_ns < CLOCK_BASE_LEAST_NS && !line->scale)
        return 0;
    uint64_t scale = scale_of(measured_ns, sample.tsc - line->base.tsc);
    if (!is_possible(line, scale)) {
        clock_line_reset(line);
        line->base = line->next_base = sample;
        return 0;
    }
    line->scale = scale;
    if (sample.ns - line->next_base.ns >= CLOCK_BASE_NS) {
        line->base = line->next_base;
        line->next_base = sample;
    }
    /* Its speed is as uncertain as the readings are, over the time in which it was measured; and what
     * follows from that must be small. */
    return ticks_of(min_u64(CLOCK_HOLDS_NS, 4 * measured_ns), scale);
}

uint64_t clock_line_draw(const struct clock_line *line, struct clock_sample sample, uint64_t ticks,
                         uint64_t tsc, struct ferry_clock_line *out)
{
    uint64_t since = tsc - sample.tsc; /* a TSC that is behind makes it very large */

    if (since >= ticks)
        return 0;
    uint64_t host_ns = sample.ns + ns_of(since, line->scale);
    uint64_t ns = line->shown_ns, span_ns = CLOCK_BEND_NS;
    int64_t ahead = (int64_t)(ns - host_ns);

    if (ahead < -CLOCK_STEP_NS) {
        ns = host_ns;
        ahead = 0;
    }
    if (ahead > CLOCK_BEND_NS / 2)
        span_ns = 2 * (uint64_t)ahead;
    uint64_t bend_ticks = ticks_of(span_ns, line->scale);
    uint64_t scale = scale_of(span_ns - (uint64_t)ahead, bend_ticks ? bend_ticks : 1);
    *out = (struct ferry_clock_line){.ns = ns,
                                     .scale = scale,
                                     .bend_ticks = bend_ticks,
                                     .bend_ns = ns + ns_of(bend_ticks, scale),
                                     .bend_scale = line->scale};
    return ticks - since;
}
