/* SPDX-License-Identifier: BSD-2-Clause */
/* Getting units of the pool and giving them back. */
#include "units.h"

#include <errno.h>

#include "engine.h"
#include "queue.h"
#include "stream_internal.h"

/* Zeroed and in transit: nobody else can have them meanwhile. */
static int take_free(struct endpoint *endpoint, uint64_t count, bool page, uint32_t most,
                     struct units *out)
{
    struct ferry_engine *engine = endpoint->engine;

    if (count > most)
        return -EDQUOT;
    int result = ledger_alloc(&engine->ledger, endpoint->index, page, (uint32_t)count, most, out);
    if (result == 0)
        pool_scrub(&engine->pool, *out);
    else
        queue_unpark(endpoint); /* its share was charged for a moment */
    return result;
}

int units_alloc(struct endpoint *endpoint, uint64_t count, bool page, struct units *out)
{
    struct ferry_engine *engine = endpoint->engine;
    uint32_t most = page ? endpoint->most_pages : endpoint->most_extents;

    int result = take_free(endpoint, count, page, most, out);
    if (result < 0)
        return result;
    pool_make_huge(&engine->pool, *out);
    pool_opened(&engine->pool, *out);
    result = window_set(&endpoint->window, pool_offset(&engine->pool, out->first),
                        units_bytes(&engine->pool, *out), WINDOW_CLOSED, WINDOW_WRITE);
    if (result < 0)
        ledger_commit_free(&engine->ledger, *out);
    else
        ledger_commit_owned(&engine->ledger, *out, false);
    return result;
}

int units_keep(struct endpoint *endpoint, bool beyond, struct units *out)
{
    uint32_t most = endpoint->most_extents;

    int result = take_free(endpoint, 1, false, most + (beyond && most < UINT32_MAX), out);

    if (result == 0)
        ledger_commit_owned(&endpoint->engine->ledger, *out, true);
    return result;
}

int units_free(struct endpoint *endpoint, struct units units)
{
    struct ferry_engine *engine = endpoint->engine;

    int result = ledger_begin_free(&engine->ledger, units, endpoint->index);
    if (result < 0)
        return result;
    result = window_set(&endpoint->window, pool_offset(&engine->pool, units.first),
                        units_bytes(&engine->pool, units), WINDOW_WRITE, WINDOW_CLOSED);
    if (result < 0)
        ledger_abort(&engine->ledger, units, UNIT_OWNED);
    else
        ledger_commit_free(&engine->ledger, units);
    /* Who wants to move something here may have waited for just that. */
    queue_unpark(endpoint);
    return result;
}

int units_at(struct endpoint *endpoint, uint64_t addr, uint64_t bytes, struct units *out)
{
    const struct pool *pool = &endpoint->engine->pool;
    uint64_t offset;

    if (__builtin_sub_overflow(addr, endpoint->window_addr, &offset) ||
        !pool_covering(pool, offset, bytes, out))
        return -EINVAL;
    if (offset != pool_offset(pool, out->first) || bytes != units_bytes(pool, *out))
        return -EINVAL;
    if (endpoint->byte_stream && stream_uses(endpoint->byte_stream, *out))
        return -EPERM;
    return 0;
}

void units_reopen(struct endpoint *endpoint, struct units units)
{
    struct ferry_engine *engine = endpoint->engine;

    /* A loan is always open, and what the VMM keeps stays closed. */
    if (ledger_access(&engine->ledger, units, endpoint->index) != WINDOW_WRITE)
        return;
    window_set(&endpoint->window, pool_offset(&engine->pool, units.first),
               units_bytes(&engine->pool, units), WINDOW_CLOSED, WINDOW_WRITE);
}
