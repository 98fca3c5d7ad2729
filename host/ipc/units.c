/* SPDX-License-Identifier: BSD-2-Clause */
/* Getting units of the pool and giving them back. */
#include "ipc/units.h"

#include <errno.h>

#include "ipc/exchange.h"
#include "ipc/room.h"

/* Takes free units and zeroes them. They stay in transit, so no other endpoint can have them. */
static int take_free(struct endpoint *endpoint, uint64_t count, bool page, uint32_t most,
                     struct units *out)
{
    struct exchange *exchange = endpoint->exchange;

    if (count > most)
        return -EDQUOT;
    int result = ledger_alloc(&exchange->ledger, endpoint->index, page, (uint32_t)count, most, out);
    if (result == 0)
        pool_scrub(&exchange->pool, *out);
    else
        room_unpark(endpoint); /* its share was charged for a moment */
    return result;
}

int units_alloc(struct endpoint *endpoint, uint64_t count, bool page, struct units *out)
{
    struct exchange *exchange = endpoint->exchange;
    uint32_t most = page ? endpoint->most_pages : endpoint->most_extents;

    int result = take_free(endpoint, count, page, most, out);
    if (result < 0)
        return result;
    pool_make_huge(&exchange->pool, *out);
    pool_opened(&exchange->pool, *out);
    result = window_set(&endpoint->window, pool_offset(&exchange->pool, out->first),
                        units_bytes(&exchange->pool, *out), WINDOW_CLOSED, WINDOW_WRITE);
    if (result < 0)
        ledger_commit_free(&exchange->ledger, *out);
    else
        ledger_commit_owned(&exchange->ledger, *out, false);
    return result;
}

int units_keep(struct endpoint *endpoint, bool beyond, struct units *out)
{
    uint32_t most = endpoint->most_extents;

    int result = take_free(endpoint, 1, false, most + (beyond && most < UINT32_MAX), out);

    if (result == 0)
        ledger_commit_owned(&endpoint->exchange->ledger, *out, true);
    return result;
}

int units_open(struct endpoint *endpoint, struct units units)
{
    struct exchange *exchange = endpoint->exchange;

    int result = ledger_begin_free(&exchange->ledger, units, endpoint->index);
    if (result < 0)
        return result;
    pool_make_huge(&exchange->pool, units);
    pool_opened(&exchange->pool, units);
    result = window_set(&endpoint->window, pool_offset(&exchange->pool, units.first),
                        units_bytes(&exchange->pool, units), WINDOW_CLOSED, WINDOW_WRITE);
    if (result < 0)
        ledger_abort(&exchange->ledger, units, UNIT_OWNED);
    else
        ledger_commit_owned(&exchange->ledger, units, false);
    return result;
}

int units_free(struct endpoint *endpoint, struct units units)
{
    struct exchange *exchange = endpoint->exchange;

    int result = ledger_begin_free(&exchange->ledger, units, endpoint->index);
    if (result < 0)
        return result;
    result = window_set(&endpoint->window, pool_offset(&exchange->pool, units.first),
                        units_bytes(&exchange->pool, units), WINDOW_WRITE, WINDOW_CLOSED);
    if (result < 0)
        ledger_abort(&exchange->ledger, units, UNIT_OWNED);
    else
        ledger_commit_free(&exchange->ledger, units);
    /* A peer may have waited for exactly this to move units here. */
    room_unpark(endpoint);
    return result;
}

int units_at(struct endpoint *endpoint, struct pool_offset offset, uint64_t bytes,
             struct units *out)
{
    const struct pool *pool = &endpoint->exchange->pool;

    if (!pool_covering(pool, offset, bytes, out))
        return -EINVAL;
    if (offset.bytes != pool_offset(pool, out->first).bytes || bytes != units_bytes(pool, *out))
        return -EINVAL;
    if (endpoint_stream_uses(endpoint, *out))
        return -EPERM;
    return 0;
}

void units_reopen(struct endpoint *endpoint, struct units units)
{
    struct exchange *exchange = endpoint->exchange;

    /* A loan is always open, and kept units stay closed. */
    if (ledger_access(&exchange->ledger, units, endpoint->index) != WINDOW_WRITE)
        return;
    window_set(&endpoint->window, pool_offset(&exchange->pool, units.first),
               units_bytes(&exchange->pool, units), WINDOW_CLOSED, WINDOW_WRITE);
}
