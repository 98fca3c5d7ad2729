/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns clocks and sleeping. */
#include <errno.h>
#include <sys/time.h>
#include <time.h>

#include "lib/clock.h"
#include "linux/calls.h"
#include "linux/state.h"

#define NS_PER_S     1000000000ull
#define CLOCK_ABSENT (-1)

/* The host's clock for one of the program's; CLOCK_ABSENT: it is of processor time, or there is
 * none. */
static int host_clock(uint64_t clock)
{
    switch ((uint32_t)clock) {
    case CLOCK_REALTIME:
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
    case CLOCK_TAI:
        return (int)clock;
    default:
        return CLOCK_ABSENT;
    }
}

/* -EINVAL: the program has no such clock. */
static int check_clock(struct linux_state *state, uint64_t clock)
{
    int32_t thread;

    return host_clock(clock) == CLOCK_ABSENT ? cpu_clock_find(state, clock, false, &thread) : 0;
}

static uint64_t clock_ns(int clock)
{
    struct timespec now = {0};

    clock_gettime(clock, &now); /* clocks of host_clock exist */
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

int time_get(struct linux_state *state, uint64_t addr, uint64_t *nanoseconds)
{
    struct timespec time;

    *nanoseconds = UINT64_MAX;
    if (!addr)
        return 0;
    if (guest_get(state, addr, &time, sizeof(time)))
        return -EFAULT;
    if (time.tv_sec < 0 || time.tv_nsec < 0 || time.tv_nsec >= (long)NS_PER_S)
        return -EINVAL;
    if (__builtin_mul_overflow((uint64_t)time.tv_sec, NS_PER_S, nanoseconds) ||
        __builtin_add_overflow(*nanoseconds, (uint64_t)time.tv_nsec, nanoseconds))
        *nanoseconds = UINT64_MAX;
    return 0;
}

uint64_t time_until(int clock, uint64_t nanoseconds)
{
    uint64_t now = clock_ns(clock);

    if (nanoseconds == UINT64_MAX)
        return nanoseconds;
    return nanoseconds > now ? nanoseconds - now : 0;
}

int64_t sys_clock_gettime(struct linux_state *state, const uint64_t arg[6])
{
    int clock = host_clock(arg[0]);
    struct timespec now;
    int32_t thread;
    uint64_t used;

    if (clock != CLOCK_ABSENT) {
        now = vm_clock(state->vm, clock);
    } else {
        if (cpu_clock_find(state, arg[0], true, &thread))
            return -EINVAL;
        used = cpu_clock_ns(state, thread);
        now = (struct timespec){(time_t)(used / NS_PER_S), (long)(used % NS_PER_S)};
    }
    return guest_put(state, arg[1], &now, sizeof(now));
}

int64_t sys_clock_settime(struct linux_state *state, const uint64_t arg[6])
{
    uint64_t nanoseconds;
    int result = arg[1] ? time_get(state, arg[1], &nanoseconds) : -EFAULT;

    if (check_clock(state, arg[0]))
        return -EINVAL;
    if (result)
        return result;
    return (uint32_t)arg[0] == CLOCK_REALTIME ? -EPERM : -EINVAL;
}

int64_t sys_clock_getres(struct linux_state *state, const uint64_t arg[6])
{
    int clock = host_clock(arg[0]);
    struct timespec step;

    if (check_clock(state, arg[0]))
        return -EINVAL;
    clock_getres(clock == CLOCK_ABSENT ? CLOCK_PROCESS_CPUTIME_ID : clock, &step);
    return arg[1] ? guest_put(state, arg[1], &step, sizeof(step)) : 0;
}

int64_t sys_gettimeofday(struct linux_state *state, const uint64_t arg[6])
{
    const struct timezone zone = {0};
    const struct timespec now = vm_clock(state->vm, CLOCK_REALTIME);
    const struct timeval told = {now.tv_sec, now.tv_nsec / 1000};

    if (arg[0] && guest_put(state, arg[0], &told, sizeof(told)))
        return -EFAULT;
    return arg[1] ? guest_put(state, arg[1], &zone, sizeof(zone)) : 0;
}

int64_t sys_time(struct linux_state *state, const uint64_t arg[6])
{
    time_t now = time(NULL);

    if (arg[0] && guest_put(state, arg[0], &now, sizeof(now)))
        return -EFAULT;
    return now;
}

/* Sleeps; if a signal ends that, the rest is told at `left`, unless it is 0. */
static int64_t sleep_for(struct linux_state *state, uint64_t nanoseconds, uint64_t left)
{
    uint64_t deadline = clock_deadline(nanoseconds), now;
    int64_t result = vm_sleep(state->vm, nanoseconds);
    struct timespec rest;

    if (result != -EINTR || !left)
        return result;
    now = clock_now();
    now = deadline > now ? deadline - now : 0;
    rest = (struct timespec){.tv_sec = (time_t)(now / NS_PER_S), .tv_nsec = (long)(now % NS_PER_S)};
    return guest_put(state, left, &rest, sizeof(rest)) ? -EFAULT : result;
}

int64_t sys_nanosleep(struct linux_state *state, const uint64_t arg[6])
{
    uint64_t nanoseconds;
    int result = arg[0] ? time_get(state, arg[0], &nanoseconds) : -EFAULT;

    return result ? result : sleep_for(state, nanoseconds, arg[1]);
}

int64_t sys_clock_nanosleep(struct linux_state *state, const uint64_t arg[6])
{
    int clock = host_clock(arg[0]);
    uint64_t nanoseconds;
    int result;

    if (clock == CLOCK_ABSENT)
        return -EINVAL;
    if (clock == CLOCK_MONOTONIC_RAW || clock == CLOCK_REALTIME_COARSE ||
        clock == CLOCK_MONOTONIC_COARSE)
        return -EOPNOTSUPP; /* they have no timers */
    result = arg[2] ? time_get(state, arg[2], &nanoseconds) : -EFAULT;
    if (result)
        return result;
    if (arg[1] & TIMER_ABSTIME)
        nanoseconds = time_until(clock, nanoseconds);
    return nanoseconds ? sleep_for(state, nanoseconds, arg[1] & TIMER_ABSTIME ? 0 : arg[3]) : 0;
}
