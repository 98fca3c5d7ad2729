/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Locks with a rank in the lock order. A thread waits only for a lock of a higher rank than all
 * locks it holds, so never for a second one of the same rank, and so no threads wait for each other
 * in a circle. A lock may be tried in any order, since trying does not wait. A build with
 * FERRY_PROVE asserts this each time a lock is taken, and asserts that a function which needs a
 * lock held has it; it records the locks that each thread holds. In other builds a lock is a mutex
 * and nothing else.
 */
#ifndef FERRY_HOST_LOCK_H
#define FERRY_HOST_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* In order; ARCHITECTURE.md says what each lock protects. */
enum lock_rank {
    LOCK_SERVING = 1,
    LOCK_TABLES, /* of the exchange; of the ticker */
    LOCK_VM,
    LOCK_POLLER,
    LOCK_STREAM,
    /* Nothing is taken under it: an endpoint's, the ledger's, a budget's, that of the images, those
     * of one image, a VM's window lock, a helper's, a watch's. */
    LOCK_LEAF,
};

struct lock {
    pthread_mutex_t mutex;
#ifdef FERRY_PROVE
    enum lock_rank rank;
#endif
};

void lock_init(struct lock *lock, enum lock_rank rank);
void lock_fini(struct lock *lock);

/* As pthread_cond_wait, and until a deadline: 0, or -ETIMEDOUT. */
void lock_wait(pthread_cond_t *cond, struct lock *lock);
int lock_wait_until(pthread_cond_t *cond, struct lock *lock, uint64_t deadline_ns);

#ifdef FERRY_PROVE
/* Asserts that the calling thread may wait for it now. */
void lock_prove_order(const struct lock *lock);
/* Records the locks that the calling thread holds. */
void lock_prove_take(const struct lock *lock);
void lock_prove_drop(const struct lock *lock);
void lock_assert_held(const struct lock *lock);
#else
static inline void lock_prove_order(const struct lock *lock)
{
    (void)lock;
}

static inline void lock_prove_take(const struct lock *lock)
{
    (void)lock;
}

static inline void lock_prove_drop(const struct lock *lock)
{
    (void)lock;
}

static inline void lock_assert_held(const struct lock *lock)
{
    (void)lock;
}
#endif

static inline void lock_take(struct lock *lock)
{
    lock_prove_order(lock); /* before it could wait for ever */
    pthread_mutex_lock(&lock->mutex);
    lock_prove_take(lock);
}

/* False: another thread has it. */
static inline bool lock_try(struct lock *lock)
{
    if (pthread_mutex_trylock(&lock->mutex) != 0)
        return false;
    lock_prove_take(lock);
    return true;
}

static inline void lock_drop(struct lock *lock)
{
    lock_prove_drop(lock);
    pthread_mutex_unlock(&lock->mutex);
}

#endif
