/* SPDX-License-Identifier: BSD-2-Clause */
/* Declarations that the files stream*.c share. */
#ifndef FERRY_HOST_STREAM_INTERNAL_H
#define FERRY_HOST_STREAM_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <ferry/abi/kernel.h>
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
    bool open; /* to the guest, whose kernel fills it */
};

/* What the guest kernel was shown, in stream_guest.c. */
struct guest_side {
    struct ferry_kernel_shown *shown; /* NULL: it is not there */
    struct ferry_kernel_words *words;
    /* Input, of the thread that is served: */
    bool input_open;
    uint32_t input_generation;
    uint64_t input_seen, input_bytes; /* positions: read so far; the end of what was published */
    unsigned reads;                   /* counts up whenever the guest kernel has read */
    /* Output, of the thread that is served. No room is shown while one of the first two is set: */
    unsigned awaiting;   /* threads that wait until no CPU fills the room */
    unsigned vmm_writes; /* so many pieces the VMM writes next: stream_keep_room */
    bool wanted; /* somebody found a CPU in the middle of a write, and may wait for its end */
    /* Output, under the stream's lock: */
    bool room_open; /* the guest may be in the middle of filling */
    uint32_t room_generation;
};

#define AHEAD_MAX FERRY_KERNEL_PIECES

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
    /* Messages that follow it and were taken for the guest kernel. */
    struct ferry_desc ahead[AHEAD_MAX];
    uint32_t ahead_first, ahead_count;

    unsigned calls; /* reads and writes that the VMM served */
    struct guest_side guest;
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

/* Makes sure that there is an extent to fill: 0, or -EAGAIN, -ENOMEM. Under lock. */
int stream_take_buffer(struct stream *stream);

/* A message that was taken from the queue is the one being read. */
void stream_begin_message(struct stream *stream, const struct ferry_desc *message);
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

/* --- stream_guest.c --- */

/* The input is the VMM's again: what the guest kernel read is consumed. */
void stream_take_input_back(struct stream *stream);
/* Under lock, any thread: what the guest kernel wrote so far counts as gathered. */
void stream_count_room(struct stream *stream);
/* Under lock, on the thread that serves the VM: the same, and the room is the VMM's again. No CPU is
 * in the middle of a write: stream_await_writers. */
void stream_take_room_back(struct stream *stream);
/* Under lock: takes it back unless a CPU is in the middle of a write, which is kicked then. */
bool stream_try_room_back(struct stream *stream);
/* The next pieces, so many at least, are written by the VMM. So a CPU that was taken out of a write gets
 * on, and so does a thread that found one in the middle of a write and did not wait: whenever it looks
 * again, such a CPU might be in its next one. */
void stream_keep_room(struct stream *stream, unsigned pieces);
#define STREAM_PIECES_CUT_OFF 1
#define STREAM_PIECES_REFUSED 16 /* enough for a thread that is woken to have its turn */
/* Waits until no CPU of the guest is in the middle of a write, and takes the room back. Other threads
 * may be served meanwhile, and afterwards whenever the caller waits; then the room may be there again.
 * 0 or -EINTR. */
int stream_await_writers(struct stream *stream);

#endif
