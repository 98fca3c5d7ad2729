/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes over messages: output of the program gathers in extents and is sent. */
#include "stream/stream.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "ipc/direct.h"
#include "ipc/drain.h"
#include "ipc/endpoint_wait.h"
#include "ipc/exchange.h"
#include "ipc/perform.h"
#include "ipc/queue.h"
#include "ipc/units.h"
#include "lib/clock.h"
#include "stream/stream_internal.h"

/* A buffer to fill. -EAGAIN: all are lent; -ENOMEM: there is none at all. */
int stream_take_buffer(struct stream *stream)
{
    lock_assert_held(&stream->lock);
    unsigned count = atomic_load(&stream->buffer_count);

    if (stream->filling)
        return 0;
    for (unsigned i = 0; i < count && !stream->filling; i++)
        if (atomic_load(&stream->buffers[i].state) == BUFFER_FREE)
            stream->filling = &stream->buffers[i];
    if (!stream->filling) {
        struct buffer *buffer = &stream->buffers[count];
        /* The first extent is allowed in any case: a sender can fill the program's share by
         * MOVE. */
        if (count == BUFFERS_MAX || units_keep(stream->endpoint, count == 0, &buffer->units) < 0)
            return count ? -EAGAIN : -ENOMEM;
        stream->filling = buffer;
        atomic_store(&stream->buffer_count, count + 1);
    }
    atomic_store(&stream->filling->state, BUFFER_FILLING);
    stream->start = stream->fill = 0;
    return 0;
}

/* One message at most: the VMM fills these extents, so the sending VM never touches them and a loan
 * of them costs about half of the crossover's figure. */
static bool copies(const struct stream *stream, uint64_t bytes)
{
    const struct endpoint *endpoint = stream->endpoint;

    if (endpoint->transfer == FERRY_TRANSFER_COPY || stream->guest.room_open)
        return true;
    /* What the guest may have written beside would have to be cleared. */
    if (stream->filling->open)
        return bytes < FERRY_EXTENT_BYTES / 2;
    return endpoint->transfer == FERRY_TRANSFER_AUTO && bytes <= FERRY_COPY_BYTES &&
           bytes <= endpoint->exchange->crossover_bytes;
}

/* Where everything was sent, the next byte goes to the start of a buffer; but not while the guest
 * kernel fills it. */
static void begin_anew(struct stream *stream)
{
    lock_assert_held(&stream->lock);
    if (!stream->filling || (stream->start == stream->fill && !stream->guest.room_open))
        stream->start = stream->fill = 0;
}

/* Sends one message of gathered output. */
static int send_piece(struct stream *stream)
{
    lock_assert_held(&stream->lock);
    const struct pool *pool = &stream->endpoint->exchange->pool;
    struct pool_offset offset =
        pool_offset_add(pool_offset(pool, stream->filling->units.first), stream->start);
    struct transfer transfer = {.link = stream->endpoint->stream_out,
                                .mode = FERRY_LEND,
                                .turn = direct_sent(stream->endpoint->stream_out),
                                .kept = !stream->filling->open,
                                .clear = true,
                                .units = stream->filling->units,
                                .offset = offset,
                                .bytes = stream->fill - stream->start};

    bool copy = copies(stream, transfer.bytes);
    if (copy) {
        transfer.mode = FERRY_COPY;
        transfer.source.at = pool_at(pool, offset);
        if (transfer.bytes > FERRY_COPY_BYTES)
            transfer.bytes = FERRY_COPY_BYTES;
    } else {
        /* Set to lent before it is sent: it may be home again before perform returns. */
        atomic_store(&stream->filling->state, BUFFER_LENT);
    }
    int result = perform_one(&transfer);
    if (result < 0) {
        atomic_store(&stream->filling->state, BUFFER_FILLING);
        return result;
    }
    stream->sent_ns = clock_now();
    if (!copy)
        stream->filling = NULL;
    stream->start = copy ? stream->start + transfer.bytes : 0;
    if (stream->guest.room_open)
        __atomic_store_n(&stream->guest.shown->sent, stream->start, __ATOMIC_RELAXED);
    begin_anew(stream);
    return 0;
}

int stream_flush(struct stream *stream)
{
    lock_assert_held(&stream->lock);
    int result = 0;

    stream_count_room(stream);
    while (result == 0 && stream->filling && stream->fill > stream->start)
        result = send_piece(stream);
    if (result == -EPIPE)
        stream->start = stream->fill;
    begin_anew(stream);
    return result;
}

void stream_pull(struct stream *stream)
{
    if (!endpoint_enter(stream->endpoint))
        return;
    lock_take(&stream->lock);
    stream_flush(stream);
    lock_drop(&stream->lock);
    endpoint_leave(stream->endpoint);
}

/* A message costs the sender a wake-up and the receiver two exits, whatever its length. So a
 * receiver that waits gets the first piece at once. If the program writes piece after piece, the
 * next message is sent when it is this long or this old; the tick and the program's next wait send
 * the rest. */
#define GATHER_BYTES STREAM_GATHER_BYTES
#define GATHER_NS    STREAM_GATHER_NS

