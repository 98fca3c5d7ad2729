/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the tests of the lines that are drawn for the page of clocks (host/kvm/clock_line.c), beside
 * clocks of a host that is made up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "kvm/clock_line.h"

#define SECOND 1000000000
#define MS     1000000

/* A host whose TSC runs at so many kHz and whose clock runs so many ppm faster. */
struct made_up {
    uint64_t tsc;
    double ns, khz, ppm, part; /* of a tick */
};

static void pass(struct made_up *host, uint64_t ns)
{
    double ticks = (double)ns * host->khz / 1e6 + host->part;

    host->tsc += (uint64_t)ticks;
    host->part = ticks - (double)(uint64_t)ticks;
    host->ns += (double)ns * (1 + host->ppm / 1e6);
}

static struct clock_sample sample_of(const struct made_up *host, int64_t error_ns)
{
    return (struct clock_sample){host->tsc, (uint64_t)((int64_t)host->ns + error_ns)};
}

/* One clock through many renewals, as guest_clock.c draws it: never backwards, and never further from
 * the host's than that. `line` and `drawn` go on. */
struct course {
    struct clock_line line;
    struct ferry_clock_line drawn;
    uint64_t from, ticks, last_ns, renewals;
};

static void look(struct course *course, const struct made_up *host, double most_ns)
{
    uint64_t ticks = host->tsc - course->from, ns;

    if (ticks >= course->ticks)
        return;
    ns = ferry_line_at(&course->drawn, ticks);
    assert_true(ns >= course->last_ns);
    course->last_ns = ns;
    if ((double)ns > host->ns + most_ns || (double)ns < host->ns - most_ns)
        fail_msg("%.0f ns from the host's clock, of %.0f at most, after %llu renewals",
                 (double)ns - host->ns, most_ns, (unsigned long long)course->renewals);
}

static void renew(struct course *course, const struct made_up *host, int64_t error_ns)
{
    struct clock_sample sample = sample_of(host, error_ns);
    uint64_t seen = host->tsc - course->from;

    if (course->ticks)
        course->line.shown_ns =
            ferry_line_at(&course->drawn, seen < course->ticks ? seen : course->ticks);
    course->ticks = clock_line_measure(&course->line, sample);
    course->from = host->tsc;
    course->ticks =
        clock_line_draw(&course->line, sample, course->ticks, host->tsc, &course->drawn);
    course->renewals++;
}

/* Renewals come when `interval_ns` has passed, by chance some later; each reading is wrong by up to
 * 30 ns. */
static void follow(struct course *course, struct made_up *host, unsigned renewals,
                   uint64_t interval_ns, double most_ns)
{
    for (unsigned i = 0; i < renewals; i++) {
        renew(course, host, rand() % 61 - 30);
        for (int step = 0; step < 10; step++) {
            look(course, host, most_ns);
            pass(host, interval_ns / 10 + (uint64_t)rand() % (interval_ns / 20));
        }
        look(course, host, most_ns);
    }
}

static void test_line_follows(void **state)
{
    static const double khz[] = {10e3, 200e3, 1e6, 2596152, 5.1e6};

    (void)state;
    srand(1);
    for (size_t i = 0; i < sizeof khz / sizeof *khz; i++) {
        /* A counter of 10 MHz is read in steps of 100 ns. */
        double least_ns = 4e6 / khz[i];
        struct made_up host = {.tsc = 12345, .ns = 5e15, .khz = khz[i]};
        struct course course = {0};

        follow(&course, &host, 300, MS, 400 + least_ns);
        assert_true(course.ticks > 0);
        follow(&course, &host, 50, 10 * MS, 400 + least_ns);
        /* The host's clock is slewed as fast as by NTP at most, one way and the other. */
        host.ppm = 500;
        follow(&course, &host, 200, MS, 1000 + least_ns);
        host.ppm = -500;
        follow(&course, &host, 200, MS, 1700 + least_ns);
        host.ppm = 0;
        follow(&course, &host, 200, MS, 1000 + least_ns);
    }
}

