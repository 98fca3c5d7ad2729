/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns layers: what a program's memory holds at a moment, in a file in memory that nobody changes any
 * more. The program goes on with private mappings of that file, so the kernel copies a page when it is
 * first written.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <ferry/abi/layout.h>

#include "program/space_layer.h"

/* Whether its pages come into the layer; others have none. */
static bool is_held(const struct space_region *region)
{
    return region->prot & (CHARGED | LIVE | LAYER) && !(region->prot & (CLOSED | BEYOND));
}

/* Whether what is written there is written for others as well. A file that is only read is not. */
static bool is_shared(const struct space_region *region)
{
    return region->prot & SHARED && (region->prot & SPACE_WRITE || !(region->prot & ALONE));
}

/* ---- taking it --------------------------------------------------------------------- */

static int fill(struct space *space, const struct space_layer *layer)
{
    uint64_t at = 0;
    int result = 0;

    for (size_t i = 0; i < space->count && !result; i++) {
        if (!is_held(&space->regions[i]))
            continue;
        result = space_write_contents(layer->fd, at, space, &space->regions[i]);
        at += space_region_bytes(&space->regions[i]);
    }
    return result;
}

static int create_file(struct space *space, struct space_layer *layer)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < space->count; i++) {
        if (is_shared(&space->regions[i]))
            return -EBUSY;
        bytes += is_held(&space->regions[i]) ? space_region_bytes(&space->regions[i]) : 0;
    }
    layer->fd = memfd_create("ferry-layer", MFD_CLOEXEC);
    if (layer->fd < 0)
        return -EMFILE;
    layer->habit = space_habit_create(bytes);
    return !layer->habit || ftruncate(layer->fd, (off_t)bytes) ? -ENOMEM : fill(space, layer);
}

static int map_layer(struct space *space, const struct space_layer *layer,
                     const struct space_region *region, uint64_t offset)
{
    return space_host_map(space, region->start, space_region_bytes(region),
                          space_host_prot(region->prot), MAP_PRIVATE, layer->fd, offset);
}

/* Where the host refused late, what was there is gone. Never a hole, into which the kernel could put other
 * memory of this process. */
static void mend_hole(struct space *space, uint64_t start, uint64_t end)
{
    unsigned char unused;

    if (!mincore(space_host(space, start), FERRY_PAGE_BYTES, &unused))
        return; /* it is still there */
    space_host_reserve(space, start, end - start);
    space->used_bytes -= space_charged_bytes(space, start, end);
    space_cut_regions(space, start, end);
}

/* In place of what the regions hold, which is the same. */
static int go_on_with(struct space *space, const struct space_layer *layer)
{
    uint64_t offset = 0;

    space->layer_moved = true; /* to an earlier layer, until all is of this one */
    for (size_t i = 0; i < space->count; i++) {
        struct space_region *region = &space->regions[i];

        if (!is_held(region))
            continue;
        if (map_layer(space, layer, region, offset)) {
            mend_hole(space, region->start, region->end);
            return -ENOMEM;
        }
        region->prot =
            (region->prot & ~(unsigned)SHARED_LIVE) | LAYER; /* whatever the file becomes */
        offset += space_region_bytes(region);
    }
    space->layer_moved = space->layer_opened = false;
    return 0;
}

static int copy_list(struct space_layer *layer, const struct space *space)
{
    layer->regions = calloc(space->count ? space->count : 1, sizeof(*layer->regions));
    if (!layer->regions)
        return -ENOMEM;
    memcpy(layer->regions, space->regions, space->count * sizeof(*layer->regions));
    layer->count = space->count;
    space_hold_labels(layer->regions, layer->count);
    return 0;
}

