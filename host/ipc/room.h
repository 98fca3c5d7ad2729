/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The room at a receiver for more messages (claims 3, 8), and the senders that wait for it: entries
 * of its queue, tokens, each link's share of both, and the right to own more units.
 */
#ifndef FERRY_HOST_ROOM_H
#define FERRY_HOST_ROOM_H

#include "ipc/link.h"

/* --- under the lock of the receiver --- */

/* Free entries of the queue. */
uint32_t room_entries(const struct endpoint *to);
/* A free token; -1: there is none. */
int64_t room_token(const struct endpoint *endpoint);
/* How many more INLINE messages of the link fit. */
uint32_t room_inline(const struct ferry_link *link);
/* The entry at in_tail was taken; a payload becomes `state`. */
void room_entry_taken(struct endpoint *endpoint, enum held_state state);

/* Senders to wake once the lock is dropped. */
struct wakes {
    struct endpoint *list[FERRY_PEERS_MAX];
    uint32_t count;
};
/* Adds parked senders that have room again; `all`: even for one message. */
void room_to_wake(struct endpoint *endpoint, bool all, struct wakes *wakes);

/* --- under no lock --- */

void room_wake(const struct wakes *wakes);
/* Wakes every sender that waits for room and has room for at least one message. It finds that room,
 * unless another sender took it meanwhile. */
void room_unpark(struct endpoint *endpoint);
/* Records that the sender waits until the receiver may own so many more units. The caller must
 * check once more afterwards. */
void room_park_share(struct ferry_link *link, bool pages, uint32_t units);

#endif
