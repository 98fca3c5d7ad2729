/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns clocks, sleeping, and waiting on a futex, which for one thread is sleeping. */
#include <errno.h>
#include <linux/futex.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>

#include "lib/clock.h"
#include "linux/calls.h"
#include "linux/state.h"

#define NS_PER_S     1000000000ull
#define TICKS_PER_S  100
#define NS_PER_TICK  (NS_PER_S / TICKS_PER_S)
#define CLOCK_ABSENT (-1)

#define LOCK_PI2 13 /* which headers of Linux before 5.14 do not name */

/* The clock id that clock_getcpuclockid and pthread_getcpuclockid make of a process or thread: its
 * number inverted, above three bits that choose one of its times. There is only one thread to ask
 * about. */
static int cpu_clock(int32_t clock)
{
    int32_t pid = ~(clock >> 3);
    bool is_time = (clock & 3) != 3; /* 3: a descriptor of a device */

    return clock < 0 && is_time && (pid == 0 || pid == LINUX_PID) ? CLOCK_THREAD_CPUTIME_ID
                                                                  : CLOCK_ABSENT;
}

/* The host's clock for one of the program's. Its processor time is that of the
 * thread that runs the VM, which is the one asking. */
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
    case CLOCK_PROCESS_CPUTIME_ID:
    case CLOCK_THREAD_CPUTIME_ID:
        return CLOCK_THREAD_CPUTIME_ID;
    default:
        return cpu_clock((int32_t)clock);
    }
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

/* The time left until a moment of that clock; 0: it is past. */
static uint64_t time_until(int clock, uint64_t nanoseconds)
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

    if (clock == CLOCK_ABSENT)
        return -EINVAL;
    clock_gettime(clock, &now);
    return guest_put(state, arg[1], &now, sizeof(now));
}

int64_t sys_clock_settime(struct linux_state *state, const uint64_t arg[6])
{
    uint64_t nanoseconds;
    int result = arg[1] ? time_get(state, arg[1], &nanoseconds) : -EFAULT;

    if (host_clock(arg[0]) == CLOCK_ABSENT)
        return -EINVAL;
    if (result)
        return result;
    return (uint32_t)arg[0] == CLOCK_REALTIME ? -EPERM : -EINVAL;
}

int64_t sys_clock_getres(struct linux_state *state, const uint64_t arg[6])
{
    int clock = host_clock(arg[0]);
    struct timespec step;

    if (clock == CLOCK_ABSENT)
        return -EINVAL;
    clock_getres(clock, &step);
    return arg[1] ? guest_put(state, arg[1], &step, sizeof(step)) : 0;
}

int64_t sys_gettimeofday(struct linux_state *state, const uint64_t arg[6])
{
    const struct timezone zone = {0};
    struct timeval now;

    gettimeofday(&now, NULL);
    if (arg[0] && guest_put(state, arg[0], &now, sizeof(now)))
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

int64_t sys_times(struct linux_state *state, const uint64_t arg[6])
{
    struct tms used = {.tms_utime = (clock_t)(clock_ns(CLOCK_THREAD_CPUTIME_ID) / NS_PER_TICK)};

    if (arg[0] && guest_put(state, arg[0], &used, sizeof(used)))
        return -EFAULT;
    return (int64_t)(clock_ns(CLOCK_BOOTTIME) / NS_PER_TICK);
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

    if (clock == CLOCK_ABSENT || clock == CLOCK_THREAD_CPUTIME_ID)
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

/* Nobody else is there to wake the program. */
static int64_t futex_wait(struct linux_state *state, const uint64_t arg[6], bool absolute)
{
    int clock = arg[1] & FUTEX_CLOCK_REALTIME ? CLOCK_REALTIME : CLOCK_MONOTONIC;
    uint64_t nanoseconds;
    uint32_t value;
    int result = time_get(state, arg[3], &nanoseconds);

    if (result)
        return result;
    if (arg[0] & 3)
        return -EINVAL;
    if (guest_get(state, arg[0], &value, sizeof(value)))
        return -EFAULT;
    if (value != (uint32_t)arg[2])
        return -EAGAIN;
    if (absolute)
        nanoseconds = time_until(clock, nanoseconds);
    result = nanoseconds ? vm_sleep(state->vm, nanoseconds) : 0;
    return result ? result : -ETIMEDOUT;
}

/* A lock with priority inheritance, whose word names its holder. There is no other thread that
 * could hold it, so this never waits. */
static int64_t futex_lock(struct linux_state *state, const uint64_t arg[6])
{
    const uint32_t self = LINUX_PID;
    uint32_t word;

    if (arg[0] & 3)
        return -EINVAL;
    if (guest_get(state, arg[0], &word, sizeof(word)))
        return -EFAULT;
    if (word & FUTEX_TID_MASK)
        return (word & FUTEX_TID_MASK) == self ? -EDEADLK : -ESRCH;
    return guest_put(state, arg[0], &self, sizeof(self));
}

static int64_t futex_unlock(struct linux_state *state, const uint64_t arg[6])
{
    const uint32_t nobody = 0;
    uint32_t word;

    if (arg[0] & 3)
        return -EINVAL;
    if (guest_get(state, arg[0], &word, sizeof(word)))
        return -EFAULT;
    if ((word & FUTEX_TID_MASK) != LINUX_PID)
        return -EPERM;
    return guest_put(state, arg[0], &nobody, sizeof(nobody));
}

/* The part that the waking calls have in common: no thread waits. */
static int64_t futex_wake(struct linux_state *state, const uint64_t arg[6])
{
    uint32_t value;

    if (arg[0] & 3)
        return -EINVAL;
    /* One that threads alone share is known by its address and not looked at. */
    if (!(arg[1] & FUTEX_PRIVATE_FLAG) && guest_get(state, arg[0], &value, sizeof(value)))
        return -EFAULT;
    if ((arg[1] & FUTEX_CMD_MASK) != FUTEX_CMP_REQUEUE)
        return 0;
    if (guest_get(state, arg[0], &value, sizeof(value)))
        return -EFAULT;
    return value == (uint32_t)arg[5] ? 0 : -EAGAIN;
}

int64_t sys_futex(struct linux_state *state, const uint64_t arg[6])
{
    uint32_t command = (uint32_t)(arg[1] & FUTEX_CMD_MASK);
    bool timed = command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET || command == LOCK_PI2;

    if (arg[1] & FUTEX_CLOCK_REALTIME && !timed)
        return -ENOSYS;
    switch (command) {
    case FUTEX_WAIT:
        return futex_wait(state, arg, false);
    case FUTEX_WAIT_BITSET:
        return (uint32_t)arg[5] ? futex_wait(state, arg, true) : -EINVAL;
    case FUTEX_WAKE_BITSET:
        return (uint32_t)arg[5] ? futex_wake(state, arg) : -EINVAL;
    case FUTEX_WAKE:
    case FUTEX_WAKE_OP:
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE:
        return futex_wake(state, arg);
    case FUTEX_LOCK_PI:
    case LOCK_PI2:
    case FUTEX_TRYLOCK_PI:
        return futex_lock(state, arg);
    case FUTEX_UNLOCK_PI:
        return futex_unlock(state, arg);
    default:
        return -ENOSYS;
    }
}
