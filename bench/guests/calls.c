/* SPDX-License-Identifier: BSD-2-Clause */
/* calls KIND COUNT: makes one kind of call so many times, and writes the nanoseconds that they took
 * to standard error. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static struct timespec now;

static void monotonic(void)
{
    clock_gettime(CLOCK_MONOTONIC, &now);
}

static void cpu(void)
{
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
}

static void day(void)
{
    struct timeval day;

    gettimeofday(&day, NULL);
}

static void second(void)
{
    time(NULL);
}

static const struct {
    const char *name;
    void (*call)(void);
} kinds[] = {{"monotonic", monotonic}, {"cpu", cpu}, {"day", day}, {"time", second}};

static uint64_t now_ns(void)
{
    monotonic();
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int main(int argc, char **argv)
{
    unsigned kind = 0;

    while (argc == 3 && kind < sizeof kinds / sizeof *kinds &&
           strcmp(argv[1], kinds[kind].name) != 0)
        kind++;
    if (argc != 3 || kind == sizeof kinds / sizeof *kinds)
        return 2;
    void (*volatile call)(void) = kinds[kind].call;
    uint64_t begin = now_ns();
    for (long i = atol(argv[2]); i > 0; i--)
        call();
    uint64_t ns = now_ns() - begin;
    return write(STDERR_FILENO, &ns, sizeof ns) != sizeof ns;
}
