/* SPDX-License-Identifier: BSD-2-Clause */
/* Time as the library keeps it. */
#include "lib/clock.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000ull

uint64_t clock_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

uint64_t clock_thread_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

uint64_t clock_deadline(uint64_t timeout_ns)
{
    uint64_t deadline;

    return __builtin_add_overflow(clock_now(), timeout_ns, &deadline) ? CLOCK_NEVER : deadline;
}

static struct timespec to_timespec(uint64_t moment)
{
    return (struct timespec){.tv_sec = (time_t)(moment / SECOND),
                             .tv_nsec = (long)(moment % SECOND)};
}

/* The form with a bit set is the one that takes an absolute time. */
int clock_futex_wait_for(atomic_uint *word, uint32_t seen, uint64_t deadline, uint32_t what)
{
    struct timespec until = to_timespec(deadline);

    if (syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, seen,
                deadline == CLOCK_NEVER ? NULL : &until, NULL, what) == 0)
        return 0;
    return errno == ETIMEDOUT ? -ETIMEDOUT : 0;
}

int clock_futex_wait(atomic_uint *word, uint32_t seen, uint64_t deadline)
{
    return clock_futex_wait_for(word, seen, deadline, FUTEX_BITSET_MATCH_ANY);
}

int clock_poll(struct pollfd *entries, unsigned count, uint64_t deadline)
{
    uint64_t now = deadline == CLOCK_NEVER ? 0 : clock_now();
    struct timespec left = to_timespec(deadline > now ? deadline - now : 0);

    return ppoll(entries, count, deadline == CLOCK_NEVER ? NULL : &left, NULL) == 0 ? -ETIMEDOUT
                                                                                    : 0;
}

void clock_futex_wake_for(atomic_uint *word, uint32_t what)
{
    syscall(SYS_futex, word, FUTEX_WAKE_BITSET_PRIVATE, INT_MAX, NULL, NULL, what);
}

void clock_futex_wake(atomic_uint *word)
{
    clock_futex_wake_for(word, FUTEX_BITSET_MATCH_ANY);
}

int clock_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    int result = pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
    return -result;
}

int clock_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t deadline)
{
    struct timespec until = to_timespec(deadline);

    if (deadline == CLOCK_NEVER)
        return -pthread_cond_wait(cond, lock);
    return -pthread_cond_timedwait(cond, lock, &until);
}
