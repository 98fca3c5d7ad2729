/* SPDX-License-Identifier: BSD-2-Clause */
/* The end of an endpoint: its peers are told, its loans and units go home or to the pool. */
#include "ipc/endpoint_end.h"

#include "ipc/exchange.h"
#include "ipc/link.h"
#include "ipc/loan.h"
#include "ipc/queue.h"

static bool is_live(struct endpoint *endpoint)
{
    endpoint_lock(endpoint);
    bool live = endpoint->live;
    endpoint_unlock(endpoint);
    return live;
}

/* To a guest the host is one peer, though it has an end for each link. Returns whether another end
 * is still there. Two ends may end at once: each first clears its `live`, so the later one sees
 * that. */
static bool host_stays(const struct endpoint *viewer, const struct endpoint *end)
{
    for (uint32_t i = 0; i < viewer->out_count; i++)
        if (endpoint_is_host(viewer->out[i]->to) && viewer->out[i]->to != end &&
            is_live(viewer->out[i]->to))
            return true;
    for (uint32_t i = 0; i < viewer->in_count; i++)
        if (endpoint_is_host(viewer->in[i]->from) && viewer->in[i]->from != end &&
            is_live(viewer->in[i]->from))
            return true;
    return false;
}

/* Writes into the control structure of `viewer` that `peer`, which is not live, is gone. */
static void show_gone(struct endpoint *viewer, const struct endpoint *peer,
                      struct ferry_peer *shown)
{
    if (!shown || (endpoint_is_host(peer) && host_stays(viewer, peer)))
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
        lock_wait(&endpoint->changed, &endpoint->lock);
    endpoint_unlock(endpoint);

    /* From here on nobody else changes it: it is not live and has no users.
     * Its window goes first, so that closing it loan by loan cannot fail. In this order: see
     * models/owner.pml. */
    window_destroy(&endpoint->window);
    loan_release_all(endpoint);
    ledger_evict(&endpoint->exchange->ledger, endpoint->index);
    for (uint32_t i = 0; i < endpoint->out_count; i++)
        show_gone(endpoint->out[i]->to, endpoint, endpoint->out[i]->receiver_peer_entry);
    for (uint32_t i = 0; i < endpoint->in_count; i++) {
        show_gone(endpoint->in[i]->from, endpoint, endpoint->in[i]->sender_peer_entry);
        endpoint_wake(endpoint->in[i]->from);
    }
    endpoint_lock(endpoint);
    endpoint->settled = true;
    endpoint_unlock(endpoint);
}
