/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns memory that is charged by touch: a mapping that is closed on the host and costs nothing until
 * the program, or the VMM for it, touches a part. Then a piece around that place is opened, and
 * charged before it is. So the host never gives more than the limit, whatever was mapped.
 *
 * The kernel offers no count of a mapping's pages that could be a limit: control groups need
 * somebody's permission, userfaultfd as well, and looking at /proc from time to time comes too late.
 *
 * Each piece costs an exit, and may be a region of its own. So a piece has 64 KiB, more where the
 * limit is large or huge pages are wanted, and where the program goes on beside an open piece it has
 * the length of that one. When little is left of the limit, pieces get smaller: then what is charged
 * is nearly what was touched.
 */
#include <errno.h>
#include <sys/mman.h>

#include <ferry/abi/layout.h>

#include "lib/bits.h"
#include "program/space_internal.h"

#define PAGE        FERRY_PAGE_BYTES
#define PIECE_LEAST (64ull << 10)
#define PIECE_MOST  (16ull << 20) /* where it is for the program's going on */
/* A limit is at least so many pieces, and so many at least are what is left of it. */
#define PIECES_OF_LIMIT 4096
#define PIECES_OF_ROOM  1024 /* in any place */
#define HUGE_OF_ROOM    64   /* with huge pages */
#define GOING_OF_ROOM   16   /* beside an open one */
/* So much of a piece gets its pages at once: where the program goes on beside an open one, and of
 * others. */
#define AHEAD_GOING (1ull << 20)
#define AHEAD_FIRST (32ull << 10)

uint64_t space_room(const struct space *space)
{
    uint64_t used = space_used_by_all(space);

    return space->limit_bytes > used ? space->limit_bytes - used : 0;
}

static uint64_t piece_bytes(const struct space *space)
{
    uint64_t piece = PIECE_LEAST;

    while (piece < space->limit_bytes / PIECES_OF_LIMIT)
        piece *= 2;
    return piece;
}

int space_map_by_touch(struct space *space, struct guest_addr at, uint64_t bytes, unsigned prot)
{
    const unsigned further = SHARED | SPACE_NORESERVE;
    uint64_t start = at.value, end = start + bytes;
    unsigned kind = space_rights(prot & RIGHTS) | (prot & further) | BY_TOUCH | CLOSED;
    int result;

    if (!space_is_range(space, at, bytes) || prot & ~(unsigned)(RIGHTS | further))
        return -EINVAL;
    /* What surely cannot be used in full is refused, as Linux does by its heuristic. */
    if (prot & RIGHTS && !(prot & SPACE_NORESERVE) &&
        !space_within_limit(space, space_charged_bytes(space, start, end), bytes))
        return -ENOMEM;
    if (!(prot & SPACE_NORESERVE) && space_wants_huge(end, bytes, prot & RIGHTS))
        kind |= HUGE; /* else it may be for a few places far apart */
    if (!space_take_part(space, start))
        return -ENOMEM;
    result = space_reserve_fresh(space, start, end, kind, 0);
    if (!result && !space_is_free(space, start, end))
        result = space_host_reserve(space, start, bytes);
    if (!result)
        space_set_region(space, start, end, kind);
    return result;
}

int space_map_memory(struct space *space, struct guest_addr start, uint64_t bytes, unsigned prot)
{
    return bytes < SPACE_TOUCH_LEAST ? space_map(space, start, bytes, prot)
                                     : space_map_by_touch(space, start, bytes, prot);
}

/* ---- opening ------------------------------------------------------------- */

static bool is_open(const struct space_region *region)
{
    return (region->prot & (BY_TOUCH | CLOSED)) == BY_TOUCH;
}

/* How large a piece should be that holds `from`, in closed region i, and in which direction it goes
 * on from its neighbour: 1 up, -1 down, 0 neither. */
