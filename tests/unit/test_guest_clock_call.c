/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the tests of clocks by the system call beside the page of clocks: what either has told holds for
 * the other.
 */
#include "clock_fixture.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_call_and_page_agree),
        TEST(test_page_then_call),
        TEST(test_call_then_page),
        TEST(test_call_then_page_of_a_coarse_clock),
        TEST(test_call_of_a_late_coarse_clock),
        TEST(test_tsc_begins_anew),
        TEST(test_tsc_is_a_little_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
