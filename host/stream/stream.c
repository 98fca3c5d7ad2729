/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes over messages: the plain reads and writes of a VM's program. */
#include "stream/stream.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "ipc/endpoint_wait.h"
#include "ipc/exchange.h"
#include "ipc/mode.h"
#include "ipc/queue.h"
#include "lib/clock.h"
#include "stream/stream_internal.h"

static void destroy(struct stream *stream)
{
    lock_fini(&stream->lock);
    free(stream);
}

static bool came_home(struct stream *stream, struct units units)
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
    return stream->have && mode_of(stream->message.mode)->carries == MODE_UNITS &&
           pool_covering(&endpoint->exchange->pool,
                         endpoint_offset(endpoint, guest_addr(payload->addr)), payload->bytes,
                         &read) &&
           units_overlap(read, units);
}

static const struct endpoint_stream stream_does = {.pull = stream_pull,
                                                   .look = stream_look,
                                                   .came_home = came_home,
                                                   .uses = stream_uses,
                                                   .destroy = destroy};

int stream_create(struct endpoint *endpoint)
{
    struct stream *stream = calloc(1, sizeof *stream);

    if (!stream)
        return -ENOMEM;
    stream->endpoint = endpoint;
    lock_init(&stream->lock, LOCK_STREAM);
    endpoint->byte_stream = stream;
    endpoint->stream_does = &stream_does;
    return 0;
}

bool stream_is_new(const struct stream *stream)
{
    return !atomic_load(&stream->buffer_count) && !stream->output_closed && !stream->have &&
           !stream->ended && !stream->ahead_count;
}

void stream_begin_anew(struct stream *stream)
{
    lock_take(&stream->lock);
    stream->filling = NULL;
    stream->start = stream->fill = 0;
    stream->output_closed = false;
    atomic_store(&stream->buffer_count, 0);
    lock_drop(&stream->lock);
    stream->writing = stream->have = stream->ended = false;
    stream->left = 0;
    stream->ahead_count = 0;
    stream->calls = 0;
}

/* Input. A hang-up of the sender shows beside bytes that are still there. */
static int poll_input(struct endpoint *endpoint, int want)
{
    struct stream *stream = endpoint->byte_stream;
    int events = 0;

    if (!endpoint->stream_in)
        return POLLHUP;
    if (want & POLLIN) {
        if (stream_input_ready(stream) > 0)
            stream_next_message(stream);
        events |= stream->have ? POLLIN : 0;
    }
    if (stream->ended || queue_hung_up(endpoint->stream_in))
        events |= POLLHUP;
    return events;
}

/* Output. As with a pipe, output that nobody reads has room. */
static int poll_output(struct endpoint *endpoint, int want)
{
    struct stream *stream = endpoint->byte_stream;

    if (!endpoint->stream_out)
        return want & POLLOUT;
    if (stream->output_closed || !queue_accepts(endpoint->stream_out))
        return POLLERR | (want & POLLOUT);
    return want & POLLOUT && stream_output_room(stream) ? POLLOUT : 0;
}

static int poll_now(struct endpoint *endpoint, int want)
{
    int events = 0;

    if (want & (POLLIN | POLLHUP))
        events |= poll_input(endpoint, want);
    if (want & (POLLOUT | POLLERR))
        events |= poll_output(endpoint, want);
    return events;
}

int stream_poll(struct stream *stream, short want, uint64_t timeout_ns)
{
    struct endpoint *endpoint = stream->endpoint;

    if (want & (POLLIN | POLLHUP) && endpoint->stream_in)
        queue_want(endpoint->stream_in);
    uint64_t deadline = clock_deadline(timeout_ns);
    int events = poll_now(endpoint, want);
    int result = 0;

    /* Who never waits does not show that it wants what the sender has gathered. */
    if (!events && !timeout_ns && want & POLLIN && endpoint->stream_in) {
        endpoint_pull_stream(endpoint->stream_in->from);
        events = poll_now(endpoint, want);
    }

    while (!events && timeout_ns && result == 0) {
        uint32_t seen = endpoint_prepare(endpoint);
        events = poll_now(endpoint, want);
        if (!events)
            result = endpoint_block(endpoint, seen, deadline);
        endpoint_finish(endpoint);
        if (!events)
            events = poll_now(endpoint, want);
    }
    return events ? events : result == -EINTR ? -EINTR : 0;
}
