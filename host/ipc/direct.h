/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Direct rings on the VMM's side: waking a receiver that waits for a message in one. The VMM takes
 * nothing out of the rings and writes nothing into them. What it reads there decides only about
 * waking and order, so a false value harms only the two ends.
 */
#ifndef FERRY_HOST_DIRECT_H
#define FERRY_HOST_DIRECT_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc/link.h"

/* To be called before the first ring is made. -ENOSYS and the like: this machine can have none. */
int direct_prepare(void);

/* How many messages the sender has put into the ring of its link; 0 if there is no ring. Messages
 * that the VMM itself sends over the link carry this number, for the order. */
uint32_t direct_sent(const struct ferry_link *link);

/* Whether a ring holds a message that this endpoint has not taken. */
bool direct_waiting(const struct endpoint *to);
/* The endpoint waits for a message, until endpoint_finish. To be called after `waiting` was shown
 * and before direct_waiting is called for the last time. If a sender stores a message at the same
 * time, then either we see its store or it sees our `waiting`. */
void direct_await(struct endpoint *to);
/* Wakes each receiver that waits for a message which this endpoint put into a direct ring, once for
 * each wait. Any thread. */
void direct_announce(const struct endpoint *from);

#endif
