/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the calls that make, remove and rename names. Each is found in the view first, and changed as
 * one component of a directory of which we have a descriptor.
 */
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
#include "linux/state.h"
#include "linux/writable.h"

/* A name in a directory. */
struct spot {
    struct found in;  /* the directory; its text is that of the name */
    const char *name; /* the last component of the text */
    bool exists;
    mode_t mode; /* of the file that has the name */
};

/* The directory of the file that was found, and its name in there. */
static int spot_of_file(struct linux_state *state, const struct found *found, struct spot *out)
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

/* The name at `addr`, which exists, or may be new (FIND_NEW), where the program may write. After 0
 * the caller calls found_drop for out->in. */
static int spot_find(struct linux_state *state, uint64_t dirfd, uint64_t addr, unsigned flags,
                     struct spot *out)
{
    struct found found;
    int result = path_find(state, dirfd, addr, flags, &found);

    if (result)
        return result;
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

/* A name at `addr` that is to be made. */
static int spot_new(struct linux_state *state, uint64_t dirfd, uint64_t addr, unsigned flags,
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

/* Makes what the call says under the new name, and counts it. */
static int64_t make(struct linux_state *state, struct spot *spot, struct host_call *call)
{
    int64_t result;

    call->fd = spot->in.fd;
    call->path = spot->name;
    result = writable_make(state, spot->in.mount->writable, spot->in.local, call);
    found_drop(&spot->in);
    return result;
}

/* ---- directories and files ----------------------------------------------- */

static int64_t make_directory(struct linux_state *state, uint64_t dirfd, uint64_t addr,
                              uint64_t mode)
{
    struct host_call call = {.op = HOST_MKDIR, .mode = (uint32_t)mode & ~state->umask};
    struct spot spot;
    int result = spot_new(state, dirfd, addr, FIND_NEW_DIRECTORY, &spot);

    return result ? result : make(state, &spot, &call);
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
    result = make(state, &spot, &call);
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

/* ---- links --------------------------------------------------------------- */

/* How many directories of the mount are above a name. */
static size_t depth_of(const struct mount *mount, const char *text)
{
    size_t depth = 0;

    for (const char *at = text + strlen(mount->path) + (mount->path[1] != 0); *at; at++)
        depth += *at == '/';
    return depth;
}

/* Whether a link with this name would lead out of the directory of the host that the program may
 * write to: somebody else, with other rights, may follow it there later. The program itself follows
 * links inside its view only. In the middle of a target ".." could mean anything. */
static bool leads_out(const struct spot *spot, const char *target)
{
    const struct mount *mount = spot->in.mount;
    size_t depth = depth_of(mount, spot->in.text), ups = 0, top = strlen(mount->path);

    if (mount->writable->memory)
        return false;
    if (target[0] == '/') {
        if (strncmp(target, mount->path, top) != 0 || (target[top] && target[top] != '/'))
            return true;
        target += top;
        depth = 0;
    }
    for (bool begins = true; *target;) {
        size_t bytes = strcspn(target, "/");
        bool up = bytes == 2 && !memcmp(target, "..", 2);

        if (up && (!begins || ++ups > depth))
            return true;
        begins &= up || !bytes || (bytes == 1 && target[0] == '.');
        target += bytes + (target[bytes] == '/');
    }
    return false;
}

static int64_t make_symlink(struct linux_state *state, uint64_t target, uint64_t dirfd,
                            uint64_t addr)
{
    char text[PATH_MAX];
    struct host_call call = {.op = HOST_SYMLINK, .path2 = text};
    struct spot spot;
    int result = guest_get_string(state, target, text, sizeof(text));

    if (result)
        return result;
    if (!text[0])
        return -ENOENT;
    result = spot_new(state, dirfd, addr, 0, &spot);
    if (result)
        return result;
    if (leads_out(&spot, text)) {
        found_drop(&spot.in);
        return -EPERM;
    }
    call.fd2 = spot.in.fd;
    return make(state, &spot, &call);
}

int64_t sys_symlink(struct linux_state *state, const uint64_t arg[6])
{
    return make_symlink(state, arg[0], (uint64_t)AT_FDCWD, arg[1]);
}

int64_t sys_symlinkat(struct linux_state *state, const uint64_t arg[6])
{
    return make_symlink(state, arg[0], arg[1], arg[2]);
}

/* 0; -EPERM: the link `name` of that directory would lead out under its new name. */
static int check_link(struct linux_state *state, const struct spot *from, const struct spot *to)
{
    char target[PATH_MAX];
    struct host_call look = {.op = HOST_LOOK_UP, .fd = from->in.fd, .path = from->name};
    struct host_call call = {.op = HOST_READLINK, .to = target, .bytes = sizeof(target) - 1};
    int64_t got = host_file_call(state, from->in.local, &look);

    if (got < 0)
        return (int)got;
    call.fd = (int)got;
    got = host_file_call(state, from->in.local, &call);
    close(call.fd);
    if (got < 0)
        return (int)got;
    target[got] = 0;
    return leads_out(to, target) ? -EPERM : 0;
}

/* One more name for an open file: that is how a file made without a name gets one. */
static int64_t link_open_file(struct linux_state *state, uint64_t fd, struct spot *to)
{
    const struct open_file *file = descriptor_file(state, fd);
    struct host_call call = {.op = HOST_LINK, .path2 = to->name, .fd2 = to->in.fd};
    int64_t result = !file ? -EBADF : file->kind == FILE_DIRECTORY ? -EPERM : -EXDEV;

    if (file && file->kind == FILE_REGULAR && file->writable == to->in.mount->writable) {
        call.fd = file->fd;
        call.stat = (struct stat){.st_dev = file->dev, .st_ino = file->ino};
        result = host_file_call(state, to->in.local, &call);
        if (!result)
            writable_made(state, file->writable, &call.stat);
    }
    return result;
}

static int64_t link_file(struct linux_state *state, const struct found *found, struct spot *to)
{
    struct host_call call = {.op = HOST_LINK, .path2 = to->name, .fd2 = to->in.fd};
    struct spot from = {.in.fd = -1};
    int64_t result = 0;

    if (S_ISDIR(found->stat.st_mode))
        return -EPERM;
    if (found->mount != to->in.mount)
        return -EXDEV;
    call.fd = found->fd;
    if (S_ISLNK(found->stat.st_mode)) {
        result = spot_of_file(state, found, &from);
        if (result)
            return result;
        from.name = strrchr(from.in.text, '/') + 1;
        result = check_link(state, &from, to);
        call.fd = from.in.fd;
        call.path = from.name;
    }
    call.stat = found->stat;
    if (!result)
        result = host_file_call(state, to->in.local, &call);
    if (!result)
        writable_made(state, to->in.mount->writable, &found->stat);
    found_drop(&from.in);
    return result;
}

/* Whether the name at `addr` is empty. */
static int is_empty(struct linux_state *state, uint64_t addr)
{
    char first;

    return guest_get(state, addr, &first, 1) ? -EFAULT : !first;
}

static int64_t link_at(struct linux_state *state, const uint64_t arg[5])
{
    unsigned follow = arg[4] & AT_SYMLINK_FOLLOW ? FIND_FOLLOW : 0;
    struct found found;
    struct spot to;
    int64_t result;
    int empty = arg[4] & AT_EMPTY_PATH ? is_empty(state, arg[1]) : 0;

    if (arg[4] & ~(uint64_t)(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    if (empty < 0)
        return empty;
    result = spot_new(state, arg[2], arg[3], 0, &to);
    if (result)
        return result;
    if (empty) {
        result = link_open_file(state, arg[0], &to);
    } else {
        found.fd = -1; /* there may be no name to walk */
        result = path_find(state, arg[0], arg[1], follow, &found);
        if (!result && found.place == PLACE_DESCRIPTOR && follow)
            result = link_open_file(state, found.which, &to);
        else if (!result)
            result = found.place == PLACE_INSIDE    ? link_file(state, &found, &to)
                     : found.place == PLACE_OUTSIDE ? -ENOENT
                                                    : -EXDEV;
        found_drop(&found);
    }
    found_drop(&to.in);
    return result;
}

int64_t sys_link(struct linux_state *state, const uint64_t arg[6])
{
    return link_at(state,
                   (const uint64_t[5]){(uint64_t)AT_FDCWD, arg[0], (uint64_t)AT_FDCWD, arg[1], 0});
}

int64_t sys_linkat(struct linux_state *state, const uint64_t arg[6])
{
    return link_at(state, arg);
}

/* ---- removing ------------------------------------------------------------ */

static int64_t remove_at(struct linux_state *state, uint64_t dirfd, uint64_t addr, int flags)
{
    struct host_call call = {.op = HOST_REMOVE, .number = flags};
    struct spot spot;
    int64_t result = spot_find(state, dirfd, addr, 0, &spot);

    if (result)
        return result;
    call.fd = spot.in.fd;
    call.path = spot.name;
    if (flags & AT_REMOVEDIR && view_above(&state->view, spot.in.text))
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
    if (view_above(&state->view, from->in.text) || view_above(&state->view, to->in.text))
        return -EBUSY;
    if (mount->writable->memory)
        return 0;
    if (S_ISLNK(from->mode))
        return check_link(state, from, to);
    /* A directory may hold links that lead up: a program that may copy it makes them anew. */
    return S_ISDIR(from->mode) && depth_of(mount, to->in.text) < depth_of(mount, from->in.text)
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
    int flags = (int)arg[4];
    struct spot from, to;
    int64_t result;

    if (flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE) ||
        flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
        return -EINVAL;
    result = spot_find(state, arg[0], arg[1], 0, &from);
    if (result)
        return result;
    result = spot_find(state, arg[2], arg[3],
                       FIND_NEW | (S_ISDIR(from.mode) ? FIND_NEW_DIRECTORY : 0), &to);
    if (!result) {
        result = rename_spot(state, &from, &to, flags);
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
