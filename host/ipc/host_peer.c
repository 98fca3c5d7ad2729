/* SPDX-License-Identifier: BSD-2-Clause */
/* The host as a peer: the calls of ferry.h that send and receive. */
#include <errno.h>
#include <string.h>

#include "ipc/decode.h"
#include "ipc/endpoint_wait.h"
#include "ipc/exchange.h"
#include "ipc/host_end.h"
#include "ipc/loan.h"
#include "ipc/mode.h"
#include "ipc/perform.h"
#include "ipc/queue.h"
#include "ipc/ring.h"
#include "ipc/units.h"
#include "lib/clock.h"
#include "lib/sized.h"

/* A timeout of 0 means not to wait: its deadline is 0, and no clock is asked. */
static uint64_t deadline_of(uint64_t timeout_ns)
{
    return timeout_ns ? clock_deadline(timeout_ns) : 0;
}

/* Blocks until something changed; else returns the public error. */
static int block(struct endpoint *endpoint, uint32_t seen, uint64_t deadline)
{
    if (!deadline)
        return -ETIMEDOUT;
    int result = endpoint_block(endpoint, seen, deadline);

    return result == -EINTR ? -ECANCELED : result;
}

/* -EAGAIN after a wait that an event ended: the caller looks again. */
static int again(int blocked)
{
    return blocked == 0 ? -EAGAIN : blocked;
}

int ferry_link_alloc(struct ferry_link *link, size_t count, bool page, void **out)
{
    struct endpoint *host = host_end_of(link);
    struct units units;

    if (!host)
        return -EPERM;
    int result = units_alloc(host, count, page, &units);
    if (result < 0)
        return result == -EDQUOT ? -ENOMEM : result;
    *out = pool_at(&link->exchange->pool, pool_offset(&link->exchange->pool, units.first));
    return 0;
}

int ferry_link_free(struct ferry_link *link, void *addr, size_t bytes)
{
    struct endpoint *host = host_end_of(link);
    struct units units;

    if (!host)
        return -EPERM;
    int result = units_at(host, pool_place(&link->exchange->pool, addr), bytes, &units);

    return result < 0 ? result : units_free(host, units);
}

static int decode(struct ferry_link *link, const struct ferry_message *message,
                  struct transfer *out)
{
    if (message->zero)
        return -EINVAL;
    *out = (struct transfer){.link = link,
                             .mode = (enum ferry_mode)message->mode,
                             .wants_completion = true,
                             .clear = !message->rest_is_zero,
                             .tag = message->tag};
    const struct mode *mode = mode_of(message->mode);
    if (!mode)
        return -EINVAL;
    if (mode->carries == MODE_UNITS)
        return decode_units(link->from, pool_place(&link->exchange->pool, message->data),
                            message->bytes, out);
    if (mode->carries == MODE_COPY) {
        out->source = (struct reach){.at = (void *)message->data};
        out->bytes = message->bytes;
        return message->bytes > FERRY_COPY_BYTES ? -EMSGSIZE : 0;
    }
    if (mode->carries == MODE_INLINE) {
        if (message->bytes > FERRY_INLINE_BYTES)
            return -EMSGSIZE;
        out->inline_bytes = (uint8_t)message->bytes;
        if (message->bytes)
            memcpy(out->data, ferry_message_data(message), message->bytes);
    }
    return 0;
}

static int send_message(struct ferry_link *link, const struct ferry_message *message,
                        uint64_t timeout_ns)
{
    struct endpoint *host = link->from;
    uint64_t deadline = deadline_of(timeout_ns);
    struct transfer transfer;

    int result = decode(link, message, &transfer);
    if (result < 0)
        return result;
    do {
        uint32_t seen = endpoint_prepare(host);
        result = host->stopping ? -ECANCELED : perform_one(&transfer);
        if (result == -EAGAIN)
            result = again(block(host, seen, deadline));
        endpoint_finish(host);
    } while (result == -EAGAIN);
    return result;
}

int ferry_link_send_sized(struct ferry_link *link, const struct ferry_message *message,
                          size_t message_bytes, uint64_t timeout_ns)
{
    struct ferry_message own;

    if (!endpoint_is_host(link->from))
        return -EPERM;
    int result = sized_take(&own, sizeof own, FIRST_MESSAGE, message, message_bytes);
    if (result < 0)
        return result;
    if (!link_enter(link))
        return -ECANCELED;
    result = send_message(link, &own, timeout_ns);
    link_leave(link);
    return result;
}

static int look_for_receiver(struct ferry_link *link)
{
    if (atomic_load(&link->wanted))
        return 0;
    return queue_accepts(link) ? -EAGAIN : -EPIPE;
}

static int await_receiver(struct ferry_link *link, uint64_t timeout_ns)
{
    struct endpoint *host = link->from;
    uint64_t deadline = deadline_of(timeout_ns);

    int result = -EAGAIN;
    while (result == -EAGAIN) {
        uint32_t seen = endpoint_prepare(host);
        result = host->stopping ? -ECANCELED : look_for_receiver(link);
        if (result == -EAGAIN)
            result = again(block(host, seen, deadline));
        endpoint_finish(host);
    }
    return result;
}

