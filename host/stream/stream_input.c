/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes over messages: input of the program is copied out of the messages that arrived. */
#include "stream/stream.h"

#include <errno.h>
#include <string.h>

#include "ipc/endpoint_wait.h"
#include "ipc/exchange.h"
#include "ipc/loan.h"
#include "ipc/mode.h"
#include "ipc/queue.h"
#include "ipc/units.h"
#include "lib/clock.h"
#include "stream/stream_internal.h"

void stream_drop_message(struct stream *stream)
{
    struct endpoint *endpoint = stream->endpoint;
    struct units units;

    stream->have = false;
    const struct mode *mode = mode_of(stream->message.mode);
    if (mode->has_token)
        loan_release(endpoint, stream->message.payload.token);
    else if (mode->moves &&
             pool_covering(&endpoint->exchange->pool,
                           endpoint_offset(endpoint, guest_addr(stream->message.payload.addr)),
                           stream->message.payload.bytes, &units))
        /* Not refused: still_there checked it, and since then stream_uses keeps the guest from
         * giving them away. */
        units_free(endpoint, units);
}

int stream_input_ready(struct stream *stream)
{
    struct endpoint *endpoint = stream->endpoint;
    struct ferry_desc desc;

    stream_take_input_back(stream);
    if (stream->have || stream->ended || stream->ahead_count)
        return 1;
    if (!queue_peek(endpoint, &desc))
        return 0;
    return desc.src == endpoint->stream_in->from->id ? 1 : -EBUSY;
}

/* Moved units belong to the program since they arrived: it may have given them away, and the pool
 * may even have given them to this stream since then, for its output. */
static bool still_there(const struct stream *stream)
{
    const struct endpoint *endpoint = stream->endpoint;
    const struct ferry_payload *payload = &stream->message.payload;
    struct units units;

    return !mode_of(stream->message.mode)->moves ||
           (pool_covering(&endpoint->exchange->pool,
                          endpoint_offset(endpoint, guest_addr(payload->addr)), payload->bytes,
                          &units) &&
            !stream_uses(stream, units) &&
            ledger_access(&endpoint->exchange->ledger, units, endpoint->index) == WINDOW_WRITE);
}

void stream_begin_message(struct stream *stream, const struct ferry_desc *message)
{
    stream->message = *message;
    stream->have = true;
    stream->data = queue_payload(stream->endpoint, &stream->message);
    stream->left = mode_has_payload(mode_of(stream->message.mode)) ? stream->message.payload.bytes
                                                                   : stream->message.inline_bytes;
}

/* The first of those that were taken ahead, else of the queue. */
static bool take(struct stream *stream, struct ferry_desc *message)
{
    if (!stream->ahead_count)
        return queue_take(stream->endpoint, message);
    *message = stream->ahead[stream->ahead_first];
    stream->ahead_first = (stream->ahead_first + 1) % AHEAD_MAX;
    stream->ahead_count--;
    return true;
}

void stream_next_message(struct stream *stream)
{
    while (!stream->have && !stream->ended && stream_input_ready(stream) > 0 &&
           take(stream, &stream->message)) {
        if (mode_of(stream->message.mode)->is_last)
            stream->ended = true;
        else if (still_there(stream))
            stream_begin_message(stream, &stream->message);
        if (stream->have && stream->left == 0)
            stream_drop_message(stream);
    }
}

/* Waits for a message, or the end of input: 1. 0: none came in time; -EBUSY, -EINTR. */
static int await_until(struct stream *stream, uint64_t deadline)
{
    struct endpoint *endpoint = stream->endpoint;
    int ready = stream_input_ready(stream), blocked = 0;

    while (ready == 0 && blocked == 0) {
        uint32_t seen = endpoint_prepare(endpoint);
        ready = stream_input_ready(stream);
        if (ready == 0)
            blocked = endpoint_block(endpoint, seen, deadline);
        endpoint_finish(endpoint);
        if (ready == 0)
            ready = stream_input_ready(stream);
    }
    return ready == 0 && blocked == -EINTR ? -EINTR : ready;
}

int stream_await_input(struct stream *stream)
{
    queue_want(stream->endpoint->stream_in);
    int ready = await_until(stream, UINT64_MAX);
    return ready < 0 ? ready : 0;
}

/* Long enough for a host that has input, also on a busy machine. It is spent once in a VM's life,
 * and only if there is no input. */
#define FIRST_LOOK_NS 50000000

void stream_first_look(struct stream *stream)
{
    struct ferry_link *in = stream->endpoint->stream_in;

    if (in && queue_want(in) && endpoint_is_host(in->from))
        await_until(stream, clock_deadline(FIRST_LOOK_NS));
}

void stream_consume(struct stream *stream, uint64_t bytes)
{
    stream->data += bytes;
    stream->left -= bytes;
    atomic_fetch_add_explicit(&stream->endpoint->stream_in->bytes_taken, bytes,
                              memory_order_relaxed);
}

/* Reads all bytes that are there at once, out of any number of messages. It ends after a message
 * that was moved: giving back its pages may take away the memory of `dst`. */
static size_t read_now(struct stream *stream, char *dst, size_t bytes)
{
    size_t done = 0;

    while (done < bytes && stream_input_ready(stream) > 0) {
        stream_next_message(stream);
        if (!stream->have)
            break;
        bool moved = mode_of(stream->message.mode)->moves;
        uint64_t now = bytes - done < stream->left ? bytes - done : stream->left;
        memmove(dst + done, stream->data, now); /* the two may be the same page */
        done += now;
        stream_consume(stream, now);
        if (stream->left == 0)
            stream_drop_message(stream);
        if (moved)
            break;
    }
    return done;
}

ssize_t stream_read(struct stream *stream, void *dst, size_t bytes)
{
    struct endpoint *endpoint = stream->endpoint;
    size_t done = 0;

    stream->calls++;
    if (!endpoint->stream_in || bytes == 0)
        return 0;
    while (done == 0 && !stream->ended) {
        int result = stream_await_input(stream);
        if (result < 0)
            return result;
        if (!endpoint_keeps(endpoint, dst, bytes, true))
            return -EFAULT;
        done = read_now(stream, dst, bytes);
    }
    atomic_fetch_add_explicit(&endpoint->stream_in->bytes_copied, done, memory_order_relaxed);
    return (ssize_t)done;
}

size_t stream_available(struct stream *stream)
{
    struct endpoint *endpoint = stream->endpoint;

    if (!endpoint->stream_in)
        return 0;
    stream_first_look(stream);
    /* Who only asks does not show that it wants what the sender has gathered. */
    if (stream_input_ready(stream) == 0)
        endpoint_pull_stream(endpoint->stream_in->from);
    if (stream_input_ready(stream) > 0)
        stream_next_message(stream);
    return stream->have ? stream->left : 0;
}

size_t stream_peek(struct stream *stream, const void **data)
{
    size_t bytes = stream_available(stream);

    *data = stream->data;
    return bytes;
}

void stream_close_input(struct stream *stream)
{
    struct endpoint *endpoint = stream->endpoint;

    if (!endpoint->stream_in)
        return;
    queue_refuse(endpoint->stream_in);
    while (!stream->ended && stream_input_ready(stream) > 0) {
        stream_next_message(stream);
        if (stream->have)
            stream_drop_message(stream);
    }
    stream->ended = true;
}
