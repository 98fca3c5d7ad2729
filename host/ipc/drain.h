/* SPDX-License-Identifier: BSD-2-Clause */
/* Drain: takes the messages of a guest out of its ring. */
#ifndef FERRY_HOST_DRAIN_H
#define FERRY_HOST_DRAIN_H

#include <stdbool.h>

#include "ipc/endpoint.h"

/* Whether descriptors wait in the out ring. */
bool drain_pending(const struct endpoint *from);
/* Takes what the guest put into its out ring, in order, until it is empty or
 * a message must wait for room; first what it took and released. Work is
 * bounded by the rings. By whoever serves the VM.
 * Sets from->out_parked. */
void drain_ring(struct endpoint *from);
/* The same; but first sends the plain output that the program wrote before, and wakes receivers
 * that wait for a message in its direct rings. */
void drain_out(struct endpoint *from);
/* Drains until the out ring is empty. -EINTR: told to stop before that. On the VM's own thread. */
int drain_all(struct endpoint *from);

#endif
