/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rest of an endpoint between two runs of its program: its links stay, no message comes, and it
 * begins the next run with what it had at a point at which nothing was under way. Its links with the host
 * hang up with the end of a run, and are open again in the next; other VMs only see that it takes nothing.
 */
#ifndef FERRY_HOST_ENDPOINT_REST_H
#define FERRY_HOST_ENDPOINT_REST_H

#include "ipc/endpoint.h"

/* What an endpoint shows its guest at such a point. */
struct endpoint_point {
    uint32_t in, release_tail, home, out_tail;
    struct published seen;
    uint32_t receive_filled[FERRY_TOKENS];
};

/* Notes the point. -EBUSY: a message waits, a payload is held, something is lent or owned, or a link has
 * hung up. Under the endpoint's lock, on the thread that serves the VM: while that is held, no message
 * can come. */
int endpoint_mark(const struct endpoint *endpoint, struct endpoint_point *out);

/* Its program has ended: from now on messages to it are refused with -EPIPE, and who waits for room is
 * told. On the thread that serves the VM, as the rest. */
void endpoint_rest(struct endpoint *endpoint);
/* The host is told that no message of this run comes any more. */
void endpoint_tell_host(struct endpoint *endpoint);
/* While it rests: brings home what it holds, gives back what it owns, and forgets its messages. What it
 * sent to the host, and the host has not taken, is lost; of what it lent, the holders give the units to the
 * pool. */
void endpoint_clear(struct endpoint *endpoint);
/* Messages may come again. Its control structure is as it was at the point, but for the page of its
 * peers; VMs that have ended since then hang up once more. */
void endpoint_go_on(struct endpoint *endpoint, const struct endpoint_point *point);

#endif
