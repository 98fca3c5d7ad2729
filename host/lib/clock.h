/* SPDX-License-Identifier: BSD-2-Clause */
/* Time as the library keeps it: nanoseconds of CLOCK_MONOTONIC. */
#ifndef FERRY_HOST_CLOCK_H
#define FERRY_HOST_CLOCK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#define CLOCK_NEVER UINT64_MAX

struct pollfd;

uint64_t clock_now(void);
/* Processor time that the calling thread has taken. */
uint64_t clock_thread_ns(void);

/* The moment that is timeout_ns away; CLOCK_NEVER if that is beyond counting. */
uint64_t clock_deadline(uint64_t timeout_ns);

/* Sleeps while *word is `seen`, until it is woken, by a signal, by nothing at all, or at
 * `deadline`: 0, or -ETIMEDOUT. */
int clock_futex_wait(atomic_uint *word, uint32_t seen, uint64_t deadline);
/* Wakes all that sleep on it. */
void clock_futex_wake(atomic_uint *word);
/* The same, and the wait ends only by who wakes for one of the bits of `what`. */
int clock_futex_wait_for(atomic_uint *word, uint32_t seen, uint64_t deadline, uint32_t what);
void clock_futex_wake_for(atomic_uint *word, uint32_t what);

/* As poll(2), until `deadline`: 0, or -ETIMEDOUT. */
int clock_poll(struct pollfd *entries, unsigned count, uint64_t deadline);

/* A condition whose timed waits use this clock. */
int clock_cond_init(pthread_cond_t *cond);

/* As pthread_cond_wait until `deadline`: 0, or -ETIMEDOUT. */
int clock_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t deadline);

#endif
