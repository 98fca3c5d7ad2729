/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Input that becomes output untouched (sendfile, splice): a loan is forwarded as it is, without a
 * copy; any other message is copied.
 */
#include "stream/stream.h"

#include <errno.h>

#include "ipc/direct.h"
#include "ipc/drain.h"
#include "ipc/endpoint_wait.h"
#include "ipc/exchange.h"
#include "ipc/mode.h"
#include "ipc/perform.h"
#include "ipc/queue.h"
#include "stream/stream_internal.h"

/* Whether the message that is being read can be forwarded as a whole. If the program has read a
 * part of it, the next receiver must not see that part, and it cannot be cleared: the loan must
 * come home unchanged. */
static bool can_pass(const struct stream *stream, uint64_t most)
{
    return mode_lends(mode_of(stream->message.mode)) && stream->left <= most &&
           stream->left == stream->message.payload.bytes &&
           stream->endpoint->transfer != FERRY_TRANSFER_COPY;
}

/* Forwards the loan; output that was gathered before goes first. */
static int pass_loan(struct stream *stream)
{
    struct endpoint *endpoint = stream->endpoint;
    uint32_t token = stream->message.payload.token;
    struct transfer transfer = {.link = endpoint->stream_out,
                                .mode = FERRY_LEND,
                                .turn = direct_sent(endpoint->stream_out),
                                .units = endpoint->held[token].units,
                                .offset = pool_place(&endpoint->exchange->pool, stream->data),
                                .bytes = stream->left,
                                .forwards = true,
                                .token = token};

    lock_take(&stream->lock);
    int result = stream_flush(stream);
    lock_drop(&stream->lock);
    if (result == 0)
        result = perform_one(&transfer);
    if (result == 0)
        stream->have = false;
    return result;
}

/* Part of the message, or all; bytes (0: another thread took it), or -EAGAIN when there is no room
 * now, or another thread is in the middle of a write, which must not be torn. */
static ssize_t pass_some(struct stream *stream, uint64_t most)
{
    int result = stream_await_writers(stream);

    if (result < 0)
        return result;
    stream_take_input_back(stream); /* it may have been published during a wait */
    uint64_t bytes = stream->left < most ? stream->left : most;

    if (!stream->have)
        return 0;
    if (stream->writing)
        return -EAGAIN;
    if (can_pass(stream, most)) {
        result = pass_loan(stream);
        if (result < 0)
            return result;
        stream_consume(stream, bytes);
        return (ssize_t)bytes;
    }
    ssize_t taken = stream_gather(stream, stream->data, bytes);
    if (taken > 0) {
        stream_consume(stream, (uint64_t)taken);
        if (stream->left == 0)
            stream_drop_message(stream);
    }
    return taken;
}

/* As pass_some, waiting for room. */
static ssize_t pass_waiting(struct stream *stream, uint64_t most)
{
    struct endpoint *endpoint = stream->endpoint;
    ssize_t passed = pass_some(stream, most);

    while (passed == -EAGAIN) {
        uint32_t seen = endpoint_prepare(endpoint);
        passed = pass_some(stream, most);
        if (passed == -EAGAIN) {
            int result = endpoint_block(endpoint, seen, UINT64_MAX);
            /* Another thread may have read the message, or closed the output. */
            passed = result < 0              ? result
                     : stream->output_closed ? -EPIPE
                     : stream->have          ? -EAGAIN
                                             : 0;
        }
        endpoint_finish(endpoint);
    }
    return passed;
}

ssize_t stream_pass(struct stream *stream, size_t bytes)
{
    struct endpoint *endpoint = stream->endpoint;
    size_t done = 0;

    if (!endpoint->stream_in || !endpoint->stream_out)
        return -EINVAL; /* the caller then reads and writes */
    if (stream->output_closed)
        return -EPIPE;
    int result = drain_all(stream->endpoint); /* messages that were queued before go first */
    while (result == 0 && done < bytes && !stream->ended) {
        if (done && stream_input_ready(stream) <= 0)
            break;
        result = stream_await_input(stream);
        if (result == 0)
            stream_next_message(stream);
        if (result < 0 || !stream->have)
            continue;
        /* Only now: a filter that waits for input does not notice that its reader left. Later
         * pieces find out when they are sent. */
        if (!done && !queue_may_send(endpoint->stream_out)) {
            result = -EPIPE;
            break;
        }
        if (done && stream->left > bytes - done)
            break; /* whole, and mostly without a copy, by the next call */
        ssize_t passed = done ? pass_some(stream, bytes - done) : pass_waiting(stream, bytes);
        if (passed == -EAGAIN)
            break;
        if (passed < 0)
            result = (int)passed;
        else
            done += (size_t)passed; /* 0: another thread took it */
    }
    return done ? (ssize_t)done : result;
}
