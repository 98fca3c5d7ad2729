/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the program's address space: the host mappings behind its regions.
 *
 * Host memory for the whole program is reserved once. Ranges are opened and
 * closed in place, and where a mapping must be replaced it is made elsewhere
 * first and then moved in: the reservation never has a hole that another
 * thread's mmap could fall into, and a refusal leaves all as it was.
 */
#include "program/space.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <ferry/abi/layout.h>

#include "lib/bits.h"
#include "lib/mapping.h"
#include "program/space_internal.h"

#define PAGE       FERRY_PAGE_BYTES
#define LARGE      FERRY_EXTENT_BYTES
#define HUGE_BYTES (4ull << 20)

bool space_is_range(const struct space *space, struct guest_addr start, uint64_t bytes)
{
    uint64_t end;

    if (!bytes || (start.value | bytes) & (PAGE - 1) ||
        __builtin_add_overflow(start.value, bytes, &end))
        return false;
    return (start.value >= FERRY_PROGRAM_LOW && end <= FERRY_PROGRAM_HIGH) ||
           (start.value >= FERRY_PROGRAM_FAR_LOW && end <= space->backend.far_high);
}

static uint64_t far_bytes(const struct space *space)
{
    return space->backend.far_high - FERRY_PROGRAM_FAR_LOW;
}

