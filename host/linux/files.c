/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the calls that take names: what there is of a file system, all of it read-only. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "calls.h"
#include "state.h"

#define REFUSED_MENTIONED_MAX 32

/* Gives a new file its descriptor. */
static int64_t install(struct linux_state *state, struct open_file *file, uint64_t flags)
{
    int fd = descriptor_install(state, file, 0, flags & O_CLOEXEC);

    file_release(state, file); /* the descriptor's reference stays */
    return fd;
}

static int64_t open_null(struct linux_state *state, uint64_t flags)
{
    struct open_file *file;
    int err = file_create(state, FILE_NULL, (int)(flags & (O_ACCMODE | O_APPEND | O_NONBLOCK)), -1,
                          NULL, &file);

    return err ? err : install(state, file, flags);
}

/* Opening "/dev/stdin" and its like is duplicating the descriptor. */
static int64_t open_descriptor(struct linux_state *state, uint64_t fd, uint64_t flags)
{
    struct open_file *file = descriptor_file(state, fd);

    if (!file)
        return -ENOENT;
    if (file->kind == FILE_REGULAR || file->kind == FILE_DIRECTORY ||
        (file->status & O_ACCMODE) != (int)(flags & O_ACCMODE))
        return -EACCES;
    return descriptor_install(state, file, 0, flags & O_CLOEXEC);
}

/* Opens for reading what an O_PATH descriptor stands for. */
static int reopen(int fd)
{
    char name[sizeof("/proc/self/fd/") + 3 * sizeof(int)];
    int opened;

    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    opened = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (opened >= 0)
        return opened;
    return errno == EINTR ? -EIO : -errno;
}

static int64_t open_inside(struct linux_state *state, const struct guest_path *path, uint64_t flags)
{
    struct open_file *file;
    struct stat stat;
    char *copy = NULL;
    int fd = path_open(state, path, !(flags & O_NOFOLLOW), &stat);
    int opened, err;

    if (fd < 0)
        return fd;
    if (S_ISLNK(stat.st_mode))
        opened = -ELOOP;
    else if (flags & O_DIRECTORY && !S_ISDIR(stat.st_mode))
        opened = -ENOTDIR;
    else
        opened = reopen(fd);
    close(fd);
    if (opened < 0)
        return opened;
    if (S_ISDIR(stat.st_mode)) {
        copy = strdup(path->text);
        if (!copy) {
            close(opened);
            return -ENOMEM;
        }
    }
    err = file_create(state, copy ? FILE_DIRECTORY : FILE_REGULAR, O_RDONLY, opened, copy, &file);
    return err ? err : install(state, file, flags);
}

/* For --verbose: which files a program misses. Bounded, and fit to print, as the
 * name is the program's own. */
static void mention_refused(struct linux_state *state, const char *path)
{
    char shown[128];
    size_t i = 0;

    if (state->refused == REFUSED_MENTIONED_MAX)
        return;
    state->refused++;
    for (; i < sizeof(shown) - 1 && path[i]; i++)
        shown[i] = (char)(path[i] >= ' ' && path[i] < 127 ? path[i] : '?');
    shown[i] = '\0';
    vm_debug(state->vm, "may not open '%s': no directory given by --ro holds it", shown);
}

static int64_t open_at(struct linux_state *state, uint64_t dirfd, uint64_t addr, uint64_t flags)
{
    bool writes = (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC);
    struct guest_path path;
    uint64_t fd;
    int err = path_get(state, dirfd, addr, &path);

    if (err)
        return err;
    switch (path_place(state, path.text, &fd)) {
    case PLACE_NULL:
        return open_null(state, flags);
    case PLACE_DESCRIPTOR:
        return open_descriptor(state, fd, flags);
    case PLACE_INSIDE:
        return writes ? -EROFS : open_inside(state, &path, flags);
    case PLACE_ABOVE:
        mention_refused(state, path.text);
        return -EACCES;
    default:
        mention_refused(state, path.text);
        return writes ? -EACCES : -ENOENT;
    }
}

int64_t sys_open(struct linux_state *state, const uint64_t arg[6])
{
    return open_at(state, (uint64_t)AT_FDCWD, arg[0], arg[1]);
}

int64_t sys_openat(struct linux_state *state, const uint64_t arg[6])
{
    return open_at(state, arg[0], arg[1], arg[2]);
}

int64_t sys_creat(struct linux_state *state, const uint64_t arg[6])
{
    return open_at(state, (uint64_t)AT_FDCWD, arg[0], O_CREAT | O_WRONLY | O_TRUNC);
}

static int access_inside(const struct linux_state *state, const struct guest_path *path, int mode,
                         bool follow)
{
    struct stat stat;
    int fd = path_open(state, path, follow, &stat);
    int err = 0;

    if (fd < 0)
        return fd;
    if (mode & W_OK)
        err = -EROFS;
    else if (syscall(SYS_faccessat2, fd, "", mode, AT_EMPTY_PATH))
        err = -errno;
    close(fd);
    return err;
}

