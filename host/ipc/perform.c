/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Perform: hands checked messages over, all or nothing. Messages of one link that follow each other
 * form a run where they can: one page-table call on each side, one wake.
 */
#include "ipc/perform.h"

#include <errno.h>
#include <string.h>

#include "ipc/exchange.h"
#include "ipc/loan.h"
#include "ipc/mode.h"
#include "ipc/queue.h"
#include "ipc/room.h"

static enum mode_carries carries(const struct transfer *transfer)
{
    return mode_of(transfer->mode)->carries;
}

static bool moves(const struct transfer *transfer)
{
    return mode_of(transfer->mode)->moves;
}

static bool lends(const struct transfer *transfer)
{
    return mode_lends(mode_of(transfer->mode));
}

static bool with_token(const struct transfer *transfer)
{
    return mode_of(transfer->mode)->has_token;
}

static void count_up(atomic_ullong *figure, uint64_t amount)
{
    atomic_fetch_add_explicit(figure, amount, memory_order_relaxed);
}

static void count_units(const struct transfer *transfer)
{
    struct ferry_link *link = transfer->link;

    count_up(&link->bytes_handed_over, transfer->bytes);
    if (pool_is_page(&link->exchange->pool, transfer->units.first))
        count_up(&link->pages_4k, transfer->units.count);
    else
        count_up(&link->extents_2m, transfer->units.count);
}

/* Begins the hand-over in the ledger. Moved units count for the receiver's share, so a sender
 * cannot make it own more than it may. */
static int begin(const struct transfer *transfer, enum unit_state prior_state)
{
    struct endpoint *from = transfer->link->from, *to = transfer->link->to;
    struct ledger *ledger = &from->exchange->ledger;
    bool page = pool_is_page(&from->exchange->pool, transfer->units.first);
    uint32_t most = page ? to->most_pages : to->most_extents;

    if (!moves(transfer))
        return ledger_begin_send(ledger, transfer->units, from->index, prior_state);
    int result = ledger_begin_move(ledger, transfer->units, from->index, to->index, most);
    if (result != -EAGAIN)
        return result;
    /* A thread that frees units after this sees that a sender waits; units that were freed before
     * are found now. */
    room_park_share(transfer->link, page, transfer->units.count);
    return ledger_begin_move(ledger, transfer->units, from->index, to->index, most);
}

/* Undoes take_units. */
static void give_back(const struct transfer *transfer)
{
    struct endpoint *from = transfer->link->from;

    if (transfer->completion_reserved)
        loan_unreserve(from);
    if (transfer->forwarded_token >= 0)
        loan_unclaim(from, (uint32_t)transfer->forwarded_token,
                     transfer->forwards ? HELD_READ : HELD_TAKEN);
}

/* Whether the sender seems to own the units; it may still turn out that it does not own all of
 * them. Only units that it does not own can be a loan that it forwards. */
static bool owns(const struct endpoint *endpoint, struct units units)
{
    struct ledger_unit unit = ledger_look(&endpoint->exchange->ledger, units.first);

    return unit.state == UNIT_OWNED && unit.holder == endpoint->index;
}

/* Takes the units of a LEND or MOVE from the sender, in the ledger. */
static int take_units(struct transfer *transfer)
{
    struct endpoint *from = transfer->link->from;

    /* A borrower may forward a loan as a whole; it may LEND units that are not its own, not MOVE
     * them. */
    transfer->forwarded_token = -1;
    if (transfer->forwards)
        transfer->forwarded_token = loan_claim_read(from, transfer->token);
    else if (lends(transfer) && !owns(from, transfer->units))
        transfer->forwarded_token = loan_claim(from, transfer->offset, transfer->bytes);
    transfer->prior_state = transfer->forwarded_token >= 0 ? UNIT_LENT : UNIT_OWNED;
    transfer->completion_reserved =
        transfer->prior_state == UNIT_OWNED && transfer->wants_completion && lends(transfer);
    if (transfer->completion_reserved && !loan_reserve(from))
        return -EAGAIN;

    int result = begin(transfer, transfer->prior_state);
    if (result < 0)
        give_back(transfer);
    return result;
}

/* Copies the payload of a COPY into the receive buffer of its token, and zeros what a longer
 * payload left there before. */
static void copy_payload(const struct transfer *transfer)
{
    struct endpoint *to = transfer->link->to;
    char *buffer = to->receive_buffers + (uint64_t)transfer->receiver_token * FERRY_COPY_BYTES;
    uint32_t *filled = &to->receive_filled[transfer->receiver_token];

    /* In bounds: decode limits bytes to one buffer, and token to the buffers. The buffer is the
     * receiver's, the source never is. What was cut off since decode looked is zeros. */
    uint64_t copied = reach_read(buffer, transfer->source, transfer->bytes);
    memset(buffer + copied, 0, transfer->bytes - copied);
    if (*filled > transfer->bytes) {
        memset(buffer + transfer->bytes, 0, *filled - transfer->bytes);
        count_up(&transfer->link->bytes_cleared, *filled - transfer->bytes);
    }
    *filled = (uint32_t)transfer->bytes;
    count_up(&transfer->link->bytes_copied, transfer->bytes);
}

