/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the way from a name to a file that is run: a program, a script's interpreter, a loader. It
 * goes through what the program may see, as each name may come from an untrusted file. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "linux/mounts.h"
#include "linux/state.h"
#include "program/image.h"

#define ANY_EXECUTE (S_IXUSR | S_IXGRP | S_IXOTH)

/* A file that may not answer is read once, in a way that a stop ends, and run from memory. It is sealed,
 * so the image takes it as it is and charges for it, before others are served; could it not be sealed,
 * there is a second copy for a moment. */
static int copy_of(struct linux_state *state, const struct open_file *file)
{
    uint64_t got;
    int copy = file_copy(state, file, state->memory_bytes, 0, &got);

    if (copy >= 0)
        image_seal(copy);
    return copy;
}

static int copy_of_found(struct linux_state *state, const struct found *found)
{
    const struct open_file file = {.kind = FILE_REGULAR, .fd = found->fd, .local = false};

    return (uint64_t)found->stat.st_size > state->memory_bytes ? -ENOMEM : copy_of(state, &file);
}

int found_source(struct linux_state *state, struct found *found, bool *own)
{
    int64_t result;

    if (found->place == PLACE_OUTSIDE)
        return -ENOENT;
    /* Not a directory, a device, a file that is no program. */
    if (found->place != PLACE_INSIDE || !S_ISREG(found->stat.st_mode))
        return -EACCES;
    result = found_may(state, found, R_OK | X_OK);
    if (result == 0)
        result = found_open(state, found);
    if (result < 0)
        return (int)result;
    if (!found_is_public(found, S_IROTH | S_IXOTH)) /* its mode was changed meanwhile */
        return -EACCES;
    *own = found->mount->writable || !found->local;
    if (!found->local)
        return copy_of_found(state, found);
    result = found->fd;
    found->fd = -1;
    return (int)result;
}

int file_source(struct linux_state *state, const struct open_file *file, bool *own)
{
    struct stat stat;
    int result;

    if (file->kind != FILE_REGULAR || file->given)
        return -EACCES;
    result = file_stat(state, file, &stat);
    if (result)
        return result;
    if (!(stat.st_mode & ANY_EXECUTE))
        return -EACCES;
    *own = file->writable || !file->local;
    if (!file->local)
        return copy_of(state, file);
    result = fcntl(file->fd, F_DUPFD_CLOEXEC, 0);
    return result < 0 ? -EMFILE : result;
}

/* The name without links of what the program sees by that name; NULL: it sees nothing there. What
 * execveat(2) found below a directory is named by the descriptor of that. */
static char *path_in_view(struct linux_state *state, const char *name)
{
    uint64_t directory = (uint64_t)AT_FDCWD;
    struct found found;
    char *path = NULL;
    int digits = 0;
    unsigned fd;

    if (sscanf(name, "/dev/fd/%u/%n", &fd, &digits) == 1 && digits) {
        directory = fd;
        name += digits;
    }
    if (path_find_name(state, directory, name, FIND_FOLLOW, &found))
        return NULL;
    if (found.place == PLACE_INSIDE)
        path = strdup(found.text);
    found_drop(&found);
    return path;
}

/* A name that a program gave means nothing on the host. */
static char *name_of_program(struct linux_state *state, const char *name)
{
    char *path = path_in_view(state, name);

    return path ? path : strdup(name);
}

char *program_path(struct linux_state *state, const char *name)
{
    const struct open_file *file = NULL;
    struct found found = {.fd = -1};
    const char *path = NULL;
    bool special = strncmp(name, "/proc/", 6) == 0 || strncmp(name, "/dev/", 5) == 0;

    if (special && !path_find_name(state, (uint64_t)AT_FDCWD, name, FIND_FOLLOW, &found)) {
        if (found.place == PLACE_DESCRIPTOR)
            file = descriptor_file(state, found.which);
        if (file)
            path = file->path;
        else if (strcmp(found.text, "/proc/self/exe") == 0)
            path = state->program;
        found_drop(&found);
    }
    if (path)
        return strdup(path);
    return state->begun ? name_of_program(state, name) : linux_name_of(state, name);
}

int linux_open_program(struct linux_state *state, const char *name, struct image_source *out)
{
    struct found found;
    bool own = false;
    int result = path_find_name(state, (uint64_t)AT_FDCWD, name, FIND_FOLLOW, &found);

    if (result)
        return result;
    result = found_source(state, &found, &own);
    if (result >= 0) {
        free(state->opened);
        state->opened = strdup(found.text);
    }
    found_drop(&found);
    if (result >= 0)
        result = image_source_take(result, name, out, NULL);
    if (!result)
        out->own = own;
    return result;
}