static uint64_t wanted_bytes(const struct space *space, size_t i, uint64_t from, int *way)
{
    const struct space_region *region = &space->regions[i];
    bool huge = region->prot & HUGE;
    uint64_t bytes = huge ? FERRY_EXTENT_BYTES : piece_bytes(space);
    uint64_t most = space_room(space) / (huge ? HUGE_OF_ROOM : PIECES_OF_ROOM);
    const struct space_region *beside = NULL;

    if (i > 0 && region[-1].end == region->start && is_open(&region[-1]) &&
        from - region->start < bytes) {
        beside = &region[-1];
        *way = 1;
    } else if (i + 1 < space->count && region[1].start == region->end && is_open(&region[1]) &&
               region->end - from <= bytes) {
        beside = &region[1];
        *way = -1;
    }
    if (beside)
        most = space_room(space) / GOING_OF_ROOM;
    while (beside && bytes < PIECE_MOST && bytes < beside->end - beside->start)
        bytes *= 2;
    while (bytes > PAGE && bytes > most)
        bytes /= 2;
    return bytes;
}

/* The piece of closed region i to open for the touch of [from, to), which lies in it. */
static struct space_region choose_piece(const struct space *space, size_t i, uint64_t from,
                                        uint64_t to, int *way_on)
{
    const struct space_region *region = &space->regions[i];
    struct space_region piece = {.start = from & ~(PAGE - 1), .end = align_up(to, PAGE)};
    uint64_t bytes = wanted_bytes(space, i, from, way_on);
    int way = *way_on;
    uint64_t start = way > 0   ? region->start
                     : way < 0 ? region->end - min_u64(bytes, region->end - region->start)
                               : max_u64(from & ~(bytes - 1), region->start);
    uint64_t end = way > 0   ? align_up(region->start + bytes, min_u64(bytes, FERRY_EXTENT_BYTES))
                   : way < 0 ? region->end
                             : align_up(to, bytes);

    start = min_u64(start, piece.start);
    end = min_u64(max_u64(end, piece.end), region->end);
    return end - start <= space_room(space) ? (struct space_region){.start = start, .end = end}
                                            : piece;
}

/* Opens [start, end) of closed region i. Two reserved places. */
static int open_piece(struct space *space, size_t i, uint64_t start, uint64_t end)
{
    unsigned kind = (space->regions[i].prot & ~(unsigned)CLOSED) | CHARGED;
    int result;

    if (end - start > space_room(space))
        return -ENOMEM;
    result = space_guest_reach(space, start, end, kind & RIGHTS, true);
    if (result)
        return result;
    space->changes++;
    if (space_host_protect(space, start, end - start, space_host_prot(kind))) {
        space_host_shut(space, start, end); /* a part of it may be open */
        return -ENOMEM;
    }
    if (kind & HUGE && space_host_advise(space, start, end - start, MADV_HUGEPAGE))
        kind &= ~(unsigned)HUGE;
    space->used_bytes += end - start;
    i = space_split_at(space, start);
    space_split_at(space, end);
    space->regions[i].prot = kind;
    space_merge_fresh(space, i);
    return 0;
}

/* What lies at and after the touch of [from, to) gets its pages; at the end of the piece what is
 * before. Where the program goes on the length of the piece says how much is likely to be used; else
 * only the touch does, however large the limit makes the piece. */
static void populate_piece(struct space *space, const struct space_region *piece, uint64_t from,
                           uint64_t to, bool goes_on)
{
    uint64_t bytes = AHEAD_GOING;

    from &= ~(PAGE - 1);
    if (!goes_on)
        bytes = min_u64(max_u64(align_up(to, PAGE) - from, AHEAD_FIRST), AHEAD_GOING);
    bytes = min_u64(bytes, piece->end - piece->start);
    space_populate(space, guest_addr(min_u64(from, piece->end - bytes)), bytes);
}

int space_touch(struct space *space, struct guest_addr at, uint64_t bytes)
{
    uint64_t next = at.value, stop = at.value + bytes;

    for (size_t i; (i = space_first_after(space, next)) < space->count;) {
        struct space_region region = space->regions[i], piece = region;
        uint64_t from = max_u64(next, region.start), to = min_u64(stop, region.end);
        int way = 0, result;

        if (region.start >= stop)
            break;
        next = region.end;
        if (!(region.prot & CLOSED) || !(region.prot & RIGHTS))
            continue;
        /* If the list is nearly full, the whole of it, which adds no region. */
        if (!space_regions_are_scarce(space) || region.end - region.start > space_room(space))
            piece = choose_piece(space, i, from, to, &way);
        result = space_reserve_split(space, piece.start, piece.end);
        if (!result)
            result = open_piece(space, i, piece.start, piece.end);
        if (result)
            return result;
        if (region.prot & SPACE_WRITE)
            populate_piece(space, &piece, from, to, way);
        next = piece.end;
    }
    return 0;
}

