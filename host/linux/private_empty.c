/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the emptying of directories in memory. A hostile program nests directories as deep as it has
 * memory for; so what is in a directory that is not empty comes up beside it, and two descriptors do for
 * any depth.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "linux/state.h"
#include "linux/writable.h"

static DIR *open_to_list(int at, const char *name)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

    if (fd >= 0 && !dir)
        close(fd);
    return dir;
}

/* The next name; NULL: there is none. */
static const char *next_name(DIR *dir)
{
    const struct dirent *entry;

    do
        entry = readdir(dir);
    while (entry && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
    return entry ? entry->d_name : NULL;
}

static bool is_removed(int at, const char *name)
{
    return unlinkat(at, name, 0) == 0 || unlinkat(at, name, AT_REMOVEDIR) == 0;
}

/* What is in the directory of that name comes into `top`, under names that were not there; then it goes.
 * False: it cannot. */
static bool dissolve(int top, const char *name, uint64_t *count)
{
    char fresh[32], gone[NAME_MAX + 1];
    const char *inner;

    snprintf(gone, sizeof(gone), "%s", name);
    if (fchmodat(top, gone, 0700, 0)) /* the program may have taken our rights away */
        return false;
    DIR *dir = open_to_list(top, gone);
    bool fits = dir;

    while (fits && (inner = next_name(dir))) {
        snprintf(fresh, sizeof(fresh), "up %llu", (unsigned long long)++*count);
        fits = is_removed(dirfd(dir), inner) ||
               (fchmodat(dirfd(dir), inner, 0700, 0) == 0 &&
                renameat2(dirfd(dir), inner, top, fresh, RENAME_NOREPLACE) == 0);
    }
    if (dir)
        closedir(dir);
    return fits && unlinkat(top, gone, AT_REMOVEDIR) == 0;
}

/* Each round is a list of what is there; the last finds nothing. */
static bool empty(int top)
{
    uint64_t count = 0;
    bool fits = true, found = true;

    while (fits && found) {
        DIR *dir = open_to_list(top, ".");
        const char *name;

        found = false;
        fits = dir;
        while (fits && (name = next_name(dir))) {
            found = true;
            fits = is_removed(top, name) || dissolve(top, name, &count);
        }
        if (dir)
            closedir(dir);
    }
    return fits;
}

static bool has_names(int at)
{
    DIR *dir = open_to_list(at, ".");
    bool has = !dir || next_name(dir);

    if (dir)
        closedir(dir);
    return has;
}

bool private_has_files(struct linux_state *state)
{
    const struct view *view = &state->common->view;

    for (size_t i = 0; i < view->count; i++)
        if (view->mounts[i].kind == MOUNT_PRIVATE && view->mounts[i].fd >= 0 &&
            has_names(view->mounts[i].fd))
            return true;
    return false;
}

/* They are made when the program looks at them next. True: there were some. */
static bool close_all(struct linux_state *state)
{
    struct view *view = &state->common->view;
    bool any = false;

    for (size_t i = 0; i < view->count; i++) {
        struct mount *mount = &view->mounts[i];

        if (mount->kind != MOUNT_PRIVATE || mount->fd < 0)
            continue;
        close(mount->fd);
        mount->fd = -1;
        view_give_files_back(state, 1);
        any = true;
    }
    return any;
}

void private_empty(struct linux_state *state)
{
    struct view *view = &state->common->view;

    if (!close_all(state))
        return;
    if (empty(view->memory_top)) {
        writable_is_empty(state, view->memory);
        return;
    }
    writable_leave(state, view->memory);
    close(view->memory_top);
    view->memory_top = -1;
    view_give_files_back(state, 2);
}
