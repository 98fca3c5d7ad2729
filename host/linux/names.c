/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the calls that make directories and files, and that remove and rename names. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "linux/calls.h"
#include "linux/host_file.h"
#include "linux/names.h"
#include "linux/state.h"
#include "linux/writable.h"

int spot_of_file(struct linux_state *state, const struct found *found, struct spot *out)
{
    char directory[PATH_MAX];
    char *slash;
    int result;

    if (strcmp(found->text, found->mount->path) == 0)
        return -EBUSY;
    memcpy(directory, found->text, sizeof(directory));
    slash = strrchr(directory, '/');
    slash[slash == directory] = 0;
    result = path_find_text(state, directory, FIND_FOLLOW, &out->in);
    if (result)
        return result;
    if (out->in.place != PLACE_INSIDE || out->in.mount != found->mount) {
        found_drop(&out->in); /* it was replaced meanwhile */
        return -ENOENT;
    }
    memcpy(out->in.text, found->text, sizeof(out->in.text));
    return 0;
}

/* How Linux refuses to remove or rename what is named by no name of its own. */
struct nameless {
    int top, here, above; /* "/", "." and ".." */
};

/* 0: the name ends in one that a directory holds. */
static int check_last(const char *name, const struct nameless *refusals)
{
    size_t bytes = strlen(name), start;

    while (bytes && name[bytes - 1] == '/')
        bytes--;
    for (start = bytes; start && name[start - 1] != '/';)
        start--;
    if (!bytes)
        return refusals->top;
    if (bytes - start > 2 || strspn(name + start, ".") < bytes - start)
        return 0;
    return bytes - start == 1 ? refusals->here : refusals->above;
}

/* The name at `addr`, which exists, or may be new (FIND_NEW), where the program may write. After 0
 * the caller calls found_drop for out->in. */
static int spot_find(struct linux_state *state, uint64_t dirfd, uint64_t addr, unsigned flags,
                     const struct nameless *refusals, struct spot *out)
{
    char name[PATH_MAX];
    struct found found;
    int result = guest_get_string(state, addr, name, sizeof(name));

    if (!result)
        result = path_find_name(state, dirfd, name, flags, &found);
    if (result)
        return result;
    result = check_last(name, refusals);
    if (result) {
        found_drop(&found);
        return result;
    }
    out->slash = name[strlen(name) - 1] == '/';
    out->exists = found.place == PLACE_INSIDE;
    if (found.place == PLACE_OUTSIDE)
        result = flags & FIND_NEW ? -EACCES : -ENOENT;
    else if (!found.mount)
        result = -EACCES;
    else if (!found.mount->writable)
        result = -EROFS;
    else if (out->exists)
        result = spot_of_file(state, &found, out);
    else
        out->in = found;
    if (result || out->exists)
        found_drop(&found);
    if (!result) {
        out->mode = out->exists ? found.stat.st_mode : 0;
        out->name = strrchr(out->in.text, '/') + 1;
    }
    return result;
}

int spot_new(struct linux_state *state, uint64_t dirfd, uint64_t addr, unsigned flags,
             struct spot *out)
{
    int result = path_find(state, dirfd, addr, FIND_NEW | flags, &out->in);

    if (result)
        return result;
    out->name = strrchr(out->in.text, '/') + 1;
    if (out->in.place == PLACE_OUTSIDE)
        result = -EACCES;
    else if (out->in.place != PLACE_MISSING)
        result = -EEXIST;
    else if (!out->in.mount->writable)
        result = -EROFS;
    else
        result = writable_has_file(state, out->in.mount->writable);
    if (result)
        found_drop(&out->in);
    return result;
}

int64_t spot_make(struct linux_state *state, struct spot *spot, struct host_call *call)
{
    int64_t result;

    call->fd = spot->in.fd;
    call->path = spot->name;
    result = writable_make(state, spot->in.mount->writable, spot->in.local, call);
    found_drop(&spot->in);
    return result;
}

