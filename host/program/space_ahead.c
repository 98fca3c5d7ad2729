/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns how much of fresh memory gets its pages before the program touches it: that costs less than a
 * fault for each page, if the program uses them.
 *
 * A program that maps memory, uses a little and unmaps it, over and over, would pay each time for
 * pages that it leaves alone. So when all that was mapped last goes, the host tells
 * whether the program went on where the pages ended. If so the next gets more, if not less; where all
 * of it had pages nothing tells, and the next gets less, which tells more.
 */
#include <sys/mman.h>

#include <ferry/abi/layout.h>

#include "lib/bits.h"
#include "program/space_internal.h"

/* More than this costs a program that does not use it half as much again as it pays for mapping and
 * unmapping. */
#define AHEAD_LEAST (64ull << 10)
#define AHEAD_MOST  (256ull << 10)

void space_ahead_init(struct space *space)
{
    space->ahead = (struct space_ahead){.bytes = AHEAD_MOST};
}

void space_populate_fresh(struct space *space, struct guest_addr start, uint64_t bytes)
{
    struct space_ahead *ahead = &space->ahead;
    uint64_t part = min_u64(bytes, ahead->bytes);

    ahead->start = start.value;
    ahead->stop = start.value + part;
    ahead->end = start.value + bytes;
    space_populate(space, start, part);
}

static bool has_page(const struct space *space, uint64_t addr)
{
    unsigned char there = 0;

    return !mincore(space_host(space, addr), FERRY_PAGE_BYTES, &there) && there & 1;
}

void space_ahead_learn(struct space *space, uint64_t start, uint64_t end)
{
    struct space_ahead *ahead = &space->ahead;

    if (ahead->start < start || ahead->end > end || ahead->end - ahead->start <= AHEAD_LEAST)
        return;
    if (ahead->stop < ahead->end && has_page(space, ahead->stop))
        ahead->bytes = min_u64(2 * ahead->bytes, AHEAD_MOST);
    else
        ahead->bytes = max_u64(ahead->bytes / 2, AHEAD_LEAST);
    ahead->start = ahead->end; /* it tells once */
}
