/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what the program's mappings are called: the files behind them, for /proc/self/maps. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "program/space_internal.h"

struct space_file *space_file_create(struct space *space, const char *path, uint64_t dev,
                                     uint64_t ino)
{
    size_t bytes = strlen(path) + 1;
    uint64_t charged = sizeof(struct space_file) + bytes;
    struct space_file *file;

    if (space_charge(space, charged))
        return NULL;
    file = calloc(1, sizeof(*file) + bytes);
    if (!file) {
        space_recharge(space, charged, 0);
        return NULL;
    }
    file->references = 1;
    file->dev = dev;
    file->ino = ino;
    file->charged = charged;
    memcpy(file->path, path, bytes);
    return file;
}

struct space_file *space_file_copy(const struct space_file *name)
{
    size_t bytes = strlen(name->path) + 1;
    struct space_file *copy = calloc(1, sizeof(*copy) + bytes);

    if (!copy)
        return NULL;
    copy->dev = name->dev;
    copy->ino = name->ino;
    copy->charged = sizeof(*copy) + bytes;
    copy->deleted = name->deleted;
    memcpy(copy->path, name->path, bytes);
    return copy;
}

void space_file_release(struct space *space, struct space_file *file)
{
    if (!file || --file->references)
        return;
    space_recharge(space, file->charged, 0);
    free(file);
}

struct space_label space_label_at(const struct space *space, struct guest_addr addr)
{
    size_t i = space_first_after(space, addr.value);

    return i < space->count && space->regions[i].start <= addr.value ? space->regions[i].label
                                                                     : (struct space_label){0};
}

int space_set_label(struct space *space, struct guest_addr at, uint64_t bytes,
                    struct space_label label)
{
    uint64_t start = at.value, end = start + bytes;
    int result = space_reserve_split(space, start, end);
    size_t i, last;

    if (result)
        return result;
    i = space_split_at(space, start);
    last = space_split_at(space, end);
    for (; i < last; i++) {
        if (label.file)
            label.file->references++;
        space_file_release(space, space->regions[i].label.file);
        space->regions[i].label = label;
    }
    return 0;
}