/* Whether the gathered output is to be sent now. */
static bool due(const struct stream *stream)
{
    lock_assert_held(&stream->lock);
    const struct endpoint *endpoint = stream->endpoint;

    if (endpoint->delivery == FERRY_DELIVER_IMMEDIATE || stream->fill == FERRY_EXTENT_BYTES)
        return true;
    return atomic_load(&endpoint->stream_out->to->waiting) &&
           (stream->fill - stream->start >= GATHER_BYTES ||
            (int64_t)(clock_now() - stream->sent_ns) >= GATHER_NS);
}

/* Copies into the buffer that is being filled, where there is room. Short output is
 * sent as a copy, and needs no huge page. `src` may be a part of the same extent, which can be open to
 * the program for its guest kernel. */
static void fill(struct stream *stream, const char *src, uint64_t bytes)
{
    lock_assert_held(&stream->lock);
    struct pool *pool = &stream->endpoint->exchange->pool;
    struct units units = stream->filling->units;

    if (stream->fill + bytes > FERRY_COPY_BYTES)
        pool_make_huge(pool, units);
    memmove(pool_at(pool, pool_offset(pool, units.first)) + stream->fill, src, bytes);
    stream->fill += bytes;
    pool_filled(pool, units.first, stream->fill);
}

/* Copies as much of src as fits into the buffer that is being filled; sends it when it is full or
 * wanted. Bytes taken, or -EAGAIN, -EPIPE, -ENOMEM. */
static ssize_t gather(struct stream *stream, const char *src, size_t bytes)
{
    lock_assert_held(&stream->lock);
    int result = 0;

    stream_take_room_back(stream);
    if (stream->filling && stream->fill == FERRY_EXTENT_BYTES)
        result = stream_flush(stream);
    if (result == 0 && !stream->filling)
        result = stream_take_buffer(stream);
    if (result < 0)
        return result;

    uint64_t room = FERRY_EXTENT_BYTES - stream->fill;
    uint64_t now = bytes < room ? bytes : room;
    stream->guest.vmm_writes -= stream->guest.vmm_writes > 0;
    fill(stream, src, now);
    atomic_fetch_add_explicit(&stream->endpoint->stream_out->bytes_copied, now,
                              memory_order_relaxed);
    if (due(stream) && (now == bytes || stream->fill == FERRY_EXTENT_BYTES))
        stream_flush(stream); /* output that finds no room stays gathered */
    return (ssize_t)now;
}

ssize_t stream_gather(struct stream *stream, const char *src, size_t bytes)
{
    lock_take(&stream->lock);
    ssize_t taken = gather(stream, src, bytes);
    lock_drop(&stream->lock);
    return taken;
}

/* Whether the VM still has the memory it writes from: a page of the window
 * may have left with a message that was queued before, and during a wait another thread may have
 * unmapped the memory. */
static bool still_has(const struct endpoint *endpoint, const char *src, size_t bytes)
{
    const struct pool *pool = &endpoint->exchange->pool;
    struct units units;

    if (src < pool->base || src >= pool->base + pool->bytes)
        return endpoint_keeps(endpoint, src, bytes, false);
    return pool_covering(pool, pool_place(pool, src), bytes, &units) &&
           ledger_access(&endpoint->exchange->ledger, units, endpoint->index) >= WINDOW_READ;
}

/* Whether all messages that were queued before have been sent, or are now. */
static bool sent_before(struct stream *stream)
{
    if (!drain_pending(stream->endpoint))
        return true;
    drain_out(stream->endpoint);
    return !stream->endpoint->out_parked;
}

static bool is_over(const struct stream *stream)
{
    return stream->output_closed || !queue_may_send(stream->endpoint->stream_out);
}

/* 0: it may be written; messages that were queued before have been sent. */
static int prepare_write(struct stream *stream, const void *src, size_t bytes)
{
    if (is_over(stream))
        return -EPIPE;
    int result = drain_all(stream->endpoint);
    return result == 0 && !still_has(stream->endpoint, src, bytes) ? -EFAULT : result;
}

/* Whether no CPU in the guest is in the middle of a write, for who does not wait. */
static bool is_idle(struct stream *stream)
{
    lock_assert_held(&stream->lock);
    bool idle = stream_try_room_back(stream);

    if (!idle)
        stream_keep_room(stream, STREAM_PIECES_REFUSED);
    return idle;
}

static bool no_writers(struct stream *stream)
{
    lock_take(&stream->lock);
    bool none = is_idle(stream);
    lock_drop(&stream->lock);
    return none;
}

/* As prepare_write, for who does not wait. The caller has its turn until the write is done, and relies on
 * that. -EAGAIN: a message that was queued before waits for room, or another thread writes. */
static int prepare_write_now(struct stream *stream, const void *src, size_t bytes)
{
    if (is_over(stream))
        return -EPIPE;
    if (stream->writing || !sent_before(stream) || !no_writers(stream))
        return -EAGAIN;
    return still_has(stream->endpoint, src, bytes) ? 0 : -EFAULT;
}

