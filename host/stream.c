/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes over messages: the plain reads and writes of a VM's program. */
#include "stream.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "engine.h"
#include "loan.h"
#include "queue.h"
#include "ring.h"
#include "route.h"
#include "stream_internal.h"
#include "units.h"
#include "vm.h"

int stream_create(struct endpoint *endpoint, struct stream **out)
{
    struct stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return -ENOMEM;
    stream->endpoint = endpoint;
    pthread_mutex_init(&stream->lock, NULL);
    *out = stream;
    return 0;
}

void stream_destroy(struct stream *stream)
{
    if (!stream)
        return;
    pthread_mutex_destroy(&stream->lock);
    free(stream);
}

bool stream_came_home(struct stream *stream, struct units units)
{
    unsigned count = atomic_load(&stream->buffer_count);

    for (unsigned i = 0; i < count; i++) {
        if (stream->buffers[i].units.first != units.first)
            continue;
        atomic_store(&stream->buffers[i].state, BUFFER_FREE);
        return true;
    }
    return false;
}

bool stream_uses(const struct stream *stream, struct units units)
{
    const struct endpoint *endpoint = stream->endpoint;
    const struct ferry_payload *payload = &stream->message.payload;
    unsigned count = atomic_load(&stream->buffer_count);
    struct units read;

    for (unsigned i = 0; i < count; i++)
        if (units_overlap(stream->buffers[i].units, units))
            return true;
    return stream->have &&
           (stream->message.mode == FERRY_LEND || stream->message.mode == FERRY_MOVE) &&
           pool_covering(&endpoint->engine->pool, payload->addr - endpoint->window_addr,
                         payload->bytes, &read) &&
           units_overlap(read, units);
}

/* --- output ------------------------------------------------------------- */

/* Under lock: a buffer to fill. -EAGAIN: all are lent; -ENOMEM: there is none at all. */
static int take_buffer(struct stream *stream)
{
    unsigned count = atomic_load(&stream->buffer_count);

    for (unsigned i = 0; i < count && !stream->filling; i++)
        if (atomic_load(&stream->buffers[i].state) == BUFFER_FREE)
            stream->filling = &stream->buffers[i];
    if (!stream->filling) {
        struct buffer *buffer = &stream->buffers[count];
        if (count == BUFFERS_MAX || units_alloc(stream->endpoint, 1, false, &buffer->units) < 0)
            return count ? -EAGAIN : -ENOMEM;
        stream->filling = buffer;
        atomic_store(&stream->buffer_count, count + 1);
    }
    atomic_store(&stream->filling->state, BUFFER_FILLING);
    stream->start = stream->fill = 0;
    return 0;
}

static bool copies(const struct stream *stream, uint64_t bytes)
{
    const struct endpoint *endpoint = stream->endpoint;

    if (endpoint->transfer == FERRY_TRANSFER_COPY)
        return true;
    return endpoint->transfer == FERRY_TRANSFER_AUTO && bytes <= FERRY_COPY_BYTES &&
           bytes <= endpoint->engine->info.crossover_bytes;
}

/* Under lock: sends one message of what was gathered. */
static int send_piece(struct stream *stream)
{
    const struct pool *pool = &stream->endpoint->engine->pool;
    uint64_t offset = pool_offset(pool, stream->filling->units.first) + stream->start;
    struct transfer transfer = {.link = stream->endpoint->stream_out,
                                .mode = FERRY_LEND,
                                .units = stream->filling->units,
                                .offset = offset,
                                .bytes = stream->fill - stream->start};

    bool copy = copies(stream, transfer.bytes);
    if (copy) {
        transfer.mode = FERRY_COPY;
        transfer.source = pool->base + offset;
        if (transfer.bytes > FERRY_COPY_BYTES)
            transfer.bytes = FERRY_COPY_BYTES;
    } else {
        /* Lent before it is sent: it may be home again before perform returns. */
        atomic_store(&stream->filling->state, BUFFER_LENT);
    }
    int result = route_perform(&transfer);
    if (result < 0) {
        atomic_store(&stream->filling->state, BUFFER_FILLING);
        return result;
    }
    if (!copy)
        stream->filling = NULL;
    stream->start = copy ? stream->start + transfer.bytes : 0;
    if (!copy || stream->start == stream->fill)
        stream->start = stream->fill = 0;
    return 0;
}

