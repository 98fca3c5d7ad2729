/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the calls that take names: the file system that a program sees, all of it read-only. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "linux/calls.h"
#include "linux/host_file.h"
#include "linux/state.h"

#define REFUSED_MENTIONED_MAX 32

/* Gives a new file its descriptor. */
static int64_t install(struct linux_state *state, struct open_file *file, uint64_t flags)
{
    int fd = descriptor_install(state, file, 0, flags & O_CLOEXEC);

    file_release(state, file); /* the descriptor's reference stays */
    return fd;
}

/* The flag that the kernel reports for every file a 64-bit program opens; libc's own O_LARGEFILE is
 * 0. */
#define STATUS_LARGEFILE 0100000

/* The flags that F_GETFL reports for a file that was opened so. */
static int status_of(uint64_t flags)
{
    if (flags & O_PATH)
        return O_PATH;
    return (int)(flags & (O_ACCMODE | O_APPEND | O_NONBLOCK)) | STATUS_LARGEFILE;
}

static int64_t open_kind(struct linux_state *state, const struct open_file *like, uint64_t flags)
{
    struct open_file *file;
    int result = file_create(state, *like, &file);

    return result ? result : install(state, file, flags);
}

static int64_t open_device(struct linux_state *state, enum device device, uint64_t flags)
{
    const struct open_file like = {
        .kind = FILE_DEVICE, .status = status_of(flags), .fd = -1, .device = device};

    return flags & O_DIRECTORY ? -ENOTDIR : open_kind(state, &like, flags);
}

static int64_t open_list(struct linux_state *state, uint64_t flags)
{
    struct open_file like = {.kind = FILE_LIST, .status = status_of(flags), .fd = -1};

    if ((flags & O_ACCMODE) != O_RDONLY)
        return -EISDIR;
    like.path = strdup("/proc/self/fd");
    return like.path ? open_kind(state, &like, flags) : -ENOMEM;
}

static int64_t open_made(struct linux_state *state, uint64_t which, const char *path,
                         uint64_t flags)
{
    struct open_file like = {.kind = FILE_REGULAR, .status = status_of(flags), .local = true};

    if ((flags & O_ACCMODE) != O_RDONLY)
        return -EACCES;
    if (flags & O_DIRECTORY)
        return -ENOTDIR;
    like.fd = special_open_made(state, which);
    if (like.fd < 0)
        return like.fd;
    like.path = strdup(path);
    if (!like.path) {
        close(like.fd);
        return -ENOMEM;
    }
    return open_kind(state, &like, flags);
}

/* Opens the file that was found for reading, if its file system always answers; else the descriptor
 * remains the O_PATH one. */
static int64_t open_found(struct linux_state *state, struct found *found)
{
    struct host_call call = {.op = HOST_OPEN, .fd = found->fd, .number = O_NONBLOCK};
    int64_t opened = host_file_call(state, found->local, &call);

    /* Somebody has a lease on it and is asked to give it up, which may take a while. */
    if (opened == -EAGAIN) {
        call.number = 0;
        opened = host_file_call(state, false, &call);
        call.number = O_NONBLOCK;
        if (opened == 0 && found->local)
            opened = host_file_call(state, true, &call);
    }
    if (opened >= 0 && found->local) {
        close(found->fd);
        found->fd = (int)opened;
    }
    return opened;
}

static int64_t open_inside(struct linux_state *state, const struct guest_path *path, uint64_t flags)
{
    struct open_file like = {.kind = FILE_REGULAR, .status = status_of(flags)};
    struct found found;
    int64_t opened;
    int result = path_open(state, path, !(flags & O_NOFOLLOW), &found);

    if (result)
        return result;
    if (S_ISLNK(found.stat.st_mode))
        opened = -ELOOP;
    else if (flags & O_DIRECTORY && !S_ISDIR(found.stat.st_mode))
        opened = -ENOTDIR;
    else
        opened = open_found(state, &found);
    if (opened < 0) {
        close(found.fd);
        return opened;
    }
    like.fd = found.fd;
    like.local = found.local;
    if (S_ISDIR(found.stat.st_mode))
        like.kind = FILE_DIRECTORY;
    like.path = strdup(path->text);
    if (!like.path) {
        close(like.fd);
        return -ENOMEM;
    }
    return open_kind(state, &like, flags);
}

static int64_t reopen_path(struct linux_state *state, const struct guest_path *path, uint64_t flags)
{
    uint64_t which = 0;

    switch (path_place(state, path->text, &which)) {
    case PLACE_MADE:
        return open_made(state, which, path->text, flags);
    case PLACE_INSIDE:
        return (flags & O_ACCMODE) != O_RDONLY ? -EROFS : open_inside(state, path, flags);
    default:
        return -EACCES;
    }
}

/* Opening "/dev/stdin" and its like makes another open file of the same stream, with flags of its
 * own. */
