/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the calls that describe files. The program's struct stat is the host's: both are x86-64
 * Linux. */
#include <errno.h>
#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "linux/calls.h"
#include "linux/made.h"
#include "linux/objects.h"
#include "linux/state.h"
#include "linux/writable.h"

static int stat_link(struct stat *out, off_t bytes)
{
    *out = (struct stat){.st_ino = 2, .st_nlink = 1, .st_mode = S_IFLNK | 0777, .st_size = bytes};
    return 0;
}

static int stat_found(struct linux_state *state, const struct found *found, bool follow,
                      struct stat *out)
{
    struct open_file like = {.kind = FILE_DEVICE};
    const struct open_file *file;
    char text[32];
    int result;

    switch (found->place) {
    case PLACE_INSIDE:
        *out = found->stat;
        if (found->mount->writable)
            writable_owner(out);
        return 0;
    case PLACE_ABOVE:
        listing_stat(found->text, out);
        return 0;
    case PLACE_DEVICE:
        like.device = (enum device)found->which;
        return file_stat(state, &like, out);
    case PLACE_MADE:
        like = (struct open_file){.kind = FILE_REGULAR, .local = true};
        like.fd = made_open(state, found->which, &like.charged);
        result = like.fd < 0 ? like.fd : file_stat(state, &like, out);
        if (like.fd >= 0)
            close(like.fd);
        object_uncharge(state, like.charged);
        return result;
    case PLACE_LIST:
        like.kind = FILE_LIST;
        if (follow || special_link(state, found->text, PLACE_LIST, 0, text, sizeof(text)) < 0)
            return file_stat(state, &like, out);
        return stat_link(out, sizeof("/proc/self/fd") - 1);
    case PLACE_DESCRIPTOR:
        file = descriptor_file(state, found->which);
        if (file && !follow)
            return stat_link(out, 64); /* as Linux reports for all of them */
        return file ? file_stat(state, file, out) : -ENOENT;
    case PLACE_LINK:
        return stat_link(out, 64);
    default:
        return -ENOENT;
    }
}

static int stat_path(struct linux_state *state, uint64_t dirfd, uint64_t addr, bool follow,
                     struct stat *out)
{
    struct found found;
    int result = path_find(state, dirfd, addr, follow ? FIND_FOLLOW : 0, &found);

    if (result)
        return result;
    result = stat_found(state, &found, follow, out);
    found_drop(&found);
    return result;
}

static int stat_descriptor(struct linux_state *state, uint64_t fd, struct stat *out)
{
    const struct open_file *file = descriptor_file(state, fd);

    return file ? file_stat(state, file, out) : -EBADF;
}

static int stat_working_directory(struct linux_state *state, struct stat *out)
{
    struct found found;
    int result = path_find_name(state, (uint64_t)AT_FDCWD, ".", FIND_FOLLOW, &found);

    if (result)
        return result;
    result = stat_found(state, &found, true, out);
    found_drop(&found);
    return result;
}

#define STAT_FLAGS                                                                 \
    (AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_FORCE_SYNC | \
     AT_STATX_DONT_SYNC)

/* With AT_EMPTY_PATH an empty name means the descriptor itself; newer libcs make fstat of it. */
static int stat_at(struct linux_state *state, uint64_t dirfd, uint64_t addr, uint64_t flags,
                   struct stat *out)
{
    char first = 0;

    if ((uint32_t)flags & ~(uint32_t)STAT_FLAGS)
        return -EINVAL;
    if (flags & AT_EMPTY_PATH) {
        if (addr && guest_get(state, addr, &first, 1))
            return -EFAULT;
        if (!first && (int32_t)dirfd == AT_FDCWD)
            return stat_working_directory(state, out);
        if (!first)
            return stat_descriptor(state, dirfd, out);
    }
    return stat_path(state, dirfd, addr, !(flags & AT_SYMLINK_NOFOLLOW), out);
}

static int64_t put_stat(struct linux_state *state, int result, uint64_t addr,
                        const struct stat *stat)
{
    return result ? result : guest_put(state, addr, stat, sizeof(*stat));
}

int64_t sys_stat(struct linux_state *state, const uint64_t arg[6])
{
    struct stat stat;
    int result = stat_path(state, (uint64_t)AT_FDCWD, arg[0], true, &stat);

    return put_stat(state, result, arg[1], &stat);
}

int64_t sys_lstat(struct linux_state *state, const uint64_t arg[6])
{
    struct stat stat;
    int result = stat_path(state, (uint64_t)AT_FDCWD, arg[0], false, &stat);

    return put_stat(state, result, arg[1], &stat);
}

int64_t sys_fstat(struct linux_state *state, const uint64_t arg[6])
{
    struct stat stat;
    int result = stat_descriptor(state, arg[0], &stat);

    return put_stat(state, result, arg[1], &stat);
}

int64_t sys_newfstatat(struct linux_state *state, const uint64_t arg[6])
{
    struct stat stat;
    int result = stat_at(state, arg[0], arg[1], arg[3], &stat);

    return put_stat(state, result, arg[2], &stat);
}

static struct statx_timestamp statx_time(struct timespec time)
{
    return (struct statx_timestamp){.tv_sec = time.tv_sec, .tv_nsec = (uint32_t)time.tv_nsec};
}

int64_t sys_statx(struct linux_state *state, const uint64_t arg[6])
{
    const uint64_t both = AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC;
    struct stat stat;
    int result;

    if ((arg[2] & both) == both || arg[3] & STATX__RESERVED)
        return -EINVAL;
    result = stat_at(state, arg[0], arg[1], arg[2], &stat);
    if (result)
        return result;
    struct statx out = {
        .stx_mask = STATX_BASIC_STATS,
        .stx_blksize = (uint32_t)stat.st_blksize,
        .stx_nlink = (uint32_t)stat.st_nlink,
        .stx_uid = stat.st_uid,
        .stx_gid = stat.st_gid,
        .stx_mode = (uint16_t)stat.st_mode,
        .stx_ino = stat.st_ino,
        .stx_size = (uint64_t)stat.st_size,
        .stx_blocks = (uint64_t)stat.st_blocks,
        .stx_atime = statx_time(stat.st_atim),
        .stx_ctime = statx_time(stat.st_ctim),
        .stx_mtime = statx_time(stat.st_mtim),
        .stx_rdev_major = major(stat.st_rdev),
        .stx_rdev_minor = minor(stat.st_rdev),
        .stx_dev_major = major(stat.st_dev),
        .stx_dev_minor = minor(stat.st_dev),
    };
    return guest_put(state, arg[4], &out, sizeof(out));
}
