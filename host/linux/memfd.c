/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns memfd_create: files in memory without a name. Each is a memfd of the host, whose contents are
 * charged as those of other files in memory are. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "linux/calls.h"
#include "linux/mapped.h"
#include "linux/objects.h"
#include "linux/state.h"
#include "linux/writable.h"

#define NAME_BYTES 250
/* From Linux 6.3 on. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#define MFD_EXEC        16u
#endif

bool file_is_memfd(const struct linux_state *state, const struct open_file *file)
{
    return file->writable && file->writable == state->common->memfds;
}

static struct writable *memfds(struct linux_state *state)
{
    if (!state->common->memfds) {
        state->common->memfds = writable_create(state->memory_bytes);
        if (state->common->memfds)
            state->common->memfds->memory = true;
    }
    return state->common->memfds;
}

static int64_t install_memfd(struct linux_state *state, const char *name, int fd,
                             bool close_on_exec)
{
    struct open_file like = {.kind = FILE_REGULAR,
                             .status = O_RDWR | 0100000 /* O_LARGEFILE */,
                             .fd = fd,
                             .local = true};
    size_t bytes = strlen(name) + sizeof("/memfd: (deleted)");
    struct stat stat;

    like.writable = memfds(state);
    like.path = malloc(bytes);
    if (!like.writable || !like.path || fstat(fd, &stat)) {
        free(like.path);
        close(fd);
        return -ENOMEM;
    }
    snprintf(like.path, bytes, "/memfd:%s (deleted)", name);
    like.dev = stat.st_dev;
    like.ino = stat.st_ino;
    return install_object(state, &like, close_on_exec);
}

int64_t sys_memfd_create(struct linux_state *state, const uint64_t arg[6])
{
    uint32_t flags = (uint32_t)arg[1];
    char name[NAME_BYTES];
    int result, fd;

    if (flags & ~(uint32_t)(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC) ||
        (flags & MFD_NOEXEC_SEAL && flags & MFD_EXEC))
        return -EINVAL;
    result = guest_get_string(state, arg[0], name, sizeof(name));
    if (result)
        return result == -ENAMETOOLONG ? -EINVAL : result;
    fd = memfd_create("ferry-program", MFD_CLOEXEC | flags);
    if (fd < 0)
        return errno == EINVAL ? -EINVAL : -EMFILE;
    return install_memfd(state, name, fd, flags & MFD_CLOEXEC);
}

int memfd_reopen(struct linux_state *state, const struct open_file *file, struct open_file *like)
{
    (void)state;
    like->kind = FILE_REGULAR;
    like->local = true;
    like->writable = file->writable;
    like->dev = file->dev;
    like->ino = file->ino;
    like->path = strdup(file->path);
    if (!like->path)
        return -ENOMEM;
    like->fd = fcntl(file->fd, F_DUPFD_CLOEXEC, 0);
    if (like->fd >= 0)
        return 0;
    free(like->path);
    return -EMFILE;
}

int64_t file_seals(struct linux_state *state, const struct open_file *file, uint64_t command,
                   uint64_t seals)
{
    int result;

    if (!file_is_memfd(state, file))
        return -EINVAL;
    if (command == F_ADD_SEALS && !file_can_write(file))
        return -EPERM;
    result = fcntl(file->fd, (int)command, (int)(uint32_t)seals);
    return result < 0 ? -errno : result;
}
