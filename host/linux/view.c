/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the table of mounts. */
#include "linux/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "linux/state.h"

/* Whether `path` is at or below `top`. */
static bool is_below(const char *top, const char *path)
{
    size_t bytes = strcmp(top, "/") != 0 ? strlen(top) : 0;

    return strncmp(top, path, bytes) == 0 && (!path[bytes] || path[bytes] == '/');
}

struct mount *view_mount_of(const struct view *view, const char *path)
{
    struct mount *found = NULL;

    for (size_t i = 0; i < view->count; i++) {
        struct mount *mount = &view->mounts[i];

        if (is_below(mount->path, path) && (!found || strlen(mount->path) > strlen(found->path)))
            found = mount;
    }
    return found;
}

bool view_above(const struct view *view, const char *path)
{
    for (size_t i = 0; i < view->count; i++) {
        const char *mount = view->mounts[i].path;

        if (strcmp(mount, path) != 0 && is_below(path, mount))
            return true;
    }
    return false;
}

/* There is room for it. */
static int add_mount(struct view *view, enum mount_kind kind, const char *path)
{
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    char *copy;

    if (fd < 0)
        return -errno;
    copy = strdup(path);
    if (!copy) {
        close(fd);
        return -ENOMEM;
    }
    view->mounts[view->count++] = (struct mount){.kind = kind, .path = copy, .fd = fd};
    return 0;
}

/* A name of the host made absolute and free of ".", ".." and "//", as text. */
static int absolute(const char *host_cwd, const char *given, char text[PATH_MAX])
{
    size_t used = 0;

    text[0] = 0;
    if (given[0] != '/' && strcmp(host_cwd, "/") != 0)
        used = strlen(strcpy(text, host_cwd)); /* it is from getcwd: it fits */
    while (*given) {
        size_t bytes = strcspn(given, "/");

        if (bytes == 2 && !memcmp(given, "..", 2)) {
            while (used && text[--used] != '/')
                ;
        } else if (bytes && !(bytes == 1 && given[0] == '.')) {
            if (used + 1 + bytes >= PATH_MAX)
                return -ENAMETOOLONG;
            text[used++] = '/';
            memcpy(text + used, given, bytes);
            used += bytes;
        }
        text[used] = 0;
        given += bytes + (given[bytes] == '/');
    }
    if (!used)
        memcpy(text, "/", 2);
    return 0;
}

/* A directory is known by its real path, and by the one it was given as if that
 * leads there through a link. */
static int add_directory(struct view *view, const char *host_cwd, const char *given)
{
    char text[PATH_MAX];
    char *real = realpath(given, NULL);
    int result;

    if (!real)
        return -errno;
    result = absolute(host_cwd, given, text);
    if (!result)
        result = add_mount(view, MOUNT_GIVEN, real);
    if (!result && strcmp(text, real) != 0)
        result = add_mount(view, MOUNT_GIVEN, text);
    free(real);
    return result;
}

int view_init(struct linux_state *state, const char *const *directories)
{
    struct view *view = &state->view;
    char host_cwd[PATH_MAX];
    size_t count = 0;

    /* A working directory that is gone, or has no absolute path, is as good as none. */
    if (!getcwd(host_cwd, sizeof(host_cwd)) || host_cwd[0] != '/')
        memcpy(host_cwd, "/", 2);
    while (directories && directories[count])
        count++;
    view->mounts = calloc(2 * count + 1, sizeof(*view->mounts));
    if (!view->mounts)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        int result = add_directory(view, host_cwd, directories[i]);

        if (result)
            return result;
    }
    state->cwd = strdup(view_mount_of(view, host_cwd) ? host_cwd : "/");
    return state->cwd ? 0 : -ENOMEM;
}

void view_fini(struct linux_state *state)
{
    struct view *view = &state->view;

    for (size_t i = 0; i < view->count; i++) {
        free(view->mounts[i].path);
        close(view->mounts[i].fd);
    }
    free(view->mounts);
    free(state->cwd);
}