/* Not with the rest: of the addresses that a process has there are not enough for many VMs. */
bool space_take_part(struct space *space, uint64_t addr)
{
    if (addr < FERRY_PROGRAM_FAR_LOW || space->far)
        return true;
    if (space->backend.allow_far && !space->backend.allow_far(space->backend.arg))
        return false;
    space->far = mapping_aligned(far_bytes(space), PROT_NONE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    return space->far;
}

bool space_guest(const struct space *space, const void *host, struct guest_addr *addr)
{
    const uint64_t at = (uintptr_t)host;
    uint64_t offset = at - (uintptr_t)space->base;

    if (offset >= FERRY_PROGRAM_HIGH) {
        offset = at - (uintptr_t)space->far;
        if (!space->far || offset >= far_bytes(space))
            return false;
        offset += FERRY_PROGRAM_FAR_LOW;
    }
    *addr = guest_addr(offset);
    return true;
}

static int map_tables(struct space *space, uint64_t start, uint64_t end, unsigned flags)
{
    return guest_tables_map(space->backend.tables, guest_addr(start), end - start, flags);
}

/* Makes [start, end) reachable for the guest: memory slots and table entries. Both only ever grow.
 * A failure may leave some of them, which is harmless, as the host mapping decides. */
int space_guest_reach(struct space *space, uint64_t start, uint64_t end, unsigned prot, bool large)
{
    unsigned flags = GUEST_USER | GUEST_WRITE | (prot & SPACE_EXEC ? GUEST_EXEC : GUEST_COARSE);
    uint64_t low = align_up(start, LARGE), high = end & ~(LARGE - 1);
    int result = space_slots_cover(space, start, end);

    if (result)
        return result;
    if (start < LARGE)
        flags &= ~(unsigned)GUEST_COARSE; /* nothing is ever at address 0 */
    if (!large || low >= high)
        return map_tables(space, start, end, flags);
    if (start < low)
        result = map_tables(space, start, low, flags);
    if (!result)
        result = map_tables(space, low, high, flags | GUEST_LARGE);
    if (!result && high < end)
        result = map_tables(space, high, end, flags);
    return result;
}

int space_init(struct space *space, const struct space_backend *backend, uint64_t limit_bytes)
{
    char *base = mapping_aligned(FERRY_PROGRAM_HIGH, PROT_NONE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);

    if (!base)
        return -ENOMEM;
    *space = (struct space){
        .backend = *backend, .base = base, .limit_bytes = limit_bytes, .next_sharing = space};
    space_ahead_init(space);
    return 0;
}

void space_fini(struct space *space)
{
    if (space->base)
        munmap(space->base, FERRY_PROGRAM_HIGH);
    if (space->far)
        munmap(space->far, far_bytes(space));
    space_forget_regions(space, 0);
    free(space->regions);
    free(space->slots);
    *space = (struct space){0};
}

/* Whether to ask for huge pages. Only advice: without it is slower. The stack, which ends at the
 * top, is mostly never touched: a huge page there would be waste. */
bool space_wants_huge(uint64_t end, uint64_t bytes, unsigned prot)
{
    return prot && bytes >= HUGE_BYTES && end != FERRY_PROGRAM_HIGH;
}

/* With so many of the regions that are kept for the heap. */
static int map(struct space *space, struct guest_addr at, uint64_t bytes, unsigned prot,
               size_t kept)
{
    const unsigned further = SHARED | SPACE_NORESERVE;
    uint64_t start = at.value, end = start + bytes;
    unsigned kind = prot & further;
    int result;

    if (!space_is_range(space, at, bytes) || prot & ~(unsigned)(RIGHTS | further))
        return -EINVAL;
    prot &= RIGHTS;
    if (prot)
        kind |= space_rights(prot) | CHARGED;
    if (prot && !space_within_limit(space, space_charged_bytes(space, start, end), bytes))
        return -ENOMEM;
    if (!space_take_part(space, start))
        return -ENOMEM;
    result = space_reserve_fresh(space, start, end,
                                 kind | (space_wants_huge(end, bytes, prot) ? HUGE : 0), kept);
    if (!result && prot)
        result = space_guest_reach(space, start, end, prot, true);
    if (result)
        return result;
    if (!space_is_free(space, start, end)) {
        space_ahead_learn(space, start, end);
        result = space_host_reserve(space, start, bytes);
        if (result)
            return result;
        space->used_bytes -= space_charged_bytes(space, start, end);
        space_cut_regions(space, start, end);
    }
    if (prot && space_host_protect(space, start, bytes, space_host_prot(kind))) {
        space_host_reserve(space, start, bytes);
        return -ENOMEM; /* as with mmap: a mapping that was to be replaced is gone */
    }
    if (space_wants_huge(end, bytes, prot) &&
        !space_host_advise(space, start, bytes, MADV_HUGEPAGE))
        kind |= HUGE;
    space_set_region(space, start, end, kind);
    if (prot & SPACE_WRITE && !kept)
        space_populate_fresh(space, guest_addr(start), bytes);
    return 0;
}

int space_map(struct space *space, struct guest_addr start, uint64_t bytes, unsigned prot)
{
    return map(space, start, bytes, prot, 0);
}

int space_map_heap(struct space *space, struct guest_addr start, uint64_t bytes)
{
    return map(space, start, bytes, SPACE_READ | SPACE_WRITE, REGIONS_KEPT);
}

/* Maps the file, which the guest can reach; the list is the caller's to change, in three reserved
 * places. */
static int map_reached(struct space *space, uint64_t start, uint64_t bytes, unsigned prot, int how,
                       int fd, uint64_t offset)
{
    uint64_t end = start + bytes;
    int result;

    /* In place at once, not made elsewhere and moved: each change of a mapping costs a walk of
     * all the VMs of this process. */
    result =
        space_host_map(space, start, bytes, space_host_prot(space_rights(prot)), how, fd, offset);
    if (result) {
        /* The old mapping may be gone by now, if the file system refused late. Never leave a hole
         * into which the kernel could put other memory of this process. */
        space_host_reserve(space, start, bytes);
        space->used_bytes -= space_charged_bytes(space, start, end);
        space_cut_regions(space, start, end);
    }
    return result;
}

/* Of a copy that can be written each page may exist twice. */
static bool charged_twice(unsigned prot)
{
    return prot & SPACE_WRITE;
}

/* The new `prot` of a region with new rights. */
static unsigned with_rights(unsigned kind, unsigned prot)
{
    bool charged = kind & LIVE ? prot & SPACE_WRITE && !(kind & SHARED) : prot != 0;
    bool stored = prot & SPACE_WRITE && (kind & (ALONE | SHARED)) == ALONE;

    kind = (kind & ~(unsigned)(RIGHTS | UNASKED)) | prot | (charged ? CHARGED : 0) |
           (stored ? SPACE_STORED : 0);
    return kind | (kind & COPIED && charged_twice(prot) ? CHARGED_TWICE : 0);
}

/* As space_guest_reach, also for a part of which nothing is reserved yet. */
static int reach(struct space *space, uint64_t start, uint64_t end, unsigned prot, bool large)
{
    return space_take_part(space, start) ? space_guest_reach(space, start, end, prot, large)
                                         : -ENOMEM;
}

/* With small leaves, so that code which comes here later makes nothing beside it executable. */
static int map_fd(struct space *space, uint64_t start, uint64_t bytes, unsigned prot, int how,
                  int fd, uint64_t offset)
{
    int result = reach(space, start, start + bytes, prot, false);

    return result ? result : map_reached(space, start, bytes, prot, how, fd, offset);
}

int space_map_file(struct space *space, struct guest_addr at, uint64_t bytes, unsigned prot, int fd,
                   uint64_t offset)
{
    uint64_t start = at.value, end = start + bytes;
    int result;

    if (!space_is_range(space, at, bytes) || prot & ~(unsigned)RIGHTS || offset & (PAGE - 1) ||
        offset > INT64_MAX)
        return -EINVAL;
    if (!space_within_limit(space, space_charged_bytes(space, start, end), bytes))
        return -ENOMEM;
    result = space_reserve_fresh(space, start, end, ALONE, 0);
    if (!result) /* the copy of an image has huge pages */
        result = reach(space, start, end, prot, true);
    if (!result)
        result = map_reached(space, start, bytes, prot, MAP_PRIVATE, fd, offset);
    if (result)
        return result;
    space_set_region(space, start, end, with_rights(CHARGED | ALONE, space_rights(prot)));
    if (prot & SPACE_WRITE)
        space_populate(space, guest_addr(start), min_u64(bytes, SPACE_AHEAD_IMAGE));
    return 0;
}

bool space_has_room(const struct space *space, struct guest_addr at, uint64_t bytes, unsigned prot)
{
    uint64_t start = at.value, wanted;

    return space_is_range(space, at, bytes) &&
           !__builtin_mul_overflow(bytes, charged_twice(prot) ? 2 : 1, &wanted) &&
           space_within_limit(space, space_charged_bytes(space, start, start + bytes), wanted);
}

/* Four reserved places, of which a cut takes two. */
static void set_file_regions(struct space *space, uint64_t start, uint64_t file_end, uint64_t end,
                             unsigned kind)
{
    if (start < file_end)
        space_set_region(space, start, file_end, kind);
    if (file_end < end)
        space_set_region(space, file_end, end, kind | BEYOND);
}

int space_map_copy(struct space *space, struct guest_addr at, uint64_t bytes, unsigned prot, int fd,
                   uint64_t file_bytes)
{
    uint64_t start = at.value, end = start + bytes;
    uint64_t file_end = file_bytes < bytes ? start + align_up(file_bytes, PAGE) : end;
    unsigned kind =
        with_rights((prot & SHARED) | CHARGED | ALONE | COPIED, space_rights(prot & RIGHTS));
    int result;

    if (!space_is_range(space, at, bytes) || prot & ~(unsigned)(RIGHTS | SHARED))
        return -EINVAL;
    if (!space_has_room(space, at, bytes, prot))
        return -ENOMEM;
    result = space_reserve_regions(space, 4);
    if (!result)
        result = map_fd(space, start, bytes, prot & RIGHTS, MAP_PRIVATE, fd, 0);
    if (!result)
        set_file_regions(space, start, file_end, end, kind);
    return result;
}

int space_map_live(struct space *space, struct guest_addr at, uint64_t bytes, unsigned prot, int fd,
                   uint64_t offset)
{
    uint64_t start = at.value, end = start + bytes;
    /* Of private memory each page may exist twice, as it does with a copy. */
    unsigned holes = prot & SPACE_HOLES ? CHARGED | (prot & SHARED ? 0 : COPIED) : 0;
    unsigned kind =
        with_rights((prot & SHARED) | ALONE | LIVE | holes, space_rights(prot & RIGHTS));
    uint64_t wanted = (kind & CHARGED ? bytes : 0) + (kind & CHARGED_TWICE ? bytes : 0);
    int result;

    if (!space_is_range(space, at, bytes) || prot & ~(unsigned)(RIGHTS | SHARED | SPACE_HOLES) ||
        offset & (PAGE - 1) || offset > INT64_MAX)
        return -EINVAL;
    if (!space_within_limit(space, space_charged_bytes(space, start, end), wanted))
        return -ENOMEM;
    result = space_reserve_fresh(space, start, end, ALONE, 0);
    if (!result)
        result = map_fd(space, start, bytes, prot & RIGHTS,
                        prot & SHARED ? MAP_SHARED : MAP_PRIVATE, fd, offset);
    if (!result)
        space_set_region(space, start, end, kind);
    return result;
}

int space_unmap(struct space *space, struct guest_addr at, uint64_t bytes)
{
    uint64_t start = at.value, end = start + bytes;
    int result;

    if (!space_is_range(space, at, bytes))
        return -EINVAL;
    if (space_is_free(space, start, end))
        return 0;
    space_ahead_learn(space, start, end);
    result = space_reserve_cut(space, start, end);
    if (!result)
        result = space_host_reserve(space, start, bytes);
    if (result)
        return result;
    space->used_bytes -= space_charged_bytes(space, start, end);
    space_cut_regions(space, start, end);
    space_settle(space);
    return 0;
}

/* Unmaps all of one part: so no region lies in it and goes on beyond it. */
static int clear_part(struct space *space, uint64_t low, uint64_t high)
{
    int result = space_host_reserve(space, low, high - low);

    if (result)
        return result;
    space->changes++;
    space->used_bytes -= space_charged_bytes(space, low, high);
    space_cut_regions(space, low, high);
    return 0;
}

int space_clear(struct space *space, uint64_t charged)
{
    int result = clear_part(space, FERRY_PROGRAM_LOW, FERRY_PROGRAM_HIGH);

    if (result)
        return result;
    if (space->far && clear_part(space, FERRY_PROGRAM_FAR_LOW, space->backend.far_high))
        return 1;
    space->used_bytes -= charged;
    space_ahead_init(space); /* another program */
    space_settle(space);
    return 0;
}

/* Host rights of [start, end) as the list of regions says. */
static void restore_host(struct space *space, uint64_t start, uint64_t end)
{
    for (size_t i = space_first_after(space, start); i < space->count; i++) {
        const struct space_region *region = &space->regions[i];
        uint64_t from = region->start > start ? region->start : start;
        uint64_t to = region->end < end ? region->end : end;

        if (from >= to)
            break;
        /* Takes rights away, or gives back earlier ones: the host has no reason to refuse. */
        if (region->prot & CLOSED || !(region->prot & (CHARGED | LIVE | LAYER)))
            space_host_shut(space, from, to);
        else
            space_host_protect(space, from, to - from, space_host_prot(region->prot));
    }
}

/* Whether the rights go beyond those that the mapping allows the program. */
static bool is_forbidden(const struct space *space, uint64_t start, uint64_t end, unsigned prot)
{
    const unsigned shared_file = SHARED | COPIED;

    for (size_t i = space_first_after(space, start); i < space->count; i++) {
        if (space->regions[i].start >= end)
            break;
        if (prot & SPACE_WRITE && (space->regions[i].prot & shared_file) == shared_file)
            return true; /* the file is read-only, and a shared mapping would write to it */
    }
    return false;
}

static int open_host(struct space *space, uint64_t from, uint64_t to, unsigned prot)
{
    int result = prot ? space_guest_reach(space, from, to, prot, true) : 0;

    if (result)
        return result;
    result = space_host_protect(space, from, to - from, space_host_prot(space_rights(prot)));
    /* EACCES: a shared file that was not opened to be written. */
    return result && result != -EACCES ? -ENOMEM : result;
}

/* Gives the host's memory of the range these rights, and the guest a way to it, except where it
 * stays closed. */
static int protect_host(struct space *space, uint64_t start, uint64_t end, unsigned prot)
{
    uint64_t from = start;
    int result = 0;

    for (size_t i = space_first_after(space, start); from < end && !result; i++) {
        const struct space_region *region = &space->regions[i];
        bool closed = space_stays_closed(region, start, end, prot);
        uint64_t stop = min_u64(region->end, end),
                 to = closed ? max_u64(region->start, start) : stop;

        if (!closed && stop < end)
            continue; /* together with the next one */
        if (from < to)
            result = open_host(space, from, to, prot);
        from = stop;
    }
    return result;
}

/* Whether there is memory of a layer that cannot be written yet. */
static bool opens_layer(const struct space *space, uint64_t start, uint64_t end)
{
    for (size_t i = space_first_after(space, start); i < space->count; i++) {
        if (space->regions[i].start >= end)
            break;
        if (space->regions[i].prot & LAYER && !(space->regions[i].prot & SPACE_WRITE))
            return true;
    }
    return false;
}

int space_protect(struct space *space, struct guest_addr at, uint64_t bytes, unsigned prot)
{
    uint64_t start = at.value, end = start + bytes;
    uint64_t fresh;
    size_t i, last;
    int result;

    if (!space_is_range(space, at, bytes) || prot & ~(unsigned)RIGHTS)
        return -EINVAL;
    if (!space_has_all(space, start, end, 0))
        return -ENOMEM;
    if (is_forbidden(space, start, end, prot))
        return -EACCES;
    fresh = space_fresh_bytes(space, start, end, prot);
    if (fresh && !space_within_limit(space, 0, fresh))
        return -ENOMEM;
    if (!space_may_promise(space, start, end, prot))
        return -ENOMEM;
    result = space_reserve_split(space, start, end);
    if (result)
        return result;
    space->changes++;
    space->layer_opened |= prot & SPACE_WRITE && opens_layer(space, start, end);
    result = protect_host(space, start, end, prot);
    if (result) {
        restore_host(space, start, end);
        return result;
    }
    prot = space_rights(prot);
    space->used_bytes += fresh;
    i = space_split_at(space, start);
    last = space_split_at(space, end);
    for (; i < last; i++) {
        struct space_region *region = &space->regions[i];
        bool fresh_region = !(region->prot & CHARGED);

        if (space_stays_closed(region, start, end, prot))
            region->prot = (region->prot & ~(unsigned)(RIGHTS | UNASKED)) | prot;
        else
            region->prot = with_rights(region->prot & ~(unsigned)CLOSED, prot);
        if (fresh_region && space_merge_fresh(space, i)) {
            i--; /* another region has its place now */
            last--;
        }
    }
    return 0;
}

int space_charge(struct space *space, uint64_t bytes)
{
    if (!space_within_limit(space, 0, bytes))
        return -ENOMEM;
    space->used_bytes += bytes;
    return 0;
}

void space_recharge(struct space *space, uint64_t before, uint64_t now)
{
    space->used_bytes = space->used_bytes - before + now;
}
