/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns changing the mode, the owner and the times of files. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

#include "linux/calls.h"
#include "linux/host_file.h"
#include "linux/state.h"
#include "linux/writable.h"

/* What changes an attribute of a file: by a descriptor of the host. */
typedef int64_t (*changer)(struct linux_state *state, int fd, bool local, const void *to);

static int64_t on_descriptor(struct linux_state *state, uint64_t fd, changer change, const void *to)
{
    const struct open_file *file = descriptor_file(state, fd);

    if (!file)
        return -EBADF;
    if (file->writable)
        return change(state, file->fd, file->local, to);
    return file->path ? -EROFS : -EPERM;
}

/* With AT_EMPTY_PATH an empty name means the descriptor itself. */
static int64_t on_name(struct linux_state *state, uint64_t dirfd, uint64_t addr, uint64_t flags,
                       changer change, const void *to)
{
    struct found found;
    char first = 1;
    int64_t result;

    if (flags & ~(uint64_t)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    if (flags & AT_EMPTY_PATH && guest_get(state, addr, &first, 1))
        return -EFAULT;
    if (!first)
        return on_descriptor(state, dirfd, change, to);
    result = path_find(state, dirfd, addr, flags & AT_SYMLINK_NOFOLLOW ? 0 : FIND_FOLLOW, &found);
    if (result)
        return result;
    if (found.place == PLACE_INSIDE)
        result = found.mount->writable ? change(state, found.fd, found.local, to) : -EROFS;
    else if (found.place == PLACE_DESCRIPTOR)
        result = on_descriptor(state, found.which, change, to);
    else
        result = found.place == PLACE_OUTSIDE ? -ENOENT : -EPERM;
    found_drop(&found);
    return result;
}

/* ---- mode ---------------------------------------------------------------- */

static int64_t set_mode(struct linux_state *state, int fd, bool local, const void *to)
{
    struct host_call call = {.op = HOST_CHMOD, .fd = fd, .mode = *(const uint32_t *)to};

    return host_file_call(state, local, &call);
}

int64_t sys_chmod(struct linux_state *state, const uint64_t arg[6])
{
    uint32_t mode = (uint32_t)arg[1];

    return on_name(state, (uint64_t)AT_FDCWD, arg[0], 0, set_mode, &mode);
}

int64_t sys_fchmodat(struct linux_state *state, const uint64_t arg[6])
{
    uint32_t mode = (uint32_t)arg[2];

    return on_name(state, arg[0], arg[1], 0, set_mode, &mode);
}

int64_t sys_fchmodat2(struct linux_state *state, const uint64_t arg[6])
{
    uint32_t mode = (uint32_t)arg[2];

    return on_name(state, arg[0], arg[1], arg[3], set_mode, &mode);
}

int64_t sys_fchmod(struct linux_state *state, const uint64_t arg[6])
{
    const struct open_file *file = descriptor_file(state, arg[0]);
    uint32_t mode = (uint32_t)arg[1];

    if (file && file->status & O_PATH)
        return -EBADF;
    /* Of a stream it changes nothing that anybody sees. */
    return file && file_is_stream(file) ? 0 : on_descriptor(state, arg[0], set_mode, &mode);
}

/* ---- owner --------------------------------------------------------------- */

struct owner {
    uint32_t uid, gid;
};

static bool is_own(const struct owner *owner)
{
    return (owner->uid == UINT32_MAX || owner->uid == LINUX_USER) &&
           (owner->gid == UINT32_MAX || owner->gid == LINUX_USER);
}

/* A file may be given to whom it belongs, as by any user without rights. */
static int64_t set_owner(struct linux_state *state, int fd, bool local, const void *to)
{
    const struct owner *owner = to;
    struct host_call call = {.op = HOST_STAT, .fd = fd};
    int64_t result = host_file_call(state, local, &call);

    if (result)
        return result;
    writable_owner(&call.stat);
    return (owner->uid == UINT32_MAX || owner->uid == call.stat.st_uid) &&
                   (owner->gid == UINT32_MAX || owner->gid == call.stat.st_gid)
               ? 0
               : -EPERM;
}

int64_t sys_chown(struct linux_state *state, const uint64_t arg[6])
{
    const struct owner owner = {(uint32_t)arg[1], (uint32_t)arg[2]};

    return on_name(state, (uint64_t)AT_FDCWD, arg[0], 0, set_owner, &owner);
}

int64_t sys_lchown(struct linux_state *state, const uint64_t arg[6])
{
    const struct owner owner = {(uint32_t)arg[1], (uint32_t)arg[2]};

    return on_name(state, (uint64_t)AT_FDCWD, arg[0], AT_SYMLINK_NOFOLLOW, set_owner, &owner);
}

int64_t sys_fchownat(struct linux_state *state, const uint64_t arg[6])
{
    const struct owner owner = {(uint32_t)arg[2], (uint32_t)arg[3]};

    return on_name(state, arg[0], arg[1], arg[4], set_owner, &owner);
}

int64_t sys_fchown(struct linux_state *state, const uint64_t arg[6])
{
    const struct open_file *file = descriptor_file(state, arg[0]);
    const struct owner owner = {(uint32_t)arg[1], (uint32_t)arg[2]};

    if (file && file->status & O_PATH)
        return -EBADF;
    if (file && !file->path)
        return is_own(&owner) ? 0 : -EPERM;
    return on_descriptor(state, arg[0], set_owner, &owner);
}

/* ---- times --------------------------------------------------------------- */

static int64_t set_times(struct linux_state *state, int fd, bool local, const void *to)
{
    struct host_call call = {.op = HOST_TIMES, .fd = fd};
    const struct timespec *times = to;

    call.times[0] = times[0];
    call.times[1] = times[1];
    return host_file_call(state, local, &call);
}

/* Without a name it is about the descriptor. */
static int64_t set_times_at(struct linux_state *state, uint64_t dirfd, uint64_t addr,
                            const struct timespec times[2], uint64_t flags)
{
    if (!addr && !(flags & AT_EMPTY_PATH))
        return flags ? -EINVAL : on_descriptor(state, dirfd, set_times, times);
    return on_name(state, dirfd, addr, flags, set_times, times);
}

int64_t sys_utimensat(struct linux_state *state, const uint64_t arg[6])
{
    struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};

    if (arg[2] && guest_get(state, arg[2], times, sizeof(times)))
        return -EFAULT;
    return set_times_at(state, arg[0], arg[1], times, arg[3]);
}

