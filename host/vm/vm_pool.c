/* SPDX-License-Identifier: BSD-2-Clause */
/* A pool of VMs that have a snapshot: who has which, and who waits for one. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include <ferry/ferry.h>

#include "lib/clock.h"
#include "lib/error.h"
#include "lib/lock.h"

struct place {
    struct ferry_vm *vm;
    bool begun, taken;
};

struct ferry_pool {
    struct lock lock; /* of the marks of all places */
    pthread_cond_t given;
    uint32_t size;
    struct place places[];
};

int ferry_pool_create(uint32_t size, ferry_pool_make make, void *arg, struct ferry_pool **out,
                      struct ferry_error *err)
{
    struct ferry_pool *pool = size ? calloc(1, sizeof *pool + size * sizeof pool->places[0]) : NULL;
    int result = 0;

    if (!pool)
        return error_set(err, size ? -ENOMEM : -EINVAL,
                         size ? "no memory for a pool of VMs" : "a pool has at least one VM");
    lock_init(&pool->lock, LOCK_LEAF);
    clock_cond_init(&pool->given);
    while (pool->size < size && result == 0) {
        result = make(arg, &pool->places[pool->size].vm, err);
        pool->size += result == 0;
    }
    if (result != 0) {
        ferry_pool_destroy(pool);
        return result;
    }
    *out = pool;
    return 0;
}

/* One that nobody has; the one that was used last is the first, as its memory is at hand. */
static struct place *vacant(struct ferry_pool *pool)
{
    struct place *found = NULL;

    lock_assert_held(&pool->lock);
    for (uint32_t i = 0; i < pool->size; i++) {
        struct place *place = &pool->places[i];

        if (!place->taken && (!found || (place->begun && !found->begun)))
            found = place;
    }
    return found;
}

static struct place *await_vacant(struct ferry_pool *pool, uint64_t timeout_ns)
{
    uint64_t deadline = clock_deadline(timeout_ns);
    struct place *place;
    int result = 0;

    lock_take(&pool->lock);
    while (!(place = vacant(pool)) && result == 0)
        result = timeout_ns ? lock_wait_until(&pool->given, &pool->lock, deadline) : -ETIMEDOUT;
    if (place)
        place->taken = true;
    lock_drop(&pool->lock);
    return place;
}

static void give_back(struct ferry_pool *pool, struct place *place)
{
    lock_take(&pool->lock);
    place->taken = false;
    pthread_cond_signal(&pool->given);
    lock_drop(&pool->lock);
}

int ferry_pool_take(struct ferry_pool *pool, uint64_t timeout_ns, struct ferry_vm **out,
                    struct ferry_error *err)
{
    struct place *place = await_vacant(pool, timeout_ns);

    if (!place)
        return error_set(err, -ETIMEDOUT, "all %u VMs of the pool are in use", pool->size);
    int result = place->begun ? ferry_vm_reset(place->vm, err) : ferry_vm_start(place->vm, err);
    if (result < 0) {
        give_back(pool, place);
        return result;
    }
    place->begun = true;
    *out = place->vm;
    return 0;
}

void ferry_pool_give(struct ferry_pool *pool, struct ferry_vm *vm)
{
    uint32_t i = 0;

    ferry_vm_stop(vm, SIGKILL);
    while (pool->places[i].vm != vm)
        i++;
    give_back(pool, &pool->places[i]);
}

void ferry_pool_destroy(struct ferry_pool *pool)
{
    if (!pool)
        return;
    for (uint32_t i = 0; i < pool->size; i++)
        ferry_vm_destroy(pool->places[i].vm);
    pthread_cond_destroy(&pool->given);
    lock_fini(&pool->lock);
    free(pool);
}