void *space_touch_at(struct space *space, struct guest_addr addr, uint64_t bytes, unsigned prot)
{
    void *at = space_at(space, addr, bytes, prot);

    return at && bytes && space_touch(space, addr, bytes) ? NULL : at;
}

uint64_t space_touchable(const struct space *space, struct guest_addr addr, uint64_t bytes)
{
    uint64_t stop = addr.value + bytes, left = space_room(space);

    for (size_t i = space_first_after(space, addr.value); i < space->count; i++) {
        const struct space_region *region = &space->regions[i];
        uint64_t from = max_u64(region->start, addr.value), to = min_u64(region->end, stop);

        if (from >= to)
            break;
        if (!(region->prot & CLOSED))
            continue;
        if (to - from > left / 2)
            return from - addr.value + max_u64(left / 2, PAGE);
        left -= to - from;
    }
    return bytes;
}

bool space_is_closed(const struct space *space, struct guest_addr addr, uint64_t bytes)
{
    for (size_t i = space_first_after(space, addr.value); i < space->count; i++) {
        if (space->regions[i].start >= addr.value + bytes)
            break;
        if (space->regions[i].prot & CLOSED)
            return true;
    }
    return false;
}

bool space_is_by_touch(const struct space *space, struct guest_addr addr)
{
    size_t i = space_first_after(space, addr.value);

    return i < space->count && space->regions[i].start <= addr.value &&
           space->regions[i].prot & BY_TOUCH;
}

void space_touch_around(struct space *space, struct guest_addr addr)
{
    size_t first = space_first_after(space, addr.value), last;
    uint64_t end;

    if (!space_is_by_touch(space, addr))
        return;
    last = first;
    while (first > 0 && space->regions[first - 1].prot & BY_TOUCH &&
           space->regions[first - 1].end == space->regions[first].start)
        first--;
    while (last + 1 < space->count && space->regions[last + 1].prot & BY_TOUCH &&
           space->regions[last + 1].start == space->regions[last].end)
        last++;
    end = space->regions[last].end;
    for (uint64_t at = space->regions[first].start, bytes; at < end; at += bytes) {
        const struct space_region *region = &space->regions[space_first_after(space, at)];

        bytes = min_u64(region->end, end) - at;
        if (!(region->prot & CLOSED) || !(region->prot & RIGHTS))
            continue; /* perhaps a large reservation: in one step */
        bytes = min_u64(bytes, PIECE_MOST);
        if (space_touch(space, guest_addr(at), bytes))
            break;
    }
}

/* ---- closing, and rights ------------------------------------------------- */

bool space_close(struct space *space, size_t i, uint64_t from, uint64_t to)
{
    struct space_region *region = &space->regions[i];
    uint64_t piece = piece_bytes(space);

    if (!is_open(region))
        return false;
    from = from == region->start ? from : align_up(from, piece);
    to = to == region->end ? to : to & ~(piece - 1);
    if (from >= to || space_regions_are_scarce(space) || space_reserve_split(space, from, to) ||
        space_host_reserve(space, from, to - from))
        return false;
    space->changes++;
    space->used_bytes -= to - from;
    i = space_split_at(space, from);
    space_split_at(space, to);
    space->regions[i].prot = (space->regions[i].prot & ~(unsigned)(CHARGED | MOVED)) | CLOSED;
    space_merge_fresh(space, i);
    return true;
}

bool space_stays_closed(const struct space_region *region, uint64_t start, uint64_t end,
                        unsigned prot)
{
    uint64_t bytes = min_u64(region->end, end) - max_u64(region->start, start);

    if (!(region->prot & CLOSED))
        return false;
    return !prot || region->prot & RIGHTS || bytes >= SPACE_TOUCH_LEAST;
}

bool space_may_promise(const struct space *space, uint64_t start, uint64_t end, unsigned prot)
{
    uint64_t bytes = 0;

    for (size_t i = space_first_after(space, start); prot && i < space->count; i++) {
        const struct space_region *region = &space->regions[i];

        if (region->start >= end)
            break;
        if (!(region->prot & (RIGHTS | SPACE_NORESERVE)) &&
            space_stays_closed(region, start, end, prot))
            bytes += min_u64(region->end, end) - max_u64(region->start, start);
    }
    return bytes == 0 || bytes <= space_room(space);
}
