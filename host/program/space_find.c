/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns looking into the program's address space: where there is room, and what lies at an address. */
#include "lib/bits.h"
#include "program/space.h"
#include "program/space_internal.h"

#define PAGE     FERRY_PAGE_BYTES
#define LARGE    FERRY_EXTENT_BYTES
#define MAPPINGS 0x200000000ull /* where space_find begins to look: 8 GiB */

/* The first multiple of `align` in [at, high) that has `bytes` free before `high`, or 0. */
static uint64_t first_fit(const struct space *space, uint64_t at, uint64_t high, uint64_t bytes,
                          uint64_t align)
{
    for (size_t i = space_first_after(space, at);
         i < space->count && space->regions[i].start < high; i++) {
        if (space->regions[i].start >= at && space->regions[i].start - at >= bytes)
            return at;
        at = align_up(space->regions[i].end, align);
    }
    return at <= high && high - at >= bytes ? at : 0;
}

/* The same for large mappings at addresses for large pages, if there is such a place. */
static uint64_t fit_in(const struct space *space, uint64_t at, uint64_t high, uint64_t bytes)
{
    uint64_t found = bytes >= LARGE ? first_fit(space, at, high, bytes, LARGE) : 0;

    return found ? found : first_fit(space, at, high, bytes, PAGE);
}

bool space_is_unmapped(const struct space *space, struct guest_addr start, uint64_t bytes)
{
    return space_is_range(space, start, bytes) &&
           space_is_free(space, start.value, start.value + bytes);
}

struct guest_addr space_find(struct space *space, struct guest_addr hint, uint64_t bytes)
{
    uint64_t found;

    if (!bytes || bytes & (PAGE - 1))
        return guest_addr(0);
    if (space_is_unmapped(space, hint, bytes) && space_take_part(space, hint.value))
        return hint;
    found = fit_in(space, MAPPINGS, FERRY_PROGRAM_HIGH, bytes);
    /* Last of all where the heap could grow. */
    if (!found)
        found = first_fit(space, FERRY_PROGRAM_LOW, FERRY_PROGRAM_HIGH, bytes, PAGE);
    if (!found && space->backend.far_high > FERRY_PROGRAM_FAR_LOW)
        found = fit_in(space, FERRY_PROGRAM_FAR_LOW, space->backend.far_high, bytes);
    return guest_addr(found && space_take_part(space, found) ? found : 0);
}

struct guest_addr space_find_within(const struct space *space, struct guest_addr low,
                                    struct guest_addr high, uint64_t bytes)
{
    bool fits = bytes && bytes <= high.value - low.value;
    uint64_t found = fits ? first_fit(space, low.value, high.value, bytes, PAGE) : 0;

    return guest_addr(found);
}

struct reach space_reach(const struct space *space, struct guest_addr addr, uint64_t bytes,
                         unsigned prot)
{
    uint64_t end;
    unsigned kinds;

    if (!bytes)
        return (struct reach){.at = space->base};
    if (__builtin_add_overflow(addr.value, bytes, &end) ||
        !space_has_kinds(space, addr.value, end, prot, &kinds))
        return (struct reach){0};
    return (struct reach){.at = space_host(space, addr.value), .live = kinds & LIVE};
}

void *space_at(const struct space *space, struct guest_addr addr, uint64_t bytes, unsigned prot)
{
    struct reach place = space_reach(space, addr, bytes, prot);

    return place.live ? NULL : place.at;
}

bool space_has_live(const struct space *space, struct guest_addr start, struct guest_addr end)
{
    for (size_t i = space_first_after(space, start.value);
         i < space->count && space->regions[i].start < end.value; i++)
        if (space->regions[i].prot & LIVE)
            return true;
    return false;
}

static unsigned kind_at(const struct space *space, struct guest_addr addr)
{
    size_t i = space_first_after(space, addr.value);

    return i < space->count && space->regions[i].start <= addr.value ? space->regions[i].prot : 0;
}

bool space_is_shared(const struct space *space, struct guest_addr addr)
{
    return kind_at(space, addr) & SHARED;
}

unsigned space_prot(const struct space *space, struct guest_addr addr)
{
    return space_beyond_file(space, addr) ? 0 : kind_at(space, addr) & RIGHTS;
}

bool space_is_held_by_others(const struct space *space, struct guest_addr addr)
{
    return kind_at(space, addr) & (LIVE | LAYER);
}

bool space_beyond_file(const struct space *space, struct guest_addr addr)
{
    return kind_at(space, addr) & BEYOND;
}
