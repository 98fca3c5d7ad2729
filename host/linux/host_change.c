/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the calls of the host that change files. What is changed is named by a descriptor, or by one
 * name in a directory that a descriptor stands for, and no link is followed: so whatever another
 * process does meanwhile to the names above, nothing outside that directory changes. Only files,
 * directories and symbolic links are made, and none gets a bit that lends somebody's rights.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/bits.h"
#include "linux/host_file.h"

#ifndef RWF_APPEND
#define RWF_APPEND 0x10
#endif
#define STAT_BLOCK_BYTES 512

struct proc_name {
    char text[sizeof("/proc/self/fd/") + 3 * sizeof(int)];
};

static struct proc_name proc_name(int fd)
{
    struct proc_name name;

    snprintf(name.text, sizeof(name.text), "/proc/self/fd/%d", fd);
    return name;
}

/* ---- names --------------------------------------------------------------- */

/* The new file gets the mode that the program chose, whatever umask our process has. */
static int64_t finish_file(struct host_call *call, int fd, bool in_helper)
{
    int for_path = fd;

    if (fd < 0)
        return -1;
    if ((fchmod(fd, call->mode & 0777) && errno != EPERM) || fstat(fd, &call->stat)) {
        close(fd);
        return -1;
    }
    if (in_helper) {
        for_path = open(proc_name(fd).text, O_PATH | O_CLOEXEC);
        close(fd);
    }
    return for_path;
}

static int64_t create_file(struct host_call *call, bool in_helper)
{
    int flags = call->number | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY;

    return finish_file(call, openat(call->fd, call->path, flags, call->mode & 0777), in_helper);
}

static int64_t create_nameless(struct host_call *call)
{
    int fd = openat(call->fd, ".", call->number | O_TMPFILE | O_CLOEXEC, call->mode & 0777);

    return finish_file(call, fd, false);
}

static void look_at(struct host_call *call, int fd, const char *path)
{
    if (fstatat(fd, path, &call->stat, AT_SYMLINK_NOFOLLOW))
        call->stat = (struct stat){0};
}

