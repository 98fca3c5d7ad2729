/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The queue of messages that arrived at an endpoint (claims 1, 3, 8). Room in
 * it is promised before a hand-over begins, so that delivery cannot fail.
 * Any thread, unless said otherwise.
 */
#ifndef FERRY_HOST_QUEUE_H
#define FERRY_HOST_QUEUE_H

#include "ipc/link.h"

/* Promises room for `count` messages of `link` with a payload, and a token for each unless `tokens`
 * is NULL. *reserved: the number for which there is room. -EAGAIN: there is none now, and the sender
 * is marked as parked; -EPIPE: the receiver is gone or the link hung up. */
int queue_reserve(struct ferry_link *link, uint32_t *tokens, uint32_t count, uint32_t *reserved);
/* Takes back `count` promises, and wakes senders that found no room meanwhile. */
void queue_unreserve(struct ferry_link *link, const uint32_t *tokens, uint32_t count);
/* Fulfils `count` promises of one link, in order; cannot fail. Wakes the receiver once. */
void queue_deliver(struct ferry_link *link, const struct ferry_desc *descs, uint32_t count);

/* Delivers INLINE messages, which consist of their descriptors: as many of `count` as there is room
 * for, in order; returns how many. If these are fewer, the sender is marked as parked. -EPIPE as
 * above. Wakes the receiver once. */
int queue_deliver_inline(struct ferry_link *link, const struct ferry_desc *descs, uint32_t count);
/* Delivers the hang-up, for which room is always kept; once per link. A receiver that rests is told when it
 * goes on. */
void queue_hangup(struct ferry_link *link);

/* The same once more: the queue was emptied. And: the link takes messages again; its queue holds none of
 * its. Both under the receiver's lock. */
void queue_hangup_again(struct ferry_link *link);
void queue_open(struct ferry_link *link);

/* Takes the next message on the VMM's side, for the host or for plain reads. False: none. */
bool queue_take(struct endpoint *endpoint, struct ferry_desc *desc);
/* The next message without taking it. */
bool queue_peek(struct endpoint *endpoint, struct ferry_desc *desc);

/* The VMM's address of the payload of a message that the endpoint has; NULL: it carries nothing. The
 * payload of an INLINE message is in the descriptor. */
const void *queue_payload(const struct endpoint *endpoint, const struct ferry_desc *desc);

/* The receiver takes no more over this link: senders get -EPIPE. */
void queue_refuse(struct ferry_link *link);
/* The same over all links to this endpoint, whose program has ended. */
void queue_refuse_all(struct endpoint *endpoint);
/* To be called before a link is destroyed. Returns whether none of its messages is in the queue;
 * from then on none will be. */
bool queue_abandon(struct ferry_link *link);
/* Whether a message sent over the link can still arrive. */
bool queue_accepts(struct ferry_link *link);
/* The same, for a thread that is about to send; if not, the link records that its messages are not
 * read. */
bool queue_may_send(struct ferry_link *link);
/* Whether a message was to be sent over the link that could not arrive. */
bool queue_unread(struct ferry_link *link);
/* Whether either side has ended the link. Earlier messages may still be on their way. */
bool queue_hung_up(struct ferry_link *link);

/* Records that the receiver looks for messages of this link. True: for the first time; its sender
 * may have waited for that. */
bool queue_want(struct ferry_link *link);

#endif
