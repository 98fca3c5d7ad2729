/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the tests of the page of clocks: of its arithmetic, of the lines that are drawn for it, and of
 * the page beside the host's clocks, which these tests can set and stop.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "kvm/guest_clock.h"

#define CLOCKSOURCE "/sys/devices/system/clocksource/clocksource0/current_clocksource"

#define SECOND 1000000000
#define MS     1000000
#define GHZ(n) ((1ull << 32) / (n))

int __real_clock_gettime(clockid_t id, struct timespec *now);
int __wrap_clock_gettime(clockid_t id, struct timespec *now);
int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);

/* --- the host ------------------------------------------------------------------- */

static _Atomic int64_t set_ns[16]; /* by how much each clock was set */
static atomic_bool is_slow;        /* to read a clock takes longer than is exact */
static atomic_uint readings;
static const char *clocksource;

int __wrap_clock_gettime(clockid_t id, struct timespec *now)
{
    int result = __real_clock_gettime(id, now);
    int64_t ns = (int64_t)now->tv_sec * SECOND + now->tv_nsec + (id >= 0 ? set_ns[id] : 0);

    readings++;
    for (int i = 0; is_slow && i < 16; i++)
        set_ns[i] += 3000;
    *now = (struct timespec){ns / SECOND, ns % SECOND};
    return result;
}

int __wrap_open64(const char *path, int flags, ...)
{
    if (!strstr(path, CLOCKSOURCE))
        return __real_open64(path, flags, 0);
    int fd = memfd_create("clocksource", 0);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, clocksource, strlen(clocksource), 0), strlen(clocksource));
    return fd;
}

static int64_t host_ns(clockid_t id)
{
    struct timespec now;

    __wrap_clock_gettime(id, &now);
    return (int64_t)now.tv_sec * SECOND + now.tv_nsec;
}

static uint64_t read_tsc(void)
{
    _mm_lfence();
    uint64_t tsc = __rdtsc();
    _mm_lfence();
    return tsc;
}

/* --- the page ------------------------------------------------------------------- */

static const uint32_t all[] = {
    FERRY_CLOCK_REALTIME,         FERRY_CLOCK_MONOTONIC, FERRY_CLOCK_MONOTONIC_RAW,
    FERRY_CLOCK_REALTIME_COARSE,  FERRY_CLOCK_BOOTTIME,  FERRY_CLOCK_TAI,
    FERRY_CLOCK_MONOTONIC_COARSE,
};

static void test_page_arithmetic(void **state)
{
    const uint64_t uptime = 290ull * 365 * 86400 * SECOND; /* years */
    struct ferry_clock_page page = {
        .coarse_step_ns = 4 * MS,
        .tsc = UINT64_MAX - 5,
        .ticks = 3000,
        .lines = {{.ns = uptime,
                   .scale = GHZ(2),
                   .bend_ticks = 1000,
                   .bend_ns = uptime + 500,
                   .bend_scale = GHZ(4)},
                  {.ns = 7, .scale = 1ull << 42, .bend_ticks = UINT64_MAX}},
        .realtime_ns = -(int64_t)uptime,
        .boottime_ns = 5,
        .tai_ns = 37,
        .monotonic_coarse_ns = uptime - 4 * MS,
        .realtime_coarse_ns = 99,
    };
    uint64_t ns;

    (void)state;
    /* The TSC goes through 0 meanwhile. */
    assert_true(ferry_clock_at(&page, UINT64_MAX - 5, FERRY_CLOCK_MONOTONIC, &ns));
    assert_int_equal(ns, uptime);
    assert_true(ferry_clock_at(&page, 993, FERRY_CLOCK_MONOTONIC, &ns));
    assert_int_equal(ns, uptime + 499);
    assert_true(ferry_clock_at(&page, 994 + 400, FERRY_CLOCK_MONOTONIC, &ns));
    assert_int_equal(ns, uptime + 600);
    assert_true(ferry_clock_at(&page, 994, FERRY_CLOCK_REALTIME, &ns));
    assert_int_equal(ns, 500);
    assert_true(ferry_clock_at(&page, 994, FERRY_CLOCK_BOOTTIME, &ns));
    assert_int_equal(ns, uptime + 505);
    assert_true(ferry_clock_at(&page, 994, FERRY_CLOCK_TAI, &ns));
    assert_int_equal(ns, uptime + 537);
    /* A slow TSC, of 1 MHz. */
    assert_true(ferry_clock_at(&page, 2993, FERRY_CLOCK_MONOTONIC_RAW, &ns));
    assert_int_equal(ns, 7 + 2999 * 1024);
    /* The coarse clocks are told until the host's must have gone on. */
    assert_true(ferry_clock_at(&page, 2993, FERRY_CLOCK_REALTIME_COARSE, &ns));
    assert_int_equal(ns, 99);
    page.monotonic_coarse_ns -= 4 * MS;
    assert_false(ferry_clock_at(&page, 2993, FERRY_CLOCK_REALTIME_COARSE, &ns));
    assert_false(ferry_clock_at(&page, 2993, FERRY_CLOCK_MONOTONIC_COARSE, &ns));
    /* Before and after its time the page tells nothing. */
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        assert_false(ferry_clock_at(&page, UINT64_MAX - 6, all[i], &ns));
        assert_false(ferry_clock_at(&page, 2994, all[i], &ns));
    }
}

