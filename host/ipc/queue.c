/* SPDX-License-Identifier: BSD-2-Clause */
/* The queue of messages that arrived at an endpoint. */
#include "ipc/queue.h"

#include <errno.h>

#include "ipc/direct.h"
#include "ipc/exchange.h"
#include "ipc/loan.h"
#include "ipc/mode.h"
#include "ipc/ring.h"
#include "ipc/room.h"

/* No message of the link comes any more, but perhaps its hang-up now. */
static void end_link(struct ferry_link *link)
{
    lock_assert_held(&link->to->lock);
    link->to->in_open -= !link->hung_up;
    link->hung_up = true;
}

static bool accepts(const struct ferry_link *link)
{
    lock_assert_held(&link->to->lock);
    return link->to->live && !link->to->resting && !link->hung_up;
}

static bool may_send(struct ferry_link *link)
{
    lock_assert_held(&link->to->lock);
    bool may = accepts(link);

    link->unread = link->unread || !may;
    return may;
}

static void promise_token(struct ferry_link *link, uint32_t token)
{
    lock_assert_held(&link->to->lock);
    link->to->held[token] = (struct held){.link = link}; /* it was free */
    held_set_state(link->to, token, HELD_PROMISED);
}

/* At most `count`. The sender parks only if there is room for none: a shorter run goes, and the next
 * one parks. If it parked for more, giving back room that its run does not use would wake it. */
static int try_reserve(struct ferry_link *link, uint32_t *tokens, uint32_t count,
                       uint32_t *reserved)
{
    lock_assert_held(&link->to->lock);
    struct endpoint *to = link->to;

    if (!may_send(link))
        return -EPIPE;
    for (; *reserved < count; ++*reserved) {
        int64_t token = tokens ? room_token(to) : 0;
        if (token < 0 || room_entries(to) == 0 || link->in_flight >= link->max_messages) {
            if (*reserved)
                return 0;
            link->parked |= tokens ? PARKED_TOKEN : PARKED_PAYLOAD;
            return -EAGAIN;
        }
        if (tokens)
            promise_token(link, tokens[*reserved] = (uint32_t)token);
        to->promised++;
        to->users++;
        link->in_flight++;
    }
    return 0;
}

/* Makes room: the receiver may have taken and released messages since its last exit, without
 * leaving its VM. False: the receiver is gone. */
static bool look_again(struct endpoint *to)
{
    if (!endpoint_enter(to))
        return false;
    if (!endpoint_is_host(to))
        loan_collect(to);
    endpoint_leave(to);
    return true;
}

int queue_reserve(struct ferry_link *link, uint32_t *tokens, uint32_t count, uint32_t *reserved)
{
    *reserved = 0;
    endpoint_lock(link->to);
    int result = try_reserve(link, tokens, count, reserved);
    endpoint_unlock(link->to);
    if (result != -EAGAIN)
        return result;

    if (!look_again(link->to))
        return -EPIPE;
    endpoint_lock(link->to);
    result = try_reserve(link, tokens, count, reserved);
    endpoint_unlock(link->to);
    return result;
}

static void append(struct ferry_link *link, const struct ferry_desc *desc)
{
    lock_assert_held(&link->to->lock);
    struct endpoint *to = link->to;
    uint32_t slot = to->in_head & RING_MASK;

    to->queue[slot] = *desc;
    to->queue_link[slot] = (uint8_t)link->index;
    to->in_head++;
    if (!endpoint_is_host(to))
        /* In bounds: the slot is masked, and free because a reserved entry is
         * counted until the guest has taken it. */
        to->control->in[slot] = *desc;
}

/* Shows the guest what was appended. */
static void publish(struct endpoint *to)
{
    lock_assert_held(&to->lock);
    if (!endpoint_is_host(to))
        ring_publish(&to->control->vmm.in_head, to->in_head);
}

void queue_deliver(struct ferry_link *link, const struct ferry_desc *descs, uint32_t count)
{
    struct endpoint *to = link->to;

    endpoint_lock(to);
    for (uint32_t i = 0; i < count; i++) {
        if (mode_of(descs[i].mode)->has_token)
            held_set_state(to, descs[i].payload.token, HELD_QUEUED);
        append(link, &descs[i]);
    }
    publish(to);
    to->promised -= count;
    to->users -= count;
    if (to->users == 0)
        endpoint_has_no_users(to);
    endpoint_unlock(to);
    endpoint_wake(to);
    atomic_fetch_add_explicit(&to->messages_received, count, memory_order_relaxed);
}

