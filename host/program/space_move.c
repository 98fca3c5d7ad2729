/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns operations on mapped memory as a whole: moving it to another address, giving it back. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "lib/bits.h"
#include "program/space_internal.h"

/* The bits that make two ranges different mappings to Linux. */
#define SORT (RIGHTS | SHARED | ALONE | COPIED | LIVE)

bool space_is_uniform(const struct space *space, struct guest_addr at, uint64_t bytes,
                      unsigned *prot, bool *file)
{
    const uint64_t start = at.value;
    size_t i = space_first_after(space, start);
    unsigned sort;

    if (!space_is_range(space, at, bytes) || !space_has_all(space, start, start + bytes, 0))
        return false;
    sort = space->regions[i].prot & SORT;
    for (; i < space->count && space->regions[i].start < start + bytes; i++) {
        if ((space->regions[i].prot & SORT) != sort)
            return false;
    }
    *prot = sort & (RIGHTS | SHARED);
    *file = sort & ALONE;
    return true;
}

/* Whether nobody ever could store there. */
static bool is_empty(const struct space_region *region)
{
    return !(region->prot & (CHARGED | ALONE));
}

/* Moves the pages of one region; the old place stays mapped, and empty, so that there is no hole
 * meanwhile into which other memory of this process could come. It is closed first: what other
 * threads stored there meanwhile, nobody would be charged for. */
static int move_pages(struct space *space, const struct space_region *from, uint64_t to)
{
    uint64_t bytes = from->end - from->start;
    bool closes = from->prot & RIGHTS && !(from->prot & LIVE), moved;

    /* A mapping that was moved would never be one with its new neighbours. */
    if (is_empty(from))
        return space_host_reserve(space, to, bytes);
    moved = (!closes || !space_host_protect(space, from->start, bytes, PROT_NONE)) &&
            !space_host_move(space, from->start, bytes, to);
    if (moved && closes && space_host_protect(space, to, bytes, space_host_prot(from->prot))) {
        space_host_move(space, to, bytes, from->start); /* both mappings are there already */
        moved = false;
    }
    if (!moved && closes)
        space_host_protect(space, from->start, bytes, space_host_prot(from->prot));
    return moved ? 0 : -ENOMEM;
}

/* The pieces of [from, from + bytes), cut to it, each with a reference of its file. */
static struct space_region *pieces_of(const struct space *space, uint64_t from, uint64_t bytes,
                                      size_t *count)
{
    size_t first = space_first_after(space, from), last = first;
    struct space_region *pieces;

    while (last < space->count && space->regions[last].start < from + bytes)
        last++;
    *count = last - first;
    pieces = calloc(*count ? *count : 1, sizeof(*pieces));
    for (size_t i = 0; pieces && i < *count; i++) {
        pieces[i] = space->regions[first + i];
        if (pieces[i].start < from)
            pieces[i].start = from;
        if (pieces[i].end > from + bytes)
            pieces[i].end = from + bytes;
        if (pieces[i].label.file)
            pieces[i].label.file->references++;
    }
    return pieces;
}

static void free_pieces(struct space *space, struct space_region *pieces, size_t count)
{
    for (size_t i = 0; i < count; i++)
        space_file_release(space, pieces[i].label.file);
    free(pieces);
}

/* Whether their offsets go with them: in a file, and of memory that somebody used. */
static bool keep_offsets(const struct space_region *pieces, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].label.file || !is_empty(&pieces[i]))
            return true;
    }
    return false;
}

/* Moves the host's memory of all pieces up by `shift` (modulo 2^64) and closes where they were;
 * or leaves all as it was, except the ranges that were mapped at the new place. */
static int move_host(struct space *space, const struct space_region *pieces, size_t count,
                     uint64_t shift)
{
    uint64_t start = pieces[0].start, bytes = pieces[count - 1].end - start;
    size_t done = 0;
    int result = 0;

    for (; done < count && !result; done += !result)
        result = move_pages(space, &pieces[done], pieces[done].start + shift);
    if (!result)
        result = space_host_reserve(space, start, bytes);
    if (!result)
        return 0;
    while (done > 0) {
        struct space_region back = pieces[--done];

        back.start += shift;
        back.end += shift;
        move_pages(space, &back,
                   pieces[done].start); /* cannot fail: the mappings are there already */
    }
    space_host_reserve(space, start + shift, bytes);
    return result;
}

