/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns how the memory of a layer is had again. What was mapped, unmapped or protected since is laid anew; if
 * a part was moved, all is: which part went where is not kept. And pages that were written get their
 * contents from the file again, or are given up.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <ferry/abi/layout.h>

#include "lib/bits.h"
#include "program/space_layer.h"

/* ---- going back: what is mapped --------------------------------------------------- */

static int lay(struct space *space, const struct space_layer *layer,
               const struct space_region *region, uint64_t offset, uint64_t from, uint64_t to)
{
    int result;

    if (!(region->prot & LAYER))
        return space_host_reserve(space, from, to - from);
    result = space_host_map(space, from, to - from, space_host_prot(region->prot), MAP_PRIVATE,
                            layer->fd, offset + (from - region->start));
    if (result)
        space_host_reserve(space, from, to - from); /* never a hole */
    return result;
}

/* [from, to) lies in both: as it is now, and as the layer has it. */
static int lay_part(struct space *space, const struct space_layer *layer,
                    const struct space_region *region, uint64_t offset,
                    const struct space_region *now, uint64_t from, uint64_t to)
{
    /* What is no memory of the layer may have pages, whatever its rights: those of a moment, as where the
     * host refused a part of what they were changed for. */
    if (!(now->prot & region->prot & LAYER))
        return lay(space, layer, region, offset, from, to);
    if (space_host_prot(now->prot) == space_host_prot(region->prot))
        return 0;
    return space_host_protect(space, from, to - from, space_host_prot(region->prot));
}

static int lay_region(struct space *space, const struct space_layer *layer,
                      const struct space_region *region, uint64_t offset)
{
    uint64_t at = region->start;
    int result = 0;

    for (size_t i = space_first_after(space, at); at < region->end && !result; i++) {
        const struct space_region *now = i < space->count ? &space->regions[i] : NULL;
        uint64_t from = now ? min_u64(max_u64(now->start, at), region->end) : region->end;

        if (at < from)
            result = lay(space, layer, region, offset, at, from);
        at = from;
        if (at == region->end || result)
            break;
        at = min_u64(now->end, region->end);
        result = lay_part(space, layer, region, offset, now, from, at);
    }
    return result;
}

/* What is mapped between the regions of the layer goes. */
static int clear_gap(struct space *space, uint64_t start, uint64_t end)
{
    int result = 0;

    for (size_t i = space_first_after(space, start); i < space->count && !result; i++) {
        uint64_t from = max_u64(space->regions[i].start, start);
        uint64_t to = min_u64(space->regions[i].end, end);

        if (from >= end)
            break;
        result = space_host_reserve(space, from, to - from);
    }
    return result;
}

static int lay_host(struct space *space, const struct space_layer *layer)
{
    uint64_t offset = 0, end = 0;
    int result = 0;

    for (size_t i = 0; i < layer->count && !result; i++) {
        const struct space_region *region = &layer->regions[i];

        result = clear_gap(space, end, region->start);
        if (!result)
            result = lay_region(space, layer, region, offset);
        offset += region->prot & LAYER ? space_region_bytes(region) : 0;
        end = region->end;
    }
    return result ? result : clear_gap(space, end, UINT64_MAX);
}

static void take_list(struct space *space, const struct space_layer *layer)
{
    space_forget_regions(space, 0);
    memcpy(space->regions, layer->regions, layer->count * sizeof(*layer->regions));
    space->count = layer->count;
    space_hold_labels(space->regions, space->count);
}

/* Only what changed is laid, so that all else keeps its pages. Where the host refuses a part, nothing is
 * left mapped of that moment or of another. */
static int lay_anew(struct space *space, struct space_layer *layer)
{
    bool keeps = !space->layer_moved && !space_reserve_regions(space, layer->count);
    int result = keeps ? 0 : space_clear(space, 0);

    if (!result)
        result = space_reserve_regions(space, layer->count);
    if (!result)
        result = lay_host(space, layer);
    if (result) {
        space_clear(space, 0);
        return -ENOMEM;
    }
    space_slots_cut(space, layer->slots_end);
    take_list(space, layer);
    space_ahead_init(space);
    space_settle(space);
    space->layer_moved = false;
    layer->changes = ++space->changes;
    return 0;
}

/* ---- going back: what the pages hold ------------------------------------------------ */

/* So many pages that were written are kept for the next run, which mostly writes to the same: to have one
 * again is a copy, where a fresh one is a fault of the guest and one of the host as well. */
