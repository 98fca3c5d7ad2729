/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns shared mappings of files in memory. */
#include "linux/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "linux/objects.h"
#include "linux/state.h"
#include "linux/writable.h"

/* A file that was mapped so. */
struct shared_file {
    dev_t dev;
    ino_t ino;
};

/* The program is the only one who can cut it short, and only by us. In our own file system holes are
 * filled first, which takes the right to write. */
bool file_is_shareable(const struct linux_state *state, const struct open_file *file)
{
    if (file->kind != FILE_REGULAR || !file->writable || !file->writable->memory)
        return false;
    return file_is_memfd(state, file) || (file->writable->kernel >= 0 && file_can_write(file));
}

static bool is_shared(const struct linux_state *state, const struct open_file *file)
{
    for (size_t i = 0; i < state->shared_count; i++) {
        if (state->shared[i].ino == file->ino && state->shared[i].dev == file->dev)
            return true;
    }
    return false;
}

static int remember(struct linux_state *state, const struct open_file *file)
{
    size_t count = state->shared_count;
    struct shared_file *shared;

    if (is_shared(state, file))
        return 0;
    if (object_charge(state, sizeof(*shared)))
        return -ENOMEM;
    shared = realloc(state->shared, (count + 1) * sizeof(*shared));
    if (!shared) {
        object_uncharge(state, sizeof(*shared));
        return -ENOMEM;
    }
    shared[count] = (struct shared_file){file->dev, file->ino};
    state->shared = shared;
    state->shared_count = count + 1;
    return 0;
}

/* A store to a hole for which our file system has no room would end us. */
static int fill_holes(struct linux_state *state, const struct open_file *file, uint64_t offset,
                      uint64_t bytes)
{
    struct host_call call = {.fd = file->fd};
    int result;

    if (file->writable->kernel < 0 || !bytes)
        return 0;
    if (writable_room(state, file->writable).bytes < bytes)
        return -ENOMEM;
    result = fallocate(file->fd, 0, (off_t)offset, (off_t)bytes);
    writable_changed(state, file->writable, &call);
    return result ? -ENOMEM : 0;
}

int file_map_shared(struct linux_state *state, const struct open_file *file, uint64_t addr,
                    uint64_t bytes, unsigned prot, uint64_t offset)
{
    uint64_t there = 0;
    struct stat stat;
    int result = remember(state, file); /* before it is measured */

    if (result)
        return result;
    if (fstat(file->fd, &stat))
        return -errno;
    if ((uint64_t)stat.st_size > offset)
        there = (uint64_t)stat.st_size - offset;
    if (there > bytes)
        there = bytes;
    result = fill_holes(state, file, offset, there);
    return result ? result
                  : space_map_shared(vm_space(state->vm), guest_addr(addr), bytes, prot, file->fd,
                                     offset, there);
}

int file_may_shrink(struct linux_state *state, const struct open_file *file, off_t length)
{
    struct stat stat;

    if (!is_shared(state, file))
        return 0;
    return fstat(file->fd, &stat) || length < stat.st_size ? -EBUSY : 0;
}

void shared_fini(struct linux_state *state)
{
    free(state->shared);
    writable_destroy(state, state->memfds);
}