int stream_flush(struct stream *stream)
{
    int result = 0;

    while (result == 0 && stream->filling && stream->fill > stream->start)
        result = send_piece(stream);
    if (result == -EPIPE)
        stream->start = stream->fill = 0;
    return result;
}

void stream_pull(struct stream *stream)
{
    if (!endpoint_enter(stream->endpoint))
        return;
    pthread_mutex_lock(&stream->lock);
    stream_flush(stream);
    pthread_mutex_unlock(&stream->lock);
    endpoint_leave(stream->endpoint);
}

/* Under lock: copies what fits of src into the buffer that is filled; sends
 * it when full. Bytes taken, or -EAGAIN, -EPIPE, -ENOMEM. */
static ssize_t gather(struct stream *stream, const char *src, size_t bytes)
{
    struct endpoint *endpoint = stream->endpoint;
    const struct pool *pool = &endpoint->engine->pool;
    int result = 0;

    if (stream->filling && stream->fill == FERRY_EXTENT_BYTES)
        result = stream_flush(stream);
    if (result == 0 && !stream->filling)
        result = take_buffer(stream);
    if (result < 0)
        return result;

    uint64_t room = FERRY_EXTENT_BYTES - stream->fill;
    uint64_t now = bytes < room ? bytes : room;
    memcpy(pool->base + pool_offset(pool, stream->filling->units.first) + stream->fill, src, now);
    stream->fill += now;
    atomic_fetch_add_explicit(&endpoint->stream_out->bytes_copied, now, memory_order_relaxed);
    bool wanted = endpoint->delivery == FERRY_DELIVER_IMMEDIATE ||
                  atomic_load(&endpoint->stream_out->to->waiting);
    if (stream->fill == FERRY_EXTENT_BYTES || (wanted && now == bytes))
        stream_flush(stream); /* what finds no room stays gathered */
    return (ssize_t)now;
}

ssize_t stream_gather(struct stream *stream, const char *src, size_t bytes)
{
    pthread_mutex_lock(&stream->lock);
    ssize_t taken = gather(stream, src, bytes);
    pthread_mutex_unlock(&stream->lock);
    return taken;
}

/* Whether the VM still has the memory it writes from: a page of the window
 * may have left with a message that was queued before. */
static bool still_has(const struct endpoint *endpoint, const char *src, size_t bytes)
{
    const struct pool *pool = &endpoint->engine->pool;
    struct units units;

    if (src < pool->base || src >= pool->base + pool->bytes)
        return true;
    return pool_covering(pool, (uint64_t)(src - pool->base), bytes, &units) &&
           ledger_access(&endpoint->engine->ledger, units, endpoint->index) >= WINDOW_READ;
}

ssize_t stream_write(struct ferry_vm *vm, const void *src, size_t bytes)
{
    struct endpoint *endpoint = vm_endpoint(vm);
    struct stream *stream = endpoint->byte_stream;
    size_t done = 0;

    if (!endpoint->stream_out)
        return (ssize_t)bytes;
    if (stream->output_closed || !queue_accepts(endpoint->stream_out))
        return -EPIPE;
    int result = vm_drain_all(vm); /* what was queued before goes before */
    if (result == 0 && !still_has(endpoint, src, bytes))
        return -EFAULT;
    while (done < bytes && result == 0) {
        ssize_t taken = stream_gather(stream, (const char *)src + done, bytes - done);
        if (taken == -EAGAIN) {
            uint64_t seen = endpoint_prepare(endpoint);
            taken = stream_gather(stream, (const char *)src + done, bytes - done);
            if (taken == -EAGAIN)
                result = endpoint_block(endpoint, seen, UINT64_MAX);
            endpoint_finish(endpoint);
        }
        if (taken >= 0)
            done += (size_t)taken;
        else if (taken != -EAGAIN)
            result = (int)taken;
    }
    return done == bytes || (done && result != -EINTR) ? (ssize_t)done : result;
}

