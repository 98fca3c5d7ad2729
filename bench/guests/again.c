/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * again PAGES: fills 4 MiB, gets ready, and says when it went on from there, in the way of `first`. Then it
 * writes to so many pages, and waits.
 */
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "first.h"
#include "guest.h"

#define TRIES        8
#define MEMORY_BYTES (4u << 20)

static char memory[MEMORY_BYTES];

static struct first look(void)
{
    struct first look = {.before_tick = __rdtsc()};

    look.clock_ns = now_ns();
    look.after_tick = __rdtsc();
    return look;
}

int main(int argc, char **argv)
{
    const uint64_t pages = argument(argc, argv, 1);
    struct first best = {.after_tick = UINT64_MAX};
    struct ferry_msg msg;

    memset(memory, 1, sizeof memory);
    ferry_ready();
    uint64_t tick = __rdtsc();
    for (uint64_t i = 0; i < pages; i++)
        *(volatile char *)&memory[i * FERRY_PAGE_BYTES % MEMORY_BYTES] = 2;
    uint64_t touched = __rdtsc();
    for (int i = 0; i < TRIES; i++) {
        struct first one = look();

        if (one.after_tick - one.before_tick < best.after_tick - best.before_tick)
            best = one;
    }
    best.first_tick = tick;
    best.touched_tick = touched;
    if (write(STDERR_FILENO, &best, sizeof best) != sizeof best)
        return 1;
    if (ferry_control() != NULL)
        ferry_recv(&msg, UINT64_MAX);
    return 0;
}
