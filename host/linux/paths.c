/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns names: the meaning of a path of the program, and the only way from a path to a file of the
 * host. A name is resolved as text first; a file below a read-only directory is then opened by
 * openat2 so that no link leads out of the directory.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "linux/host_file.h"
#include "linux/state.h"

_Static_assert(sizeof(((struct guest_path *)0)->text) == PATH_MAX, "a path fits");

/* Takes the last component off. */
static void path_up(char *text)
{
    char *slash = strrchr(text, '/');

    if (slash)
        *slash = 0;
}

/* Resolves `name` against the absolute `base`, as text. */
static int path_join(const char *base, const char *name, struct guest_path *out)
{
    size_t used = 0;

    out->text[0] = 0;
    out->directory = false;
    if (name[0] != '/' && strcmp(base, "/") != 0) {
        used = strlen(base); /* bases come from here: they fit */
        memcpy(out->text, base, used + 1);
    }
    while (*name) {
        size_t bytes = strcspn(name, "/");

        out->directory = name[bytes] == '/' || bytes == 0 || (bytes == 1 && name[0] == '.') ||
                         (bytes == 2 && !memcmp(name, "..", 2));
        if (bytes == 2 && !memcmp(name, "..", 2)) {
            path_up(out->text);
            used = strlen(out->text);
        } else if (bytes && !(bytes == 1 && name[0] == '.')) {
            if (bytes > NAME_MAX || used + 1 + bytes >= sizeof(out->text))
                return -ENAMETOOLONG;
            out->text[used++] = '/';
            memcpy(out->text + used, name, bytes);
            used += bytes;
            out->text[used] = 0;
        }
        name += bytes + (name[bytes] == '/');
    }
    if (!used)
        memcpy(out->text, "/", 2);
    return 0;
}

int path_get(struct linux_state *state, uint64_t dirfd, uint64_t addr, struct guest_path *out)
{
    const char *base = state->cwd;
    char name[PATH_MAX];
    int result = guest_get_string(state, addr, name, sizeof(name));

    if (result)
        return result;
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
    return path_join(base, name, out);
}

/* Whether `path` is at or below `root`; *rest: what is left of it, without a slash in front. */
static bool is_below(const char *root, const char *path, const char **rest)
{
    size_t bytes = strcmp(root, "/") != 0 ? strlen(root) : 0;

    if (strncmp(root, path, bytes) != 0 || (path[bytes] && path[bytes] != '/'))
        return false;
    *rest = path + bytes + (path[bytes] == '/');
    return true;
}

/* The innermost read-only directory the path is at or below. */
static struct root *find_root(const struct linux_state *state, const char *path, const char **rest)
{
    struct root *found = NULL;

    for (size_t i = 0; i < state->root_count; i++) {
        struct root *root = &state->roots[i];
        const char *left;

        if (is_below(root->path, path, &left) &&
            (!found || strlen(root->path) > strlen(found->path))) {
            found = root;
            *rest = left;
        }
    }
    return found;
}

static enum place find_place(const struct linux_state *state, const char *path, uint64_t *which)
{
    const char *rest;
    bool rooted = find_root(state, path, &rest);
    enum place place;

    if (special_place(path, rooted, &place, which))
        return place;
    if (rooted)
        return PLACE_INSIDE;
    for (size_t i = 0; i < state->root_count; i++) {
        if (is_below(path, state->roots[i].path, &rest))
            return PLACE_ABOVE;
    }
    return special_above(path) ? PLACE_ABOVE : PLACE_OUTSIDE;
}

enum place path_place(struct linux_state *state, const char *path, uint64_t *which)
{
    enum place place = find_place(state, path, which);
    const char *rest;

    if (place == PLACE_OUTSIDE || place == PLACE_ABOVE || place == PLACE_INSIDE)
        refused_path(state, path, place != PLACE_INSIDE, find_root(state, state->cwd, &rest));
    return place;
}

/* Whether the root's file system answers always. Asked once, when it matters. */
static int learn_root(struct linux_state *state, struct root *root)
{
    struct host_call call = {.op = HOST_LOOK_UP, .fd = root->fd, .path = "", .follow = true};
    int64_t fd = root->known ? -EALREADY : host_file_call(state, false, &call);

    if (fd == -EINTR)
        return -EINTR;
    root->known = true;
    if (fd >= 0) {
        root->local = call.local;
        close((int)fd);
    }
    return 0;
}

/* First tries the way that cannot block: within the file system of the root, by what the kernel has
 * in memory. All other names go the long way. */
static int64_t find(struct linux_state *state, struct root *root, struct host_call *call)
{
    int64_t fd = learn_root(state, root);

    if (fd)
        return fd;
    call->here = root->local;
    if (call->here) {
        fd = host_file_call(state, true, call);
        /* EINVAL: a kernel that does not know how to look without waiting. */
        if (fd != -EAGAIN && fd != -EXDEV && fd != -EINVAL)
            return fd;
    }
    call->here = false;
    fd = host_file_call(state, false, call);
    return fd == -EXDEV || fd == -EAGAIN ? -EACCES : fd; /* a link that leads out */
}

int path_open(struct linux_state *state, const struct guest_path *path, bool follow,
              struct found *found)
{
    const char *rest = NULL;
    struct root *root = find_root(state, path->text, &rest);
    struct host_call call = {.op = HOST_LOOK_UP, .follow = follow || path->directory};
    int64_t fd;

    if (!root)
        return -ENOENT;
    call.fd = root->fd;
    call.path = rest;
    fd = find(state, root, &call);
    if (fd < 0)
        return (int)fd;
    if (path->directory && !S_ISDIR(call.stat.st_mode)) {
        close((int)fd);
        return -ENOTDIR;
    }
    *found = (struct found){(int)fd, call.local, call.stat};
    return 0;
}

/* There is room for it. */
static int add_root(struct linux_state *state, const char *path)
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
    state->roots[state->root_count++] = (struct root){.path = copy, .fd = fd};
    return 0;
}

/* A directory is known by its real path, and by the one it was given as if that
 * leads there through a link. */
static int add_directory(struct linux_state *state, const char *host_cwd, const char *given)
{
    struct guest_path absolute;
    char *real = realpath(given, NULL);
    int result;

    if (!real)
        return -errno;
    result = path_join(host_cwd, given, &absolute);
    if (!result)
        result = add_root(state, real);
    if (!result && strcmp(absolute.text, real) != 0)
        result = add_root(state, absolute.text);
    free(real);
    return result;
}

int paths_init(struct linux_state *state, const char *const *directories)
{
    char host_cwd[PATH_MAX];
    size_t count = 0;
    const char *rest;

    /* A working directory that is gone, or has no absolute path, is as good as none. */
    if (!getcwd(host_cwd, sizeof(host_cwd)) || host_cwd[0] != '/')
        memcpy(host_cwd, "/", 2);
    while (directories && directories[count])
        count++;
    state->root_count = 0;
    state->roots = calloc(2 * count + 1, sizeof(*state->roots));
    if (!state->roots)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        int result = add_directory(state, host_cwd, directories[i]);

        if (result)
            return result;
    }
    state->cwd = strdup(find_root(state, host_cwd, &rest) ? host_cwd : "/");
    return state->cwd ? 0 : -ENOMEM;
}

void paths_fini(struct linux_state *state)
{
    for (size_t i = 0; i < state->root_count; i++) {
        free(state->roots[i].path);
        close(state->roots[i].fd);
    }
    free(state->roots);
    free(state->cwd);
}