static void test_page_tells_nothing(void **state)
{
    static const uint32_t others[] = {2, 3, 8, 9, 10, 12, 33, 0x80000000, (uint32_t)-6, UINT32_MAX};
    struct ferry_clock_page page = {0};
    uint64_t ns = 0;

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        assert_true(ferry_clock_known(all[i]));
        for (uint64_t tsc = 0; tsc < 3; tsc++)
            assert_false(ferry_clock_at(&page, tsc, all[i], &ns));
    }
    page.ticks = UINT64_MAX;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(ferry_clock_at(&page, 0, others[i], &ns));
    /* Without a scale clocks stand still. */
    assert_true(ferry_clock_at(&page, 1ull << 60, FERRY_CLOCK_MONOTONIC, &ns));
    assert_int_equal(ns, 0);
}

static void test_second(void **state)
{
    uint64_t second;

    (void)state;
    assert_false(ferry_second_of(0, &second));
    assert_false(ferry_second_of(5ull * SECOND, &second));
    assert_false(ferry_second_of(5ull * SECOND + FERRY_COARSE_LAG_NS - 1, &second));
    assert_true(ferry_second_of(5ull * SECOND + FERRY_COARSE_LAG_NS, &second));
    assert_int_equal(second, 5);
    assert_true(ferry_second_of(6ull * SECOND - 1, &second));
    assert_int_equal(second, 5);
}

/* --- lines ---------------------------------------------------------------------- */

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

/* --- beside the host's clocks --------------------------------------------------- */

static struct ferry_clock_page page;
static struct guest_clock clocks;

static int begin(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof set_ns / sizeof *set_ns; i++)
        set_ns[i] = 0;
    is_slow = false;
    clocksource = "tsc\n";
    memset(&page, 0, sizeof page);
    guest_clock_init(&clocks, &page);
    return 0;
}

static int end(void **state)
{
    (void)state;
    guest_clock_fini(&clocks);
    return 0;
}

/* The pretended clocksource helps nothing where the host's clock is another: to read it takes too
 * long, or it does not run as the TSC does. */
static bool host_uses_tsc(void)
{
    char name[8] = "";
    int fd = __real_open64(CLOCKSOURCE, O_RDONLY);

    if (fd >= 0) {
        assert_true(read(fd, name, sizeof name - 1) >= 0);
        close(fd);
    }
    return strcmp(name, "tsc\n") == 0;
}