static int reach_all(struct space *space, const struct space_region *pieces, size_t count,
                     uint64_t shift)
{
    int result = 0;

    for (size_t i = 0; i < count && !result; i++) {
        unsigned prot = pieces[i].prot & RIGHTS;

        if (prot && !(pieces[i].prot & CLOSED))
            result = space_guest_reach(space, pieces[i].start + shift, pieces[i].end + shift, prot,
                                       !(prot & SPACE_EXEC) && !(pieces[i].prot & ALONE));
    }
    return result;
}

static void drop_regions(struct space *space, uint64_t start, uint64_t end)
{
    space->used_bytes -= space_charged_bytes(space, start, end);
    space_cut_regions(space, start, end);
}

/* Takes the pieces out of the list and puts them in again at a free place. The charge stays. */
static void move_regions(struct space *space, const struct space_region *pieces, size_t count,
                         uint64_t shift)
{
    const bool keeps = keep_offsets(pieces, count);

    space_cut_regions(space, pieces[0].start, pieces[count - 1].end);
    for (size_t i = 0; i < count; i++) {
        struct space_region moved = {
            .start = pieces[i].start + shift,
            .end = pieces[i].end + shift,
            .prot = pieces[i].prot | (is_empty(&pieces[i]) ? 0 : MOVED),
            .label = {pieces[i].label.file, keeps ? pieces[i].label.shift - shift : 0},
        };

        space->layer_moved |= moved.prot & LAYER;
        space_insert_region(space, space_first_after(space, moved.start), moved);
    }
}

int space_move(struct space *space, struct guest_addr old, uint64_t bytes, struct guest_addr fresh)
{
    const uint64_t from = old.value, to = fresh.value;
    struct space_region *pieces;
    size_t count;
    int result;

    if (!space_is_range(space, old, bytes) || !space_is_range(space, fresh, bytes) ||
        (from < to + bytes && to < from + bytes))
        return -EINVAL;
    if (!space_has_all(space, from, from + bytes, 0))
        return -EFAULT;
    pieces = space_take_part(space, to) ? pieces_of(space, from, bytes, &count) : NULL;
    if (!pieces)
        return -ENOMEM;
    result = space_reserve_regions(space, count + 4);
    if (!result)
        result = reach_all(space, pieces, count, to - from);
    if (!result) {
        result = move_host(space, pieces, count, to - from);
        drop_regions(space, to, to + bytes);
        if (!result)
            move_regions(space, pieces, count, to - from);
    }
    free_pieces(space, pieces, count);
    return result;
}

/* Of a part of region i. */
static int discard_pages(struct space *space, size_t i, uint64_t from, uint64_t to)
{
    unsigned prot = space->regions[i].prot;

    if ((prot & (LAYER | ALONE)) == LAYER)
        return space_leave_layer(space, i, from, to);
    /* The host's mapping of a file is private too, so the kernel does what is asked here. */
    return prot & CLOSED ? 0 : space_host_advise(space, from, to - from, MADV_DONTNEED);
}

int space_discard(struct space *space, struct guest_addr at, uint64_t bytes, bool shared)
{
    uint64_t start = at.value, end = start + bytes, next = start;

    if (!space_is_range(space, at, bytes))
        return -ENOMEM;
    for (size_t i; (i = space_first_after(space, next)) < space->count;) {
        const struct space_region *region = &space->regions[i];
        uint64_t from = region->start > next ? region->start : next;
        uint64_t to = region->end < end ? region->end : end;

        if (from >= to)
            break;
        next = to;
        /* Shared memory keeps its contents on Linux, but the host's mapping of it is private and
         * would lose them. */
        if ((region->prot & (SHARED | ALONE)) == SHARED && !shared)
            continue;
        if (discard_pages(space, i, from, to))
            return -ENOMEM;
        space_close(space, space_first_after(space, from), from, to);
    }
    return space_has_all(space, start, end, 0) ? 0 : -ENOMEM;
}

int space_discard_private(struct space *space, struct guest_addr at, uint64_t bytes)
{
    uint64_t start = at.value, end = start + bytes, stop = end;

    if (!space_is_range(space, at, bytes))
        return -ENOMEM;
    for (size_t i = space_first_after(space, start);
         i < space->count && space->regions[i].start < stop; i++) {
        if (space->regions[i].prot & (SHARED | ALONE))
            stop = max_u64(space->regions[i].start, start);
    }
    if (stop == end)
        return space_discard(space, at, bytes, false);
    if (stop > start)
        space_discard(space, at, stop - start, false);
    return -EINVAL;
}
