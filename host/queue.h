/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The queue of messages that arrived at an endpoint (claims 1, 3, 8). Room in
 * it is promised before a hand-over begins, so that delivering cannot fail.
 * Any thread, unless said otherwise.
 */
#ifndef FERRY_HOST_QUEUE_H
#define FERRY_HOST_QUEUE_H

#include "endpoint.h"

/* Promises room for one message of `link` with a payload, and with_token a token for it.
 * -EAGAIN: no room now, the sender is noted as parked; -EPIPE: the receiver is gone or the
 * link hung up. */
int queue_reserve(struct ferry_link *link, bool with_token, uint32_t *token);
void queue_unreserve(struct ferry_link *link, bool with_token, uint32_t token);
/* Fulfils `count` promises of one link, in order; cannot fail. Wakes the receiver once. */
void queue_deliver(struct ferry_link *link, const struct ferry_desc *descs, uint32_t count);

/* Delivers messages that are their descriptors alone: as many of `count` as there is room
 * for, in order; returns how many. Fewer: the sender is noted as parked. -EPIPE as above.
 * Wakes the receiver once. */
int queue_deliver_inline(struct ferry_link *link, const struct ferry_desc *descs, uint32_t count);
/* Delivers the hang-up, for which room is always kept; once per link. */
void queue_hangup(struct ferry_link *link);

/* Takes the next message on the VMM's side, for the host or for plain reads. False: none. */
bool queue_take(struct endpoint *endpoint, struct ferry_desc *desc);
/* The next message without taking it. */
bool queue_peek(struct endpoint *endpoint, struct ferry_desc *desc);

/* The receiver takes no more over this link: senders get -EPIPE. */
void queue_refuse(struct ferry_link *link);
/* The same over all links to this endpoint, whose program has ended. */
void queue_refuse_all(struct endpoint *endpoint);
/* Before it is destroyed: whether nothing of it is in the queue, and now nothing will be. */
bool queue_abandon(struct ferry_link *link);
/* Whether anything sent over it can still arrive. */
bool queue_accepts(struct ferry_link *link);
/* Whether either side has ended it. What was sent before may still be on its way. */
bool queue_hung_up(struct ferry_link *link);

/* Notes that the sender waits until the receiver may own so many units more. Who notes it looks
 * once more afterwards. */
void queue_park_share(struct ferry_link *link, bool pages, uint32_t units);
/* Wakes every sender that waits for room and has some, be it for one message. It finds that
 * room, unless another took it meanwhile. */
void queue_unpark(struct endpoint *endpoint);

/* The receiver looks for messages of this link. True: for the first time; its sender may have
 * waited for that. */
bool queue_want(struct ferry_link *link);

/* --- for loan.c --- */

/* Under lock: the entry at in_tail was taken; a payload becomes `state`. */
void queue_entry_taken(struct endpoint *endpoint, enum held_state state);

/* Senders to wake once the lock is dropped. */
struct wakes {
    struct endpoint *list[FERRY_PEERS_MAX];
    uint32_t count;
};
/* Under lock: adds parked senders that have room again; `all`: even for one message. */
void queue_to_wake(struct endpoint *endpoint, bool all, struct wakes *wakes);
void queue_wake(const struct wakes *wakes);

#endif
