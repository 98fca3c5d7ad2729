/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files that own layers share. */
#ifndef FERRY_HOST_SPACE_LAYER_H
#define FERRY_HOST_SPACE_LAYER_H

#include <stdatomic.h>

#include "program/space_internal.h"

/* Pages of a layer, by their places in its file, that runs wrote: so the next will. Of the layer and all
 * its copies. */
struct space_habit {
    atomic_uint references;
    uint64_t pages;
    atomic_ullong written[]; /* bits */
};

struct space_layer {
    int fd;
    struct space_habit *habit;
    bool is_new; /* a copy that no run has had */
    /* The list of that moment, each file with a reference; what one holds is in the file after what those
     * before it hold. */
    struct space_region *regions;
    size_t count;
    uint64_t used_bytes; /* of the space's limit, then */
    uint64_t changes;    /* of the space, when it was last as the layer says */
    unsigned
        slots_end; /* later ones are taken away, or a run could use up what runs after it may have */
};

static inline uint64_t space_region_bytes(const struct space_region *region)
{
    return region->end - region->start;
}

/* Each has one reference more. */
static inline void space_hold_labels(const struct space_region *regions, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (regions[i].label.file)
            regions[i].label.file->references++;
}

/* space_habit.c. NULL: there is no memory. */
struct space_habit *space_habit_create(uint64_t bytes);
struct space_habit *space_habit_hold(struct space_habit *habit);
void space_habit_release(struct space_habit *habit);
/* So many pages from that offset on were written. */
void space_habit_learn(struct space_habit *habit, uint64_t offset, uint64_t count);
/* The layer is laid, and has no page of its own: it gets those that are likely to be written. */
void space_habit_populate(struct space *space, const struct space_layer *layer);

#endif
