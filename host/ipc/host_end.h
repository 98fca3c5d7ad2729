/* SPDX-License-Identifier: BSD-2-Clause */
/* The host's end of a link, an endpoint of its own for each. */
#ifndef FERRY_HOST_HOST_END_H
#define FERRY_HOST_HOST_END_H

#include "ipc/link.h"

/* Makes the host's end of a link with `peer`, a VM: an endpoint whose window is the VMM's own view.
 * An end that sends gets units from the pool, where some are kept for it. An end that receives owns
 * no more units than `peer` may; a MOVE beyond that waits until the host frees some. */
int host_end_new(struct exchange *exchange, const struct endpoint *peer, bool sends,
                 struct endpoint **out);

/* That end; NULL: the link is between two VMs. */
struct endpoint *host_end_of(const struct ferry_link *link);
/* The other. */
struct endpoint *host_end_peer(const struct ferry_link *link);

/* Ends the host's end: calls on it return, the loans it holds go home, the units it owned go to
 * the pool. */
void host_end_close(struct ferry_link *link);
/* The same for all links of a VM that is being destroyed. */
void host_end_close_all(struct endpoint *endpoint);

#endif
