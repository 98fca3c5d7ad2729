/* SPDX-License-Identifier: BSD-2-Clause */
/* Locks, and the proof of their order in builds that prove. */
#include "lib/lock.h"

#include "lib/clock.h"

void lock_init(struct lock *lock, enum lock_rank rank)
{
    pthread_mutex_init(&lock->mutex, NULL);
#ifdef FERRY_PROVE
    lock->rank = rank;
#else
    (void)rank;
#endif
}

void lock_fini(struct lock *lock)
{
    pthread_mutex_destroy(&lock->mutex);
}

/* A thread that waits takes no lock, so its record stays as it is. */
void lock_wait(pthread_cond_t *cond, struct lock *lock)
{
    lock_assert_held(lock);
    pthread_cond_wait(cond, &lock->mutex);
}

int lock_wait_until(pthread_cond_t *cond, struct lock *lock, uint64_t deadline_ns)
{
    lock_assert_held(lock);
    return clock_cond_wait(cond, &lock->mutex, deadline_ns);
}

#ifdef FERRY_PROVE

#include <assert.h>

#define MOST_HELD (2 * LOCK_LEAF) /* one of each rank, and some that were tried */

/* The only state of the library outside of its objects, and of these builds alone. */
static _Thread_local struct {
    const struct lock *locks[MOST_HELD]; /* as they were taken */
    unsigned count;
} held;

void lock_prove_order(const struct lock *lock)
{
    assert(lock->rank >= LOCK_SERVING && lock->rank <= LOCK_LEAF); /* lock_init was called */
    for (unsigned i = 0; i < held.count; i++)
        assert(held.locks[i]->rank < lock->rank);
}

void lock_prove_take(const struct lock *lock)
{
    assert(held.count < MOST_HELD);
    held.locks[held.count++] = lock;
}

void lock_prove_drop(const struct lock *lock)
{
    unsigned at = 0;

    lock_assert_held(lock);
    while (held.locks[at] != lock)
        at++;
    for (held.count--; at < held.count; at++)
        held.locks[at] = held.locks[at + 1];
}

void lock_assert_held(const struct lock *lock)
{
    bool found = false;

    for (unsigned i = 0; i < held.count; i++)
        found = found || held.locks[i] == lock;
    assert(found);
}

#endif
