/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages of the command: how long they wait for a reader, by a clock that the test moves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* The file itself, so that each test starts with its state empty. */
#include "../../cli/say.c"

#define MS         1000000ull
#define READER_FD  99
#define TEXT_BYTES (1u << 20)

/* The reader of the other end: from when on it takes a part, how often, and so many bytes of it. */
static uint64_t clock_ns, next_ns, pace_ns, took;
static uint64_t asked_at; /* when somebody asks the program to end */

int __wrap_clock_gettime(clockid_t id, struct timespec *out);
int __wrap_poll(struct pollfd *entries, nfds_t count, int timeout_ms);
ssize_t __wrap_send(int fd, const void *data, size_t bytes, int flags);

int __wrap_clock_gettime(clockid_t id, struct timespec *out)
{
    assert_int_equal(id, CLOCK_MONOTONIC);
    *out = (struct timespec){(time_t)(clock_ns / 1000000000u), (long)(clock_ns % 1000000000u)};
    return 0;
}

int __wrap_poll(struct pollfd *entries, nfds_t count, int timeout_ms)
{
    assert_int_equal(count, 1);
    assert_int_equal(entries->fd, READER_FD);
    if (clock_ns >= next_ns)
        return 1;
    clock_ns += (uint64_t)timeout_ms * MS;
    if (asked_at && clock_ns >= asked_at)
        say_soon();
    return clock_ns >= next_ns;
}

ssize_t __wrap_send(int fd, const void *data, size_t bytes, int flags)
{
    (void)data;
    (void)flags;
    assert_int_equal(fd, READER_FD);
    assert_in_range(bytes, 1, PART_BYTES);
    next_ns = clock_ns + pace_ns;
    took += bytes;
    return (ssize_t)bytes;
}

static int setup(void **state)
{
    (void)state;
    clock_ns = 5000 * MS;
    next_ns = took = asked_at = 0;
    until_ns = soon_ns = UINT64_MAX;
    return 0;
}

static int write_it(void)
{
    static char text[TEXT_BYTES];

    return say_to(READER_FD, text, sizeof(text));
}

static void test_a_message_waits_for_a_slow_reader(void **state)
{
    (void)state;
    pace_ns = 10000 * MS;
    assert_int_equal(write_it(), 0);
    assert_int_equal(took, TEXT_BYTES);
}

/* One that takes a part each time before the patience for a part is over. */
static void test_a_message_that_is_to_be_soon_is_not_patient_for_ever(void **state)
{
    (void)state;
    pace_ns = 80 * MS;
    asked_at = 7000 * MS;
    assert_int_equal(write_it(), ETIMEDOUT);
    assert_in_range(clock_ns, asked_at + 1000 * MS, asked_at + 1100 * MS);

    uint64_t begun = clock_ns; /* the next one has as long */
    assert_int_equal(write_it(), ETIMEDOUT);
    assert_in_range(clock_ns, begun + 1000 * MS, begun + 1100 * MS);
}

static void test_nobody_takes_anything(void **state)
{
    (void)state;
    pace_ns = 3600000 * MS;
    asked_at = 7000 * MS;
    assert_int_equal(write_it(), ETIMEDOUT);
    assert_in_range(clock_ns, asked_at + 100 * MS, asked_at + 140 * MS);
    assert_int_equal(took, PART_BYTES);
}

/* What a reader takes at once has no need of patience. */
static void test_a_reader_that_keeps_up_gets_all(void **state)
{
    (void)state;
    pace_ns = 0;
    say_soon();
    assert_int_equal(write_it(), 0);
    assert_int_equal(took, TEXT_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_message_waits_for_a_slow_reader, setup),
        cmocka_unit_test_setup(test_a_message_that_is_to_be_soon_is_not_patient_for_ever, setup),
        cmocka_unit_test_setup(test_nobody_takes_anything, setup),
        cmocka_unit_test_setup(test_a_reader_that_keeps_up_gets_all, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
