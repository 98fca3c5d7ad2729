/* SPDX-License-Identifier: BSD-2-Clause */
/* The pool: one memfd of pages and extents. */
#include "pool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mapping.h"

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

    pool->fd = memfd_create("ferry-pool", MFD_CLOEXEC);
    if (pool->fd < 0)
        return -errno;
    if (ftruncate(pool->fd, (off_t)pool->bytes) < 0)
        goto fail;
    pool->base = mapping_aligned(pool->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, pool->fd);
    if (!pool->base)
        goto fail;
    /* A child of fork must not share pages whose owner is tracked here. */
    madvise(pool->base, pool->bytes, MADV_DONTFORK);
    pool->huge = true;
    return 0;

fail:;
    int saved = -errno;
    close(pool->fd);
    pool->fd = -1;
    return saved;
}

void pool_destroy(struct pool *pool)
{
    if (pool->base)
        munmap(pool->base, pool->bytes);
    if (pool->fd >= 0)
        close(pool->fd);
    pool->base = NULL;
    pool->fd = -1;
}

static uint32_t unit_at(const struct pool *pool, uint64_t offset)
{
    uint64_t small = pool_small_bytes(pool);

    if (offset < small)
        return (uint32_t)(offset / FERRY_PAGE_BYTES);
    return pool->pages + (uint32_t)((offset - small) / FERRY_EXTENT_BYTES);
}

bool pool_covering(const struct pool *pool, uint64_t offset, uint64_t bytes, struct units *out)
{
    uint64_t end;

    if (bytes == 0 || __builtin_add_overflow(offset, bytes, &end) || end > pool->bytes)
        return false;
    uint32_t first = unit_at(pool, offset), last = unit_at(pool, end - 1);
    if (pool_is_page(pool, first) != pool_is_page(pool, last))
        return false;
    *out = (struct units){first, last - first + 1};
    return true;
}

void pool_scrub(struct pool *pool, struct units units, bool fresh)
{
    char *start = pool->base + pool_offset(pool, units.first);
    uint64_t bytes = units_bytes(pool, units);

    if (!pool_is_page(pool, units.first)) {
        /* An extent that was never touched is made one huge page here and so
         * is zeroed once; it must hold something, or there is nothing to
         * collapse. For one that is huge already this is a short look. */
        for (uint64_t at = 0; at < bytes; at += FERRY_EXTENT_BYTES)
            *(volatile char *)(start + at) = 0;
        if (madvise(start, bytes, MADV_COLLAPSE) < 0)
            pool->huge = false;
    }
    if (!fresh)
        memset(start, 0, bytes);
}

bool pool_is_huge(const struct pool *pool, uint64_t offset)
{
    char line[256];
    uintptr_t wanted = (uintptr_t)pool->base + offset;
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