/* adjtimex(2) changes the speed by a tenth: the line is soon there, and never goes back. */
static void test_line_after_a_change_of_speed(void **state)
{
    struct made_up host = {.tsc = 99, .ns = 1e12, .khz = 3e6};
    struct course course = {0};

    (void)state;
    follow(&course, &host, 100, MS, 400);
    host.ppm = -100000;
    follow(&course, &host, 60, MS, 400000);
    follow(&course, &host, 100, MS, 400);
    host.ppm = 0;
    follow(&course, &host, 60, MS, 400000);
    follow(&course, &host, 100, MS, 400);
}

/* The VMM was stopped for a second; the host slept and its TSC ran on, or began anew. */
static void test_line_after_a_gap(void **state)
{
    struct made_up host = {.tsc = 1ull << 40, .ns = 1e12, .khz = 2e6};
    struct course course = {0};

    (void)state;
    follow(&course, &host, 100, MS, 400);
    pass(&host, SECOND);
    look(&course, &host, 0); /* its time is over */
    follow(&course, &host, 100, MS, 400);

    host.tsc += 1ull << 50;
    renew(&course, &host, 0);
    assert_int_equal(course.ticks, 0);
    pass(&host, 100 * MS);
    follow(&course, &host, 100, MS, 1000);

    host.tsc = 1000;
    renew(&course, &host, 0);
    assert_int_equal(course.ticks, 0);
    pass(&host, 100 * MS);
    follow(&course, &host, 100, MS, 1000);
}

/* What was seen stays, however far the host's clock is behind it. */
static void test_line_waits_for_the_host(void **state)
{
    struct made_up host = {.tsc = 1ull << 40, .ns = 1e12, .khz = 2e6};
    struct course course = {.line.shown_ns = 1000020000000, .last_ns = 1000020000000};

    (void)state;
    renew(&course, &host, 0);
    pass(&host, 2 * MS);
    follow(&course, &host, 60, MS, 20 * MS);
    follow(&course, &host, 60, MS, 400);
}

/* Between reading the clock and drawing the line its thread came to a processor whose TSC is behind, or
 * was away. */
static void test_line_begins_when_its_sample_holds(void **state)
{
    struct made_up host = {.tsc = 1ull << 40, .ns = 1e12, .khz = 2e6};
    struct course course = {0};

    (void)state;
    follow(&course, &host, 100, MS, 400);
    struct clock_sample sample = sample_of(&host, 0);
    uint64_t ticks = clock_line_measure(&course.line, sample), tsc = sample.tsc;
    struct ferry_clock_line drawn = {.ns = 5};
    assert_true(ticks > 0);
    assert_int_equal(clock_line_draw(&course.line, sample, ticks, tsc - 1, &drawn), 0);
    assert_int_equal(clock_line_draw(&course.line, sample, ticks, tsc / 2, &drawn), 0);
    assert_int_equal(clock_line_draw(&course.line, sample, ticks, tsc + ticks, &drawn), 0);
    assert_int_equal(drawn.ns, 5);
    course.line.shown_ns = 0;
    assert_int_equal(clock_line_draw(&course.line, sample, ticks, tsc + ticks - 2, &drawn), 2);
    assert_in_range(drawn.ns, sample.ns + ticks / 2 - 1000, sample.ns + ticks / 2 + 1000);
}

static void test_line_of_nonsense(void **state)
{
    struct clock_line line = {0};
    struct ferry_clock_line out;
    struct clock_sample samples[] = {
        {1, 5},
        {1, 6},               /* no tick passed */
        {2, UINT64_MAX},      /* more than all speeds */
        {UINT64_MAX, 2 * MS}, /* less than all speeds */
        {5, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        uint64_t ticks = clock_line_measure(&line, samples[i]);
        clock_line_draw(&line, samples[i], ticks, samples[i].tsc + 5, &out);
    }
    clock_line_reset(&line);
    assert_int_equal(clock_line_measure(&line, (struct clock_sample){1000, 1000}), 0);
    assert_true(clock_line_measure(&line, (struct clock_sample){1000 + 2 * MS, 1000 + MS}) > 0);
    assert_true(line.scale == 1ull << 31);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line_follows),
        cmocka_unit_test(test_line_after_a_change_of_speed),
        cmocka_unit_test(test_line_after_a_gap),
        cmocka_unit_test(test_line_waits_for_the_host),
        cmocka_unit_test(test_line_begins_when_its_sample_holds),
        cmocka_unit_test(test_line_of_nonsense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
