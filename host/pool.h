/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pool: one memfd that all message pages come from. First 4 KiB pages,
 * then extents of 2 MiB; a *unit* is one of either, and units are numbered
 * through. The VMM's own view of it is always open; windows are further
 * mappings of the same file.
 */
#ifndef FERRY_HOST_POOL_H
#define FERRY_HOST_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include <ferry/abi/layout.h>

struct pool {
    int fd;
    char *base; /* the VMM's view, 2 MiB-aligned */
    uint64_t bytes;
    uint32_t pages;   /* units [0, pages) are 4 KiB */
    uint32_t extents; /* units [pages, pages + extents) are 2 MiB */
    bool huge;        /* extents are huge pages, as far as was tried */
};

/* Adjacent units of one size. */
struct units {
    uint32_t first, count;
};

static inline bool units_overlap(struct units a, struct units b)
{
    return a.first < b.first + b.count && b.first < a.first + a.count;
}

/* pages is rounded up to fill whole extents. -ENOMEM, -EINVAL (larger than a window). */
int pool_create(struct pool *pool, uint32_t pages, uint32_t extents);
void pool_destroy(struct pool *pool);

static inline uint64_t pool_small_bytes(const struct pool *pool)
{
    return pool->pages * FERRY_PAGE_BYTES;
}

static inline uint32_t pool_units(const struct pool *pool)
{
    return pool->pages + pool->extents;
}

static inline bool pool_is_page(const struct pool *pool, uint32_t unit)
{
    return unit < pool->pages;
}

static inline uint64_t pool_offset(const struct pool *pool, uint32_t unit)
{
    if (pool_is_page(pool, unit))
        return unit * FERRY_PAGE_BYTES;
    return pool_small_bytes(pool) + (unit - pool->pages) * FERRY_EXTENT_BYTES;
}

static inline uint64_t pool_unit_bytes(const struct pool *pool, uint32_t unit)
{
    return pool_is_page(pool, unit) ? FERRY_PAGE_BYTES : FERRY_EXTENT_BYTES;
}

static inline uint64_t units_bytes(const struct pool *pool, struct units units)
{
    return units.count * pool_unit_bytes(pool, units.first);
}

/* The units that [offset, offset + bytes) touches. False: empty, outside the
 * pool, or across the border between pages and extents. Safe for any input. */
bool pool_covering(const struct pool *pool, uint64_t offset, uint64_t bytes, struct units *out);

/* Makes extents huge where they are not yet and, unless they are fresh, zeroes
 * units, which nobody may have open. */
void pool_scrub(struct pool *pool, struct units units, bool fresh);

/* Whether the extent that holds `offset` is mapped by one huge entry in the VMM's view now. */
bool pool_is_huge(const struct pool *pool, uint64_t offset);

#endif
