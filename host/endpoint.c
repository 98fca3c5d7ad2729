/* SPDX-License-Identifier: BSD-2-Clause */
/* An endpoint: its life, and waiting for something to happen to it. */
#include "endpoint.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "clock.h"
#include "engine.h"
#include "loan.h"
#include "queue.h"
#include "stream_internal.h"

int endpoint_init(struct endpoint *endpoint)
{
    pthread_mutex_init(&endpoint->lock, NULL);
    return clock_cond_init(&endpoint->changed);
}

void endpoint_begin(struct endpoint *endpoint, struct ferry_engine *engine, uint16_t index)
{
    const size_t from = offsetof(struct endpoint, engine);

    endpoint_lock(
        endpoint); /* a thread that comes late for the endpoint before finds this one whole */
    memset((char *)endpoint + from, 0, offsetof(struct endpoint, queue) - from);
    endpoint->engine = engine;
    endpoint->index = index;
    endpoint->live = true;
    endpoint_unlock(endpoint);
}

void endpoint_fini(struct endpoint *endpoint)
{
    pthread_cond_destroy(&endpoint->changed);
    pthread_mutex_destroy(&endpoint->lock);
}

bool endpoint_enter(struct endpoint *endpoint)
{
    endpoint_lock(endpoint);
    bool live = endpoint->live;
    endpoint->users += live;
    endpoint_unlock(endpoint);
    return live;
}

void endpoint_leave(struct endpoint *endpoint)
{
    endpoint_lock(endpoint);
    if (--endpoint->users == 0 && !endpoint->live)
        pthread_cond_broadcast(&endpoint->changed);
    endpoint_unlock(endpoint);
}

/* --- waiting -------------------------------------------------------------- */

void endpoint_show_waiting(struct endpoint *endpoint, uint32_t waiting)
{
    atomic_store(&endpoint->waiting, waiting != 0);
    for (uint32_t i = 0; i < endpoint->in_count; i++) {
        struct ferry_link *link = endpoint->in[i];
        if (!link->shown_to_sender)
            continue;
        /* The sender's control structure lives as long as the sender does. */
        endpoint_lock(link->from);
        if (link->from->live)
            __atomic_store_n(&link->shown_to_sender->waiting, waiting, __ATOMIC_RELEASE);
        endpoint_unlock(link->from);
    }
}

uint32_t endpoint_prepare(struct endpoint *endpoint)
{
    uint32_t seen = atomic_load(&endpoint->events);

    endpoint_show_waiting(endpoint, FERRY_WAITS);
    queue_unpark(endpoint);
    /* Both wait: what the other waits for must not stay gathered here. */
    if (endpoint->byte_stream && endpoint->stream_out &&
        atomic_load(&endpoint->stream_out->to->waiting))
        stream_pull(endpoint->byte_stream);
    if (endpoint->stream_in && endpoint->stream_in->from->byte_stream)
        stream_pull(endpoint->stream_in->from->byte_stream);
    return seen;
}

void endpoint_finish(struct endpoint *endpoint)
{
    atomic_store(&endpoint->wants_direct, false);
    endpoint_show_waiting(endpoint, 0);
}

/* Either the sleeper sees the new count, here or in the kernel's own look at it, or whoever
 * counts up sees `asleep`: each stores before it loads. */
int endpoint_block(struct endpoint *endpoint, uint32_t seen, uint64_t deadline_ns)
{
    int result = 0;

    while (result == 0) {
        atomic_store(&endpoint->asleep, true);
        if (endpoint->stopping)
            return -EINTR;
        if (atomic_load(&endpoint->events) != seen)
            return 0;
        result = clock_futex_wait(&endpoint->events, seen, deadline_ns);
    }
    return endpoint->stopping ? -EINTR : atomic_load(&endpoint->events) != seen ? 0 : result;
}

void endpoint_wake(struct endpoint *endpoint)
{
    atomic_fetch_add(&endpoint->events, 1);
    /* Only the first that has something new for a sleeper makes the system call. */
    if (atomic_load(&endpoint->asleep) && atomic_exchange(&endpoint->asleep, false))
        clock_futex_wake(&endpoint->events);
}

/* --- the end --------------------------------------------------------------- */

static bool is_live(struct endpoint *endpoint)
{
    endpoint_lock(endpoint);
    bool live = endpoint->live;
    endpoint_unlock(endpoint);
    return live;
}

/* To a guest the host is one peer, though it has an end for each link. Tells whether another end is
 * still there. Two may end at once: each says first that it is not live, so the later one sees it. */
static bool host_stays(const struct endpoint *viewer, const struct endpoint *end)
{
    for (uint32_t i = 0; i < viewer->out_count; i++)
        if (!viewer->out[i]->to->id && viewer->out[i]->to != end && is_live(viewer->out[i]->to))
            return true;
    for (uint32_t i = 0; i < viewer->in_count; i++)
        if (!viewer->in[i]->from->id && viewer->in[i]->from != end && is_live(viewer->in[i]->from))
            return true;
    return false;
}

/* Writes into the control structure of `viewer` that `peer`, which is not live, is gone. */
static void show_gone(struct endpoint *viewer, const struct endpoint *peer,
                      struct ferry_peer *shown)
{
    if (!shown || (!peer->id && host_stays(viewer, peer)))
        return;
    endpoint_lock(viewer);
    if (viewer->live)
        __atomic_store_n(&shown->state, FERRY_PEER_GONE, __ATOMIC_RELEASE);
    endpoint_unlock(viewer);
}

void endpoint_shutdown(struct endpoint *endpoint)
{
    for (uint32_t i = 0; i < endpoint->out_count; i++)
        queue_hangup(endpoint->out[i]);

    endpoint_lock(endpoint);
    endpoint->live = false;
    while (endpoint->users)
        pthread_cond_wait(&endpoint->changed, &endpoint->lock);
    endpoint_unlock(endpoint);

    /* From here on nobody else changes it: it is not live and has no users.
     * Its window goes first, so that closing it loan by loan cannot fail. */
    window_destroy(&endpoint->window);
    loan_release_all(endpoint);
    ledger_evict(&endpoint->engine->ledger, endpoint->index);
    for (uint32_t i = 0; i < endpoint->out_count; i++)
        show_gone(endpoint->out[i]->to, endpoint, endpoint->out[i]->shown_to_receiver);
    for (uint32_t i = 0; i < endpoint->in_count; i++) {
        show_gone(endpoint->in[i]->from, endpoint, endpoint->in[i]->shown_to_sender);
        endpoint_wake(endpoint->in[i]->from);
    }
    endpoint_lock(endpoint);
    endpoint->settled = true;
    endpoint_unlock(endpoint);
}
