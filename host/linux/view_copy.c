/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the view of a VM that sees what another one sees. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "linux/mounts.h"
#include "linux/state.h"
#include "linux/writable.h"

/* What is asked for once another thread may note just now. */
static bool is_settled(const struct mount *mount)
{
    return mount->kind != MOUNT_GIVEN || mount->file;
}

static int copy_mount(struct view *view, const struct view *from, const struct mount *mount)
{
    struct mount like = {
        .kind = mount->kind,
        .fd = -1,
        .file = mount->file,
        .known = is_settled(mount),
        .local = is_settled(mount) && mount->local,
        .shown = mount->shown,
        .libraries = mount->libraries,
        .writable = !mount->writable                  ? NULL
                    : mount->writable == from->memory ? view->memory
                                                      : view->host,
    };

    if (mount->kind != MOUNT_PRIVATE) {
        like.fd = fcntl(mount->fd, F_DUPFD_CLOEXEC, 0);
        if (like.fd < 0)
            return -errno;
    }
    like.path = strdup(mount->path);
    view->mounts[view->count++] = like; /* its descriptor is closed with the others */
    return like.path ? 0 : -ENOMEM;
}

int view_copy(struct linux_state *state, const struct linux_state *like)
{
    const struct view *from = &like->common->view;
    struct view *view = &state->common->view;
    int result = 0;

    view->memory_top = -1;
    view->mounts = calloc(from->count + 1, sizeof(*view->mounts));
    view->memory = writable_create(from->memory->limit_bytes);
    view->host = writable_create(from->host->limit_bytes);
    if (!view->mounts || !view->memory || !view->host)
        return -ENOMEM;
    for (size_t i = 0; i < from->count && !result; i++)
        result = copy_mount(view, from, &from->mounts[i]);
    if (result)
        return result;
    state->cwd = strdup(like->cwd);
    view->root = from->root ? strdup(from->root) : NULL;
    return state->cwd && (view->root || !from->root) ? 0 : -ENOMEM;
}

unsigned linux_view_files(const struct linux_state *state)
{
    const struct view *view = &state->common->view;
    unsigned count = 0;

    for (size_t i = 0; i < view->count; i++)
        count += view->mounts[i].kind != MOUNT_PRIVATE;
    return count;
}