/* Whether a short piece finds room as a whole. */
static bool fits_whole(struct stream *stream, size_t bytes)
{
    lock_take(&stream->lock);
    bool fits = is_idle(stream);
    if (fits && stream->filling && bytes > FERRY_EXTENT_BYTES - stream->fill)
        stream_flush(stream);
    fits = fits && (stream->filling || stream_take_buffer(stream) == 0) &&
           bytes <= FERRY_EXTENT_BYTES - stream->fill;
    lock_drop(&stream->lock);
    return fits;
}

ssize_t stream_write_some(struct stream *stream, const void *src, size_t bytes)
{
    struct endpoint *endpoint = stream->endpoint;
    size_t done = 0;

    stream->calls++;
    if (!endpoint->stream_out || bytes == 0)
        return (ssize_t)bytes; /* on Linux writing nothing succeeds even if nobody reads */
    ssize_t taken = prepare_write_now(stream, src, bytes);
    if (taken == 0 && bytes <= PIPE_BUF && !fits_whole(stream, bytes))
        return -EAGAIN;
    while (done < bytes && taken >= 0) {
        taken = stream_gather(stream, (const char *)src + done, bytes - done);
        done += taken > 0 ? (size_t)taken : 0;
    }
    return done ? (ssize_t)done : taken;
}

/* Waits for room, or for another thread's write to end. 0: try again. */
static int await_room(struct stream *stream, uint32_t seen, const void *src, size_t bytes)
{
    int result = endpoint_block(stream->endpoint, seen, UINT64_MAX);

    if (result == 0 && stream->output_closed)
        return -EPIPE;
    return result == 0 && !still_has(stream->endpoint, src, bytes) ? -EFAULT : result;
}

/* Writes all of src, waiting for room. */
static ssize_t write_all(struct stream *stream, const char *src, size_t bytes)
{
    struct endpoint *endpoint = stream->endpoint;
    size_t done = 0;
    int result = 0;

    while (done < bytes && result == 0) {
        if (endpoint->stopping)
            return -EINTR; /* a reader that keeps up would let it go on to the end */
        ssize_t taken = stream_gather(stream, src + done, bytes - done);
        if (taken == -EAGAIN) {
            uint32_t seen = endpoint_prepare(endpoint);
            taken = stream_gather(stream, src + done, bytes - done);
            if (taken == -EAGAIN)
                result = await_room(stream, seen, src, bytes);
            endpoint_finish(endpoint);
        }
        if (taken >= 0)
            done += (size_t)taken;
        else if (taken != -EAGAIN)
            result = (int)taken;
    }
    return done ? (ssize_t)done : result;
}

ssize_t stream_write(struct stream *stream, const void *src, size_t bytes)
{
    struct endpoint *endpoint = stream->endpoint;

    stream->calls++;
    if (!endpoint->stream_out || bytes == 0)
        return (ssize_t)bytes;
    int result = prepare_write(stream, src, bytes);
    /* Threads write one after the other: what one writes is not torn by others. */
    while (result == 0 && stream->writing) {
        uint32_t seen = endpoint_prepare(endpoint);
        result = await_room(stream, seen, src, bytes);
        endpoint_finish(endpoint);
    }
    if (result < 0)
        return result;
    stream->writing = true; /* so no room is published any more */
    result = stream_await_writers(stream);
    if (result == 0 && !still_has(endpoint, src, bytes))
        result = -EFAULT;
    ssize_t written = result < 0 ? result : write_all(stream, src, bytes);
    stream->writing = false;
    if (atomic_load(&endpoint->waiters))
        endpoint_wake(endpoint);
    return written;
}

/* Sends the rest, waiting for room. */
static int flush_all(struct stream *stream)
{
    struct endpoint *endpoint = stream->endpoint;
    int result = -EAGAIN;

    while (result == -EAGAIN) {
        uint32_t seen = endpoint_prepare(endpoint);
        lock_take(&stream->lock);
        stream_take_room_back(stream);
        result = stream_flush(stream);
        lock_drop(&stream->lock);
        if (result == -EAGAIN && endpoint_block(endpoint, seen, UINT64_MAX) < 0)
            result = -EINTR;
        endpoint_finish(endpoint);
    }
    return result;
}

int stream_finish(struct stream *stream)
{
    return stream->endpoint->stream_out && !stream->output_closed ? flush_all(stream) : 0;
}

void stream_close_output(struct stream *stream)
{
    struct endpoint *endpoint = stream->endpoint;

    if (!endpoint->stream_out || stream->output_closed)
        return;
    drain_all(stream->endpoint);
    stream->writing = true; /* as in a write */
    stream_await_writers(stream);
    flush_all(stream);
    stream->writing = false;
    stream->output_closed = true;
    queue_hangup(endpoint->stream_out);
    endpoint_wake(endpoint); /* a thread that waits for room, or for this one */
}

bool stream_output_room(struct stream *stream)
{
    return !stream->writing && sent_before(stream) &&
           fits_whole(stream, PIPE_BUF); /* as a pipe has room when a page of it is free */
}