size_t spot_depth(const struct mount *mount, const char *text)
{
    size_t depth = 0;

    for (const char *at = text + strlen(mount->path) + (mount->path[1] != 0); *at; at++)
        depth += *at == '/';
    return depth;
}

/* ---- directories and files ----------------------------------------------- */

static int64_t make_directory(struct linux_state *state, uint64_t dirfd, uint64_t addr,
                              uint64_t mode)
{
    struct host_call call = {.op = HOST_MKDIR, .mode = (uint32_t)mode & ~state->umask};
    struct spot spot;
    int result = spot_new(state, dirfd, addr, FIND_NEW_DIRECTORY, &spot);

    return result ? result : spot_make(state, &spot, &call);
}

int64_t sys_mkdir(struct linux_state *state, const uint64_t arg[6])
{
    return make_directory(state, (uint64_t)AT_FDCWD, arg[0], arg[1]);
}

int64_t sys_mkdirat(struct linux_state *state, const uint64_t arg[6])
{
    return make_directory(state, arg[0], arg[1], arg[2]);
}

/* Only regular files: other kinds would be objects of the host. */
static int64_t make_node(struct linux_state *state, uint64_t dirfd, uint64_t addr, uint64_t mode)
{
    struct host_call call = {
        .op = HOST_CREATE, .number = O_WRONLY, .mode = (uint32_t)mode & 0777 & ~state->umask};
    struct spot spot;
    int64_t result = spot_new(state, dirfd, addr, 0, &spot);

    if (result)
        return result;
    if (mode & S_IFMT && !S_ISREG(mode)) {
        found_drop(&spot.in);
        return -EPERM;
    }
    result = spot_make(state, &spot, &call);
    if (result < 0)
        return result;
    close((int)result);
    return 0;
}

int64_t sys_mknod(struct linux_state *state, const uint64_t arg[6])
{
    return make_node(state, (uint64_t)AT_FDCWD, arg[0], (uint32_t)arg[1]);
}

int64_t sys_mknodat(struct linux_state *state, const uint64_t arg[6])
{
    return make_node(state, arg[0], arg[1], (uint32_t)arg[2]);
}

/* ---- removing ------------------------------------------------------------ */

static int64_t remove_at(struct linux_state *state, uint64_t dirfd, uint64_t addr, int flags)
{
    static const struct nameless for_file = {-EISDIR, -EISDIR, -EISDIR},
                                 for_directory = {-EBUSY, -EINVAL, -ENOTEMPTY};
    struct host_call call = {.op = HOST_REMOVE, .number = flags};
    struct spot spot;
    int64_t result =
        spot_find(state, dirfd, addr, 0, flags & AT_REMOVEDIR ? &for_directory : &for_file, &spot);

    if (result)
        return result;
    call.fd = spot.in.fd;
    call.path = spot.name;
    if (flags & AT_REMOVEDIR && view_above(&state->common->view, spot.in.text))
        result = -EBUSY;
    else
        result = host_file_call(state, spot.in.local, &call);
    found_drop(&spot.in);
    if (!result)
        writable_removed(state, spot.in.mount->writable, &call.stat);
    return result;
}

int64_t sys_unlink(struct linux_state *state, const uint64_t arg[6])
{
    return remove_at(state, (uint64_t)AT_FDCWD, arg[0], 0);
}

int64_t sys_rmdir(struct linux_state *state, const uint64_t arg[6])
{
    return remove_at(state, (uint64_t)AT_FDCWD, arg[0], AT_REMOVEDIR);
}

int64_t sys_unlinkat(struct linux_state *state, const uint64_t arg[6])
{
    return arg[2] & ~(uint64_t)AT_REMOVEDIR ? -EINVAL
                                            : remove_at(state, arg[0], arg[1], (int)arg[2]);
}

/* ---- renaming ------------------------------------------------------------ */

/* What is below the old name has another path now: the program's open files and its working
 * directory, which are known by their paths. */
