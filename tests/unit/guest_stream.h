/* SPDX-License-Identifier: BSD-2-Clause */
/* Code that the tests of the stream layer share: a fresh library, a fresh VMM, a pattern. */
#ifndef FERRY_TESTS_GUEST_STREAM_H
#define FERRY_TESTS_GUEST_STREAM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The files themselves, so that each test starts with their state empty. */
#include "../../guest/message.c"
#include "../../guest/stream.c"

#include "fake_vmm.h"

#define EXTENT FERRY_EXTENT_BYTES

static inline void start(void)
{
    fake_start(0);
    memset(&state, 0, sizeof(state));
    memset(&ferry_guest_direct, 0, sizeof(ferry_guest_direct));
    memset(&stream, 0, sizeof(stream));
    stream.hangup_at_exit = true; /* not at the exit of the test itself */
}

static inline int set_up(void **context)
{
    (void)context;
    start();
    return 0;
}

static inline int tear_down(void **context)
{
    (void)context;
    fake_stop();
    return 0;
}

/* The n-th byte of every stream here; no period of a power of two. */
static inline uint8_t pattern(size_t at)
{
    return (uint8_t)(at % 251 + at / 65521);
}

static inline void fill_pattern(uint8_t *data, size_t from, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        data[i] = pattern(from + i);
}

static inline void produce(size_t from, size_t bytes)
{
    void *room;
    ssize_t got = ferry_output(&room, bytes);

    assert_true(got >= (ssize_t)bytes);
    fill_pattern(room, from, bytes);
    assert_int_equal(ferry_commit(bytes), 0);
}

static inline void assert_received(size_t bytes)
{
    assert_int_equal(fake.byte_count, bytes);
    for (size_t i = 0; i < bytes; i++) {
        if (fake.bytes[i] != pattern(i))
            fail_msg("byte %zu is %u, not %u", i, fake.bytes[i], pattern(i));
    }
}

static inline unsigned exits(void)
{
    return fake.waits + fake.allocs + fake.frees + fake.doorbells;
}

static inline void feed_hangup(void)
{
    fake_feed(FAKE_FEEDER, FERRY_HANGUP, NULL, 0, 0);
}

#endif