static int append_inline(struct ferry_link *link, const struct ferry_desc *descs, uint32_t count)
{
    lock_assert_held(&link->to->lock);
    if (!may_send(link))
        return -EPIPE;
    uint32_t room = room_inline(link), fit = count < room ? count : room;
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

void queue_unreserve(struct ferry_link *link, const uint32_t *tokens, uint32_t count)
{
    struct endpoint *to = link->to;
    struct wakes wakes = {0};

    if (count == 0)
        return;
    endpoint_lock(to);
    for (uint32_t i = 0; tokens && i < count; i++)
        held_set_state(to, tokens[i], HELD_FREE);
    to->promised -= count;
    to->users -= count;
    link->in_flight -= count;
    if (to->users == 0)
        endpoint_has_no_users(to);
    room_to_wake(to, true, &wakes);
    endpoint_unlock(to);
    room_wake(&wakes);
}

void queue_hangup_again(struct ferry_link *link)
{
    const struct ferry_desc desc = {.mode = FERRY_HANGUP,
                                    .turn = direct_sent(link),
                                    .src = link->from->id,
                                    .dst = link->to->id,
                                    .src_generation = link->from->generation,
                                    .dst_generation = link->to->generation};

    append(link, &desc);
    publish(link->to);
}

void queue_hangup(struct ferry_link *link)
{
    struct endpoint *to = link->to;

    endpoint_lock(to);
    if (to->live && !link->hung_up) {
        end_link(link);
        if (!to->resting) /* else it is told when it goes on, and shown nothing until then */
            queue_hangup_again(link);
    }
    endpoint_unlock(to);
    endpoint_wake(to);
}

void queue_open(struct ferry_link *link)
{
    lock_assert_held(&link->to->lock);
    link->to->in_open += link->hung_up;
    link->hung_up = link->unread = false;
}

bool queue_want(struct ferry_link *link)
{
    if (atomic_load_explicit(&link->wanted, memory_order_relaxed) ||
        atomic_exchange(&link->wanted, true))
        return false;
    endpoint_wake(link->from);
    return true;
}

bool queue_take(struct endpoint *endpoint, struct ferry_desc *desc)
{
    struct wakes wakes = {0};

    endpoint_lock(endpoint);
    bool any = endpoint->in_head != endpoint->in_tail;
    if (any) {
        *desc = endpoint->queue[endpoint->in_tail & RING_MASK];
        room_entry_taken(endpoint, endpoint_is_host(endpoint) ? HELD_TAKEN : HELD_READ);
        room_to_wake(endpoint, false, &wakes);
    }
    endpoint_unlock(endpoint);
    room_wake(&wakes);
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

bool queue_accepts(struct ferry_link *link)
{
    endpoint_lock(link->to);
    bool may = accepts(link);
    endpoint_unlock(link->to);
    return may;
}

bool queue_may_send(struct ferry_link *link)
{
    endpoint_lock(link->to);
    bool may = may_send(link);
    endpoint_unlock(link->to);
    return may;
}

bool queue_unread(struct ferry_link *link)
{
    endpoint_lock(link->to);
    bool unread = link->unread;
    endpoint_unlock(link->to);
    return unread;
}

bool queue_hung_up(struct ferry_link *link)
{
    endpoint_lock(link->to);
    bool hung_up = link->hung_up;
    endpoint_unlock(link->to);
    return hung_up;
}

const void *queue_payload(const struct endpoint *endpoint, const struct ferry_desc *desc)
{
    const struct pool *pool = &endpoint->exchange->pool;
    const uint64_t addr = desc->payload.addr; /* of an INLINE message it is not an address */

    switch (mode_of(desc->mode)->carries) {
    case MODE_COPY:
        return endpoint->receive_buffers + (addr - endpoint->receive_buffers_addr.value);
    case MODE_UNITS:
        return pool_at(pool, endpoint_offset(endpoint, guest_addr(addr)));
    case MODE_INLINE:
        return desc->data;
    case MODE_NOTHING:
        break;
    }
    return NULL;
}

void queue_refuse(struct ferry_link *link)
{
    endpoint_lock(link->to);
    end_link(link);
    endpoint_unlock(link->to);
    endpoint_wake(link->from);
}

bool queue_abandon(struct ferry_link *link)
{
    struct endpoint *to = link->to;

    endpoint_lock(to);
    bool unused = !to->live || (!link->hung_up && !link->in_flight && !link->inline_in_flight);
    if (unused)
        end_link(link);
    endpoint_unlock(to);
    return unused;
}

void queue_refuse_all(struct endpoint *endpoint)
{
    for (uint32_t i = 0; i < endpoint->in_count; i++)
        queue_refuse(endpoint->in[i]);
}
