/* SPDX-License-Identifier: BSD-2-Clause */
/* The rest of an endpoint between two runs of its program. */
#include "ipc/endpoint_rest.h"

#include <errno.h>
#include <string.h>

#include "ipc/drain.h"
#include "ipc/exchange.h"
#include "ipc/link.h"
#include "ipc/loan.h"
#include "ipc/mode.h"
#include "ipc/queue.h"
#include "ipc/room.h"
#include "ipc/units.h"

static bool is_still(const struct endpoint *endpoint)
{
    lock_assert_held(&endpoint->lock);
    struct ledger *ledger = &endpoint->exchange->ledger;

    return endpoint->in_head == endpoint->in_tail && !endpoint->promised &&
           held_in(endpoint, HELD_FREE) == UINT64_MAX && !endpoint->loans &&
           endpoint->home_head == endpoint->home_tail && endpoint->in_open == endpoint->in_count &&
           !drain_pending(endpoint) && !ledger_owned(ledger, endpoint->index, true) &&
           !ledger_owned(ledger, endpoint->index, false);
}

int endpoint_mark(const struct endpoint *endpoint, struct endpoint_point *out)
{
    if (!is_still(endpoint))
        return -EBUSY;
    *out = (struct endpoint_point){.in = endpoint->in_head,
                                   .release_tail = endpoint->release_tail,
                                   .home = endpoint->home_head,
                                   .out_tail = endpoint->out_tail,
                                   .seen = endpoint->seen};
    memcpy(out->receive_filled, endpoint->receive_filled, sizeof out->receive_filled);
    return 0;
}

void endpoint_rest(struct endpoint *endpoint)
{
    endpoint_lock(endpoint);
    endpoint->resting = true;
    endpoint_unlock(endpoint);
    for (uint32_t i = 0; i < endpoint->in_count; i++)
        endpoint_wake(endpoint->in[i]->from);
}

void endpoint_tell_host(struct endpoint *endpoint)
{
    for (uint32_t i = 0; i < endpoint->out_count; i++)
        if (endpoint_is_host(endpoint->out[i]->to))
            queue_hangup(endpoint->out[i]);
}

/* ---- clearing -------------------------------------------------------------------- */

/* What the host was sent and has not taken. */
static void drop_message(struct endpoint *host, const struct ferry_desc *desc)
{
    const struct mode *mode = mode_of(desc->mode);
    struct units units;

    if (mode->has_token)
        loan_release(host, desc->payload.token);
    else if (mode->moves && pool_covering(&host->exchange->pool,
                                          endpoint_offset(host, guest_addr(desc->payload.addr)),
                                          desc->payload.bytes, &units))
        units_free(host, units);
}

/* The host's end is there as long as it has not begun to close the link. */
static void open_to_host(struct ferry_link *link)
{
    struct endpoint *host = link->to;
    struct ferry_desc desc;

    if (!link_enter(link))
        return;
    while (queue_take(host, &desc))
        drop_message(host, &desc);
    endpoint_lock(host);
    queue_open(link);
    endpoint_unlock(host);
    link_leave(link);
}

/* Those that entered it before it rested leave; nobody enters it any more. */
static void await_users(struct endpoint *endpoint)
{
    lock_assert_held(&endpoint->lock);
    while (endpoint->users)
        lock_wait(&endpoint->changed, &endpoint->lock);
}

void endpoint_clear(struct endpoint *endpoint)
{
    struct window *window = &endpoint->window;

    endpoint_lock(endpoint);
    await_users(endpoint);
    while (endpoint->in_head != endpoint->in_tail)
        room_entry_taken(endpoint, HELD_READ);
    endpoint_unlock(endpoint);
    /* All of it at once: that splits no mapping, so it cannot fail, and nor can what follows. */
    if (!atomic_load(&window->hidden))
        window_set(window, (struct pool_offset){0}, window->bytes, WINDOW_CLOSED, WINDOW_CLOSED);
    loan_release_all(endpoint);
    ledger_evict(&endpoint->exchange->ledger, endpoint->index);
    for (uint32_t i = 0; i < endpoint->out_count; i++)
        if (endpoint_is_host(endpoint->out[i]->to))
            open_to_host(endpoint->out[i]);
}

/* ---- going on ---------------------------------------------------------------------- */

/* From the host, unless it closes the link, which it tells after this; others hang up once more, as the
 * queue was emptied. */
static void open_from(struct ferry_link *link)
{
    if (!link->hung_up)
        return;
    if (!endpoint_is_host(link->from) || !link_enter(link)) {
        queue_hangup_again(link);
        return;
    }
    queue_open(link);
    link_leave(link);
}

void endpoint_go_on(struct endpoint *endpoint, const struct endpoint_point *point)
{
    struct wakes wakes = {0};

    endpoint_lock(endpoint);
    endpoint->in_head = endpoint->in_tail = point->in;
    endpoint->release_tail = point->release_tail;
    endpoint->home_head = endpoint->home_tail = point->home;
    endpoint->out_tail = point->out_tail;
    endpoint->seen = point->seen;
    memcpy(endpoint->receive_filled, point->receive_filled, sizeof point->receive_filled);
    endpoint->out_parked = false;
    endpoint->loans = 0;
    endpoint->exited = false;
    endpoint->resting = false;
    for (uint32_t i = 0; i < endpoint->in_count; i++)
        open_from(endpoint->in[i]);
    room_to_wake(endpoint, true, &wakes);
    endpoint_unlock(endpoint);
    room_wake(&wakes);
}
