/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the choice of KVM memory slots for the program's address space. KVM
 * keeps some bytes for each page of a slot whether it is used or not, so
 * slots begin small and double where the program keeps growing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <ferry/abi/layout.h>

#include "lib/bits.h"
#include "program/space_internal.h"

#define ALIGN     FERRY_EXTENT_BYTES
#define CHUNK_MIN (4ull << 20)
#define CHUNK_MAX (256ull << 20)
/* Slots may be larger than the mapped ranges, but not without bound: a program that maps single
 * pages far apart must not fill the kernel's memory. */
#define SLACK_BYTES  (8ull << 30)
#define SLACK_FACTOR 4

/* Index of the first slot that ends after addr. Slots are few. */
static size_t slot_after(const struct space *space, uint64_t addr)
{
    size_t i = 0;

    while (i < space->slot_count && space->slots[i].end <= addr)
        i++;
    return i;
}

/* How many bytes of slots may still be added. */
static uint64_t budget(const struct space *space)
{
    uint64_t used = 0, most;

    for (size_t i = 0; i < space->slot_count; i++)
        used += space->slots[i].end - space->slots[i].start;
    if (__builtin_mul_overflow(space->limit_bytes, SLACK_FACTOR, &most) ||
        __builtin_add_overflow(most, SLACK_BYTES, &most))
        most = UINT64_MAX;
    return most > used ? most - used : 0;
}

static int slot_insert(struct space *space, size_t at, uint64_t start, uint64_t end)
{
    int result;

    if (space->slot_count == space->slot_capacity) {
        size_t capacity = space->slot_capacity ? space->slot_capacity * 2 : 8;
        struct space_region *grown = realloc(space->slots, capacity * sizeof(*grown));

        if (!grown)
            return -ENOMEM;
        space->slots = grown;
        space->slot_capacity = capacity;
    }
    result = space->backend.slot_add(space->backend.arg, guest_addr(start), end - start,
                                     space_host(space, start));
    if (result < 0)
        return result;
    memmove(&space->slots[at + 1], &space->slots[at],
            (space->slot_count - at) * sizeof(space->slots[0]));
    space->slots[at] = (struct space_region){.start = start, .end = end, .prot = (unsigned)result};
    space->slot_count++;
    return 0;
}

/* Adds one slot that begins at or before `start` and reaches as far towards
 * `end` as the gap before slot `at` allows. */
static int slot_add(struct space *space, size_t at, uint64_t start, uint64_t end)
{
    bool far = start >= FERRY_PROGRAM_FAR_LOW;
    uint64_t low =
        max_u64(at ? space->slots[at - 1].end : 0, far ? FERRY_PROGRAM_FAR_LOW : FERRY_PROGRAM_LOW);
    uint64_t high = min_u64(at < space->slot_count ? space->slots[at].start : UINT64_MAX,
                            far ? space->backend.far_high : FERRY_PROGRAM_HIGH);
    uint64_t from = max_u64(start & ~(ALIGN - 1), low);
    uint64_t need = min_u64(align_up(end, ALIGN), high);
    uint64_t chunk = CHUNK_MIN;
    uint64_t to;

    if (at && space->slots[at - 1].end == from)
        chunk = 2 * (from - space->slots[at - 1].start);
    chunk = max_u64(min_u64(chunk, CHUNK_MAX), CHUNK_MIN);
    to = min_u64(max_u64(need, (from + chunk) & ~(ALIGN - 1)), high);
    if (to - from > budget(space))
        to = need;
    if (to - from > budget(space))
        return -ENOMEM;
    return slot_insert(space, at, from, to);
}

int space_slots_cover(struct space *space, uint64_t start, uint64_t end)
{
    while (start < end) {
        size_t i = slot_after(space, start);

        if (i == space->slot_count || space->slots[i].start > start) {
            int result = slot_add(space, i, start, end);

            if (result)
                return result;
        }
        start = space->slots[i].end;
    }
    return 0;
}

unsigned space_slots_end(const struct space *space)
{
    unsigned end = 0;

    for (size_t i = 0; i < space->slot_count; i++)
        end = end > space->slots[i].prot ? end : space->slots[i].prot + 1;
    return end;
}

void space_slots_cut(struct space *space, unsigned end)
{
    for (unsigned last = space_slots_end(space); last > end && space->backend.slot_remove;
         last = space_slots_end(space)) {
        size_t at = 0;

        while (space->slots[at].prot != last - 1)
            at++;
        space->backend.slot_remove(space->backend.arg, (int)last - 1);
        memmove(&space->slots[at], &space->slots[at + 1],
                (--space->slot_count - at) * sizeof(space->slots[0]));
    }
}
