/* SPDX-License-Identifier: BSD-2-Clause */
/* Time as the library keeps it. */
#include "clock.h"

#include <time.h>

#define SECOND 1000000000ull

uint64_t clock_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

uint64_t clock_deadline(uint64_t timeout_ns)
{
    uint64_t deadline;

    return __builtin_add_overflow(clock_now(), timeout_ns, &deadline) ? CLOCK_NEVER : deadline;
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
    struct timespec until = {.tv_sec = (time_t)(deadline / SECOND),
                             .tv_nsec = (long)(deadline % SECOND)};

    if (deadline == CLOCK_NEVER)
        return -pthread_cond_wait(cond, lock);
    return -pthread_cond_timedwait(cond, lock, &until);
}
