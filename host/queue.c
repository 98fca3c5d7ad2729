/* SPDX-License-Identifier: BSD-2-Clause */
/* The queue of messages that arrived at an endpoint. */
#include "queue.h"

#include <errno.h>

#include "loan.h"
#include "ring.h"

/* Under lock. Entries the hang-ups of links that have not hung up yet will need. */
static uint32_t kept_for_hangups(const struct endpoint *endpoint)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < endpoint->in_count; i++)
        kept += !endpoint->in[i]->hung_up;
    return kept;
}

/* Under lock. */
static int64_t free_token(const struct endpoint *endpoint)
{
    for (uint32_t i = 0; i < FERRY_RING_ENTRIES; i++)
        if (endpoint->held[i].state == HELD_FREE)
            return i;
    return -1;
}

/* Under lock. */
static int try_reserve(struct ferry_link *link, bool with_token, uint32_t *token)
{
    struct endpoint *to = link->to;
    uint32_t used = to->in_head - to->in_tail + to->promised + kept_for_hangups(to);
    int64_t found = 0;

    if (!to->live || link->hung_up)
        return -EPIPE;
    if (with_token)
        found = free_token(to);
    if (found < 0 || used >= FERRY_RING_ENTRIES || link->in_flight >= link->max_messages) {
        link->parked = true;
        return -EAGAIN;
    }
    if (with_token) {
        *token = (uint32_t)found;
        to->held[found] = (struct held){.state = HELD_PROMISED, .link = link};
    }
    to->promised++;
    to->users++;
    link->in_flight++;
    return 0;
}

int queue_reserve(struct ferry_link *link, bool with_token, uint32_t *token)
{
    endpoint_lock(link->to);
    int result = try_reserve(link, with_token, token);
    endpoint_unlock(link->to);
    if (result != -EAGAIN)
        return result;

    /* The receiver may have taken and released without leaving its VM since. */
    if (!endpoint_enter(link->to))
        return -EPIPE;
    if (link->to->control)
        loan_collect(link->to);
    endpoint_leave(link->to);
    endpoint_lock(link->to);
    result = try_reserve(link, with_token, token);
    endpoint_unlock(link->to);
    return result;
}

/* Under lock. */
static void append(struct ferry_link *link, const struct ferry_desc *desc)
{
    struct endpoint *to = link->to;
    uint32_t slot = to->in_head & RING_MASK;

    to->queue[slot] = *desc;
    to->queue_link[slot] = link;
    to->in_head++;
    if (to->control) {
        /* In bounds: the slot is masked, and free because a reserved entry is
         * counted until the guest has taken it. */
        to->control->in[slot] = *desc;
        ring_publish(&to->control->vmm.in_head, to->in_head);
    }
    endpoint_note(to);
}

void queue_deliver(struct ferry_link *link, const struct ferry_desc *desc)
{
    struct endpoint *to = link->to;

    endpoint_lock(to);
    if (desc->mode == FERRY_COPY || desc->mode == FERRY_LEND)
        to->held[desc->payload.token].state = HELD_QUEUED;
    to->promised--;
    append(link, desc);
    atomic_fetch_add_explicit(&to->messages_received, 1, memory_order_relaxed);
    if (--to->users == 0 && !to->live)
        pthread_cond_broadcast(&to->changed);
    endpoint_unlock(to);
}

void queue_unreserve(struct ferry_link *link, bool with_token, uint32_t token)
{
    struct endpoint *to = link->to;

    endpoint_lock(to);
    if (with_token)
        to->held[token].state = HELD_FREE;
    to->promised--;
    link->in_flight--;
    if (--to->users == 0 && !to->live)
        pthread_cond_broadcast(&to->changed);
    endpoint_unlock(to);
}

void queue_hangup(struct ferry_link *link)
{
    struct endpoint *to = link->to;
    struct ferry_desc desc = {.mode = FERRY_HANGUP,
                              .src = link->from->id,
                              .dst = to->id,
                              .src_generation = link->from->generation,
                              .dst_generation = to->generation};

    endpoint_lock(to);
    if (to->live && !link->hung_up) {
        link->hung_up = true;
        link->in_flight++;
        append(link, &desc);
    }
    endpoint_unlock(to);
}

void queue_entry_taken(struct endpoint *endpoint, enum held_state state)
{
    uint32_t slot = endpoint->in_tail++ & RING_MASK;
    const struct ferry_desc *desc = &endpoint->queue[slot];
    struct ferry_link *link = endpoint->queue_link[slot];

    if (desc->mode == FERRY_COPY || desc->mode == FERRY_LEND)
        endpoint->held[desc->payload.token].state = state;
    else
        link->in_flight--;
}

/* Those that can send half of their share at one go, so that a sender is not
 * woken for every message that is taken. Who waits himself may be waiting
 * for just one, so then it is all that have any of their share free. */
void queue_to_wake(struct endpoint *endpoint, bool all, struct wakes *wakes)
{
    all = all || atomic_load(&endpoint->waiting);
    for (uint32_t i = 0; i < endpoint->in_count; i++) {
        struct ferry_link *link = endpoint->in[i];
        uint32_t most = all ? link->max_messages - 1 : link->max_messages / 2;
        if (!link->parked || link->in_flight > most)
            continue;
        link->parked = false;
        wakes->list[wakes->count++] = link->from;
    }
}

void queue_wake(const struct wakes *wakes)
{
    for (uint32_t i = 0; i < wakes->count; i++)
        endpoint_wake(wakes->list[i]);
}

void queue_unpark(struct endpoint *endpoint)
{
    struct wakes wakes = {0};

    endpoint_lock(endpoint);
    queue_to_wake(endpoint, true, &wakes);
    endpoint_unlock(endpoint);
    queue_wake(&wakes);
}

bool queue_take(struct endpoint *endpoint, struct ferry_desc *desc)
{
    struct wakes wakes = {0};

    endpoint_lock(endpoint);
    bool any = endpoint->in_head != endpoint->in_tail;
    if (any) {
        *desc = endpoint->queue[endpoint->in_tail & RING_MASK];
        queue_entry_taken(endpoint, endpoint->control ? HELD_READ : HELD_TAKEN);
        queue_to_wake(endpoint, false, &wakes);
    }
    endpoint_unlock(endpoint);
    queue_wake(&wakes);
    return any;
}

bool queue_peek(struct endpoint *endpoint, struct ferry_desc *desc)
{
    endpoint_lock(endpoint);
    bool any = endpoint->in_head != endpoint->in_tail;
    if (any)
        *desc = endpoint->queue[endpoint->in_tail & RING_MASK];
    endpoint_unlock(endpoint);
    return any;
}

void queue_park(struct ferry_link *link)
{
    endpoint_lock(link->to);
    link->parked = true;
    endpoint_unlock(link->to);
}

bool queue_accepts(struct ferry_link *link)
{
    endpoint_lock(link->to);
    bool accepts = link->to->live && !link->hung_up;
    endpoint_unlock(link->to);
    return accepts;
}

void queue_refuse(struct ferry_link *link)
{
    endpoint_lock(link->to);
    link->hung_up = true;
    endpoint_unlock(link->to);
    endpoint_wake(link->from);
}