int space_take_layer(struct space *space, struct space_layer **out)
{
    struct space_layer *layer = calloc(1, sizeof(*layer));
    int result;

    if (!layer)
        return -ENOMEM;
    layer->fd = -1;
    result = create_file(space, layer);
    if (!result)
        result = go_on_with(space, layer);
    if (!result)
        result = copy_list(layer, space);
    if (result) {
        space_layer_free(space, layer);
        return result;
    }
    layer->used_bytes = space->used_bytes;
    layer->changes = space->changes;
    layer->slots_end = space_slots_end(space);
    *out = layer;
    return 0;
}

void space_layer_free(struct space *space, struct space_layer *layer)
{
    if (!layer)
        return;
    for (size_t i = 0; i < layer->count; i++)
        space_file_release(space, layer->regions[i].label.file);
    free(layer->regions);
    space_habit_release(layer->habit);
    if (layer->fd >= 0)
        close(layer->fd);
    free(layer);
}

/* ---- the same for another VM ------------------------------------------------------ */

/* That of an earlier region with the same, or a new one: without a reference. */
static struct space_file *name_in(const struct space_layer *copy, const struct space_layer *from,
                                  const struct space_file *name)
{
    for (size_t i = 0; i < copy->count; i++)
        if (from->regions[i].label.file == name)
            return copy->regions[i].label.file;
    return space_file_copy(name);
}

int space_copy_name(const struct space_layer *copy, const struct space_layer *from,
                    const struct space_file *name, struct space_file **out)
{
    *out = name_in(copy, from, name);
    if (!*out)
        return -ENOMEM;
    (*out)->references++;
    return 0;
}

/* The charge for names is in what the layer says is used. */
static int copy_regions(struct space_layer *copy, const struct space_layer *from)
{
    copy->regions = calloc(from->count ? from->count : 1, sizeof(*copy->regions));
    for (size_t i = 0; copy->regions && i < from->count; i++) {
        struct space_region region = from->regions[i];

        if (region.label.file && space_copy_name(copy, from, region.label.file, &region.label.file))
            return -ENOMEM;
        copy->regions[copy->count++] = region;
    }
    return copy->regions ? 0 : -ENOMEM;
}

static int reach_regions(struct space *space, const struct space_layer *layer)
{
    int result = 0;

    for (size_t i = 0; i < layer->count && !result; i++) {
        const struct space_region *region = &layer->regions[i];

        if (!space_take_part(space, region->start))
            return -ENOMEM;
        if (region->prot & RIGHTS && !(region->prot & CLOSED))
            result = space_guest_reach(space, region->start, region->end, region->prot & RIGHTS,
                                       !(region->prot & ALONE));
    }
    return result;
}

int space_copy_layer(struct space *to, const struct space_layer *from, struct space_layer **out)
{
    struct space_layer *copy = calloc(1, sizeof(*copy));
    uint64_t used_bytes = to->used_bytes;
    int result;

    if (!copy)
        return -ENOMEM;
    to->used_bytes = from->used_bytes; /* the names among it */
    copy->habit = space_habit_hold(from->habit);
    copy->is_new = true;
    copy->fd = fcntl(from->fd, F_DUPFD_CLOEXEC, 0);
    result = copy->fd < 0 ? -EMFILE : copy_regions(copy, from);
    if (!result)
        result = reach_regions(to, copy);
    if (result) {
        space_layer_free(to, copy);
        to->used_bytes = used_bytes;
        return result;
    }
    copy->used_bytes = from->used_bytes;
    copy->changes = to->changes - 1; /* nothing is there yet */
    copy->slots_end = space_slots_end(to);
    *out = copy;
    return 0;
}

/* ---- memory of a layer that is given back ------------------------------------------- */

int space_leave_layer(struct space *space, size_t i, uint64_t from, uint64_t to)
{
    int result = space_reserve_split(space, from, to);

    if (result)
        return result;
    space->changes++;
    result = space_host_map(space, from, to - from, space_host_prot(space->regions[i].prot),
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (result) {
        mend_hole(space, from, to);
        return -ENOMEM;
    }
    i = space_split_at(space, from);
    space_split_at(space, to);
    space->regions[i].prot &= ~(unsigned)LAYER;
    return 0;
}
