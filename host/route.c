/* SPDX-License-Identifier: BSD-2-Clause */
/* The router: decode, perform, drain. */
#include "route.h"

#include <errno.h>
#include <string.h>

#include "engine.h"
#include "loan.h"
#include "queue.h"
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
    *out = (struct transfer){.mode = desc->mode, .tag = desc->tag, .noted = true};
    if (desc->flags || desc->zero || desc->zero2 || desc->src || desc->src_generation ||
        desc->dst_generation)
        return -EINVAL;
    out->link = link_to(from, desc->dst);
    if (!out->link)
        return -EPERM;

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

/* --- perform: all or nothing ---------------------------------------------- */

static void count(atomic_ullong *figure, uint64_t amount)
{
    atomic_fetch_add_explicit(figure, amount, memory_order_relaxed);
}

/* Closes the sender's window over the units and opens the receiver's; never
 * is a page open to both. */
static int update_tables(struct transfer *transfer, enum unit_state had)
{
    struct endpoint *from = transfer->link->from, *to = transfer->link->to;
    const struct pool *pool = &from->engine->pool;
    uint64_t offset = pool_offset(pool, transfer->units.first);
    uint64_t bytes = units_bytes(pool, transfer->units);
    enum window_access before = had == UNIT_LENT ? WINDOW_READ : WINDOW_WRITE;
    enum window_access after = transfer->mode == FERRY_MOVE ? WINDOW_WRITE : WINDOW_READ;

    int result = window_set(&from->window, offset, bytes, before, WINDOW_CLOSED);
    if (result < 0)
        return result;
    result = window_set(&to->window, offset, bytes, WINDOW_CLOSED, after);
    if (result < 0)
        /* Opening again merges what closing split: it needs no memory. */
        window_set(&from->window, offset, bytes, WINDOW_CLOSED, before);
    else
        count(&transfer->link->table_calls, 2);
    return result;
}

static void count_units(const struct transfer *transfer)
{
    struct ferry_link *link = transfer->link;

    count(&link->bytes_handed_over, transfer->bytes);
    if (pool_is_page(&link->engine->pool, transfer->units.first))
        count(&link->pages_4k, transfer->units.count);
    else
        count(&link->extents_2m, transfer->units.count);
}

/* Begins the change of hands in the ledger. What is moved counts for the
 * receiver, so nobody can fill its share, or the pool, against its will. */
static int begin(const struct transfer *transfer, enum unit_state had)
{
    struct endpoint *from = transfer->link->from, *to = transfer->link->to;
    struct ledger *ledger = &from->engine->ledger;
    bool page = pool_is_page(&from->engine->pool, transfer->units.first);

    if (transfer->mode != FERRY_MOVE)
        return ledger_begin_send(ledger, transfer->units, from->index, had);
    int result = ledger_begin_move(ledger, transfer->units, from->index, to->index,
                                   page ? to->most_pages : to->most_extents);
    if (result == -EAGAIN)
        queue_park(transfer->link);
    return result;
}

/* Changes hands in ledger and page tables. *passed: the token of a loan that
 * is passed on, or -1. */
static int hand_over(struct transfer *transfer, uint32_t message, int64_t *passed)
{
    struct endpoint *from = transfer->link->from;
    struct ledger *ledger = &from->engine->ledger;

    /* A borrower may pass a loan on, whole, and only lend what is not its own. */
    *passed = -1;
    if (transfer->passes)
        *passed = loan_claim_read(from, transfer->token);
    else if (transfer->mode == FERRY_LEND)
        *passed = loan_claim(from, transfer->units);
    enum unit_state had = *passed >= 0 ? UNIT_LENT : UNIT_OWNED;
    bool noted = had == UNIT_OWNED && transfer->noted && transfer->mode == FERRY_LEND;
    if (noted && !loan_reserve(from))
        return -EAGAIN;

    int result = begin(transfer, had);
    if (result == 0) {
        result = update_tables(transfer, had);
        if (result < 0)
            ledger_abort(ledger, transfer->units, had);
    }
    if (result < 0) {
        if (noted)
            loan_unreserve(from);
        if (*passed >= 0)
            loan_unclaim(from, (uint32_t)*passed, transfer->passes ? HELD_READ : HELD_TAKEN);
        return result;
    }
    ledger_commit_send(ledger, transfer->units, transfer->link->to->index,
                       transfer->mode == FERRY_MOVE, message);
    count_units(transfer);
    return 0;
}