int ferry_link_await_receiver(struct ferry_link *link, uint64_t timeout_ns)
{
    if (!endpoint_is_host(link->from))
        return -EPERM;
    if (!link_enter(link))
        return -ECANCELED;
    int result = await_receiver(link, timeout_ns);
    link_leave(link);
    return result;
}

static int take_home(struct endpoint *host, struct units *units)
{
    int result = -EAGAIN;

    endpoint_lock(host);
    if (host->home_head != host->home_tail) {
        *units = host->home[host->home_tail++ & TOKEN_MASK];
        endpoint_wake(host); /* there is room for a loan again, which a sender may wait for */
        result = 0;
    } else if (host->loans == 0) {
        result = -ENOENT;
    }
    endpoint_unlock(host);
    return result;
}

static int reclaim(struct ferry_link *link, uint64_t timeout_ns, void **addr, size_t *bytes)
{
    struct endpoint *host = link->from;
    uint64_t deadline = deadline_of(timeout_ns);
    struct units units = {0};

    int result = -EAGAIN;
    while (result == -EAGAIN) {
        uint32_t seen = endpoint_prepare(host);
        result = host->stopping ? -ECANCELED : take_home(host, &units);
        if (result == -EAGAIN)
            result = again(block(host, seen, deadline));
        endpoint_finish(host);
    }
    if (result == 0) {
        *addr = pool_at(&link->exchange->pool, pool_offset(&link->exchange->pool, units.first));
        *bytes = units_bytes(&link->exchange->pool, units);
    }
    return result;
}

int ferry_link_reclaim(struct ferry_link *link, uint64_t timeout_ns, void **addr, size_t *bytes)
{
    if (!endpoint_is_host(link->from))
        return -EPERM;
    if (!link_enter(link))
        return -ECANCELED;
    int result = reclaim(link, timeout_ns, addr, bytes);
    link_leave(link);
    return result;
}

int ferry_link_hangup(struct ferry_link *link)
{
    if (!endpoint_is_host(link->from))
        return -EPERM;
    queue_hangup(link);
    return 0;
}

int ferry_link_refuse(struct ferry_link *link)
{
    if (!endpoint_is_host(link->to))
        return -EPERM;
    queue_hangup(link);
    endpoint_wake(link->from); /* it may poll for just that */
    return 0;
}

static struct ferry_message present(const struct endpoint *host, const struct ferry_desc *desc)
{
    struct ferry_message message = {.mode = desc->mode,
                                    .tag = desc->tag,
                                    .src = desc->src,
                                    .dst = desc->dst,
                                    .src_generation = desc->src_generation,
                                    .dst_generation = desc->dst_generation};
    const struct mode *mode = mode_of(desc->mode);
    if (mode->carries == MODE_INLINE) {
        memcpy(message.inline_data, desc->data, sizeof message.inline_data);
        message.bytes = desc->inline_bytes;
    } else if (mode_has_payload(mode)) {
        message.data = (void *)queue_payload(host, desc);
        message.bytes = desc->payload.bytes;
        message.message = desc->payload.message;
        message.token = desc->payload.token;
    }
    return message;
}

/* The hang-up stays in the queue, so that it is found again each time. */
static bool take_message(struct endpoint *host, struct ferry_desc *desc)
{
    if (!queue_peek(host, desc))
        return false;
    return mode_of(desc->mode)->is_last || queue_take(host, desc);
}

static int receive(struct ferry_link *link, uint64_t timeout_ns, struct ferry_desc *desc)
{
    struct endpoint *host = link->to;
    uint64_t deadline = deadline_of(timeout_ns);
    int result = -EAGAIN;

    while (result == -EAGAIN) {
        uint32_t seen = endpoint_prepare(host);
        if (host->stopping)
            result = -ECANCELED;
        else if (take_message(host, desc))
            result = 0;
        else
            result = again(block(host, seen, deadline));
        endpoint_finish(host);
    }
    return result;
}

int ferry_link_recv_sized(struct ferry_link *link, uint64_t timeout_ns,
                          struct ferry_message *message, size_t message_bytes)
{
    struct ferry_desc desc;

    if (!endpoint_is_host(link->to))
        return -EPERM;
    /* Before one is taken that would be lost. */
    int result = sized_check(message_bytes, FIRST_MESSAGE);
    if (result < 0)
        return result;
    if (!link_enter(link))
        return -ECANCELED;
    result = receive(link, timeout_ns, &desc);
    if (result == 0) {
        const struct ferry_message own = present(link->to, &desc);
        sized_give(message, message_bytes, &own, sizeof own);
    }
    link_leave(link);
    return result;
}

int ferry_link_release(struct ferry_link *link, uint32_t token)
{
    return endpoint_is_host(link->to) ? loan_release(link->to, token) : -EPERM;
}

void ferry_link_cancel(struct ferry_link *link)
{
    struct endpoint *host = host_end_of(link);

    if (!host)
        return;
    host->stopping = true;
    endpoint_wake(host);
}