/* Renews the page until it tells the time, which takes a millisecond or more. */
static void await_page(void)
{
    if (!host_uses_tsc())
        skip();
    for (int64_t until = host_ns(CLOCK_MONOTONIC) + 20ll * SECOND; !page.ticks;) {
        guest_clock_renew(&clocks);
        if (host_ns(CLOCK_MONOTONIC) > until)
            fail_msg("no reading of the host's clock was good enough");
    }
}

/* Compares a clock of the page with the host's often enough, and returns how often it could. */
static unsigned compare(uint32_t id, int64_t most_ns)
{
    unsigned compared = 0;

    for (int i = 0; i < 1000; i++) {
        int64_t before = host_ns((clockid_t)id);
        uint64_t ns;
        int known = ferry_clock_at(&page, read_tsc(), id, &ns);
        int64_t after = host_ns((clockid_t)id);

        if (!known)
            guest_clock_renew(&clocks);
        else if ((int64_t)ns < before - most_ns || (int64_t)ns > after + most_ns)
            fail_msg("clock %u: %lld is not between %lld and %lld", id, (long long)ns,
                     (long long)before, (long long)after);
        compared += known != 0;
    }
    return compared;
}

static void test_exact(void **state)
{
    struct timespec step;

    (void)state;
    await_page();
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        __real_clock_gettime(CLOCK_MONOTONIC, &step);
        clock_getres((clockid_t)all[i], &step);
        assert_int_equal(step.tv_sec, 0);
        assert_int_equal(step.tv_nsec,
                         ferry_clock_is_coarse(all[i]) ? page.coarse_step_ns : page.fine_step_ns);
        assert_true(compare(all[i], ferry_clock_is_coarse(all[i]) ? 2 * step.tv_nsec : 1000) > 100);
    }
}

