/* SPDX-License-Identifier: BSD-2-Clause */
/* Drain: takes the messages of a guest out of its ring. */
#ifndef FERRY_HOST_DRAIN_H
#define FERRY_HOST_DRAIN_H

#include <stdbool.h>

#include "ipc/endpoint.h"

/* Whether descriptors wait in the out ring. */
bool drain_pending(const struct endpoint *from);
/* First processes the messages that the guest took and the tokens it released. Then takes the
 * guest's descriptors in order, until the out ring is empty or a message must wait for room. The
 * work is bounded by the rings. On the thread that serves the VM. Sets from->out_parked. */
void drain_ring(struct endpoint *from);
/* The same; but first sends the plain output that the program wrote before, and wakes receivers
 * that wait for a message in its direct rings. */
void drain_out(struct endpoint *from);
/* The same on a thread that serves other VMs, too. False: it stopped at a message that may take as long
 * as a disk, which the VM's own thread has to send. */
bool drain_out_quick(struct endpoint *from);
/* Drains until all that the out ring has now is sent. -EINTR: told to stop before that. On the VM's
 * own thread. */
int drain_all(struct endpoint *from);

#endif
