/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the way from a name to a file that is run: a program, a script's interpreter, a loader. It
 * goes through what the program may see, as each name may come from an untrusted file. */
#include <errno.h>
#include <unistd.h>

#include "linux/mounts.h"
#include "linux/state.h"
#include "program/image.h"

/* A file that may not answer is read once, in a way that a stop ends, and run from memory. */
static int copy_of(struct linux_state *state, const struct found *found)
{
    const struct open_file file = {.kind = FILE_REGULAR, .fd = found->fd, .local = false};
    uint64_t got;

    if ((uint64_t)found->stat.st_size > state->memory_bytes)
        return -ENOMEM;
    return file_copy(state, &file, (uint64_t)found->stat.st_size, 0, &got);
}

/* Opens a file that was found; the result is a descriptor that can be read. */
static int open_found(struct linux_state *state, struct found *found)
{
    int64_t result;

    if (found->place == PLACE_OUTSIDE)
        return -ENOENT;
    /* Not a directory, a device, a file that is no program. */
    if (found->place != PLACE_INSIDE || !S_ISREG(found->stat.st_mode) ||
        found_may(state, found, R_OK | X_OK))
        return -EACCES;
    result = found_open(state, found);
    if (result < 0)
        return (int)result;
    if (!found->local)
        return copy_of(state, found);
    result = found->fd;
    found->fd = -1;
    return (int)result;
}

int linux_open_program(struct linux_state *state, const char *name, struct image_source *out)
{
    struct found found;
    int result = path_find_here(state, name, FIND_FOLLOW, &found);

    if (result)
        return result;
    result = open_found(state, &found);
    found_drop(&found);
    return result < 0 ? result : image_source_take(result, name, out, NULL);
}
