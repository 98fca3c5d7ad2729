/* SPDX-License-Identifier: BSD-2-Clause */
/* Shares: how many units each endpoint owns, and what is kept for the host. */
#include "pool/shares.h"

#include <errno.h>
#include <stdlib.h>

#define KEPT_PAGES   64u
#define KEPT_EXTENTS 16u

_Static_assert(sizeof(struct share) == 64, "a share is a cache line");

static atomic_uint *count_of(struct share *share, bool page)
{
    return page ? &share->pages : &share->extents;
}

static atomic_uint *owned(struct shares *shares, uint16_t owner, bool page)
{
    if (owner >= SHARES)
        abort(); /* no endpoint has such an index */
    return count_of(&shares->of[owner], page);
}

static bool is_host(struct shares *shares, uint16_t owner)
{
    return atomic_load_explicit(&shares->of[owner].host, memory_order_relaxed);
}

/* False: it would be more than `most`. A figure may be below 0 for a moment, when units that are
 * counted late were given back early. */
static bool up(atomic_uint *figure, uint32_t count, uint32_t most)
{
    unsigned now = atomic_load_explicit(figure, memory_order_relaxed);

    do {
        if ((int64_t)(int32_t)now + count > most)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(figure, &now, now + count, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

static void down(atomic_uint *figure, uint32_t count)
{
    atomic_fetch_sub_explicit(figure, count, memory_order_relaxed);
}

int shares_create(struct shares *shares, const struct pool *pool)
{
    *shares = (struct shares){.pool = pool, .of = calloc(SHARES, sizeof *shares->of)};
    return shares->of ? 0 : -ENOMEM;
}

void shares_destroy(struct shares *shares)
{
    free(shares->of);
    shares->of = NULL;
}

void shares_keep_for(struct shares *shares, uint16_t owner)
{
    uint32_t pages = shares->pool->pages / 8, extents = shares->pool->extents / 8;

    atomic_store(&shares->of[owner].host, true);
    atomic_store(&shares->kept_pages, pages < KEPT_PAGES ? pages : KEPT_PAGES);
    atomic_store(&shares->kept_extents, extents < KEPT_EXTENTS ? extents : KEPT_EXTENTS);
}

void shares_forget(struct shares *shares, uint16_t owner)
{
    atomic_store(&shares->of[owner].host, false);
}

uint32_t shares_owned(struct shares *shares, uint16_t owner, bool page)
{
    return atomic_load_explicit(owned(shares, owner, page), memory_order_relaxed);
}

int shares_take(struct shares *shares, uint16_t owner, bool page, uint32_t count, uint32_t most)
{
    uint32_t all = page ? shares->pool->pages : shares->pool->extents;
    uint32_t rest = all - atomic_load_explicit(page ? &shares->kept_pages : &shares->kept_extents,
                                               memory_order_relaxed);

    if (!up(owned(shares, owner, page), count, most))
        return -EDQUOT;
    if (is_host(shares, owner) || up(count_of(&shares->others, page), count, rest))
        return 0;
    down(owned(shares, owner, page), count);
    return -ENOMEM;
}

void shares_give_back(struct shares *shares, uint16_t owner, bool page, uint32_t count)
{
    down(owned(shares, owner, page), count);
    if (!is_host(shares, owner))
        down(count_of(&shares->others, page), count);
}

bool shares_promise(struct shares *shares, uint16_t recipient, bool page, uint32_t count,
                    uint32_t most)
{
    return up(owned(shares, recipient, page), count, most);
}

void shares_break(struct shares *shares, uint16_t recipient, bool page, uint32_t count)
{
    down(owned(shares, recipient, page), count);
}

void shares_moved(struct shares *shares, uint16_t from, uint16_t recipient, bool page,
                  uint32_t count)
{
    down(owned(shares, from, page), count);
    if (is_host(shares, from) && !is_host(shares, recipient))
        up(count_of(&shares->others, page), count, UINT32_MAX);
}

void shares_orphan(struct shares *shares, uint16_t owner, bool page)
{
    down(owned(shares, owner, page), 1);
    if (is_host(shares, owner))
        up(count_of(&shares->others, page), 1, UINT32_MAX);
}

void shares_orphans_home(struct shares *shares, bool page, uint32_t count)
{
    down(count_of(&shares->others, page), count);
}
