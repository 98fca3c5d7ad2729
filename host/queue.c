/* SPDX-License-Identifier: BSD-2-Clause */
/* The queue of messages that arrived at an endpoint. */
#include "queue.h"

#include <errno.h>

#include "direct.h"
#include "engine.h"
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

/* Under lock. Free entries of the queue. */
static uint32_t queue_room(const struct endpoint *to)
{
    uint32_t used = to->in_head - to->in_tail + to->promised + kept_for_hangups(to);

    return used < FERRY_RING_ENTRIES ? FERRY_RING_ENTRIES - used : 0;
}

/* Under lock. */
static int64_t free_token(const struct endpoint *endpoint)
{
    for (uint32_t i = 0; i < FERRY_TOKENS; i++)
        if (endpoint->held[i].state == HELD_FREE)
            return i;
    return -1;
}

/* Under lock. */
static int try_reserve(struct ferry_link *link, bool with_token, uint32_t *token)
{
    struct endpoint *to = link->to;
    int64_t found = 0;

    if (!to->live || link->hung_up)
        return -EPIPE;
    if (with_token)
        found = free_token(to);
    if (found < 0 || queue_room(to) == 0 || link->in_flight >= link->max_messages) {
        link->parked |= with_token ? PARKED_TOKEN : PARKED_PAYLOAD;
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

/* The receiver may have taken and released without leaving its VM since. False: it is gone. */
static bool look_again(struct endpoint *to)
{
    if (!endpoint_enter(to))
        return false;
    if (to->control)
        loan_collect(to);
    endpoint_leave(to);
    return true;
}

int queue_reserve(struct ferry_link *link, bool with_token, uint32_t *token)
{
    endpoint_lock(link->to);
    int result = try_reserve(link, with_token, token);
    endpoint_unlock(link->to);
    if (result != -EAGAIN)
        return result;

    if (!look_again(link->to))
        return -EPIPE;
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
    to->queue_link[slot] = (uint8_t)link->place;
    to->in_head++;
    if (to->control)
        /* In bounds: the slot is masked, and free because a reserved entry is
         * counted until the guest has taken it. */
        to->control->in[slot] = *desc;
}

/* Under lock: shows the guest what was appended. */
static void publish(struct endpoint *to)
{
    if (to->control)
        ring_publish(&to->control->vmm.in_head, to->in_head);
}

void queue_deliver(struct ferry_link *link, const struct ferry_desc *descs, uint32_t count)
{
    struct endpoint *to = link->to;

    endpoint_lock(to);
    for (uint32_t i = 0; i < count; i++) {
        if (descs[i].mode == FERRY_COPY || descs[i].mode == FERRY_LEND)
            to->held[descs[i].payload.token].state = HELD_QUEUED;
        append(link, &descs[i]);
    }
    publish(to);
    to->promised -= count;
    to->users -= count;
    if (to->users == 0 && !to->live)
        pthread_cond_broadcast(&to->changed);
    endpoint_unlock(to);
    endpoint_wake(to);
    atomic_fetch_add_explicit(&to->messages_received, count, memory_order_relaxed);
}

/* Under lock. How many more descriptors of this link fit. Those without a payload hold nothing
 * but their entry, and the links of a receiver share its entries evenly. */
static uint32_t inline_room(const struct ferry_link *link)
{
    uint32_t share = FERRY_RING_ENTRIES / link->to->in_count, room = queue_room(link->to);
    uint32_t left = link->inline_in_flight < share ? share - link->inline_in_flight : 0;

    return left < room ? left : room;
}

/* Under lock. */
static int append_inline(struct ferry_link *link, const struct ferry_desc *descs, uint32_t count)
{
    if (!link->to->live || link->hung_up)
        return -EPIPE;
    uint32_t room = inline_room(link), fit = count < room ? count : room;
    for (uint32_t i = 0; i < fit; i++)
        append(link, &descs[i]);
    publish(link->to);
    link->inline_in_flight += fit;
    if (fit < count)
        link->parked |= PARKED_INLINE;
    return (int)fit;
}

int queue_deliver_inline(struct ferry_link *link, const struct ferry_desc *descs, uint32_t count)
{
    struct endpoint *to = link->to;

    endpoint_lock(to);
    int done = append_inline(link, descs, count);
    endpoint_unlock(to);
    if (done >= 0 && (uint32_t)done < count && look_again(to)) {
        endpoint_lock(to);
        int more = append_inline(link, descs + done, count - (uint32_t)done);
        endpoint_unlock(to);
        done += more > 0 ? more : 0;
    }
    if (done > 0) {
        endpoint_wake(to);
        atomic_fetch_add_explicit(&to->messages_received, (uint32_t)done, memory_order_relaxed);
    }
    return done;
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
                              .turn = direct_sent(link),
                              .src = link->from->id,
                              .dst = to->id,
                              .src_generation = link->from->generation,
                              .dst_generation = to->generation};

    endpoint_lock(to);
    if (to->live && !link->hung_up) {
        link->hung_up = true;
        append(link, &desc);
        publish(to);
    }
    endpoint_unlock(to);
    endpoint_wake(to);
}

static uint64_t payload_bytes(const struct ferry_desc *desc)
{
    if (desc->mode == FERRY_INLINE)
        return desc->inline_bytes;
    return desc->mode == FERRY_HANGUP ? 0 : desc->payload.bytes;
}

void queue_entry_taken(struct endpoint *endpoint, enum held_state state)
{
    uint32_t slot = endpoint->in_tail++ & RING_MASK;
    const struct ferry_desc *desc = &endpoint->queue[slot];
    struct ferry_link *link = endpoint->in[endpoint->queue_link[slot]];

    if (desc->mode == FERRY_COPY || desc->mode == FERRY_LEND)
        endpoint->held[desc->payload.token].state = state;
    else if (desc->mode == FERRY_INLINE)
        link->inline_in_flight--;
    else if (desc->mode == FERRY_MOVE)
        link->in_flight--;
    /* What plain reads take counts as it is read. */
    if (state == HELD_TAKEN)
        atomic_fetch_add_explicit(&link->bytes_taken, payload_bytes(desc), memory_order_relaxed);
}

bool queue_want(struct ferry_link *link)
{
    if (atomic_load_explicit(&link->wanted, memory_order_relaxed) ||
        atomic_exchange(&link->wanted, true))
        return false;
    endpoint_wake(link->from);
    return true;
}

/* Under lock: whether the receiver may own what a MOVE waits to give it. */
static bool share_again(const struct ferry_link *link)
{
    const struct endpoint *to = link->to;
    uint32_t most = link->wants_pages ? to->most_pages : to->most_extents;
    /* As the ledger counts: for a moment it may be less than nothing. */
    int32_t owned = (int32_t)ledger_owned(&link->engine->ledger, to->index, link->wants_pages);

    return (int64_t)owned + link->wants_units <= most;
}

/* Under lock: of what a sender waits for, that which is there again. All that it needs must be
 * there: a sender that is woken for less only parks again, and two that are linked both ways
 * would wake each other so for ever. */
static uint8_t room_again(const struct ferry_link *link, bool all)
{
    uint32_t shares = FERRY_RING_ENTRIES / link->to->in_count;
    uint8_t room = 0;

    if (!link->parked)
        return 0;
    if (queue_room(link->to) > 0) {
        if (link->in_flight <= (all ? link->max_messages - 1 : link->max_messages / 2))
            room |= PARKED_PAYLOAD | (free_token(link->to) >= 0 ? PARKED_TOKEN : 0);
        if (link->inline_in_flight <= (all ? shares - 1 : shares / 2))
            room |= PARKED_INLINE;
    }
    if (link->parked & PARKED_SHARE && share_again(link))
        room |= PARKED_SHARE;
    return link->parked & room;
}

/* Those that can send half of their share at one go, so that a sender is not
 * woken for every message that is taken. Who waits himself may be waiting
 * for just one, so then it is all that have any of their share free. */
void queue_to_wake(struct endpoint *endpoint, bool all, struct wakes *wakes)
{
    all = all || atomic_load(&endpoint->waiting);
    for (uint32_t i = 0; i < endpoint->in_count; i++) {
        struct ferry_link *link = endpoint->in[i];
        uint8_t room = room_again(link, all);
        if (!room)
            continue;
        link->parked &= (uint8_t)~room;
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

void queue_park_share(struct ferry_link *link, bool pages, uint32_t units)
{
    endpoint_lock(link->to);
    link->parked |= PARKED_SHARE;
    link->wants_pages = pages;
    link->wants_units = units;
    endpoint_unlock(link->to);
}

bool queue_accepts(struct ferry_link *link)
{
    endpoint_lock(link->to);
    bool accepts = link->to->live && !link->hung_up;
    endpoint_unlock(link->to);
    return accepts;
}

bool queue_hung_up(struct ferry_link *link)
{
    endpoint_lock(link->to);
    bool hung_up = link->hung_up;
    endpoint_unlock(link->to);
    return hung_up;
}

void queue_refuse(struct ferry_link *link)
{
    endpoint_lock(link->to);
    link->hung_up = true;
    endpoint_unlock(link->to);
    endpoint_wake(link->from);
}

bool queue_abandon(struct ferry_link *link)
{
    struct endpoint *to = link->to;

    endpoint_lock(to);
    bool unused = !to->live || (!link->hung_up && !link->in_flight && !link->inline_in_flight);
    link->hung_up = link->hung_up || unused;
    endpoint_unlock(to);
    return unused;
}

void queue_refuse_all(struct endpoint *endpoint)
{
    for (uint32_t i = 0; i < endpoint->in_count; i++)
        queue_refuse(endpoint->in[i]);
}
