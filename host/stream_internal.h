/* SPDX-License-Identifier: BSD-2-Clause */
/* What the rest of the library does with a VM's byte stream. */
#ifndef FERRY_HOST_STREAM_INTERNAL_H
#define FERRY_HOST_STREAM_INTERNAL_H

#include <stdbool.h>

#include "pool.h"

struct endpoint;
struct stream;

int stream_create(struct endpoint *endpoint, struct stream **out);
void stream_destroy(struct stream *stream);

/* The receiver is about to wait: send what was gathered. Any thread. */
void stream_pull(struct stream *stream);

/* A loan came home. True: it was the stream's. Any thread. */
bool stream_came_home(struct stream *stream, struct units units);

/* Whether the VMM itself writes or reads any of the units for the program's plain
 * writes and reads, so that the guest must not give them away. On the VM's own thread. */
bool stream_uses(const struct stream *stream, struct units units);

/* The program has ended: sends the rest, waiting for room unless told to stop. */
void stream_finish(struct stream *stream);

#endif
