/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vDSO: what C libraries call for the time of day in place of a system call. It runs as a part of
 * the program, with the program's rights, on the program's stack. What it cannot tell by the page of
 * clocks it leaves to the system call.
 *
 * Results are those of system calls: 0 or a negative errno. A bad pointer faults, as with Linux.
 */
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include <ferry/abi/clock.h>

/* Somebody is writing the page, which takes some 50 ns, unless the host takes the processor away
 * from the VMM just then. */
#define PATIENCE 32

#define SECOND 1000000000u

#define EXPORT __attribute__((visibility("default")))

/* Linux exports each under this name too. */
#define ALIAS(name) __attribute__((weak, alias("__vdso_" #name), visibility("default")))

/* By the linker script: the page before this image. */
extern const struct ferry_clock_page clock_page __attribute__((visibility("hidden")));

EXPORT int __vdso_clock_gettime(clockid_t clock, struct timespec *now);
EXPORT int __vdso_clock_getres(clockid_t clock, struct timespec *step);
EXPORT int __vdso_gettimeofday(struct timeval *now, struct timezone *zone);
EXPORT time_t __vdso_time(time_t *now);
EXPORT long __vdso_getcpu(unsigned *cpu, unsigned *node, void *unused);

static inline long call(long number, long first, long second, long third)
{
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(first), "S"(second), "d"(third)
                     : "rcx", "r11", "memory");
    return result;
}

/* Not before the loads above it in the program, nor after those below it: who reads the clock in two
 * threads, one after the other, must find it in that order. */
static inline uint64_t read_tsc(void)
{
    uint32_t low, high;

    __asm__ volatile("lfence; rdtsc; lfence" : "=a"(low), "=d"(high)::"memory");
    return (uint64_t)high << 32 | low;
}

static inline int read_clock(uint32_t clock, uint64_t *ns)
{
    for (int i = 0; i < PATIENCE; i++) {
        uint32_t before = FERRY_CLOCK_WORD(clock_page.sequence);

        if (before & 1) {
            __asm__ volatile("pause");
            continue;
        }
        /* x86 keeps loads in order; the statement keeps the compiler from moving them. */
        int known = ferry_clock_at(&clock_page, read_tsc(), clock, ns);
        __asm__ volatile("" ::: "memory");
        if (FERRY_CLOCK_WORD(clock_page.sequence) == before)
            return known;
    }
    return 0;
}

int __vdso_clock_gettime(clockid_t clock, struct timespec *now)
{
    uint64_t ns;

    if (!read_clock((uint32_t)clock, &ns))
        return (int)call(SYS_clock_gettime, clock, (long)now, 0);
    now->tv_sec = (time_t)(ns / SECOND);
    now->tv_nsec = (long)(ns % SECOND);
    return 0;
}

int __vdso_clock_getres(clockid_t clock, struct timespec *step)
{
    if (!ferry_clock_known((uint32_t)clock))
        return (int)call(SYS_clock_getres, clock, (long)step, 0);
    if (step) {
        step->tv_sec = 0;
        step->tv_nsec = ferry_clock_is_coarse((uint32_t)clock) ? clock_page.coarse_step_ns
                                                               : clock_page.fine_step_ns;
    }
    return 0;
}

int __vdso_gettimeofday(struct timeval *now, struct timezone *zone)
{
    uint64_t ns;

    if (now && !read_clock(FERRY_CLOCK_REALTIME, &ns))
        return (int)call(SYS_gettimeofday, (long)now, (long)zone, 0);
    if (now) {
        now->tv_sec = (time_t)(ns / SECOND);
        now->tv_usec = (suseconds_t)(ns % SECOND / 1000);
    }
    if (zone)
        *zone = (struct timezone){0}; /* as the system call says */
    return 0;
}

time_t __vdso_time(time_t *now)
{
    uint64_t ns, second;

    if (!read_clock(FERRY_CLOCK_REALTIME, &ns) || !ferry_second_of(ns, &second))
        return call(SYS_time, (long)now, 0, 0);
    if (now)
        *now = (time_t)second;
    return (time_t)second;
}

/* No register tells it: RDPID and RDTSCP show the host's number in some VMs, and 0 in others. */
long __vdso_getcpu(unsigned *cpu, unsigned *node, void *unused)
{
    return call(SYS_getcpu, (long)cpu, (long)node, (long)unused);
}

int clock_gettime(clockid_t clock, struct timespec *now) ALIAS(clock_gettime);
int clock_getres(clockid_t clock, struct timespec *step) ALIAS(clock_getres);
int gettimeofday(struct timeval *restrict now, void *restrict zone) ALIAS(gettimeofday);
time_t time(time_t *now) ALIAS(time);
long getcpu(unsigned *cpu, unsigned *node, void *unused) ALIAS(getcpu);