/* The system call and the page tell one clock. */
static void test_call_and_page_agree(void **state)
{
    uint64_t last = 0, ns;

    (void)state;
    await_page();
    for (int i = 0; i < 20000; i++) {
        struct timespec now = guest_clock_read(&clocks, CLOCK_MONOTONIC);

        ns = (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
        assert_true(ns >= last);
        last = ns;
        if (!ferry_clock_at(&page, read_tsc(), FERRY_CLOCK_MONOTONIC, &ns))
            continue;
        assert_true(ns >= last);
        last = ns;
    }
}

static void await_ns(int64_t ns)
{
    for (int64_t until = host_ns(CLOCK_MONOTONIC) + ns; host_ns(CLOCK_MONOTONIC) < until;)
        ;
}

/* A guest that is about to run finds no old page, and one that has a new page costs nothing. */
static void test_refresh(void **state)
{
    uint32_t sequence;
    uint64_t ns;
    bool kept = false;

    (void)state;
    await_page();
    await_ns(25 * MS); /* the speed is well known from then on */
    guest_clock_renew(&clocks);
    for (int i = 0; i < 100 && !kept; i++) { /* this thread may lose its processor meanwhile */
        guest_clock_renew(&clocks);
        sequence = page.sequence;
        guest_clock_refresh(&clocks);
        kept = page.sequence == sequence;
    }
    assert_true(kept);
    await_ns(25 * MS);
    assert_false(ferry_clock_at(&page, read_tsc(), FERRY_CLOCK_MONOTONIC, &ns));
    sequence = page.sequence;
    lock_take(&clocks.lock); /* another thread is at it */
    guest_clock_refresh(&clocks);
    lock_drop(&clocks.lock);
    assert_int_equal(page.sequence, sequence);
    guest_clock_refresh(&clocks);
    assert_true(page.sequence != sequence);
}

static uint64_t read_call(clockid_t id)
{
    struct timespec now = guest_clock_read(&clocks, id);

    return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

static void set_time_of_day(int64_t ns)
{
    set_ns[CLOCK_REALTIME] = set_ns[CLOCK_TAI] = set_ns[CLOCK_REALTIME_COARSE] = ns;
}

/* How long it takes until guests see that the clock was set, if they only look at the page and
 * `act` is called meanwhile. */
static int64_t await_set(int64_t ns, void (*act)(struct guest_clock *))
{
    set_time_of_day(ns);
    for (int64_t begin = host_ns(CLOCK_MONOTONIC);;) {
        uint64_t told, host = (uint64_t)host_ns(CLOCK_REALTIME);
        int64_t waited = host_ns(CLOCK_MONOTONIC) - begin;

        if (ferry_clock_at(&page, read_tsc(), FERRY_CLOCK_REALTIME, &told) &&
            told - (host - 1000) < SECOND)
            return waited;
        if (waited > 20ll * SECOND)
            fail_msg("the page never tells that the clock was set");
        act(&clocks);
    }
}

static void read_it(struct guest_clock *clock)
{
    guest_clock_read(clock, CLOCK_REALTIME);
}

/* The least of some times, as this thread may lose its processor. */
static int64_t least_to_set(void (*act)(struct guest_clock *))
{
    int64_t least = INT64_MAX;

    for (int i = 1; i <= 20; i++) {
        int64_t took = await_set((i % 2 ? -3600ll : 7200ll) * SECOND, act);
        least = took < least ? took : least;
    }
    return least;
}

static void test_clock_is_set(void **state)
{
    (void)state;
    await_page();
    set_time_of_day(-3600ll * SECOND);
    guest_clock_renew(&clocks);
    assert_true(compare(FERRY_CLOCK_REALTIME, 1000) > 100);
    set_time_of_day(7200ll * SECOND);
    set_ns[CLOCK_TAI] += 37ll * SECOND;
    guest_clock_renew(&clocks);
    assert_true(compare(FERRY_CLOCK_REALTIME, 1000) > 100);
    assert_true(compare(FERRY_CLOCK_TAI, 1000) > 100);
    await_ns(40 * MS);
    guest_clock_renew(&clocks);
    assert_true(least_to_set(guest_clock_renew) < MS / 2);
    assert_true(least_to_set(guest_clock_refresh) < 2 * MS);
    assert_true(least_to_set(read_it) < 2 * MS);
}

/* CLOCK_MONOTONIC stood still meanwhile. */
static void test_host_slept(void **state)
{
    (void)state;
    await_page();
    set_ns[CLOCK_BOOTTIME] += 600ll * SECOND;
    set_ns[CLOCK_MONOTONIC] -= 5 * MS;
    guest_clock_renew(&clocks);
    assert_int_equal(page.ticks, 0); /* the speed is measured anew */
    uint64_t shown = clocks.lines[FERRY_LINE_MONOTONIC].shown_ns;
    struct timespec now = guest_clock_read(&clocks, CLOCK_MONOTONIC);
    assert_true((uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec >= shown);
    await_page();
    assert_true(page.lines[FERRY_LINE_MONOTONIC].ns >= shown);
    for (int64_t until = host_ns(CLOCK_MONOTONIC) + 30 * MS; host_ns(CLOCK_MONOTONIC) < until;)
        guest_clock_renew(&clocks);
    assert_true(compare(FERRY_CLOCK_MONOTONIC, 1000) > 100);
    assert_true(compare(FERRY_CLOCK_BOOTTIME, 1000) > 100);
}

static void test_other_clocksource(void **state)
{
    struct timespec now;

    (void)state;
    await_page();
    clocksource = "hpet\n";
    set_ns[CLOCK_MONOTONIC] += SECOND; /* it is time to look again */
    guest_clock_renew(&clocks);
    assert_int_equal(page.ticks, 0);
    assert_int_equal(page.sequence % 2, 0);
    uint32_t sequence = page.sequence;
    int64_t before = host_ns(CLOCK_MONOTONIC);
    now = guest_clock_read(&clocks, CLOCK_MONOTONIC);
    assert_in_range((int64_t)now.tv_sec * SECOND + now.tv_nsec, before, host_ns(CLOCK_MONOTONIC));
    assert_int_equal(page.sequence, sequence); /* who waits for nothing is not disturbed */
    for (int64_t until = host_ns(CLOCK_MONOTONIC) + 10 * MS; host_ns(CLOCK_MONOTONIC) < until;) {
        guest_clock_renew(&clocks);
        assert_int_equal(page.ticks, 0);
    }
    clocksource = "tsc_of_another_name\n";
    set_ns[CLOCK_MONOTONIC] += SECOND;
    guest_clock_renew(&clocks);
    assert_int_equal(page.ticks, 0);
    clocksource = "tsc\n";
    set_ns[CLOCK_MONOTONIC] += SECOND;
    await_page();
}

/* --- the page and the system call in turn --------------------------------------- */

static void set_all(int64_t ns)
{
    for (int i = 0; i < 16; i++)
        set_ns[i] += ns;
}

static const clockid_t steady[] = {CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME,
                                   CLOCK_REALTIME, CLOCK_TAI};
#define STEADY (sizeof steady / sizeof *steady)

/* Looks at all steady clocks by the page, and returns how many it told. */
static unsigned look_at_page(uint64_t seen[STEADY])
{
    unsigned told = 0;
    uint64_t ns;

    for (size_t i = 0; i < STEADY; i++) {
        if (!ferry_clock_at(&page, read_tsc(), (uint32_t)steady[i], &ns))
            continue;
        if (ns < seen[i])
            fail_msg("by the page clock %d ran backwards", (int)steady[i]);
        seen[i] = ns;
        told++;
    }
    return told;
}

static void look_by_call(uint64_t seen[STEADY])
{
    for (size_t i = 0; i < STEADY; i++) {
        uint64_t ns = read_call(steady[i]);

        if (ns < seen[i])
            fail_msg("by the system call clock %d ran backwards", (int)steady[i]);
        seen[i] = ns;
    }
}

/* What either has told holds for the other, however far behind it the host's clocks are. */
static void test_page_then_call(void **state)
{
    uint64_t seen[STEADY] = {0};

    (void)state;
    await_page();
    await_ns(40 * MS);
    guest_clock_renew(&clocks);
    set_all(-50 * MS);
    while (look_at_page(seen)) /* until the page's time is over */
        ;
    is_slow = true;
    look_by_call(seen);
    assert_int_equal(page.ticks, 0);
}

static void test_call_then_page(void **state)
{
    uint64_t seen[STEADY] = {0};

    (void)state;
    await_page();
    is_slow = true;
    guest_clock_close(&clocks);
    look_by_call(seen);
    is_slow = false;
    set_all(-10 * MS);
    set_ns[CLOCK_MONOTONIC] += 2ll * SECOND; /* it is time to look at the TSC again */
    guest_clock_renew(&clocks);
    set_ns[CLOCK_MONOTONIC] -= 2ll * SECOND;
    await_page();
    for (int i = 0; i < 100; i++) {
        look_at_page(seen);
        look_by_call(seen);
        guest_clock_renew(&clocks);
    }
}

/* The page tells no coarse clock that is ahead of the other, and so the other must not be behind what
 * the system call told of the coarse one. */
static void test_call_then_page_of_a_coarse_clock(void **state)
{
    uint64_t told, ns = 0;

    (void)state;
    await_page();
    clocksource = "hpet\n";
    set_ns[CLOCK_MONOTONIC] += SECOND;
    guest_clock_renew(&clocks);
    set_ns[CLOCK_MONOTONIC_COARSE] += SECOND + 30 * MS;
    told = read_call(CLOCK_MONOTONIC_COARSE);
    clocksource = "tsc\n";
    set_ns[CLOCK_MONOTONIC] += SECOND;
    guest_clock_renew(&clocks);
    set_ns[CLOCK_MONOTONIC] -= SECOND;
    await_page();
    assert_true(page.ticks && ferry_clock_at(&page, page.tsc, FERRY_CLOCK_MONOTONIC_COARSE, &ns));
    assert_true(ns >= told);
}

/* The host's has not gone on for so long that the page does not tell it. */
static void test_call_of_a_late_coarse_clock(void **state)
{
    (void)state;
    await_page();
    set_ns[CLOCK_MONOTONIC_COARSE] -= 100 * MS;
    guest_clock_renew(&clocks);
    assert_true(read_call(CLOCK_MONOTONIC_COARSE) < (uint64_t)host_ns(CLOCK_MONOTONIC) - 90 * MS);
    assert_int_equal(page.ticks, 0);
}

/* The TSC began anew, at less than where the page's time begins: all of that was seen. */
static void test_tsc_begins_anew(void **state)
{
    (void)state;
    await_page();
    await_ns(40 * MS);
    guest_clock_renew(&clocks);
    uint64_t most = ferry_line_at(&page.lines[FERRY_LINE_MONOTONIC], page.ticks);
    clocks.page.tsc += 1ull << 50;
    for (int i = 0; i < FERRY_LINES; i++)
        clocks.lines[i].base.tsc += 1ull << 50;
    guest_clock_renew(&clocks);
    assert_int_equal(page.ticks, 0);
    assert_true(read_call(CLOCK_MONOTONIC) >= most);
    await_page();
    assert_true(page.lines[FERRY_LINE_MONOTONIC].ns >= most);
}

/* Another processor's TSC may be a few ticks behind, with which the page was not seen to its end. */
static void test_tsc_is_a_little_behind(void **state)
{
    uint64_t most = 0, ahead = 0;

    (void)state;
    await_page();
    await_ns(40 * MS);
    for (int i = 0; i < 1000 && clocks.page.tsc >= ahead; i++) { /* this thread may be too slow */
        await_page();
        most = ferry_line_at(&page.lines[FERRY_LINE_MONOTONIC], page.ticks);
        ahead = clocks.page.tsc = read_tsc() + page.ticks / 1000;
        guest_clock_renew(&clocks);
    }
    assert_true(clocks.page.tsc < ahead);
    assert_true(clocks.lines[FERRY_LINE_MONOTONIC].shown_ns < most);
}

/* --- clocks that cannot be read closely, and pages that nobody renews ----------- */

static void test_reading_is_never_close(void **state)
{
    (void)state;
    await_page();
    is_slow = true;
    readings = 0;
    guest_clock_renew(&clocks);
    assert_int_equal(page.ticks, 0); /* at once */
    unsigned one = readings;
    assert_true(one > 10);
    for (int i = 0; i < 1000; i++)
        guest_clock_refresh(&clocks);
    assert_true(readings <= 3 * one + 10);
    readings = 0;
    for (int i = 0; i < 100; i++)
        read_call(CLOCK_MONOTONIC);
    assert_true(readings <= 300);
    is_slow = false;
    set_ns[CLOCK_MONOTONIC] += SECOND; /* then it is tried again */
    await_page();
}

static void test_closed_page(void **state)
{
    uint64_t ns = 0, seen = 0;

    (void)state;
    await_page();
    assert_true(ferry_clock_at(&page, page.tsc, FERRY_CLOCK_MONOTONIC, &seen));
    guest_clock_close(&clocks);
    assert_int_equal(page.ticks, 0);
    assert_false(ferry_clock_at(&page, read_tsc(), FERRY_CLOCK_MONOTONIC, &ns));
    uint32_t sequence = page.sequence;
    guest_clock_close(&clocks);
    assert_int_equal(page.sequence, sequence);
    await_ns(2 * MS);
    for (int i = 0; i < 100 && !page.ticks; i++)
        guest_clock_refresh(&clocks); /* a guest is about to run */
    assert_true(ferry_clock_at(&page, page.tsc, FERRY_CLOCK_MONOTONIC, &ns));
    assert_true(ns >= seen + 2 * MS - 1000);
}

/* What stands in the shared page is nothing to the VMM. */
static void test_shared_page_is_not_read(void **state)
{
    int64_t before, after;
    uint64_t ns;

    (void)state;
    await_page();
    memset(&page, 0xff, sizeof page);
    before = host_ns(CLOCK_MONOTONIC);
    ns = read_call(CLOCK_MONOTONIC);
    after = host_ns(CLOCK_MONOTONIC);
    assert_in_range(ns, before - 1000, after + 1000);
    await_ns(25 * MS);
    memset(&page, 0xff, sizeof page); /* as if its time were never over */
    guest_clock_refresh(&clocks);
    assert_true(page.ticks != UINT64_MAX);
    assert_int_equal(page.sequence % 2, 0);
}

/* --- threads -------------------------------------------------------------------- */

static _Atomic uint64_t newest;
static atomic_bool over;
static atomic_uint backwards, looks;

/* As the vDSO reads it. */
static bool read_shared(uint64_t *ns)
{
    uint32_t before = __atomic_load_n(&page.sequence, __ATOMIC_ACQUIRE);
    bool known = ferry_clock_at(&page, read_tsc(), FERRY_CLOCK_MONOTONIC, ns);

    return !(before & 1) && __atomic_load_n(&page.sequence, __ATOMIC_ACQUIRE) == before && known;
}

static void *read_on(void *unused)
{
    (void)unused;
    while (!over) {
        uint64_t seen = newest, ns;

        if (!read_shared(&ns))
            continue;
        backwards += ns < seen;
        looks++;
        while (seen < ns && !atomic_compare_exchange_weak(&newest, &seen, ns))
            ;
    }
    return NULL;
}

static void test_threads_never_see_it_run_backwards(void **state)
{
    pthread_t readers[3];

    (void)state;
    await_page();
    newest = 0;
    over = false;
    backwards = looks = 0;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_on, NULL), 0);
    for (int i = 0; i < 20000 || looks < 20000; i++) {
        guest_clock_renew(&clocks);
        if (i % 64 == 0)
            sched_yield();
    }
    over = true;
    for (int i = 0; i < 3; i++)
        pthread_join(readers[i], NULL);
    assert_int_equal(backwards, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_page_arithmetic),
        cmocka_unit_test(test_page_tells_nothing),
        cmocka_unit_test(test_second),
        cmocka_unit_test(test_line_follows),
        cmocka_unit_test(test_line_after_a_change_of_speed),
        cmocka_unit_test(test_line_after_a_gap),
        cmocka_unit_test(test_line_waits_for_the_host),
        cmocka_unit_test(test_line_begins_when_its_sample_holds),
        cmocka_unit_test(test_line_of_nonsense),
        cmocka_unit_test_setup_teardown(test_exact, begin, end),
        cmocka_unit_test_setup_teardown(test_call_and_page_agree, begin, end),
        cmocka_unit_test_setup_teardown(test_refresh, begin, end),
        cmocka_unit_test_setup_teardown(test_clock_is_set, begin, end),
        cmocka_unit_test_setup_teardown(test_host_slept, begin, end),
        cmocka_unit_test_setup_teardown(test_other_clocksource, begin, end),
        cmocka_unit_test_setup_teardown(test_page_then_call, begin, end),
        cmocka_unit_test_setup_teardown(test_call_then_page, begin, end),
        cmocka_unit_test_setup_teardown(test_call_then_page_of_a_coarse_clock, begin, end),
        cmocka_unit_test_setup_teardown(test_call_of_a_late_coarse_clock, begin, end),
        cmocka_unit_test_setup_teardown(test_tsc_begins_anew, begin, end),
        cmocka_unit_test_setup_teardown(test_tsc_is_a_little_behind, begin, end),
        cmocka_unit_test_setup_teardown(test_reading_is_never_close, begin, end),
        cmocka_unit_test_setup_teardown(test_closed_page, begin, end),
        cmocka_unit_test_setup_teardown(test_shared_page_is_not_read, begin, end),
        cmocka_unit_test_setup_teardown(test_threads_never_see_it_run_backwards, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
