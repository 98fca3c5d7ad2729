/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what a call asks of a name: where it leads, from where the program is, and what the program may do
 * there. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "linux/host_file.h"
#include "linux/mounts.h"
#include "linux/state.h"

int path_find(struct linux_state *state, uint64_t dirfd, uint64_t addr, unsigned flags,
              struct found *out)
{
    char name[PATH_MAX];
    int result = guest_get_string(state, addr, name, sizeof(name));

    return result ? result : path_find_name(state, dirfd, name, flags, out);
}

/* Whether the host has a file where the program has a directory in memory without it: people give
 * names in /tmp. The program is not told. */
static bool is_hidden_by_memory(const struct linux_state *state, const char *path)
{
    const struct mount *mount = view_mount_of(&state->common->view, path);
    struct stat stat;

    return mount && mount->kind == MOUNT_PRIVATE && !state->common->view.root &&
           lstat(path, &stat) == 0;
}

int path_find_name(struct linux_state *state, uint64_t dirfd, const char *name, unsigned flags,
                   struct found *out)
{
    const char *base = state->cwd;
    int result;

    if (!name[0])
        return -ENOENT;
    if (name[0] != '/' && (int32_t)dirfd != AT_FDCWD) {
        const struct open_file *file = descriptor_file(state, dirfd);

        if (!file)
            return -EBADF;
        if (file->kind != FILE_DIRECTORY && file->kind != FILE_LIST)
            return -ENOTDIR;
        base = file->path;
    }
    refused_name(state, name, base == state->cwd && name[0] != '/');
    result = path_walk(state, base, name, flags, out);
    if (out->place <= PLACE_MISSING)
        refused_path(state, out->text,
                     out->place < PLACE_INSIDE ||
                         (result == -ENOENT && is_hidden_by_memory(state, out->text)),
                     view_shows(&state->common->view, state->cwd));
    return result;
}

int path_find_text(struct linux_state *state, const char *name, unsigned flags, struct found *out)
{
    return path_walk(state, "/", name, flags, out);
}

bool found_is_public(const struct found *found, mode_t others)
{
    return found->mount &&
           (found->mount->kind != MOUNT_SYSTEM || (found->stat.st_mode & others) == others);
}

int found_may(struct linux_state *state, const struct found *found, int mode)
{
    struct host_call call = {.op = HOST_ACCESS, .fd = found->fd, .number = mode};
    /* R_OK and X_OK are the bits of others. */
    if (!found_is_public(found, (mode_t)mode & (S_IROTH | S_IXOTH)))
        return -EACCES;
    return (int)host_file_call(state, found->local, &call);
}

void found_drop(struct found *found)
{
    if (found->fd >= 0)
        close(found->fd);
    found->fd = -1;
}