/* Payload of a COPY into the landing slot of its token. */
static void copy_payload(const struct transfer *transfer, uint32_t token)
{
    struct endpoint *to = transfer->link->to;

    /* In bounds: decode limits bytes to one slot, and token to the slots. */
    memcpy(to->landing + (uint64_t)token * FERRY_COPY_BYTES, transfer->source, transfer->bytes);
    count(&transfer->link->bytes_copied, transfer->bytes);
}

/* Who sent it and to whom, from the VMM's own books (claims 7, 14). */
static struct ferry_desc stamp(const struct transfer *transfer)
{
    const struct endpoint *from = transfer->link->from, *to = transfer->link->to;

    return (struct ferry_desc){.mode = (uint8_t)transfer->mode,
                               .inline_bytes = transfer->inline_bytes,
                               .src = from->id,
                               .dst = to->id,
                               .src_generation = from->generation,
                               .dst_generation = to->generation,
                               .tag = transfer->tag};
}

static struct ferry_desc describe(const struct transfer *transfer, uint32_t token, uint32_t message)
{
    const struct endpoint *to = transfer->link->to;
    struct ferry_desc desc = stamp(transfer);

    if (transfer->mode == FERRY_INLINE) {
        memcpy(desc.data, transfer->data, transfer->inline_bytes);
        return desc;
    }
    desc.payload = (struct ferry_payload){
        .addr = transfer->mode == FERRY_COPY ? to->landing_addr + (uint64_t)token * FERRY_COPY_BYTES
                                             : to->window_addr + transfer->offset,
        .bytes = transfer->bytes,
        .token = token,
        .message = message,
    };
    return desc;
}

static int perform_message(struct transfer *transfer)
{
    struct ferry_link *link = transfer->link;
    bool with_token = transfer->mode == FERRY_COPY || transfer->mode == FERRY_LEND;
    uint32_t token = 0;
    int64_t passed = -1;

    int result = queue_reserve(link, with_token, &token);
    if (result < 0)
        return result;
    uint32_t message = atomic_fetch_add(&link->sequence, 1) + 1;
    if (transfer->mode == FERRY_COPY)
        copy_payload(transfer, token);
    else if (transfer->mode != FERRY_INLINE)
        result = hand_over(transfer, message, &passed);
    if (result < 0) {
        queue_unreserve(link, with_token, token);
        return result;
    }
    if (transfer->mode == FERRY_LEND) {
        link->to->held[token].lent = true;
        link->to->held[token].units = transfer->units;
    }
    struct ferry_desc desc = describe(transfer, token, message);
    queue_deliver(link, &desc);
    if (passed >= 0)
        loan_pass_on(link->from, (uint32_t)passed);
    count(&link->messages, 1);
    count(&link->bytes_inline, transfer->inline_bytes);
    count(&link->from->messages_sent, 1);
    return 0;
}

int route_perform(struct transfer *transfer)
{
    int result = 0;

    if (transfer->mode == FERRY_HANGUP)
        queue_hangup(transfer->link);
    else
        result = perform_message(transfer);
#ifdef FERRY_PROVE
    ledger_prove(&transfer->link->engine->ledger);
#endif
    return result;
}

/* --- drain ----------------------------------------------------------------- */

bool route_pending(const struct endpoint *from)
{
    return ring_ahead(&from->control->guest.out_head, from->out_tail, FERRY_RING_ENTRIES) != 0;
}

void route_drain(struct endpoint *from, route_memory_fn memory)
{
    struct ferry_control *control = from->control;
    struct transfer transfer;

    loan_collect(from);
    loan_settle(from);
    from->out_parked = false;
    uint32_t ahead = ring_ahead(&control->guest.out_head, from->out_tail, FERRY_RING_ENTRIES);
    for (; ahead > 0; ahead--) {
        struct ferry_desc desc = ring_fetch(control->out, from->out_tail);
        int result = route_decode(from, &desc, memory, &transfer);
        if (result == 0)
            result = route_perform(&transfer);
        if (result == -EAGAIN) {
            from->out_parked = true;
            break;
        }
        /* In bounds: masked. */
        control->vmm.out_status[from->out_tail & RING_MASK] = result;
        ring_publish(&control->vmm.out_tail, ++from->out_tail);
    }
}
