/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Uses up its stack: by frames without end, or with the argument "frame" by one
 * that is too large. With "beside" it touches memory further below, which is none
 * of the stack's.
 */
#include "guest.h"

static volatile bool deep_enough; /* never */
static volatile size_t large_bytes = 100 << 20, far_bytes = 64 << 20;

static int __attribute__((noinline)) deeper(const volatile uint8_t *above)
{
    volatile uint8_t frame[1024];

    frame[0] = above[0];
    return deep_enough ? 0 : deeper(frame) + frame[0];
}

static int __attribute__((noinline)) large(void)
{
    volatile uint8_t *frame = __builtin_alloca(large_bytes);

    frame[0] = 1;
    return frame[0];
}

static int __attribute__((noinline)) beside(volatile uint8_t *here)
{
    volatile uint8_t *far = (volatile uint8_t *)((uintptr_t)here - far_bytes);

    *far = 1;
    return *far;
}

int main(int argc, char **argv)
{
    volatile uint8_t start[1] = {1};
    int got;

    if (argc == 1)
        got = deeper(start);
    else
        got = strcmp(argv[1], "frame") == 0 ? large() : beside(start);
    fail("was not stopped, got %d", got);
}
