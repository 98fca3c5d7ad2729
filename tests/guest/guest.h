/* SPDX-License-Identifier: BSD-2-Clause */
/* Code that the guest programs of the tests share: failing, peers, patterns, units. */
#ifndef FERRY_TESTS_GUEST_H
#define FERRY_TESTS_GUEST_H

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ferry/abi/layout.h>
#include <ferry/guest.h>

/* A time after which a test that waits has failed. */
#define PATIENCE_NS 60000000000ull

/* How long a race lasts at most: where others keep the machine busy, fewer rounds have to do. */
#define RACE_SECONDS 10

static inline _Noreturn __attribute__((format(printf, 1, 2))) void fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

/* what must be 0 and is not, as an error number */
static inline void expect_ok(const char *what, int64_t result)
{
    if (result < 0)
        fail("%s: %s", what, strerror((int)-result));
}

static inline void expect_arguments(int argc, int least, const char *usage)
{
    if (argc <= least)
        fail("usage: %s", usage);
}

static inline const struct ferry_peer *peer_of(const char *name)
{
    const struct ferry_peer *peer = ferry_peer_by_name(name);

    if (ferry_control() == NULL)
        fail("not in a Ferry VM");
    if (peer == NULL)
        fail("there is no peer '%s'", name);
    return peer;
}

static inline enum ferry_mode mode_of(const char *text)
{
    static const char *const names[] = {
        [FERRY_INLINE] = "inline",
        [FERRY_COPY] = "copy",
        [FERRY_LEND] = "lend",
        [FERRY_MOVE] = "move",
    };

    for (int mode = FERRY_INLINE; mode <= FERRY_MOVE; mode++)
        if (strcmp(text, names[mode]) == 0)
            return (enum ferry_mode)mode;
    fail("no mode '%s'", text);
}

static inline enum ferry_when when_of(const char *text)
{
    if (strcmp(text, "auto") == 0)
        return FERRY_WHEN_AUTO;
    if (strcmp(text, "immediate") == 0)
        return FERRY_IMMEDIATE;
    if (strcmp(text, "deferred") == 0)
        return FERRY_DEFERRED;
    fail("no way to send '%s'", text);
}

/* The payload of message `seed`, so that none can be taken for another. */
static inline uint8_t pattern(uint64_t seed, size_t at)
{
    return (uint8_t)(seed * 31 + at + at / 251);
}

static inline void fill(void *data, size_t bytes, uint64_t seed)
{
    for (size_t i = 0; i < bytes; i++)
        ((uint8_t *)data)[i] = pattern(seed, i);
}

static inline void expect_pattern(const void *data, size_t bytes, uint64_t seed)
{
    for (size_t i = 0; i < bytes; i++)
        if (((const uint8_t *)data)[i] != pattern(seed, i))
            fail("message %llu: byte %zu is %u, not %u", (unsigned long long)seed, i,
                 ((const uint8_t *)data)[i], pattern(seed, i));
}

/* Units for a payload: pages if it fits into one, else extents. */
static inline bool fits_page(size_t bytes)
{
    return bytes <= FERRY_PAGE_BYTES;
}

static inline size_t unit_bytes(size_t bytes)
{
    size_t unit = fits_page(bytes) ? FERRY_PAGE_BYTES : FERRY_EXTENT_BYTES;

    return (bytes + unit - 1) / unit * unit;
}

static inline void *try_alloc(size_t bytes)
{
    if (fits_page(bytes))
        return ferry_alloc_pages(1);
    return ferry_alloc_extents(unit_bytes(bytes) / FERRY_EXTENT_BYTES);
}

static inline void *alloc_units(size_t bytes)
{
    void *data = try_alloc(bytes);

    if (data == NULL)
        fail("no units for %zu bytes: %s", bytes, strerror(errno));
    return data;
}

/* Sends units with a pattern of seed 0 and waits until they are gone. */
static inline uint8_t *send_units(const char *peer, enum ferry_mode mode, size_t bytes)
{
    struct ferry_msg msg = {.mode = mode, .dst = peer_of(peer)->id, .bytes = bytes};

    msg.data = alloc_units(bytes);
    fill(msg.data, bytes, 0);
    expect_ok("send", ferry_send_wait(&msg, FERRY_WHEN_AUTO));
    return msg.data;
}

static inline void receive(struct ferry_msg *msg)
{
    expect_ok("receive", ferry_recv(msg, PATIENCE_NS));
}

#endif
