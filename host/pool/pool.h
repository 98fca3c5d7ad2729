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

#include "lib/address.h"

/* What is known about one unit. Changed only by the thread that has it in transit, or by the VMM
 * for a kept unit. */
struct pool_unit {
    uint32_t filled; /* bytes from its start that may be other than zero; the rest is zero */
    bool collapsed;  /* an extent: it was made huge, or that was tried */
};

struct pool {
    int fd;
    char *base; /* the VMM's view, 2 MiB-aligned */
    uint64_t bytes;
    uint32_t pages;   /* units [0, pages) are 4 KiB */
    uint32_t extents; /* units [pages, pages + extents) are 2 MiB */
    struct pool_unit *units;
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

/* Where the unit begins. */
static inline struct pool_offset pool_offset(const struct pool *pool, uint32_t unit)
{
    if (pool_is_page(pool, unit))
        return (struct pool_offset){unit * FERRY_PAGE_BYTES};
    return (struct pool_offset){pool_small_bytes(pool) + (unit - pool->pages) * FERRY_EXTENT_BYTES};
}

/* The VMM's address of a place in the pool. */
static inline char *pool_at(const struct pool *pool, struct pool_offset offset)
{
    return pool->base + offset.bytes;
}

/* The place that is at this address of the VMM; for any other address an offset that pool_covering
 * refuses. */
static inline struct pool_offset pool_place(const struct pool *pool, const void *at)
{
    return (struct pool_offset){(uint64_t)at - (uint64_t)pool->base};
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
bool pool_covering(const struct pool *pool, struct pool_offset offset, uint64_t bytes,
                   struct units *out);

/* Zeroes units. No endpoint may have them open. */
void pool_scrub(struct pool *pool, struct units units);
/* Makes extents huge pages, once for each; their contents stay. */
void pool_make_huge(struct pool *pool, struct units units);

/* An endpoint gets units open for writing: from now on any byte of them may be other than zero. */
void pool_opened(struct pool *pool, struct units units);
/* The VMM writes within [0, end) of a unit that no endpoint has open for writing. */
void pool_filled(struct pool *pool, uint32_t unit, uint64_t end);
/* Zeroes the bytes of units beside the payload [offset, offset + bytes), which touches all of them.
 * No endpoint may have them open. Returns how many bytes had to be zeroed. */
uint64_t pool_clear_beside(struct pool *pool, struct units units, struct pool_offset offset,
                           uint64_t bytes);

/* Whether the extent that holds `offset` is mapped by one huge entry in the VMM's view now. */
bool pool_is_huge(const struct pool *pool, struct pool_offset offset);

#endif
