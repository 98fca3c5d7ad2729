/* SPDX-License-Identifier: BSD-2-Clause */
/* An endpoint: its beginning, protection against its end, waking the thread that waits on it. */
#include "ipc/endpoint.h"

#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/clock.h"

int endpoint_init(struct endpoint *endpoint)
{
    lock_init(&endpoint->lock, LOCK_LEAF);
    endpoint->waker = -1;
    return clock_cond_init(&endpoint->changed);
}

/* The exchange's lock is not asserted: exchange.c includes endpoint.h, so including exchange.h here
 * would close a circle. */
void endpoint_begin(struct endpoint *endpoint, struct exchange *exchange, uint16_t index)
{
    const size_t from = offsetof(struct endpoint, exchange);

    /* A thread that comes late for the endpoint before finds this one whole. */
    endpoint_lock(endpoint);
    memset((char *)endpoint + from, 0, offsetof(struct endpoint, queue) - from);
    endpoint->exchange = exchange;
    endpoint->index = index;
    endpoint->live = true;
    atomic_store(&endpoint->tokens[HELD_FREE], UINT64_MAX);
    endpoint_unlock(endpoint);
}

void endpoint_fini(struct endpoint *endpoint)
{
    if (endpoint->waker >= 0)
        close(endpoint->waker);
    pthread_cond_destroy(&endpoint->changed);
    lock_fini(&endpoint->lock);
}

bool endpoint_enter(struct endpoint *endpoint)
{
    endpoint_lock(endpoint);
    bool enters = endpoint->live && !endpoint->resting;
    endpoint->users += enters;
    endpoint_unlock(endpoint);
    return enters;
}

void endpoint_leave(struct endpoint *endpoint)
{
    endpoint_lock(endpoint);
    if (--endpoint->users == 0)
        endpoint_has_no_users(endpoint);
    endpoint_unlock(endpoint);
}

/* All bits of a thread that sleeps are set in `asleep`: who clears one wakes all that wait for it. */
void endpoint_wake_for(struct endpoint *endpoint, uint32_t what)
{
    atomic_fetch_add(&endpoint->events, 1);
    /* Only the first thread that has something new for a sleeper makes the system call. */
    if (!(atomic_load(&endpoint->asleep) & what) ||
        !(atomic_fetch_and(&endpoint->asleep, ~what) & what))
        return;
    /* Who saw the count above without being woken may be in its next wait by now, and the bits that
     * were just cleared may be that one's. If it slept with them clear, nobody would wake it any more; so
     * what it saw must not be the count when it falls asleep. (models/wake.pml) */
    atomic_fetch_add(&endpoint->events, 1);
    if (atomic_load(&endpoint->polls))
        eventfd_write(endpoint->waker, 1);
    else
        clock_futex_wake_for(&endpoint->events, what);
}

void endpoint_wake(struct endpoint *endpoint)
{
    endpoint_wake_for(endpoint, UINT32_MAX);
}

bool endpoint_can_poll(struct endpoint *endpoint)
{
    if (endpoint->waker < 0)
        endpoint->waker = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return endpoint->waker >= 0;
}
