/* SPDX-License-Identifier: BSD-2-Clause */
/* A link between two endpoints: calls of the host on it, and its end. */
#include "ipc/link.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ipc/ring.h"
#include "lib/clock.h"

/* --- calls of the host on it --------------------------------------------------- */

/* A bit of `callers`: no more calls may begin. */
#define CLOSING 0x80000000u

bool link_enter(struct ferry_link *link)
{
    if (!(atomic_fetch_add(&link->callers, 1) & CLOSING))
        return true;
    link_leave(link);
    return false;
}

void link_leave(struct ferry_link *link)
{
    /* From here on the link may be gone; the waking needs its address only. */
    if (atomic_fetch_sub(&link->callers, 1) == (CLOSING | 1))
        clock_futex_wake(&link->callers);
}

void link_close(struct ferry_link *link)
{
    uint32_t seen = atomic_fetch_or(&link->callers, CLOSING) | CLOSING;

    for (; seen != CLOSING; seen = atomic_load(&link->callers))
        clock_futex_wait(&link->callers, seen, CLOCK_NEVER);
}

/* --- beginning and end --------------------------------------------------------- */

void link_connect(struct ferry_link *link)
{
    struct endpoint *from = link->from, *to = link->to;

    from->out[from->out_count++] = link;
    endpoint_lock(to);
    link->index = to->in_count;
    to->in[to->in_count++] = link;
    to->in_open++;
    endpoint_unlock(to);
}

static void remove_link(struct ferry_link **list, uint32_t *count, uint32_t at)
{
    memmove(&list[at], &list[at + 1], (--*count - at) * sizeof(struct ferry_link *));
}

static void leave_sender(struct ferry_link *link)
{
    struct endpoint *from = link->from;
    uint32_t at = 0;

    endpoint_lock(from);
    while (from->out[at] != link)
        at++;
    remove_link(from->out, &from->out_count, at);
    if (from->stream_out == link)
        from->stream_out = NULL;
    if (from->control) { /* of a VM that has not run, or will not again */
        link->sender_peer_entry->rights &= (uint16_t)~FERRY_MAY_SEND;
        if (link->stream)
            from->control->info.stdout_peer = FERRY_NO_PEER;
    }
    endpoint_unlock(from);
}

/* The queue holds no message of this link. */
static void leave_receiver(struct ferry_link *link)
{
    struct endpoint *to = link->to;

    endpoint_lock(to);
    remove_link(to->in, &to->in_count, link->index);
    to->in_open -= !link->hung_up;
    for (uint32_t i = link->index; i < to->in_count; i++)
        to->in[i]->index--;
    for (uint32_t i = to->in_tail; i != to->in_head; i++)
        to->queue_link[i & RING_MASK] -= to->queue_link[i & RING_MASK] > link->index;
    if (to->stream_in == link)
        to->stream_in = NULL;
    if (to->control) {
        link->receiver_peer_entry->rights &= (uint16_t)~FERRY_MAY_RECEIVE;
        if (link->stream)
            to->control->info.stdin_peer = FERRY_NO_PEER;
    }
    endpoint_unlock(to);
}

/* The exchange's lock is not asserted: exchange.c includes link.h, so including exchange.h here would
 * close a circle. */
void link_disconnect(struct ferry_link *link)
{
    leave_sender(link);
    leave_receiver(link);
}

void link_free(struct ferry_link *link)
{
    if (link->direct)
        munmap((void *)(uintptr_t)link->direct, sizeof(struct ferry_direct));
    free(link);
}
