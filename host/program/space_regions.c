/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the list of a program's regions, and the charge for them.
 *
 * Every region and every gap is at most one host mapping (VMA), so the bound on regions bounds how
 * many mappings of vm.max_map_count a hostile program can take. For that to hold, regions merge
 * only where the kernel surely merges too: a fresh range with one of its neighbours.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "program/space_internal.h"

#define REGIONS_MAX 12288

/* Index of the first region that ends after addr. */
size_t space_first_after(const struct space *space, uint64_t addr)
{
    size_t low = 0, high = space->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (space->regions[middle].end > addr)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

bool space_is_free(const struct space *space, uint64_t start, uint64_t end)
{
    size_t i = space_first_after(space, start);

    return i == space->count || space->regions[i].start >= end;
}

bool space_has_kinds(const struct space *space, uint64_t start, uint64_t end, unsigned prot,
                     unsigned *kinds)
{
    *kinds = 0;
    for (size_t i = space_first_after(space, start); i < space->count; i++) {
        const struct space_region *region = &space->regions[i];

        if (region->start > start || (region->prot & prot) != prot ||
            (prot && region->prot & BEYOND))
            return false;
        *kinds |= region->prot;
        if (region->end >= end)
            return true;
        start = region->end;
    }
    return false;
}

bool space_has_all(const struct space *space, uint64_t start, uint64_t end, unsigned prot)
{
    unsigned kinds;

    return space_has_kinds(space, start, end, prot, &kinds);
}

/* How much of the region lies in [start, end). */
static uint64_t overlap(const struct space_region *region, uint64_t start, uint64_t end)
{
    return (region->end < end ? region->end : end) -
           (region->start > start ? region->start : start);
}

uint64_t space_charged_bytes(const struct space *space, uint64_t start, uint64_t end)
{
    uint64_t bytes = 0;

    for (size_t i = space_first_after(space, start); i < space->count; i++) {
        const struct space_region *region = &space->regions[i];

        if (region->start >= end)
            break;
        if (region->prot & CHARGED)
            bytes += overlap(region, start, end);
        if (region->prot & CHARGED_TWICE)
            bytes += overlap(region, start, end);
    }
    return bytes;
}

uint64_t space_mapped_bytes(const struct space *space, struct guest_addr start,
                            struct guest_addr end, unsigned with, unsigned without)
{
    uint64_t bytes = 0;

    for (size_t i = space_first_after(space, start.value); i < space->count; i++) {
        const struct space_region *region = &space->regions[i];

        if (region->start >= end.value)
            break;
        if ((region->prot & with) == with && !(region->prot & without))
            bytes += overlap(region, start.value, end.value);
    }
    return bytes;
}

uint64_t space_fresh_bytes(const struct space *space, uint64_t start, uint64_t end, unsigned prot)
{
    uint64_t bytes = 0;

    for (size_t i = space_first_after(space, start); prot && i < space->count; i++) {
        const struct space_region *region = &space->regions[i];

        if (region->start >= end)
            break;
        if (!(region->prot & CHARGED) && (prot & SPACE_WRITE || !(region->prot & LIVE)) &&
            (region->prot & SHARED_LIVE) != SHARED_LIVE &&
            !space_stays_closed(region, start, end, prot))
            bytes += overlap(region, start, end);
        if (prot & SPACE_WRITE && (region->prot & (COPIED | CHARGED_TWICE)) == COPIED)
            bytes += overlap(region, start, end);
    }
    return bytes;
}

/* Each region is a mapping of the host's at most, and so is each gap, in either part. */
static bool allow(struct space *space, size_t regions)
{
    return !space->backend.allow_mappings ||
           space->backend.allow_mappings(space->backend.arg, 2 * regions + (space->far ? 2 : 1));
}

void space_settle(struct space *space)
{
    allow(space, space->count);
}

bool space_regions_are_scarce(const struct space *space)
{
    return space->count > REGIONS_MAX / 2;
}

/* Makes room in memory for `places` more regions, of which `more` stay in the end. Refused if there
 * would be more than `most`; a change that adds no region is always allowed. */
static int reserve(struct space *space, size_t places, size_t more, size_t most)
{
    size_t want = space->count + places;
    struct space_region *grown;

    if (more && space->count + more > most)
        return -ENOMEM;
    if (!allow(space, space->count + more))
        return -ENOMEM;
    if (want <= space->capacity)
        return 0;
    want = want < 16 ? 16 : want * 2;
    grown = realloc(space->regions, want * sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    space->regions = grown;
    space->capacity = want;
    return 0;
}

int space_reserve_regions(struct space *space, size_t more)
{
    return reserve(space, more, more, REGIONS_MAX - REGIONS_KEPT);
}

/* Whether a region would be split there. */
static size_t is_split(const struct space *space, uint64_t addr)
{
    size_t i = space_first_after(space, addr);

    return i < space->count && space->regions[i].start < addr;
}

/* Whether it lies within one region and touches neither end: then two are left when it is cut. */
static size_t is_inside(const struct space *space, uint64_t start, uint64_t end)
{
    size_t i = space_first_after(space, start);

    return i < space->count && space->regions[i].start < start && space->regions[i].end > end;
}

/* Whether a region would be taken out whole. */
static size_t is_replaced(const struct space *space, uint64_t start, uint64_t end)
{
    size_t i = space_first_after(space, start);

    i += is_split(space, start);
    return i < space->count && space->regions[i].end <= end;
}

/* Whether the two, which lie side by side, may be one. */
static bool fit_together(const struct space_region *one, const struct space_region *other)
{
    return one->end == other->start && one->prot == other->prot &&
           one->label.file == other->label.file && one->label.shift == other->label.shift;
}

/* Whether a fresh region of this kind has a neighbour that it joins. */
static bool is_joined(const struct space *space, uint64_t start, uint64_t end, unsigned kind)
{
    const struct space_region fresh = {.start = start, .end = end, .prot = kind};
    size_t i = space_first_after(space, start);
    const struct space_region *region;

    if (kind & ALONE || !space->count)
        return false;
    region = &space->regions[i];
    return (i > 0 && fit_together(&region[-1], &fresh)) ||
           (i < space->count && fit_together(&fresh, region));
}

int space_reserve_fresh(struct space *space, uint64_t start, uint64_t end, unsigned kind,
                        size_t kept)
{
    size_t more = 1 + is_inside(space, start, end) - is_replaced(space, start, end);

    if (space_is_free(space, start, end) && is_joined(space, start, end, kind))
        more = 0;
    return reserve(space, 3, more, REGIONS_MAX - REGIONS_KEPT + kept);
}

int space_reserve_cut(struct space *space, uint64_t start, uint64_t end)
{
    return reserve(space, 2, is_inside(space, start, end), REGIONS_MAX - REGIONS_KEPT);
}

int space_reserve_split(struct space *space, uint64_t start, uint64_t end)
{
    return reserve(space, 2, is_split(space, start) + is_split(space, end),
                   REGIONS_MAX - REGIONS_KEPT);
}

/* Room for it was reserved before. */
void space_insert_region(struct space *space, size_t at, struct space_region region)
{
    if (region.label.file)
        region.label.file->references++;
    memmove(&space->regions[at + 1], &space->regions[at],
            (space->count - at) * sizeof(space->regions[0]));
    space->regions[at] = region;
    space->count++;
}

static void remove_regions(struct space *space, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        space_file_release(space, space->regions[i].label.file);
    memmove(&space->regions[from], &space->regions[to],
            (space->count - to) * sizeof(space->regions[0]));
    space->count -= to - from;
}

void space_forget_regions(struct space *space, uint64_t from)
{
    if (space->count)
        remove_regions(space, space_first_after(space, from), space->count);
}

/* Index of the region that begins at addr, or of the first one after it; a
 * region that addr lies in is split there. Takes one reserved place. */
size_t space_split_at(struct space *space, uint64_t addr)
{
    size_t i = space_first_after(space, addr);

    if (i == space->count || space->regions[i].start >= addr)
        return i;
    space_insert_region(space, i, space->regions[i]);
    space->regions[i].end = addr;
    space->regions[i + 1].start = addr;
    return i + 1;
}

/* Takes [start, end) out of the list; at most two reserved places. */
size_t space_cut_regions(struct space *space, uint64_t start, uint64_t end)
{
    size_t first = space_split_at(space, start);

    space->changes++;
    remove_regions(space, first, space_split_at(space, end));
    return first;
}

/* A fresh region joins the one neighbour it can, the left one first. */
bool space_merge_fresh(struct space *space, size_t i)
{
    struct space_region *region = &space->regions[i];

    if (region->prot & ALONE)
        return false;
    if (i > 0 && fit_together(&region[-1], region)) {
        region[-1].end = region->end;
        remove_regions(space, i, i + 1);
    } else if (i + 1 < space->count && fit_together(region, &region[1])) {
        region[1].start = region->start;
        remove_regions(space, i, i + 1);
    } else {
        return false;
    }
    return true;
}

/* Puts [start, end) into the list in place of the regions there, and charges for it. Takes three
 * reserved entries. */
void space_set_region(struct space *space, uint64_t start, uint64_t end, unsigned prot)
{
    size_t i;

    space->used_bytes -= space_charged_bytes(space, start, end);
    if (prot & CHARGED)
        space->used_bytes += end - start;
    if (prot & CHARGED_TWICE)
        space->used_bytes += end - start;
    i = space_cut_regions(space, start, end);
    space_insert_region(space, i, (struct space_region){.start = start, .end = end, .prot = prot});
    space_merge_fresh(space, i);
}

/* Whether `more` further bytes may be charged once `less` are given back. */
bool space_within_limit(const struct space *space, uint64_t less, uint64_t more)
{
    uint64_t used = space_used_by_all(space) - less;

    return used <= space->limit_bytes && more <= space->limit_bytes - used;
}
