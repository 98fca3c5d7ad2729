/* SPDX-License-Identifier: BSD-2-Clause */
/* Decode: checks one message and changes nothing. */
#include "ipc/decode.h"

#include <errno.h>
#include <string.h>

#include "ipc/exchange.h"
#include "ipc/mode.h"

static struct ferry_link *link_to(const struct endpoint *from, uint16_t dst)
{
    for (uint32_t i = 0; i < from->out_count; i++)
        if (from->out[i]->to->id == dst)
            return from->out[i];
    return NULL;
}

int decode_units(struct endpoint *from, struct pool_offset offset, uint64_t bytes,
                 struct transfer *out)
{
    const struct pool *pool = &from->exchange->pool;

    if (!pool_covering(pool, offset, bytes, &out->units))
        return -EFAULT;
    if (endpoint_stream_uses(from, out->units))
        return -EPERM;
    out->offset = offset;
    out->bytes = bytes;
    return 0;
}

static int decode_payload(struct endpoint *from, const struct ferry_payload *payload,
                          struct transfer *out)
{
    if (payload->token || payload->message || payload->zero)
        return -EINVAL;
    if (mode_of(out->mode)->carries == MODE_UNITS)
        return decode_units(from, endpoint_offset(from, guest_addr(payload->addr)), payload->bytes,
                            out);

    if (payload->bytes > FERRY_COPY_BYTES)
        return -EMSGSIZE;
    out->bytes = payload->bytes;
    out->source = from->memory(from->vm, guest_addr(payload->addr), payload->bytes, false);
    return reach_may(out->source, payload->bytes, false) ? 0 : -EFAULT;
}

bool decode_may_wait(struct endpoint *from, const struct ferry_desc *desc)
{
    const struct mode *mode = mode_of(desc->mode);
    const struct ferry_payload *payload = &desc->payload;

    return mode && mode->carries == MODE_COPY && payload->bytes <= FERRY_COPY_BYTES &&
           link_to(from, desc->dst) &&
           !from->at_hand(from->vm, guest_addr(payload->addr), payload->bytes);
}

int decode_message(struct endpoint *from, const struct ferry_desc *desc, struct transfer *out)
{
    *out = (struct transfer){
        .mode = desc->mode, .tag = desc->tag, .wants_completion = true, .clear = true};
    if (desc->flags || desc->zero2 || desc->src || desc->src_generation || desc->dst_generation)
        return -EINVAL;
    out->link = link_to(from, desc->dst);
    if (!out->link)
        return -EPERM;
    if (desc->turn && !out->link->direct)
        return -EINVAL;
    out->turn = desc->turn;

    const struct mode *mode = mode_of(desc->mode);
    if (!mode)
        return -EINVAL;
    if (mode->carries == MODE_INLINE) {
        if (desc->inline_bytes > FERRY_INLINE_BYTES)
            return -EMSGSIZE;
        out->inline_bytes = desc->inline_bytes;
        memcpy(out->data, desc->data, desc->inline_bytes);
        return 0;
    }
    if (desc->inline_bytes)
        return -EINVAL;
    return mode_has_payload(mode) ? decode_payload(from, &desc->payload, out) : 0;
}