/* Sends the rest, waiting for room. */
static int flush_all(struct stream *stream)
{
    struct endpoint *endpoint = stream->endpoint;
    int result;

    for (;;) {
        uint64_t seen = endpoint_prepare(endpoint);
        pthread_mutex_lock(&stream->lock);
        result = stream_flush(stream);
        pthread_mutex_unlock(&stream->lock);
        if (result == -EAGAIN)
            result = endpoint_block(endpoint, seen, UINT64_MAX);
        else
            break;
        if (result < 0)
            break;
    }
    endpoint_finish(endpoint);
    return result;
}

void stream_finish(struct stream *stream)
{
    if (stream->endpoint->stream_out && !stream->output_closed)
        flush_all(stream);
}

void stream_close_output(struct ferry_vm *vm)
{
    struct endpoint *endpoint = vm_endpoint(vm);

    if (!endpoint->stream_out || endpoint->byte_stream->output_closed)
        return;
    vm_drain_all(vm);
    flush_all(endpoint->byte_stream);
    endpoint->byte_stream->output_closed = true;
    queue_hangup(endpoint->stream_out);
}

/* --- input --------------------------------------------------------------- */

static const char *payload_of(const struct endpoint *endpoint, const struct ferry_desc *desc)
{
    switch (desc->mode) {
    case FERRY_COPY:
        return endpoint->landing + (desc->payload.addr - endpoint->landing_addr);
    case FERRY_LEND:
    case FERRY_MOVE:
        return endpoint->engine->pool.base + (desc->payload.addr - endpoint->window_addr);
    default:
        return NULL;
    }
}

void stream_drop_message(struct stream *stream)
{
    struct endpoint *endpoint = stream->endpoint;
    struct units units;

    stream->have = false;
    if (stream->message.mode == FERRY_COPY || stream->message.mode == FERRY_LEND)
        loan_release(endpoint, stream->message.payload.token);
    else if (stream->message.mode == FERRY_MOVE &&
             pool_covering(&endpoint->engine->pool,
                           stream->message.payload.addr - endpoint->window_addr,
                           stream->message.payload.bytes, &units))
        units_free(endpoint, units); /* cannot be denied: still_there, and stream_uses since */
}

int stream_input_ready(struct stream *stream)
{
    struct endpoint *endpoint = stream->endpoint;
    struct ferry_desc desc;

    if (stream->have || stream->ended)
        return 1;
    if (!queue_peek(endpoint, &desc))
        return 0;
    return desc.src == endpoint->stream_in->from->id ? 1 : -EBUSY;
}

/* What was moved here is the program's since it arrived: it may have given it away,
 * and the pool may even have given it to this stream since, for its output. */
static bool still_there(const struct stream *stream)
{
    const struct endpoint *endpoint = stream->endpoint;
    const struct ferry_payload *payload = &stream->message.payload;
    struct units units;

    return stream->message.mode != FERRY_MOVE ||
           (pool_covering(&endpoint->engine->pool, payload->addr - endpoint->window_addr,
                          payload->bytes, &units) &&
            !stream_uses(stream, units) &&
            ledger_access(&endpoint->engine->ledger, units, endpoint->index) == WINDOW_WRITE);
}

static void begin_message(struct stream *stream)
{
    stream->have = true;
    if (stream->message.mode == FERRY_INLINE) {
        stream->data = (const char *)stream->message.data;
        stream->left = stream->message.inline_bytes;
    } else {
        stream->data = payload_of(stream->endpoint, &stream->message);
        stream->left = stream->message.payload.bytes;
    }
}

void stream_next_message(struct stream *stream)
{
    while (!stream->have && !stream->ended && stream_input_ready(stream) > 0 &&
           queue_take(stream->endpoint, &stream->message)) {
        if (stream->message.mode == FERRY_HANGUP)
            stream->ended = true;
        else if (still_there(stream))
            begin_message(stream);
        if (stream->have && stream->left == 0)
            stream_drop_message(stream);
    }
}

