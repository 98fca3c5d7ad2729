/* SPDX-License-Identifier: BSD-2-Clause */
/* The room at a receiver, and waking the senders that wait for it (models/room.pml). */
#include "ipc/room.h"

#include "ipc/exchange.h"
#include "ipc/mode.h"
#include "ipc/ring.h"

/* Free entries of the queue; one is kept for the hang-up of each link. */
uint32_t room_entries(const struct endpoint *to)
{
    lock_assert_held(&to->lock);
    uint32_t used = to->in_head - to->in_tail + to->promised + to->in_open;

    return used < FERRY_RING_ENTRIES ? FERRY_RING_ENTRIES - used : 0;
}

int64_t room_token(const struct endpoint *endpoint)
{
    lock_assert_held(&endpoint->lock);
    uint64_t free = held_in(endpoint, HELD_FREE);

    return free ? __builtin_ctzll(free) : -1;
}

/* How many more INLINE messages of this link fit. Such a message occupies its queue
 * entry only, and the links of a receiver share its entries evenly. */
uint32_t room_inline(const struct ferry_link *link)
{
    lock_assert_held(&link->to->lock);
    uint32_t share = FERRY_RING_ENTRIES / link->to->in_count, room = room_entries(link->to);
    uint32_t left = link->inline_in_flight < share ? share - link->inline_in_flight : 0;

    return left < room ? left : room;
}

static uint64_t payload_bytes(const struct ferry_desc *desc)
{
    /* 0 if it carries nothing. */
    return mode_has_payload(mode_of(desc->mode)) ? desc->payload.bytes : desc->inline_bytes;
}

void room_entry_taken(struct endpoint *endpoint, enum held_state state)
{
    lock_assert_held(&endpoint->lock);
    uint32_t slot = endpoint->in_tail++ & RING_MASK;
    const struct ferry_desc *desc = &endpoint->queue[slot];
    struct ferry_link *link = endpoint->in[endpoint->queue_link[slot]];

    const struct mode *mode = mode_of(desc->mode);
    if (mode->has_token)
        held_set_state(endpoint, desc->payload.token, state);
    else if (mode->carries == MODE_INLINE)
        link->inline_in_flight--;
    else if (mode_has_payload(mode))
        link->in_flight--;
    /* For plain reads the bytes are counted when they are read. */
    if (state == HELD_TAKEN)
        atomic_fetch_add_explicit(&link->bytes_taken, payload_bytes(desc), memory_order_relaxed);
}

/* Whether the receiver may own the units of a MOVE that waits. */
static bool share_again(const struct ferry_link *link)
{
    lock_assert_held(&link->to->lock);
    const struct endpoint *to = link->to;
    uint32_t most = link->wants_pages ? to->most_pages : to->most_extents;
    /* As the ledger counts: for a moment it may be less than nothing. */
    int32_t owned = (int32_t)ledger_owned(&link->exchange->ledger, to->index, link->wants_pages);

    return (int64_t)owned + link->wants_units <= most;
}

/* Of the things that a sender waits for, those that are there again. A sender is woken
 * only when all that it needs is there: otherwise it only parks again, and two VMs that are linked
 * in both directions would wake each other for ever. */
static uint8_t room_again(const struct ferry_link *link, bool all)
{
    lock_assert_held(&link->to->lock);
    uint32_t shares = FERRY_RING_ENTRIES / link->to->in_count;
    uint8_t room = 0;

    if (!link->parked)
        return 0;
    if (room_entries(link->to) > 0) {
        if (link->in_flight <= (all ? link->max_messages - 1 : link->max_messages / 2))
            room |= PARKED_PAYLOAD | (room_token(link->to) >= 0 ? PARKED_TOKEN : 0);
        if (link->inline_in_flight <= (all ? shares - 1 : shares / 2))
            room |= PARKED_INLINE;
    }
    if (link->parked & PARKED_SHARE && share_again(link))
        room |= PARKED_SHARE;
    return link->parked & room;
}

/* Collects the senders that can send half of their share at once, so that a sender is not woken for
 * every message that is taken. If the receiver itself waits, it may wait for a single message; then
 * every sender is woken that has any of its share free. */
void room_to_wake(struct endpoint *endpoint, bool all, struct wakes *wakes)
{
    lock_assert_held(&endpoint->lock);
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

void room_wake(const struct wakes *wakes)
{
    for (uint32_t i = 0; i < wakes->count; i++)
        endpoint_wake(wakes->list[i]);
}

void room_unpark(struct endpoint *endpoint)
{
    struct wakes wakes = {0};

    endpoint_lock(endpoint);
    room_to_wake(endpoint, true, &wakes);
    endpoint_unlock(endpoint);
    room_wake(&wakes);
}

void room_park_share(struct ferry_link *link, bool pages, uint32_t units)
{
    endpoint_lock(link->to);
    link->parked |= PARKED_SHARE;
    link->wants_pages = pages;
    link->wants_units = units;
    endpoint_unlock(link->to);
}