#define KEPT_PAGES   4096
#define LOOKED_PAGES 512

/* As proc/<pid>/pagemap tells: a page of its own that the mapping has in place of the file's. */
static bool is_own(uint64_t entry)
{
    const uint64_t swapped = 1ull << 62, present = 1ull << 63, of_file = 1ull << 61;

    return entry & swapped || (entry & present && !(entry & of_file));
}

static int keep_pages(struct space *space, const struct space_layer *layer, uint64_t addr,
                      uint64_t count, uint64_t offset)
{
    uint64_t done = 0, bytes = count * FERRY_PAGE_BYTES;

    space_habit_learn(layer->habit, offset, count);
    while (done < bytes) {
        ssize_t got =
            pread(layer->fd, space_host(space, addr + done), bytes - done, (off_t)(offset + done));

        if (got <= 0)
            return -ENOMEM;
        done += (uint64_t)got;
    }
    return 0;
}

/* A part of a region whose pages are looked at. */
struct look {
    uint64_t addr, offset; /* its place, and that in the file */
    size_t count;
    uint64_t entries[LOOKED_PAGES];
};

/* Of the pages from `at` on, how many are so. */
static size_t run_of(const struct look *look, size_t at, bool own)
{
    size_t end = at;

    while (end < look->count && is_own(look->entries[end]) == own)
        end++;
    return end - at;
}

static int restore_looked(struct space *space, const struct space_layer *layer,
                          const struct look *look, uint64_t *kept)
{
    int result = 0;

    for (size_t at = run_of(look, 0, false), run; at < look->count && !result;
         at += run_of(look, at, false)) {
        uint64_t addr = look->addr + at * FERRY_PAGE_BYTES;

        run = run_of(look, at, true);
        *kept += run;
        if (*kept > KEPT_PAGES)
            result = space_host_advise(space, addr, run * FERRY_PAGE_BYTES, MADV_DONTNEED);
        else
            result = keep_pages(space, layer, addr, run, look->offset + at * FERRY_PAGE_BYTES);
        at += run;
    }
    return result;
}

static bool look_at(const struct space *space, struct look *look)
{
    const uint64_t page = (uintptr_t)space_host(space, look->addr) / FERRY_PAGE_BYTES;
    const ssize_t bytes = (ssize_t)(look->count * sizeof(look->entries[0]));

    return space->backend.pagemap_and_one &&
           pread(space->backend.pagemap_and_one - 1, look->entries, (size_t)bytes,
                 (off_t)(page * sizeof(look->entries[0]))) == bytes;
}

static int restore_region(struct space *space, const struct space_layer *layer,
                          const struct space_region *region, uint64_t offset, uint64_t *kept)
{
    uint64_t left = space_region_bytes(region) / FERRY_PAGE_BYTES;
    struct look look = {.addr = region->start, .offset = offset};
    int result = 0;

    for (; left && !result; left -= look.count) {
        look.count = min_u64(left, LOOKED_PAGES);
        if (!look_at(space, &look))
            return space_host_advise(space, look.addr, left * FERRY_PAGE_BYTES, MADV_DONTNEED);
        result = restore_looked(space, layer, &look, kept);
        look.addr += look.count * FERRY_PAGE_BYTES;
        look.offset += look.count * FERRY_PAGE_BYTES;
    }
    return result;
}

/* What could not be written since has no page of its own. */
static int restore_pages(struct space *space, const struct space_layer *layer)
{
    uint64_t offset = 0, kept = 0;
    int result = 0;

    for (size_t i = 0; i < layer->count && !result; i++) {
        const struct space_region *region = &layer->regions[i];

        if (!(region->prot & LAYER))
            continue;
        if (region->prot & SPACE_WRITE)
            result = restore_region(space, layer, region, offset, &kept);
        else if (space->layer_opened)
            result =
                space_host_advise(space, region->start, space_region_bytes(region), MADV_DONTNEED);
        offset += space_region_bytes(region);
    }
    return result ? -ENOMEM : 0;
}

int space_go_back(struct space *space, struct space_layer *layer)
{
    bool is_laid = space->changes == layer->changes && !space->layer_moved;
    int result = is_laid ? 0 : lay_anew(space, layer);

    if (!result)
        result = restore_pages(space, layer);
    if (result)
        return result;
    if (layer->is_new)
        space_habit_populate(space, layer);
    layer->is_new = false;
    space->layer_opened = false;
    space->used_bytes = layer->used_bytes;
    return 0;
}
