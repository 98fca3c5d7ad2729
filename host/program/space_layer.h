/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files that own layers share. */
#ifndef FERRY_HOST_SPACE_LAYER_H
#define FERRY_HOST_SPACE_LAYER_H

#include "program/space_internal.h"

struct space_layer {
    int fd;
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

#endif