/* The descriptor with sender and receiver, from the VMM's own books (claims 7, 14). */
static struct ferry_desc stamp(const struct transfer *transfer)
{
    const struct endpoint *from = transfer->link->from, *to = transfer->link->to;

    return (struct ferry_desc){.mode = (uint8_t)transfer->mode,
                               .inline_bytes = transfer->inline_bytes,
                               .turn = transfer->turn,
                               .src = from->id,
                               .dst = to->id,
                               .src_generation = from->generation,
                               .dst_generation = to->generation,
                               .tag = transfer->tag};
}

/* Where the receiver has the payload. */
static struct guest_addr payload_addr(const struct transfer *transfer)
{
    const struct endpoint *to = transfer->link->to;

    if (carries(transfer) == MODE_UNITS)
        return endpoint_addr(to, transfer->offset);
    return guest_addr_add(to->receive_buffers_addr,
                          (uint64_t)transfer->receiver_token * FERRY_COPY_BYTES);
}

static struct ferry_desc describe(const struct transfer *transfer)
{
    struct ferry_desc desc = stamp(transfer);

    if (carries(transfer) == MODE_INLINE) {
        memcpy(desc.data, transfer->data, transfer->inline_bytes);
        return desc;
    }
    desc.payload = (struct ferry_payload){
        .addr = payload_addr(transfer).value,
        .bytes = transfer->bytes,
        .token = transfer->receiver_token,
        .message = transfer->message,
    };
    return desc;
}

/* --- messages with a payload --- */

/* Does everything about one message that may fail, except room and the page tables. */
static int prepare(struct transfer *transfer)
{
    transfer->message = atomic_fetch_add(&transfer->link->sequence, 1) + 1;
    if (carries(transfer) == MODE_UNITS)
        return take_units(transfer);
    copy_payload(transfer);
    return 0;
}

/* Undoes prepare for the sender: it keeps its units. */
static void undo(struct transfer *transfer)
{
    if (carries(transfer) != MODE_UNITS)
        return;
    ledger_abort(&transfer->link->exchange->ledger, transfer->units, transfer->prior_state);
    give_back(transfer);
}

/* The sender's rights on the units of a run until it is handed over. */
static enum window_access access_before(const struct transfer *run)
{
    if (run->kept)
        return WINDOW_CLOSED;
    return run->prior_state == UNIT_LENT ? WINDOW_READ : WINDOW_WRITE;
}

/* Zeros the units beside the payloads, so that the receiver gets the payload and zeros. It runs
 * after one window is closed and before the other is opened, while no endpoint has the units open.
 * A loan that is forwarded was cleared when it was first lent, and must come home to its owner
 * unchanged. */
static void clear_beside(const struct transfer *run, uint32_t count)
{
    struct ferry_link *link = run->link;
    uint64_t cleared = 0;

    for (uint32_t i = 0; i < count; i++)
        if (run[i].prior_state == UNIT_OWNED && run[i].clear)
            cleared +=
                pool_clear_beside(&link->exchange->pool, run[i].units, run[i].offset, run[i].bytes);
    count_up(&link->bytes_cleared, cleared);
}

/* Closes the sender's window over the units of the whole run, which lie side by side, and opens the
 * receiver's; a page is never open to both. */
static int update_tables(const struct transfer *run, uint32_t count)
{
    struct ferry_link *link = run->link;
    struct pool *pool = &link->exchange->pool;
    struct units units = {run->units.first, 0};
    enum window_access before = access_before(run);
    enum window_access after = moves(run) ? WINDOW_WRITE : WINDOW_READ;
    int result = 0;

    for (uint32_t i = 0; i < count; i++)
        units.count += run[i].units.count;
    struct pool_offset offset = pool_offset(pool, units.first);
    uint64_t bytes = units_bytes(pool, units);
    if (before != WINDOW_CLOSED)
        result = window_set(&link->from->window, offset, bytes, before, WINDOW_CLOSED);
    if (result < 0)
        return result;
    clear_beside(run, count);
    result = window_set(&link->to->window, offset, bytes, WINDOW_CLOSED, after);
    if ((result == 0 ? after : before) == WINDOW_WRITE)
        pool_opened(pool, units); /* their new holder may fill all of them */
    if (result < 0) {
        /* Opening again merges what closing split: it needs no memory. */
        if (before != WINDOW_CLOSED)
            window_set(&link->from->window, offset, bytes, WINDOW_CLOSED, before);
        return result;
    }
    count_up(&link->table_calls, before == WINDOW_CLOSED ? 1 : 2);
    count_up(&link->shoot_downs, before != WINDOW_CLOSED);
    return 0;
}