static int64_t make_directory(struct host_call *call)
{
    uint32_t mode = call->mode & (0777 | S_ISVTX);
    int fd;

    if (mkdirat(call->fd, call->path, mode))
        return -1;
    fd = openat(call->fd, call->path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return 0; /* it was made; somebody else has it already */
    if (!fstat(fd, &call->stat) && call->stat.st_uid == geteuid() &&
        (call->stat.st_mode & 01777) != mode)
        chmod(proc_name(fd).text, (call->stat.st_mode & S_ISGID) | mode);
    close(fd);
    return 0;
}

static int64_t make_symlink(struct host_call *call)
{
    int result = symlinkat(call->path2, call->fd, call->path);

    if (!result)
        look_at(call, call->fd, call->path);
    return result;
}

/* A file by the descriptor that was checked; a link, which has none that can be linked, by its
 * name. */
static int64_t make_link(const struct host_call *call)
{
    if (call->path)
        return linkat(call->fd, call->path, call->fd2, call->path2, 0);
    return linkat(AT_FDCWD, proc_name(call->fd).text, call->fd2, call->path2, AT_SYMLINK_FOLLOW);
}

/* Tells what is replaced: nothing, where both names are of one file. */
static int64_t rename_file(struct host_call *call)
{
    struct stat from;

    look_at(call, call->fd2, call->path2);
    if (fstatat(call->fd, call->path, &from, AT_SYMLINK_NOFOLLOW) == 0 &&
        from.st_ino == call->stat.st_ino && from.st_dev == call->stat.st_dev)
        call->stat = (struct stat){0};
    return syscall(SYS_renameat2, call->fd, call->path, call->fd2, call->path2, call->number);
}

/* Never a bit by which a program runs with the rights of its file's owner. */
static int64_t change_mode(const struct host_call *call)
{
    uint32_t mode = call->mode & 07777;
    struct stat file;

    if (fstat(call->fd, &file))
        return -1;
    if (S_ISDIR(file.st_mode))
        mode &= ~(uint32_t)S_ISUID;
    if (!S_ISDIR(file.st_mode) && mode & (S_ISUID | S_ISGID)) {
        errno = EPERM;
        return -1;
    }
    return chmod(proc_name(call->fd).text, mode);
}

int64_t host_change(struct host_call *call, bool in_helper)
{
    switch (call->op) {
    case HOST_CREATE:
        return create_file(call, in_helper);
    case HOST_NAMELESS:
        return create_nameless(call);
    case HOST_MKDIR:
        return make_directory(call);
    case HOST_SYMLINK:
        return make_symlink(call);
    case HOST_LINK:
        return make_link(call);
    case HOST_REMOVE:
        look_at(call, call->fd, call->path);
        return unlinkat(call->fd, call->path, call->number);
    case HOST_RENAME:
        return rename_file(call);
    case HOST_CHMOD:
        return change_mode(call);
    default:
        return utimensat(call->fd, "", call->times, AT_EMPTY_PATH);
    }
}

/* ---- contents ------------------------------------------------------------ */

static uint64_t at_least(uint64_t value, uint64_t least)
{
    return value > least ? value : least;
}

/* The end of what may be written from `start` on, if all of it is wanted up to `end`. A file with
 * holes may need a page for each page that is written, any other only those after its last. */
static uint64_t end_that_fits(const struct host_call *call, uint64_t start, uint64_t end)
{
    uint64_t length = (uint64_t)call->stat.st_size, free_from = length, most;

    if (call->room.pages) {
        bool holes = (uint64_t)call->stat.st_blocks * STAT_BLOCK_BYTES < page_up(length);

        free_from = at_least(page_down(start), holes ? 0 : page_up(length));
    }
    if (__builtin_add_overflow(free_from, call->room.bytes, &most) || end <= most)
        return end;
    return call->room.pages ? page_down(most) : most;
}

static int64_t no_room(void)
{
    errno = EDQUOT;
    return -1;
}

static int64_t too_long(void)
{
    errno = EFBIG;
    return -1;
}

static int64_t start_of_write(const struct host_call *call, int fd)
{
    if (call->number & O_APPEND)
        return call->stat.st_size;
    return call->offset < 0 ? lseek(fd, 0, SEEK_CUR) : call->offset;
}

/* Others may have appended before us, so the descriptor or the file tells. */
static off_t end_of_write(const struct host_call *call, int fd, int64_t put)
{
    struct stat now;

    if (call->offset < 0)
        return lseek(fd, 0, SEEK_CUR);
    if (call->number & O_APPEND && fstat(fd, &now) == 0)
        return now.st_size;
    return call->offset + put;
}

static int64_t write_piece(struct host_call *call, int fd, size_t bytes)
{
    struct iovec piece = {(void *)call->from, bytes};
    off_t offset = call->offset;

    if (call->source)
        return splice(call->source - 1, NULL, fd, offset < 0 ? NULL : &offset, bytes,
                      SPLICE_F_NONBLOCK);
    return pwritev2(fd, &piece, 1, offset, call->number & O_APPEND ? RWF_APPEND : 0);
}

static int64_t write_bytes(struct host_call *call, int fd)
{
    int64_t start, put;
    uint64_t end, longest;

    if (fstat(fd, &call->stat) || (start = start_of_write(call, fd)) < 0)
        return -1;
    longest = S_ISREG(call->stat.st_mode) ? call->room.length : INT64_MAX;
    if ((uint64_t)start >= longest)
        return too_long();
    end = call->bytes < longest - (uint64_t)start ? (uint64_t)start + call->bytes : longest;
    end = end_that_fits(call, (uint64_t)start, end);
    if (end <= (uint64_t)start)
        return no_room();
    put = write_piece(call, fd, end - (uint64_t)start);
    if (put <= 0)
        return put;
    call->offset = end_of_write(call, fd, put);
    end = (uint64_t)start + (uint64_t)put;
    call->grown = (int64_t)(at_least(end, (uint64_t)call->stat.st_size)) - call->stat.st_size;
    return put;
}

static int64_t change_length(struct host_call *call, int fd)
{
    if (fstat(fd, &call->stat))
        return -1;
    call->grown = call->offset - call->stat.st_size;
    /* A hole takes no pages; they are counted when it is filled. */
    if (call->grown > 0 && !call->room.pages && (uint64_t)call->grown > call->room.bytes)
        return no_room();
    if (call->grown > 0 && (uint64_t)call->offset > call->room.length)
        return too_long();
    return ftruncate(fd, call->offset);
}

/* What is only reserved beyond the end is no part of the length. */
static bool lengthens(const struct host_call *call, uint64_t end)
{
    return !(call->number & FALLOC_FL_KEEP_SIZE) && end > (uint64_t)call->stat.st_size;
}

static int64_t allocate(struct host_call *call, int fd)
{
    uint64_t start = (uint64_t)call->offset, end = start + call->bytes;

    if (fstat(fd, &call->stat))
        return -1;
    call->grown = 0;
    if (!(call->number & FALLOC_FL_PUNCH_HOLE)) {
        if (end > call->room.length && lengthens(call, end))
            return too_long();
        if (end_that_fits(call, start, end) < end)
            return no_room();
        call->grown = (int64_t)at_least(end, (uint64_t)call->stat.st_size) - call->stat.st_size;
    }
    return fallocate(fd, call->number, call->offset, (off_t)call->bytes);
}

int64_t host_change_file(struct host_call *call, int fd)
{
    switch (call->op) {
    case HOST_WRITE:
        return write_bytes(call, fd);
    case HOST_TRUNCATE:
        return change_length(call, fd);
    case HOST_ALLOCATE:
        return allocate(call, fd);
    default:
        return call->number ? fdatasync(fd) : fsync(fd);
    }
}
