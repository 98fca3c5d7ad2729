/* SPDX-License-Identifier: BSD-2-Clause */
/* The router: decode and drain. Perform is in perform.c. */
#include "route.h"

#include <errno.h>
#include <string.h>

#include "engine.h"
#include "loan.h"
#include "ring.h"
#include "stream_internal.h"

/* --- decode: checks one message, changes nothing ------------------------- */

static struct ferry_link *link_to(const struct endpoint *from, uint16_t dst)
{
    for (uint32_t i = 0; i < from->out_count; i++)
        if (from->out[i]->to->id == dst)
            return from->out[i];
    return NULL;
}

int route_decode_units(struct endpoint *from, uint64_t addr, uint64_t bytes, struct transfer *out)
{
    const struct pool *pool = &from->engine->pool;
    uint64_t offset;

    if (__builtin_sub_overflow(addr, from->window_addr, &offset))
        return -EFAULT;
    if (!pool_covering(pool, offset, bytes, &out->units))
        return -EFAULT;
    if (from->byte_stream && stream_uses(from->byte_stream, out->units))
        return -EPERM;
    out->offset = offset;
    out->bytes = bytes;
    return 0;
}

static int decode_payload(struct endpoint *from, const struct ferry_payload *payload,
                          route_memory_fn memory, struct transfer *out)
{
    if (payload->token || payload->message || payload->zero)
        return -EINVAL;
    if (out->mode != FERRY_COPY)
        return route_decode_units(from, payload->addr, payload->bytes, out);

    if (payload->bytes > FERRY_COPY_BYTES)
        return -EMSGSIZE;
    out->bytes = payload->bytes;
    out->source = memory(from->vm, payload->addr, payload->bytes, false);
    return out->source ? 0 : -EFAULT;
}

int route_decode(struct endpoint *from, const struct ferry_desc *desc, route_memory_fn memory,
                 struct transfer *out)
{
    *out = (struct transfer){.mode = desc->mode, .tag = desc->tag, .noted = true, .clear = true};
    if (desc->flags || desc->zero2 || desc->src || desc->src_generation || desc->dst_generation)
        return -EINVAL;
    out->link = link_to(from, desc->dst);
    if (!out->link)
        return -EPERM;
    if (desc->turn && !out->link->direct)
        return -EINVAL;
    out->turn = desc->turn;

    switch (desc->mode) {
    case FERRY_INLINE:
        if (desc->inline_bytes > FERRY_INLINE_BYTES)
            return -EMSGSIZE;
        out->inline_bytes = desc->inline_bytes;
        memcpy(out->data, desc->data, desc->inline_bytes);
        return 0;
    case FERRY_COPY:
    case FERRY_LEND:
    case FERRY_MOVE:
        return desc->inline_bytes ? -EINVAL : decode_payload(from, &desc->payload, memory, out);
    case FERRY_HANGUP:
        return desc->inline_bytes ? -EINVAL : 0;
    default:
        return -EINVAL;
    }
}

/* --- drain ----------------------------------------------------------------- */

bool route_pending(const struct endpoint *from)
{
    return ring_ahead(&from->control->guest.out_head, from->out_tail, FERRY_RING_ENTRIES) != 0;
}

/* Decodes the next messages of the out ring as long as they may change hands together; returns
 * how many. 0: the first is not one that can be sent, *result says why. */
static uint32_t gather(struct endpoint *from, route_memory_fn memory, uint32_t ahead,
                       struct transfer run[ROUTE_RUN], int *result)
{
    uint32_t count = 0;

    *result = 0;
    for (; count < ahead && count < ROUTE_RUN; count++) {
        struct ferry_desc desc = ring_fetch(from->control->out, from->out_tail + count);
        int decoded = route_decode(from, &desc, memory, &run[count]);
        if (decoded < 0 && count == 0)
            *result = decoded;
        if (decoded < 0 || (count && !route_joins(&run[count - 1], &run[count])))
            break;
    }
    return count;
}

/* Tells the guest what became of its next message. */
static void answer(struct endpoint *from, int32_t status)
{
    /* In bounds: masked. */
    from->control->out_status[from->out_tail++ & RING_MASK] = status;
}

void route_drain(struct endpoint *from, route_memory_fn memory)
{
    struct transfer run[ROUTE_RUN];

    loan_collect(from);
    loan_hold_still(from);
    from->out_parked = false;
    uint32_t last = from->out_tail +
                    ring_ahead(&from->control->guest.out_head, from->out_tail, FERRY_RING_ENTRIES);
    while (from->out_tail != last && !from->out_parked) {
        uint32_t done = 0;
        int result;
        uint32_t count = gather(from, memory, last - from->out_tail, run, &result);
        if (count)
            result = route_perform_run(run, count, &done);
        while (done--)
            answer(from, 0);
        if (result == -EAGAIN)
            from->out_parked = true;
        else if (result < 0)
            answer(from, result);
        ring_publish(&from->control->vmm.out_tail, from->out_tail);
    }
    loan_go_on(from);
}
