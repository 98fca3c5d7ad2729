/* SPDX-License-Identifier: BSD-2-Clause */
/* Declarations that the files stream*.c share. */
#ifndef FERRY_HOST_STREAM_INTERNAL_H
#define FERRY_HOST_STREAM_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <ferry/abi/message.h>

#include "ipc/endpoint.h"
#include "ipc/link.h"
#include "lib/lock.h"
#include "stream/stream.h"

#define BUFFERS_MAX 64

enum buffer_state { BUFFER_FREE, BUFFER_FILLING, BUFFER_LENT };

/* An extent the VM owns for its plain output. The thread that brings the loan home changes `state`
 * to FREE, without a lock: that thread may already be inside a hand-over of this very stream. */
struct buffer {
    struct units units;
    atomic_int state;
};

struct stream {
    struct endpoint *endpoint;

    struct lock lock; /* output; taken before any endpoint's lock */
    struct buffer buffers[BUFFERS_MAX];
    atomic_uint buffer_count;
    struct buffer *filling; /* or NULL */
    uint64_t start, fill;   /* of it: [start, fill) is not yet sent */
    uint64_t sent_ns;       /* when the last message left */
    bool output_closed;

    bool writing; /* a thread is in stream_write; of the thread that is served */

    /* Input, of the thread of the VM that is served: */
    struct ferry_desc message; /* being read */
    const char *data;
    uint64_t left;
    bool have, ended;
};

/* Hooks of the endpoint, see struct endpoint_stream. */
void stream_pull(struct stream *stream);
bool stream_uses(const struct stream *stream, struct units units);

/* --- the rest on the thread that serves the VM unless said otherwise --- */

/* Under lock, any thread: sends all that was gathered, as far as there is room. */
int stream_flush(struct stream *stream);
/* Copies as much of src as fits into the extent that is being filled, and sends it when it is full
 * or wanted. Bytes taken, or -EAGAIN, -EPIPE, -ENOMEM. */
ssize_t stream_gather(struct stream *stream, const char *src, size_t bytes);

/* Whether a write would find room. */
bool stream_output_room(struct stream *stream);

/* Whether the next message of the queue is input, or input has ended. -EBUSY:
 * it is from another peer, and the program must receive it as a message first. */
int stream_input_ready(struct stream *stream);
/* Waits for that. */
int stream_await_input(struct stream *stream);
/* Takes the next message that is not empty, if none is being read and there is one. There may be
 * none even after stream_input_ready: another thread may have found that the guest took it. */
void stream_next_message(struct stream *stream);
/* The program got so many more bytes of it. */
void stream_consume(struct stream *stream, uint64_t bytes);
/* Releases the message that was read: it goes home. */
void stream_drop_message(struct stream *stream);

#endif
