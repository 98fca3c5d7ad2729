/* SPDX-License-Identifier: BSD-2-Clause */
/* The pool: one memfd of pages and extents. */
#include "pool/pool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/mapping.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1; older C libraries lack the name */
#endif

int pool_create(struct pool *pool, uint32_t pages, uint32_t extents)
{
    uint32_t per_extent = FERRY_EXTENT_BYTES / FERRY_PAGE_BYTES;
    uint64_t groups = ((uint64_t)pages + per_extent - 1) / per_extent;

    *pool = (struct pool){.fd = -1, .extents = extents};
    pool->bytes = (groups + extents) * FERRY_EXTENT_BYTES;
    if (pool->bytes == 0 || pool->bytes > FERRY_WINDOW_MAX_BYTES)
        return -EINVAL;
    pool->pages = (uint32_t)(groups * per_extent);

    pool->units = calloc(pool_units(pool), sizeof *pool->units);
    if (!pool->units)
        return -ENOMEM;
    pool->fd = memfd_create("ferry-pool", MFD_CLOEXEC);
    if (pool->fd < 0)
        goto fail;
    if (ftruncate(pool->fd, (off_t)pool->bytes) < 0)
        goto fail;
    pool->base = mapping_aligned(pool->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, pool->fd);
    if (!pool->base)
        goto fail;
    /* A child of fork must not share pages whose owner is tracked here. */
    madvise(pool->base, pool->bytes, MADV_DONTFORK);
    return 0;

fail:;
    int saved = -errno;
    pool_destroy(pool);
    return saved;
}

void pool_destroy(struct pool *pool)
{
    if (pool->base)
        munmap(pool->base, pool->bytes);
    if (pool->fd >= 0)
        close(pool->fd);
    free(pool->units);
    *pool = (struct pool){.fd = -1};
}

static uint32_t unit_at(const struct pool *pool, struct pool_offset offset)
{
    uint64_t small = pool_small_bytes(pool);

    if (offset.bytes < small)
        return (uint32_t)(offset.bytes / FERRY_PAGE_BYTES);
    return pool->pages + (uint32_t)((offset.bytes - small) / FERRY_EXTENT_BYTES);
}

bool pool_covering(const struct pool *pool, struct pool_offset offset, uint64_t bytes,
                   struct units *out)
{
    uint64_t end;

    if (bytes == 0 || __builtin_add_overflow(offset.bytes, bytes, &end) || end > pool->bytes)
        return false;
    uint32_t first = unit_at(pool, offset),
             last = unit_at(pool, pool_offset_add(offset, bytes - 1));
    if (pool_is_page(pool, first) != pool_is_page(pool, last))
        return false;
    *out = (struct units){first, last - first + 1};
    return true;
}

/* Each call makes the kernel flush the page lists of all processors, and every change of a page
 * table in the process waits for that. So it is made once for each extent, whether it succeeds or
 * not: extents stay huge when they are freed and used again. */
static void make_huge(struct pool *pool, uint32_t unit)
{
    char *start = pool_at(pool, pool_offset(pool, unit));

    if (pool->units[unit].collapsed)
        return;
    pool->units[unit].collapsed = true;
    *(volatile char *)start = *start; /* where there is nothing, there is nothing to collapse */
    madvise(start, FERRY_EXTENT_BYTES, MADV_COLLAPSE); /* without huge pages it is only slower */
}

void pool_make_huge(struct pool *pool, struct units units)
{
    for (uint32_t i = units.first; i < units.first + units.count && !pool_is_page(pool, i); i++)
        make_huge(pool, i);
}

void pool_scrub(struct pool *pool, struct units units)
{
    for (uint32_t i = units.first; i < units.first + units.count; i++) {
        memset(pool_at(pool, pool_offset(pool, i)), 0, pool->units[i].filled);
        pool->units[i].filled = 0;
    }
}

void pool_opened(struct pool *pool, struct units units)
{
    for (uint32_t i = units.first; i < units.first + units.count; i++)
        pool->units[i].filled = (uint32_t)pool_unit_bytes(pool, i);
}

void pool_filled(struct pool *pool, uint32_t unit, uint64_t end)
{
    if (end > pool->units[unit].filled)
        pool->units[unit].filled = (uint32_t)end;
}

uint64_t pool_clear_beside(struct pool *pool, struct units units, struct pool_offset offset,
                           uint64_t bytes)
{
    struct pool_offset start = pool_offset(pool, units.first);
    uint32_t last = units.first + units.count - 1;
    struct pool_offset end = pool_offset_add(offset, bytes);
    uint64_t behind = end.bytes - pool_offset(pool, last).bytes;
    uint64_t cleared = offset.bytes - start.bytes;

    memset(pool_at(pool, start), 0, cleared);
    if (pool->units[last].filled > behind) {
        memset(pool_at(pool, end), 0, pool->units[last].filled - behind);
        cleared += pool->units[last].filled - behind;
    }
    pool->units[last].filled = (uint32_t)behind;
    return cleared;
}

bool pool_is_huge(const struct pool *pool, struct pool_offset offset)
{
    char line[256];
    uintptr_t wanted = (uintptr_t)pool_at(pool, offset);
    bool inside = false;
    bool huge = false;

    FILE *file = fopen("/proc/self/smaps", "re");
    if (!file)
        return false;
    while (!huge && fgets(line, sizeof line, file)) {
        uintptr_t start, end;
        unsigned long kib;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &start, &end) == 2)
            inside = start <= wanted && wanted < end;
        else if (inside && (sscanf(line, "ShmemPmdMapped: %lu", &kib) == 1 ||
                            sscanf(line, "FilePmdMapped: %lu", &kib) == 1))
            huge = kib > 0;
    }
    fclose(file);
    return huge;
}