static void move_path(char **path, const char *from, const char *to)
{
    size_t bytes = strlen(from), moved = strlen(to);
    char *text;

    if (!*path || strncmp(*path, from, bytes) != 0 || ((*path)[bytes] && (*path)[bytes] != '/'))
        return;
    text = malloc(moved + strlen(*path + bytes) + 1);
    if (!text)
        return;
    memcpy(text, to, moved);
    memcpy(text + moved, *path + bytes, strlen(*path + bytes) + 1);
    free(*path);
    *path = text;
}

/* Each open file once, though several descriptors may refer to it. */
static void move_paths(struct linux_state *state, const char *from, const char *to)
{
    for (unsigned i = 0; i < DESCRIPTORS_MAX; i++) {
        struct open_file *file = state->descriptors[i].file;
        bool seen = !file;

        for (unsigned j = 0; j < i && !seen; j++)
            seen = state->descriptors[j].file == file;
        if (!seen)
            move_path(&file->path, from, to);
    }
    move_path(&state->cwd, from, to);
}

/* Whether the program may give what has the name `from` the name `to`. */
static int check_rename(struct linux_state *state, const struct spot *from, const struct spot *to)
{
    const struct mount *mount = from->in.mount;

    if (mount != to->in.mount)
        return -EXDEV;
    if (view_above(&state->common->view, from->in.text) ||
        view_above(&state->common->view, to->in.text))
        return -EBUSY;
    if (mount->writable->memory)
        return 0;
    if (S_ISLNK(from->mode))
        return link_check(state, from, to);
    /* A directory may hold links that lead up: a program that may copy it makes them anew. */
    return S_ISDIR(from->mode) && spot_depth(mount, to->in.text) < spot_depth(mount, from->in.text)
               ? -EXDEV
               : 0;
}

static int64_t rename_spot(struct linux_state *state, const struct spot *from,
                           const struct spot *to, int flags)
{
    struct host_call call = {.op = HOST_RENAME,
                             .fd = from->in.fd,
                             .path = from->name,
                             .fd2 = to->in.fd,
                             .path2 = to->name,
                             .number = flags};
    int64_t result = check_rename(state, from, to);

    if (!result && flags & RENAME_EXCHANGE)
        result = to->exists ? check_rename(state, to, from) : -ENOENT;
    if (!result)
        result = host_file_call(state, from->in.local, &call);
    if (result)
        return result;
    if (flags & RENAME_EXCHANGE)
        return 0;
    if (call.stat.st_nlink)
        writable_removed(state, from->in.mount->writable, &call.stat);
    move_paths(state, from->in.text, to->in.text);
    return 0;
}

static int64_t rename_at(struct linux_state *state, const uint64_t arg[5])
{
    static const struct nameless refusals = {-EBUSY, -EBUSY, -EBUSY};
    int flags = (int)arg[4];
    struct spot from, to;
    int64_t result;

    if (flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE) ||
        flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
        return -EINVAL;
    result = spot_find(state, arg[0], arg[1], 0, &refusals, &from);
    if (result)
        return result;
    result = spot_find(state, arg[2], arg[3], FIND_NEW | FIND_NEW_DIRECTORY, &refusals, &to);
    if (!result) {
        result = to.slash && !S_ISDIR(from.mode) ? -ENOTDIR : rename_spot(state, &from, &to, flags);
        found_drop(&to.in);
    }
    found_drop(&from.in);
    return result;
}

int64_t sys_rename(struct linux_state *state, const uint64_t arg[6])
{
    return rename_at(
        state, (const uint64_t[5]){(uint64_t)AT_FDCWD, arg[0], (uint64_t)AT_FDCWD, arg[1], 0});
}

int64_t sys_renameat(struct linux_state *state, const uint64_t arg[6])
{
    return rename_at(state, (const uint64_t[5]){arg[0], arg[1], arg[2], arg[3], 0});
}

int64_t sys_renameat2(struct linux_state *state, const uint64_t arg[6])
{
    return rename_at(state, (const uint64_t[5]){arg[0], arg[1], arg[2], arg[3], (uint32_t)arg[4]});
}
