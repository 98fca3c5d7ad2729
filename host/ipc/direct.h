/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Direct rings on the VMM's side: waking who waits for what is in one. The VMM takes nothing out of them and writes nothing into them; what it
 * reads there decides about waking and order, which harm nobody but the two ends.
 */
#ifndef FERRY_HOST_DIRECT_H
#define FERRY_HOST_DIRECT_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc/link.h"

/* Before the first ring is made. -ENOSYS and the like: there can be none here. */
int direct_prepare(void);

/* How many messages the sender has put into the ring of its link, for the order of what the
 * VMM itself sends over it; 0 if there is none. */
uint32_t direct_sent(const struct ferry_link *link);

/* Whether a ring holds a message that this endpoint has not taken. */
bool direct_waiting(const struct endpoint *to);
/* It waits for a message, until endpoint_finish. After `waiting` was shown and before
 * direct_waiting is asked for the last time: of what a sender does next to that, either its
 * store is seen by us or our `waiting` by it. */
void direct_await(struct endpoint *to);
/* Wakes whoever waits for what this endpoint put into its rings, once for each wait. Any
 * thread. */
void direct_announce(const struct endpoint *from);

#endif
