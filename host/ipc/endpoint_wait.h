/* SPDX-License-Identifier: BSD-2-Clause */
/* Waiting for something to happen to an endpoint. */
#ifndef FERRY_HOST_ENDPOINT_WAIT_H
#define FERRY_HOST_ENDPOINT_WAIT_H

#include "ipc/endpoint.h"

/* The pattern: seen = prepare(); if what is waited for holds, finish() and go
 * on, else block(seen) and look again. prepare() also makes senders that gather
 * plain output for this endpoint send it. */
uint32_t endpoint_prepare(struct endpoint *endpoint);
void endpoint_finish(struct endpoint *endpoint);
/* Shows senders what it waits for: FERRY_WAITS*. Part of prepare and finish. */
void endpoint_show_waiting(struct endpoint *endpoint, uint32_t waiting);
/* -EINTR: told to stop; -ETIMEDOUT: deadline (CLOCK_MONOTONIC, UINT64_MAX: none). */
int endpoint_block(struct endpoint *endpoint, uint32_t seen, uint64_t deadline_ns);

#endif
