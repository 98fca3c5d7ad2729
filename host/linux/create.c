/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns opening files where a program may write, and making them. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "linux/calls.h"
#include "linux/host_file.h"
#include "linux/state.h"
#include "linux/writable.h"

/* What the host is told of the flags that the program gave. O_APPEND is told with each write; the
 * rest is only advice, or done here. */
#define HOST_FLAGS (O_ACCMODE | O_SYNC | O_DSYNC)

static bool wants_to_write(uint64_t flags)
{
    return !(flags & O_PATH) && ((flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC);
}

/* The open file for the descriptor, which it takes over. */
static int64_t wrap(struct linux_state *state, const struct found *found, int fd,
                    const struct stat *stat, uint64_t flags, struct open_file **out)
{
    struct open_file like = {
        .kind = S_ISDIR(stat->st_mode) ? FILE_DIRECTORY : FILE_REGULAR,
        .status = file_status(flags),
        .fd = fd,
        .local = found->local,
        .path = strdup(found->text),
        .writable = found->mount->writable,
        .dev = stat->st_dev,
        .ino = stat->st_ino,
    };

    if (!like.path) {
        close(fd);
        return -ENOMEM;
    }
    return file_create(state, like, out);
}

/* A new file in the directory that was found, with that name, or without one. */
static int64_t create(struct linux_state *state, const struct found *found, const char *name,
                      uint64_t flags, uint64_t mode, struct open_file **out)
{
    struct host_call call = {
        .op = name ? HOST_CREATE : HOST_NAMELESS,
        .fd = found->fd,
        .path = name,
        .number = (int)(flags & HOST_FLAGS),
        .mode = (uint32_t)mode & 0777 & ~state->umask,
    };
    int64_t result = writable_make(state, found->mount->writable, found->local, &call);

    if (result < 0)
        return result;
    return wrap(state, found, (int)result, &call.stat, flags, out);
}

/* Whether the file that was found may be opened so. One that lends its owner's rights to who runs
 * it must not be given other contents. */
static int check_open(const struct found *found, uint64_t flags)
{
    mode_t mode = found->stat.st_mode;

    if (!S_ISDIR(mode) && flags & O_DIRECTORY)
        return -ENOTDIR;
    if (S_ISLNK(mode))
        return flags & O_PATH ? 0 : -ELOOP;
    if (S_ISDIR(mode) && (wants_to_write(flags) || flags & O_CREAT))
        return -EISDIR;
    return wants_to_write(flags) && mode & (S_ISUID | S_ISGID) ? -EPERM : 0;
}

int64_t open_writable(struct linux_state *state, struct found *found, uint64_t flags,
                      struct open_file **out)
{
    int64_t result = check_open(found, flags);
    int fd = found->fd, host_flags = (int)(flags & HOST_FLAGS);

    if (result)
        return result;
    /* Cutting it short needs the right to write, whatever is asked for beside it. */
    if (wants_to_write(flags) && (flags & O_ACCMODE) == O_RDONLY)
        host_flags |= O_RDWR;
    result = flags & O_PATH ? 0 : host_open(state, found->local, found->fd, host_flags);
    if (result < 0)
        return result;
    if (found->local && !(flags & O_PATH))
        fd = (int)result;
    else
        found->fd = -1;
    result = wrap(state, found, fd, &found->stat, flags, out);
    if (!result && flags & O_TRUNC && wants_to_write(flags)) {
        result = file_truncate(state, *out, 0);
        if (result)
            file_release(state, *out);
    }
    return result;
}

bool is_nameless(uint64_t flags)
{
    return (flags & O_TMPFILE) == O_TMPFILE && !(flags & O_PATH);
}

int64_t create_writable(struct linux_state *state, const struct found *found, uint64_t flags,
                        uint64_t mode, struct open_file **out)
{
    bool nameless = is_nameless(flags);

    if (nameless && (flags & O_ACCMODE) == O_RDONLY)
        return -EINVAL;
    if (!found->mount->writable)
        return -EROFS;
    if (!nameless)
        return create(state, found, strrchr(found->text, '/') + 1, flags, mode, out);
    if (!S_ISDIR(found->stat.st_mode))
        return -ENOTDIR;
    return found->local ? create(state, found, NULL, flags, mode, out) : -EOPNOTSUPP;
}

int64_t file_open_to_write(struct linux_state *state, uint64_t addr, struct open_file **out)
{
    struct found found;
    int64_t result = path_find(state, (uint64_t)AT_FDCWD, addr, FIND_FOLLOW, &found);

    if (result)
        return result;
    if (found.place != PLACE_INSIDE)
        result = found.place == PLACE_OUTSIDE ? -ENOENT : -EACCES;
    else if (!found.mount->writable)
        result = S_ISDIR(found.stat.st_mode) ? -EISDIR : -EROFS;
    else
        result = open_writable(state, &found, O_WRONLY, out);
    found_drop(&found);
    return result;
}