int64_t sys_futimesat(struct linux_state *state, const uint64_t arg[6])
{
    struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
    struct timeval given[2];

    if (arg[2] && guest_get(state, arg[2], given, sizeof(given)))
        return -EFAULT;
    for (int i = 0; i < 2 && arg[2]; i++) {
        if (given[i].tv_usec < 0 || given[i].tv_usec >= 1000000)
            return -EINVAL;
        times[i] = (struct timespec){given[i].tv_sec, given[i].tv_usec * 1000};
    }
    return set_times_at(state, arg[0], arg[1], times, 0);
}

int64_t sys_utimes(struct linux_state *state, const uint64_t arg[6])
{
    return sys_futimesat(state, (const uint64_t[6]){(uint64_t)AT_FDCWD, arg[0], arg[1]});
}

int64_t sys_utime(struct linux_state *state, const uint64_t arg[6])
{
    struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
    struct utimbuf given;

    if (arg[1]) {
        if (guest_get(state, arg[1], &given, sizeof(given)))
            return -EFAULT;
        times[0] = (struct timespec){.tv_sec = given.actime};
        times[1] = (struct timespec){.tv_sec = given.modtime};
    }
    return set_times_at(state, (uint64_t)AT_FDCWD, arg[0], times, 0);
}

/* ---- extended attributes ------------------------------------------------- */

/* No file has any, and none can be given one; what is asked is checked as Linux does. */

#define ATTRIBUTE_NAME_BYTES 256 /* with the 0 */

/* 0, or why it cannot be a name. *known: a file may have one of the kind. */
static int64_t check_attribute(struct linux_state *state, uint64_t addr, bool *known)
{
    static const char *const kinds[] = {"user.", "security.", "trusted.", "system.posix_acl_"};
    char name[ATTRIBUTE_NAME_BYTES];
    int result = guest_get_string(state, addr, name, sizeof(name));

    *known = false;
    if (result)
        return result == -ENAMETOOLONG ? -ERANGE : result;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        *known = *known || strncmp(name, kinds[i], strlen(kinds[i])) == 0;
    return name[0] ? 0 : -ERANGE;
}

/* 0: there is such a file. `how`: FIND_FOLLOW or 0. */
static int64_t check_path(struct linux_state *state, uint64_t addr, unsigned how)
{
    struct found found;
    int result = path_find(state, (uint64_t)AT_FDCWD, addr, how, &found);

    if (result)
        return result;
    result = found.place == PLACE_OUTSIDE ? -ENOENT : 0;
    found_drop(&found);
    return result;
}

static int64_t check_open(struct linux_state *state, uint64_t fd, unsigned how)
{
    const struct open_file *file = descriptor_file(state, fd);

    (void)how;
    return file && !(file->status & O_PATH) ? 0 : -EBADF;
}

typedef int64_t (*file_check)(struct linux_state *state, uint64_t file, unsigned how);

/* Asking for one and removing it. */
static int64_t no_such(struct linux_state *state, const uint64_t arg[6], file_check check,
                       unsigned how)
{
    bool known;
    int64_t result = check_attribute(state, arg[1], &known);

    if (!result)
        result = check(state, arg[0], how);
    return result ? result : known ? -ENODATA : -EOPNOTSUPP;
}

static int64_t no_new(struct linux_state *state, const uint64_t arg[6], file_check check,
                      unsigned how)
{
    bool known;
    int64_t result = arg[4] & ~(uint64_t)(XATTR_CREATE | XATTR_REPLACE)
                         ? -EINVAL
                         : check_attribute(state, arg[1], &known);

    if (!result)
        result = check(state, arg[0], how);
    return result ? result : -EOPNOTSUPP;
}

int64_t sys_getxattr(struct linux_state *state, const uint64_t arg[6])
{
    return no_such(state, arg, check_path, FIND_FOLLOW);
}

int64_t sys_lgetxattr(struct linux_state *state, const uint64_t arg[6])
{
    return no_such(state, arg, check_path, 0);
}

int64_t sys_fgetxattr(struct linux_state *state, const uint64_t arg[6])
{
    return no_such(state, arg, check_open, 0);
}

int64_t sys_setxattr(struct linux_state *state, const uint64_t arg[6])
{
    return no_new(state, arg, check_path, FIND_FOLLOW);
}

int64_t sys_lsetxattr(struct linux_state *state, const uint64_t arg[6])
{
    return no_new(state, arg, check_path, 0);
}

int64_t sys_fsetxattr(struct linux_state *state, const uint64_t arg[6])
{
    return no_new(state, arg, check_open, 0);
}

/* The list is empty. */
int64_t sys_listxattr(struct linux_state *state, const uint64_t arg[6])
{
    return check_path(state, arg[0], FIND_FOLLOW);
}

int64_t sys_llistxattr(struct linux_state *state, const uint64_t arg[6])
{
    return check_path(state, arg[0], 0);
}

int64_t sys_flistxattr(struct linux_state *state, const uint64_t arg[6])
{
    return check_open(state, arg[0], 0);
}