/* The books, the queue, the figures: nothing here fails. */
static void complete(struct transfer *run, uint32_t count)
{
    struct ferry_link *link = run->link;
    struct ferry_desc descs[PERFORM_MOST];
    uint32_t i = 0;

    do {
        if (carries(&run[i]) == MODE_UNITS) {
            ledger_commit_send(&link->exchange->ledger, run[i].units, link->to->index,
                               moves(&run[i]), run[i].message);
            count_units(&run[i]);
        }
        if (lends(&run[i])) {
            link->to->held[run[i].receiver_token].lent = true;
            link->to->held[run[i].receiver_token].units = run[i].units;
            link->to->held[run[i].receiver_token].offset = run[i].offset;
            link->to->held[run[i].receiver_token].bytes = run[i].bytes;
        }
        descs[i] = describe(&run[i]);
    } while (++i < count);
    queue_deliver(link, descs, count);
    if (moves(run)) /* a peer may be waiting to move units to the sender */
        room_unpark(link->from);
    for (i = 0; i < count; i++)
        if (lends(&run[i]) && run[i].forwarded_token >= 0)
            loan_forward(link->from, (uint32_t)run[i].forwarded_token);
}

/* Reserves room for as many as find it, then prepares each in turn. *ready: how many can change
 * hands together. Returns why not more; 0: the next has other rights, or no room was left for it,
 * and may be tried by itself. */
static int prepare_run(struct transfer *run, uint32_t count, uint32_t *ready)
{
    uint32_t tokens[PERFORM_MOST] = {0}, reserved, i;
    int room = queue_reserve(run->link, with_token(run) ? tokens : NULL, count, &reserved);
    int result = 0;

    for (i = 0; i < reserved && result == 0; i++) {
        run[i].receiver_token = with_token(run) ? tokens[i] : 0;
        result = prepare(&run[i]);
        /* Own units and forwarded ones have different rights: they cannot be in one call. */
        if (result == 0 && access_before(&run[i]) != access_before(run)) {
            undo(&run[i]);
            break;
        }
        *ready += result == 0;
    }
    queue_unreserve(run->link, with_token(run) ? &tokens[*ready] : NULL, reserved - *ready);
    return *ready < reserved ? result : room;
}

static void undo_run(struct transfer *run, uint32_t count)
{
    uint32_t tokens[PERFORM_MOST];

    for (uint32_t i = 0; i < count; i++) {
        undo(&run[i]);
        tokens[i] = run[i].receiver_token;
    }
    queue_unreserve(run->link, with_token(run) ? tokens : NULL, count);
}

static int perform_payloads(struct transfer *run, uint32_t count, uint32_t *done)
{
    uint32_t ready = 0;

    int result = prepare_run(run, count, &ready);
    int failed = ready && carries(run) == MODE_UNITS ? update_tables(run, ready) : 0;
    if (failed == 0 && ready)
        complete(run, ready);
    if (failed < 0)
        undo_run(run, ready);
    if (failed < 0 && ready > 1)
        return perform_payloads(run, 1, done); /* a shorter run may do */
    *done = failed < 0 ? 0 : ready;
    return failed < 0 ? failed : result;
}

/* --- messages without --- */

static int perform_inline(const struct transfer *run, uint32_t count, uint32_t *done)
{
    struct ferry_desc descs[PERFORM_MOST];
    uint64_t bytes = 0;

    descs[0] = describe(run);
    for (uint32_t i = 1; i < count; i++)
        descs[i] = describe(&run[i]);
    int result = queue_deliver_inline(run->link, descs, count);
    if (result < 0)
        return result;
    *done = (uint32_t)result;
    for (uint32_t i = 0; i < *done; i++)
        bytes += run[i].inline_bytes;
    count_up(&run->link->bytes_inline, bytes);
    return *done < count ? -EAGAIN : 0;
}

/* --- all --- */

bool perform_joins(const struct transfer *last, const struct transfer *next)
{
    const struct pool *pool = &last->link->exchange->pool;

    if (next->link != last->link || next->mode != last->mode)
        return false;
    switch (carries(last)) {
    case MODE_INLINE:
        return true;
    case MODE_COPY:
        /* The receiver reads one long copy while the next is made. */
        return last->bytes + next->bytes <= FERRY_COPY_BYTES;
    case MODE_UNITS:
        return next->units.first == last->units.first + last->units.count &&
               pool_is_page(pool, next->units.first) == pool_is_page(pool, last->units.first);
    case MODE_NOTHING:
        break;
    }
    return false;
}

int perform_run(struct transfer *run, uint32_t count, uint32_t *done)
{
    struct ferry_link *link = run->link;
    int result = 0;

    *done = 0;
    if (mode_of(run->mode)->is_last) {
        queue_hangup(link);
        *done = 1;
    } else {
        result = carries(run) == MODE_INLINE ? perform_inline(run, count, done)
                                             : perform_payloads(run, count, done);
        count_up(&link->messages, *done);
        count_up(&link->from->messages_sent, *done);
    }
#ifdef FERRY_PROVE
    ledger_prove(&link->exchange->ledger);
#endif
    return result;
}

int perform_one(struct transfer *transfer)
{
    uint32_t done;

    return perform_run(transfer, 1, &done);
}