static int64_t open_descriptor(struct linux_state *state, uint64_t fd, uint64_t flags)
{
    const struct open_file *file = descriptor_file(state, fd);
    int mode = (int)(flags & O_ACCMODE);
    struct guest_path path;
    struct open_file like;

    if (!file)
        return -ENOENT;
    if (flags & O_NOFOLLOW)
        return -ELOOP;
    if (file->kind == FILE_DEVICE)
        return open_device(state, file->device, flags);
    if (file->kind == FILE_LIST)
        return open_list(state, flags);
    if (!file_is_stream(file)) {
        path.directory = false;
        snprintf(path.text, sizeof(path.text), "%s", file->path);
        return reopen_path(state, &path, flags);
    }
    if (flags & O_DIRECTORY)
        return -ENOTDIR;
    if (mode == (file->kind == FILE_INPUT ? O_WRONLY : O_RDONLY) && !(flags & O_PATH))
        return -EACCES; /* the other end is not here */
    like = (struct open_file){.kind = file->kind, .status = status_of(flags), .fd = file->fd};
    return open_kind(state, &like, flags);
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
    int result = path_get(state, dirfd, addr, &path);

    if (result)
        return result;
    switch (path_place(state, path.text, &fd)) {
    case PLACE_DEVICE:
        return open_device(state, (enum device)fd, flags);
    case PLACE_DESCRIPTOR:
        return open_descriptor(state, fd, flags);
    case PLACE_LIST:
        return open_list(state, flags);
    case PLACE_MADE:
        return open_made(state, fd, path.text, flags);
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

static int64_t access_inside(struct linux_state *state, const struct guest_path *path, int mode,
                             bool follow)
{
    struct host_call call = {.op = HOST_ACCESS, .number = mode};
    struct found found;
    int64_t result = path_open(state, path, follow, &found);

    if (result)
        return result;
    call.fd = found.fd;
    result = mode & W_OK ? -EROFS : host_file_call(state, found.local, &call);
    close(found.fd);
    return result;
}

static int64_t access_at(struct linux_state *state, uint64_t dirfd, uint64_t addr, uint64_t mode,
                         bool follow)
{
    struct guest_path path;
    uint64_t fd;
    int result;

    if (mode & ~(uint64_t)(R_OK | W_OK | X_OK))
        return -EINVAL;
    result = path_get(state, dirfd, addr, &path);
    if (result)
        return result;
    switch (path_place(state, path.text, &fd)) {
    case PLACE_INSIDE:
        return access_inside(state, &path, (int)mode, follow);
    case PLACE_DEVICE:
        return mode & X_OK ? -EACCES : 0;
    case PLACE_LIST:
        return mode & W_OK ? -EACCES : 0;
    case PLACE_MADE:
        return mode & (W_OK | X_OK) ? -EACCES : 0;
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
    struct host_call call = {.op = HOST_READLINK, .to = text, .bytes = sizeof(text)};
    struct found found;
    int64_t got = path_open(state, path, false, &found);
    int result;

    if (got < 0)
        return got;
    call.fd = found.fd;
    got = S_ISLNK(found.stat.st_mode) ? host_file_call(state, found.local, &call) : -EINVAL;
    close(found.fd);
    if (got < 0)
        return got;
    if ((size_t)got > bytes)
        got = (int64_t)bytes;
    result = guest_put(state, addr, text, (size_t)got);
    return result ? result : got;
}

static int64_t readlink_at(struct linux_state *state, uint64_t dirfd, const uint64_t arg[3])
{
    struct guest_path path;
    enum place place;
    char text[PATH_MAX];
    uint64_t fd = 0;
    int result, bytes;

    if ((int32_t)arg[2] <= 0)
        return -EINVAL;
    result = path_get(state, dirfd, arg[0], &path);
    if (result)
        return result;
    place = path_place(state, path.text, &fd);
    if (place == PLACE_INSIDE)
        return readlink_inside(state, &path, arg[1], (uint32_t)arg[2]);
    if (place == PLACE_DESCRIPTOR || place == PLACE_LIST)
        bytes = special_link(state, path.text, place, fd, text, sizeof(text));
    else if (strcmp(path.text, "/proc/self/exe") == 0 && state->program)
        bytes = snprintf(text, sizeof(text), "%s", state->program);
    else
        bytes = place == PLACE_OUTSIDE ? -ENOENT : -EINVAL; /* there, but not a link */
    if (bytes < 0)
        return bytes;
    if ((uint32_t)bytes > (uint32_t)arg[2])
        bytes = (int)arg[2];
    return guest_put(state, arg[1], text, (size_t)bytes) ? -EFAULT : bytes;
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
    struct found found;
    uint64_t unused;
    int result = path_get(state, (uint64_t)AT_FDCWD, arg[0], &path);

    if (result)
        return result;
    switch (path_place(state, path.text, &unused)) {
    case PLACE_ABOVE:
    case PLACE_LIST:
        return set_cwd(state, path.text);
    case PLACE_INSIDE:
        path.directory = true;
        result = path_open(state, &path, true, &found);
        if (result)
            return result;
        close(found.fd);
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
    return file->kind == FILE_DIRECTORY || file->kind == FILE_LIST ? set_cwd(state, file->path)
                                                                   : -ENOTDIR;
}

/* All calls that would change a file system. */
int64_t sys_refuse(struct linux_state *state, const uint64_t arg[6])
{
    (void)state;
    (void)arg;
    return -EACCES;
}