int stream_await_input(struct stream *stream)
{
    struct endpoint *endpoint = stream->endpoint;
    int ready = stream_input_ready(stream);

    while (ready == 0) {
        uint64_t seen = endpoint_prepare(endpoint);
        ready = stream_input_ready(stream);
        if (ready == 0)
            ready = endpoint_block(endpoint, seen, UINT64_MAX);
        endpoint_finish(endpoint);
        if (ready == 0)
            ready = stream_input_ready(stream);
    }
    return ready < 0 ? ready : 0;
}

/* What can be had at once, out of as many messages as there are. The last of them is one
 * that was moved: giving its pages back may take away what `dst` lies in. */
static size_t read_now(struct stream *stream, char *dst, size_t bytes)
{
    size_t done = 0;

    while (done < bytes && stream_input_ready(stream) > 0) {
        stream_next_message(stream);
        if (!stream->have)
            break;
        bool moved = stream->message.mode == FERRY_MOVE;
        uint64_t now = bytes - done < stream->left ? bytes - done : stream->left;
        memmove(dst + done, stream->data, now); /* the two may be the same page */
        done += now;
        stream->data += now;
        stream->left -= now;
        if (stream->left == 0)
            stream_drop_message(stream);
        if (moved)
            break;
    }
    return done;
}

ssize_t stream_read(struct ferry_vm *vm, void *dst, size_t bytes)
{
    struct endpoint *endpoint = vm_endpoint(vm);
    struct stream *stream = endpoint->byte_stream;
    size_t done = 0;

    if (!endpoint->stream_in || bytes == 0)
        return 0;
    while (done == 0 && !stream->ended) {
        int result = stream_await_input(stream);
        if (result < 0)
            return result;
        done = read_now(stream, dst, bytes);
    }
    atomic_fetch_add_explicit(&endpoint->stream_in->bytes_copied, done, memory_order_relaxed);
    return (ssize_t)done;
}

size_t stream_available(struct ferry_vm *vm)
{
    struct endpoint *endpoint = vm_endpoint(vm);
    struct stream *stream = endpoint->byte_stream;

    if (endpoint->stream_in && stream_input_ready(stream) > 0)
        stream_next_message(stream);
    return stream->have ? stream->left : 0;
}

void stream_close_input(struct ferry_vm *vm)
{
    struct endpoint *endpoint = vm_endpoint(vm);
    struct stream *stream = endpoint->byte_stream;

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

/* --- poll ------------------------------------------------------------------ */

static bool output_room(struct stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    bool room = (stream->filling && stream->fill < FERRY_EXTENT_BYTES) || take_buffer(stream) == 0;
    pthread_mutex_unlock(&stream->lock);
    return room;
}

static short poll_now(struct endpoint *endpoint, short want)
{
    struct stream *stream = endpoint->byte_stream;
    short events = 0;

    if (want & POLLIN) {
        if (endpoint->stream_in && stream_input_ready(stream) > 0)
            stream_next_message(stream);
        events |= stream->have ? POLLIN : 0;
        events |= stream->ended || !endpoint->stream_in ? POLLHUP : 0;
    }
    if (want & POLLOUT) {
        if (!endpoint->stream_out)
            events |= POLLOUT;
        else if (stream->output_closed || !queue_accepts(endpoint->stream_out))
            events |= POLLERR;
        else if (output_room(stream))
            events |= POLLOUT;
    }
    return events;
}

int stream_poll(struct ferry_vm *vm, short want, uint64_t timeout_ns)
{
    struct endpoint *endpoint = vm_endpoint(vm);
    uint64_t deadline = clock_deadline(timeout_ns);
    short events = poll_now(endpoint, want);
    int result = 0;

    while (!events && timeout_ns && result == 0) {
        uint64_t seen = endpoint_prepare(endpoint);
        events = poll_now(endpoint, want);
        if (!events)
            result = endpoint_block(endpoint, seen, deadline);
        endpoint_finish(endpoint);
        if (!events)
            events = poll_now(endpoint, want);
    }
    return events ? events : result == -EINTR ? -EINTR : 0;
}
