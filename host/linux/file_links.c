/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns links to files: symbolic ones, which may not lead out of what may be written, and hard ones. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "linux/calls.h"
#include "linux/host_file.h"
#include "linux/names.h"
#include "linux/state.h"
#include "linux/writable.h"

/* Whether a link with this name would lead out of the directory of the host that the program may
 * write to: somebody else, with other rights, may follow it there later. The program itself follows
 * links inside its view only. In the middle of a target ".." could mean anything. */
static bool leads_out(const struct spot *spot, const char *target)
{
    const struct mount *mount = spot->in.mount;
    size_t depth = spot_depth(mount, spot->in.text), ups = 0, top = strlen(mount->path);

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
    return spot_make(state, &spot, &call);
}

int64_t sys_symlink(struct linux_state *state, const uint64_t arg[6])
{
    return make_symlink(state, arg[0], (uint64_t)AT_FDCWD, arg[1]);
}

int64_t sys_symlinkat(struct linux_state *state, const uint64_t arg[6])
{
    return make_symlink(state, arg[0], arg[1], arg[2]);
}

int link_check(struct linux_state *state, const struct spot *from, const struct spot *to)
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
        result = link_check(state, &from, to);
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
