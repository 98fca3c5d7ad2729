/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns which pages runs from a layer write. A copy gets them before it runs: to make one then takes a
 * microsecond, while a store to one that is not there takes a fault of the guest and one of the host. Nothing
 * but these places is known of what others did, and nobody but the clock can tell.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include <ferry/abi/layout.h>

#include "program/space_layer.h"

#define PAGE      FERRY_PAGE_BYTES
#define WORD_BITS 64

struct space_habit *space_habit_create(uint64_t bytes)
{
    const uint64_t pages = bytes / PAGE, words = pages / WORD_BITS + 1;
    struct space_habit *habit = calloc(1, sizeof(*habit) + words * sizeof(habit->written[0]));

    if (!habit)
        return NULL;
    habit->references = 1;
    habit->pages = pages;
    return habit;
}

struct space_habit *space_habit_hold(struct space_habit *habit)
{
    atomic_fetch_add(&habit->references, 1);
    return habit;
}

void space_habit_release(struct space_habit *habit)
{
    if (habit && atomic_fetch_sub(&habit->references, 1) == 1)
        free(habit);
}

void space_habit_learn(struct space_habit *habit, uint64_t offset, uint64_t count)
{
    for (uint64_t page = offset / PAGE; count; count--, page++) {
        const unsigned long long bit = 1ull << page % WORD_BITS;

        if (!(atomic_load_explicit(&habit->written[page / WORD_BITS], memory_order_relaxed) & bit))
            atomic_fetch_or(&habit->written[page / WORD_BITS], bit);
    }
}

static bool is_written(const struct space_habit *habit, uint64_t page)
{
    return atomic_load_explicit(&habit->written[page / WORD_BITS], memory_order_relaxed) >>
               page % WORD_BITS &
           1;
}

/* Only advice: a page that is not made now is made when it is written. */
static void populate_region(struct space *space, const struct space_habit *habit,
                            const struct space_region *region, uint64_t offset)
{
    const uint64_t first = offset / PAGE, count = space_region_bytes(region) / PAGE;

    for (uint64_t at = 0, end; at < count; at = end) {
        bool written = is_written(habit, first + at);

        for (end = at + 1; end < count && is_written(habit, first + end) == written; end++)
            ;
        if (written)
            space_populate(space, guest_addr(region->start + at * PAGE), (end - at) * PAGE);
    }
}

void space_habit_populate(struct space *space, const struct space_layer *layer)
{
    uint64_t offset = 0;

    for (size_t i = 0; i < layer->count; i++) {
        const struct space_region *region = &layer->regions[i];

        if (!(region->prot & LAYER))
            continue;
        if (region->prot & SPACE_WRITE)
            populate_region(space, layer->habit, region, offset);
        offset += space_region_bytes(region);
    }
}
