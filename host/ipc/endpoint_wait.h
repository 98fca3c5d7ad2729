/* SPDX-License-Identifier: BSD-2-Clause */
/* Waiting on an endpoint: for a message, a completion or room. */
#ifndef FERRY_HOST_ENDPOINT_WAIT_H
#define FERRY_HOST_ENDPOINT_WAIT_H

#include "ipc/endpoint.h"

struct pollfd;

/* How to wait: seen = prepare(); if the condition holds, call finish() and go
 * on, else block(seen), call finish() and check again. prepare() also makes senders that gather
 * plain output for this endpoint send it. */
uint32_t endpoint_prepare(struct endpoint *endpoint);
void endpoint_finish(struct endpoint *endpoint);
/* Shows senders the reason of a wait: FERRY_WAITS*. Part of prepare and finish. */
void endpoint_show_waiting(struct endpoint *endpoint, uint32_t waiting);
/* -EINTR: told to stop; -ETIMEDOUT: deadline (CLOCK_MONOTONIC, UINT64_MAX: none). */
int endpoint_block(struct endpoint *endpoint, uint32_t seen, uint64_t deadline_ns);
/* The same, and only endpoint_wake, or endpoint_wake_for of one of these bits, ends it. */
int endpoint_block_for(struct endpoint *endpoint, uint32_t seen, uint64_t deadline_ns,
                       uint32_t what);
/* The same until something holds for one of the descriptors: entries[0] is room for the waker, others
 * follow. After endpoint_can_poll. */
int endpoint_block_on(struct endpoint *endpoint, uint32_t seen, uint64_t deadline_ns,
                      struct pollfd *entries, unsigned count);
/* After a wait, during which other threads of the program may have been served: whether memory of
 * the program may still be read, or written. */
bool endpoint_keeps(const struct endpoint *endpoint, const void *at, uint64_t bytes, bool write);

#endif
