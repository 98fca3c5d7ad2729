/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the tests of the page of clocks: of its arithmetic, of the page beside the host's clocks, and of
 * threads that read it.
 */
#include "clock_fixture.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#define GHZ(n) ((1ull << 32) / (n))

/* --- the page ------------------------------------------------------------------- */

static const uint32_t all[] = {
    FERRY_CLOCK_REALTIME,         FERRY_CLOCK_MONOTONIC, FERRY_CLOCK_MONOTONIC_RAW,
    FERRY_CLOCK_REALTIME_COARSE,  FERRY_CLOCK_BOOTTIME,  FERRY_CLOCK_TAI,
    FERRY_CLOCK_MONOTONIC_COARSE,
};

static void test_page_arithmetic(void **state)
{
    const uint64_t uptime = 290ull * 365 * 86400 * SECOND; /* years */
    struct ferry_clock_page made = {
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
    assert_true(ferry_clock_at(&made, UINT64_MAX - 5, FERRY_CLOCK_MONOTONIC, &ns));
    assert_int_equal(ns, uptime);
    assert_true(ferry_clock_at(&made, 993, FERRY_CLOCK_MONOTONIC, &ns));
    assert_int_equal(ns, uptime + 499);
    assert_true(ferry_clock_at(&made, 994 + 400, FERRY_CLOCK_MONOTONIC, &ns));
    assert_int_equal(ns, uptime + 600);
    assert_true(ferry_clock_at(&made, 994, FERRY_CLOCK_REALTIME, &ns));
    assert_int_equal(ns, 500);
    assert_true(ferry_clock_at(&made, 994, FERRY_CLOCK_BOOTTIME, &ns));
    assert_int_equal(ns, uptime + 505);
    assert_true(ferry_clock_at(&made, 994, FERRY_CLOCK_TAI, &ns));
    assert_int_equal(ns, uptime + 537);
    /* A slow TSC, of 1 MHz. */
    assert_true(ferry_clock_at(&made, 2993, FERRY_CLOCK_MONOTONIC_RAW, &ns));
    assert_int_equal(ns, 7 + 2999 * 1024);
    /* The coarse clocks are told until the host's must have gone on. */
    assert_true(ferry_clock_at(&made, 2993, FERRY_CLOCK_REALTIME_COARSE, &ns));
    assert_int_equal(ns, 99);
    made.monotonic_coarse_ns -= 4 * MS;
    assert_false(ferry_clock_at(&made, 2993, FERRY_CLOCK_REALTIME_COARSE, &ns));
    assert_false(ferry_clock_at(&made, 2993, FERRY_CLOCK_MONOTONIC_COARSE, &ns));
    /* Before and after its time the page tells nothing. */
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        assert_false(ferry_clock_at(&made, UINT64_MAX - 6, all[i], &ns));
        assert_false(ferry_clock_at(&made, 2994, all[i], &ns));
    }
}

static void test_page_tells_nothing(void **state)
{
    static const uint32_t others[] = {2, 3, 8, 9, 10, 12, 33, 0x80000000, (uint32_t)-6, UINT32_MAX};
    struct ferry_clock_page made = {0};
    uint64_t ns = 0;

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        assert_true(ferry_clock_known(all[i]));
        for (uint64_t tsc = 0; tsc < 3; tsc++)
            assert_false(ferry_clock_at(&made, tsc, all[i], &ns));
    }
    made.ticks = UINT64_MAX;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(ferry_clock_at(&made, 0, others[i], &ns));
    /* Without a scale clocks stand still. */
    assert_true(ferry_clock_at(&made, 1ull << 60, FERRY_CLOCK_MONOTONIC, &ns));
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

/* --- beside the host's clocks --------------------------------------------------- */

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
        TEST(test_exact),
        TEST(test_refresh),
        TEST(test_clock_is_set),
        TEST(test_host_slept),
        TEST(test_other_clocksource),
        TEST(test_reading_is_never_close),
        TEST(test_closed_page),
        TEST(test_shared_page_is_not_read),
        TEST(test_threads_never_see_it_run_backwards),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
