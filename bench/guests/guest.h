/* SPDX-License-Identifier: BSD-2-Clause */
/* Code that the guest programs of the benchmark share. A failure ends the VM with a line on
 * stderr. */
#ifndef FERRY_BENCH_GUEST_H
#define FERRY_BENCH_GUEST_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <ferry/abi/layout.h>
#include <ferry/guest.h>

#define HOST_ID 0

/* Ends the program if the result is negative, with the error number. */
static inline int64_t expect(const char *what, int64_t result)
{
    if (result < 0) {
        fprintf(stderr, "%s: %s\n", what, strerror((int)-result));
        exit(1);
    }
    return result;
}

static inline uint64_t argument(int argc, char **argv, int place)
{
    if (argc <= place) {
        fprintf(stderr, "argument %d is missing\n", place);
        exit(1);
    }
    return strtoull(argv[place], NULL, 10);
}

/* An exit: there is no vDSO. */
static inline uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* No exit. */
static inline uint64_t ticks(void)
{
    return __builtin_ia32_rdtsc();
}

/* At most 32 bytes to the host, at once. */
static inline void tell_host(const void *data, size_t bytes)
{
    const struct ferry_msg msg = {
        .mode = FERRY_INLINE, .dst = HOST_ID, .data = (void *)(uintptr_t)data, .bytes = bytes};

    expect("send to the host", ferry_send_wait(&msg, FERRY_IMMEDIATE));
}

#endif
