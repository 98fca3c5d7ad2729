/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The straight line that stands for a clock of the host in the page of clocks (abi/clock.h). It is
 * drawn anew from each sample, a reading of that clock beside one of the TSC, and never runs
 * backwards: a new line begins where the one before has come to and bends towards the host's clock,
 * which it reaches within CLOCK_BEND_NS. Arithmetic only.
 */
#ifndef FERRY_HOST_CLOCK_LINE_H
#define FERRY_HOST_CLOCK_LINE_H

#include <stdint.h>

#include <ferry/abi/clock.h>

/* A line that is behind the host's clock by more than this jumps to it. */
#define CLOCK_STEP_NS 1000
/* Lines reach the host's clock after so long, unless they are ahead of it by more than half of
 * that: then they take longer, at half the speed. */
#define CLOCK_BEND_NS 1000000
/* The speed is measured over this time and up to twice as long. In it a reading's error of 20 ns is
 * about 1 ppm; and a change of the host's speed is followed within it. */
#define CLOCK_BASE_NS 16000000
/* Before so much time there is no line: the speed would be too uncertain. */
#define CLOCK_BASE_LEAST_NS 1000000
/* No line holds longer. */
#define CLOCK_HOLDS_NS 20000000

struct clock_sample {
    uint64_t tsc, ns;
};

struct clock_line {
    struct clock_sample base, next_base; /* tsc 0: none */
    uint64_t scale;                      /* as measured last; 0: not yet */
    uint64_t shown_ns;                   /* nobody has seen more of this clock */
};

/* Forgets what was measured, but not what was shown: the TSC or the clock has jumped. */
void clock_line_reset(struct clock_line *line);

/* Takes a sample. Returns for how many ticks a line drawn from it holds; 0: none can be drawn. */
uint64_t clock_line_measure(struct clock_line *line, struct clock_sample sample);

/* Draws the line that begins at `tsc`, some time after the sample, and holds until `ticks` after the
 * sample. Returns how many of them are left. 0, and nothing is drawn: the thread was away for so long
 * since it took the sample, or it is now on a processor whose TSC is behind. */
uint64_t clock_line_draw(const struct clock_line *line, struct clock_sample sample, uint64_t ticks,
                         uint64_t tsc, struct ferry_clock_line *out);

#endif