static int64_t access_at(struct linux_state *state, uint64_t dirfd, uint64_t addr, uint64_t mode,
                         bool follow)
{
    struct guest_path path;
    uint64_t fd;
    int err;

    if (mode & ~(uint64_t)(R_OK | W_OK | X_OK))
        return -EINVAL;
    err = path_get(state, dirfd, addr, &path);
    if (err)
        return err;
    switch (path_place(state, path.text, &fd)) {
    case PLACE_INSIDE:
        return access_inside(state, &path, (int)mode, follow);
    case PLACE_NULL:
        return mode & X_OK ? -EACCES : 0;
    case PLACE_DESCRIPTOR:
        if (!descriptor_file(state, fd))
            return -ENOENT;
        return mode & X_OK ? -EACCES : 0;
    case PLACE_ABOVE:
        return mode & (R_OK | W_OK) ? -EACCES : 0;
    default:
        return -ENOENT;
    }
}

int64_t sys_access(struct linux_state *state, const uint64_t arg[6])
{
    return access_at(state, (uint64_t)AT_FDCWD, arg[0], (uint32_t)arg[1], true);
}

int64_t sys_faccessat(struct linux_state *state, const uint64_t arg[6])
{
    return access_at(state, arg[0], arg[1], (uint32_t)arg[2], true);
}

int64_t sys_faccessat2(struct linux_state *state, const uint64_t arg[6])
{
    return access_at(state, arg[0], arg[1], (uint32_t)arg[2], !(arg[3] & AT_SYMLINK_NOFOLLOW));
}

static int64_t readlink_inside(struct linux_state *state, const struct guest_path *path,
                               uint64_t addr, size_t bytes)
{
    char text[PATH_MAX];
    struct stat stat;
    int fd = path_open(state, path, false, &stat);
    ssize_t got;
    int err;

    if (fd < 0)
        return fd;
    got = S_ISLNK(stat.st_mode) ? readlinkat(fd, "", text, sizeof(text)) : -1;
    close(fd);
    if (got < 0)
        return -EINVAL;
    if ((size_t)got > bytes)
        got = (ssize_t)bytes;
    err = guest_put(state, addr, text, (size_t)got);
    return err ? err : got;
}

static int64_t readlink_at(struct linux_state *state, uint64_t dirfd, const uint64_t arg[3])
{
    struct guest_path path;
    uint64_t fd;
    int err;

    if ((int32_t)arg[2] <= 0)
        return -EINVAL;
    err = path_get(state, dirfd, arg[0], &path);
    if (err)
        return err;
    switch (path_place(state, path.text, &fd)) {
    case PLACE_INSIDE:
        return readlink_inside(state, &path, arg[1], (uint32_t)arg[2]);
    case PLACE_OUTSIDE:
        return -ENOENT;
    default:
        return -EINVAL; /* there, but not a link */
    }
}

int64_t sys_readlink(struct linux_state *state, const uint64_t arg[6])
{
    return readlink_at(state, (uint64_t)AT_FDCWD, arg);
}

int64_t sys_readlinkat(struct linux_state *state, const uint64_t arg[6])
{
    return readlink_at(state, arg[0], arg + 1);
}

int64_t sys_getcwd(struct linux_state *state, const uint64_t arg[6])
{
    size_t bytes = strlen(state->cwd) + 1;

    if (arg[1] < bytes)
        return -ERANGE;
    return guest_put(state, arg[0], state->cwd, bytes) ? -EFAULT : (int64_t)bytes;
}

static int64_t set_cwd(struct linux_state *state, const char *path)
{
    char *copy = strdup(path);

    if (!copy)
        return -ENOMEM;
    free(state->cwd);
    state->cwd = copy;
    return 0;
}

int64_t sys_chdir(struct linux_state *state, const uint64_t arg[6])
{
    struct guest_path path;
    struct stat stat;
    uint64_t unused;
    int fd, err = path_get(state, (uint64_t)AT_FDCWD, arg[0], &path);

    if (err)
        return err;
    switch (path_place(state, path.text, &unused)) {
    case PLACE_ABOVE:
        return set_cwd(state, path.text);
    case PLACE_INSIDE:
        path.directory = true;
        fd = path_open(state, &path, true, &stat);
        if (fd < 0)
            return fd;
        close(fd);
        return set_cwd(state, path.text);
    case PLACE_OUTSIDE:
        return -ENOENT;
    default:
        return -ENOTDIR;
    }
}

int64_t sys_fchdir(struct linux_state *state, const uint64_t arg[6])
{
    const struct open_file *file = descriptor_file(state, arg[0]);

    if (!file)
        return -EBADF;
    return file->kind == FILE_DIRECTORY ? set_cwd(state, file->path) : -ENOTDIR;
}

/* Whatever would change a file system. */
int64_t sys_refuse(struct linux_state *state, const uint64_t arg[6])
{
    (void)state;
    (void)arg;
    return -EACCES;
}
