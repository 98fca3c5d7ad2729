/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the calls of the host on files of its file systems. */
#include "linux/host_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* These are newer than the headers of Debian 12, or are in no header. */
#define EXFAT_MAGIC    0x2011bab0
#define BCACHEFS_MAGIC 0xca451a4e
#define NTFS3_MAGIC    0x7366746e
#define UDF_MAGIC      0x15013346
#define ZFS_MAGIC      0x2fc12fc1
#define AUTOFS_MAGIC   0x0187
#define EFIVARS_MAGIC  0xde5e81e4
#define CEPH_MAGIC     0x00c36400
#define NFS_MAGIC      0x6969
#define FUSE_MAGIC     0x65735546
#define SMB2_MAGIC     0xfe534d42
#define CIFS_MAGIC     0xff534d42

/* ---- file systems -------------------------------------------------------- */

/* On a disk of this machine or in its memory. */
static bool type_is_local(uint32_t type)
{
    static const uint32_t local[] = {
        EXT4_SUPER_MAGIC,
        XFS_SUPER_MAGIC,
        BTRFS_SUPER_MAGIC,
        F2FS_SUPER_MAGIC,
        TMPFS_MAGIC,
        RAMFS_MAGIC,
        OVERLAYFS_SUPER_MAGIC,
        SQUASHFS_MAGIC,
        EROFS_SUPER_MAGIC_V1,
        ISOFS_SUPER_MAGIC,
        MSDOS_SUPER_MAGIC,
        EXFAT_MAGIC,
        BCACHEFS_MAGIC,
        NTFS3_MAGIC,
        UDF_MAGIC,
        ZFS_MAGIC,
    };

    for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++) {
        if (local[i] == type)
            return true;
    }
    return false;
}

bool host_file_local(int fd)
{
    struct statfs fs;

    return fstatfs(fd, &fs) == 0 && type_is_local((uint32_t)fs.f_type);
}

/* A file system that shows the kernel's own state has no blocks at all. Reading there may block,
 * take data away from other readers, or show the host's processes. Some real file systems tell no
 * size either: these are listed. sysfs is let through, since programs count processors there and
 * its files are plain values. */
static bool is_pseudo(const struct statfs *fs)
{
    static const uint32_t without_size[] = {
        SYSFS_MAGIC, FUSE_MAGIC, NFS_MAGIC,    SMB2_MAGIC,       CIFS_MAGIC,
        CEPH_MAGIC,  V9FS_MAGIC, AFS_FS_MAGIC, CODA_SUPER_MAGIC, AUTOFS_MAGIC,
    };
    uint32_t type = (uint32_t)fs->f_type;

    if (type == PROC_SUPER_MAGIC || type == EFIVARS_MAGIC)
        return true;
    if (fs->f_blocks || type_is_local(type))
        return false;
    for (size_t i = 0; i < sizeof(without_size) / sizeof(without_size[0]); i++) {
        if (without_size[i] == type)
            return false;
    }
    return true;
}

/* ---- the calls ----------------------------------------------------------- */

static int open_below(const struct host_call *call)
{
    const struct open_how how = {
        .flags = O_PATH | O_CLOEXEC | O_NOFOLLOW,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | (call->here ? RESOLVE_NO_XDEV : 0),
    };

    /* EAGAIN: something was renamed on the way, so the kernel could not be sure. */
    for (int attempt = 0; attempt < 16; attempt++) {
        long fd = syscall(SYS_openat2, call->fd, *call->path ? call->path : ".", &how, sizeof(how));

        if (fd >= 0)
            return (int)fd;
        if (errno != EAGAIN)
            break;
    }
    return -errno;
}

/* Only files, directories and links: no devices, FIFOs or sockets, and nothing of pseudo file
 * systems. */
static int check_kind(struct host_call *call, int fd)
{
    if (fstat(fd, &call->stat) || (!call->here && fstatfs(fd, &call->fs)))
        return -EIO;
    call->local = call->here || type_is_local((uint32_t)call->fs.f_type);
    if (!call->here && is_pseudo(&call->fs))
        return -EACCES;
    return S_ISDIR(call->stat.st_mode) || S_ISREG(call->stat.st_mode) || S_ISLNK(call->stat.st_mode)
               ? 0
               : -EACCES;
}

static int look_up(struct host_call *call)
{
    int fd = open_below(call), result;

    if (fd < 0)
        return fd;
    result = check_kind(call, fd);
    if (result) {
        close(fd);
        return result;
    }
    return fd;
}

int host_open_anew(int fd, int flags)
{
    char name[sizeof("/proc/self/fd/") + 3 * sizeof(int)];

    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    return open(name, O_CLOEXEC | O_NOCTTY | flags);
}

/* How the file is opened anew for the call. */
static int open_flags(const struct host_call *call)
{
    switch (call->op) {
    case HOST_OPEN:
        return call->number;
    case HOST_WRITE:
    case HOST_TRUNCATE:
    case HOST_ALLOCATE:
        return O_WRONLY;
    default:
        return O_RDONLY;
    }
}

static int64_t read_entries(struct host_call *call, int fd)
{
    int64_t got;

    if (lseek(fd, call->offset, SEEK_SET) < 0)
        return -1;
    got = syscall(SYS_getdents64, fd, call->to, call->bytes);
    call->offset = lseek(fd, 0, SEEK_CUR);
    return got;
}

/* Calls that need an open file. */
static int64_t call_on_open(struct host_call *call, int fd)
{
    struct iovec piece = {call->to, call->bytes};

    switch (call->op) {
    case HOST_READ:
        return preadv2(fd, &piece, 1, call->offset, 0);
    case HOST_ENTRIES:
        return read_entries(call, fd);
    case HOST_SEEK:
        return lseek(fd, call->offset, call->number);
    case HOST_OPEN:
        return 0;
    default:
        return host_change_file(call, fd);
    }
}

static int64_t dispatch(struct host_call *call, bool in_helper)
{
    int64_t result = -1;
    bool anew;
    int fd;

    switch (call->op) {
    case HOST_LOOK_UP:
        return look_up(call);
    case HOST_ACCESS:
        result = syscall(SYS_faccessat2, call->fd, "", call->number, AT_EMPTY_PATH);
        break;
    case HOST_READLINK:
        result = readlinkat(call->fd, "", call->to, call->bytes);
        break;
    case HOST_STAT:
        result = fstat(call->fd, &call->stat);
        break;
    case HOST_STATFS:
        result = fstatfs(call->fd, &call->fs);
        break;
    case HOST_CREATE:
    case HOST_NAMELESS:
    case HOST_MKDIR:
    case HOST_SYMLINK:
    case HOST_LINK:
    case HOST_REMOVE:
    case HOST_RENAME:
    case HOST_CHMOD:
    case HOST_TIMES:
        result = host_change(call, in_helper);
        break;
    default:
        anew = !call->as_is && (in_helper || call->op == HOST_OPEN);
        fd = anew ? host_open_anew(call->fd, open_flags(call)) : call->fd;
        if (fd >= 0)
            result = call->op == HOST_OPEN && !in_helper ? fd : call_on_open(call, fd);
    }
    return result < 0 ? -errno : result;
}

void host_call_make(struct host_call *call, bool in_helper)
{
    call->result = dispatch(call, in_helper);
    if (call->result == -EINTR)
        call->result = -EIO; /* here -EINTR means that the VM is to stop */
}

int64_t host_file_call(struct linux_state *state, bool local, struct host_call *call)
{
    if (!local)
        return host_call_by_helper(state, call);
    host_call_make(call, false);
    return call->result;
}
