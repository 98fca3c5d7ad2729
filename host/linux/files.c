/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the calls that take names and change nothing: opening, asking, links, the working directory. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "linux/calls.h"
#include "linux/file_type.h"
#include "linux/host_file.h"
#include "linux/made.h"
#include "linux/mapped.h"
#include "linux/objects.h"
#include "linux/state.h"
#include "linux/writable.h"

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
/* What F_GETFL tells of a file: Linux keeps all that was asked for at its opening, but for what takes effect
 * only then. */
#define STATUS_OF_PATH (O_PATH | O_DIRECTORY | O_NOFOLLOW)
#define STATUS_KEPT                                                                               \
    (O_ACCMODE | O_APPEND | O_NONBLOCK | O_SYNC | O_ASYNC | O_DIRECT | O_DIRECTORY | O_NOFOLLOW | \
     O_NOATIME | O_TMPFILE)

int file_status(uint64_t flags)
{
    if (flags & O_PATH)
        return (int)(flags & STATUS_OF_PATH);
    return (int)(flags & STATUS_KEPT) | STATUS_LARGEFILE;
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
        .kind = FILE_DEVICE, .status = file_status(flags), .fd = -1, .device = device};

    if (flags & O_DIRECTORY)
        return -ENOTDIR;
    if (device >= DEVICE_TTY && terminal_of(state, device))
        return given_open(state, terminal_of(state, device), flags);
    return device == DEVICE_TTY && !(flags & O_PATH) ? -ENXIO : open_kind(state, &like, flags);
}

/* A directory of which Ferry makes the list. */
static int64_t open_listing(struct linux_state *state, const struct found *found, uint64_t flags)
{
    struct open_file like = {.status = file_status(flags)};
    int result;

    if ((flags & O_ACCMODE) != O_RDONLY || flags & O_CREAT)
        return -EISDIR;
    result = listing_open(state, found, &like);
    return result ? result : open_kind(state, &like, flags);
}

static int64_t open_list(struct linux_state *state, uint64_t flags)
{
    struct open_file like = {.kind = FILE_LIST, .status = file_status(flags), .fd = -1};

    if ((flags & O_ACCMODE) != O_RDONLY)
        return -EISDIR;
    like.path = strdup("/proc/self/fd");
    return like.path ? open_kind(state, &like, flags) : -ENOMEM;
}

static int64_t open_made(struct linux_state *state, uint64_t which, const char *path,
                         uint64_t flags)
{
    struct open_file like = {.kind = FILE_REGULAR, .status = file_status(flags), .local = true};

    if (flags & O_DIRECTORY)
        return -ENOTDIR;
    if ((flags & O_ACCMODE) != O_RDONLY && !made_names_thread(state, which, &like.thread))
        return -EACCES;
    if ((flags & O_ACCMODE) != O_RDONLY) {
        like.kind = FILE_NAME;
        like.fd = -1;
        return open_kind(state, &like, flags);
    }
    like.fd = made_open(state, which, &like.charged);
    if (like.fd < 0)
        return like.fd;
    like.path = strdup(path);
    if (!like.path) {
        close(like.fd);
        object_uncharge(state, like.charged);
        return -ENOMEM;
    }
    return open_kind(state, &like, flags);
}

int64_t host_open(struct linux_state *state, bool local, int fd, int flags)
{
    struct host_call call = {.op = HOST_OPEN, .fd = fd, .number = flags | O_NONBLOCK};
    int64_t opened = host_file_call(state, local, &call);

    /* Somebody has a lease on it and is asked to give it up, which may take a while. */
    if (opened == -EAGAIN) {
        call.number = flags;
        opened = host_file_call(state, false, &call);
        call.number = flags | O_NONBLOCK;
        if (opened == 0 && local)
            opened = host_file_call(state, true, &call);
    }
    return opened;
}

int64_t found_open(struct linux_state *state, struct found *found)
{
    int64_t opened = host_open(state, found->local, found->fd, O_RDONLY);

    if (opened < 0 || !found->local)
        return opened;
    close(found->fd);
    found->fd = (int)opened;
    return fstat(found->fd, &found->stat) ? -errno : opened;
}

/* The descriptor that was found becomes the file's. */
static int64_t open_inside(struct linux_state *state, struct found *found, uint64_t flags)
{
    struct open_file like = {.kind = FILE_REGULAR, .status = file_status(flags)}, *file;
    int64_t opened;

    if (found->mount->writable) {
        opened = open_writable(state, found, flags, &file);
        return opened ? opened : install(state, file, flags);
    }
    if (!(flags & O_PATH) && S_ISDIR(found->stat.st_mode) &&
        ((flags & O_ACCMODE) != O_RDONLY || flags & O_CREAT))
        return -EISDIR;
    if (!(flags & O_PATH) && ((flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC))
        return -EROFS;
    if (S_ISLNK(found->stat.st_mode))
        return -ELOOP;
    if (flags & O_DIRECTORY && !S_ISDIR(found->stat.st_mode))
        return -ENOTDIR;
    if (!(flags & O_PATH) && !found_is_public(found, S_IROTH))
        return -EACCES;
    if (found->partly)
        return open_listing(state, found, flags);
    opened = found_open(state, found);
    if (opened < 0)
        return opened;
    /* Again: its mode may have changed meanwhile, and opening it may have waited for a lease. */
    if (!(flags & O_PATH) && !found_is_public(found, S_IROTH))
        return -EACCES;
    if (S_ISDIR(found->stat.st_mode))
        like.kind = FILE_DIRECTORY;
    like.path = strdup(found->text);
    if (!like.path)
        return -ENOMEM;
    like.local = found->local;
    like.fd = found->fd;
    found->fd = -1;
    return open_kind(state, &like, flags);
}

static int64_t reopen_path(struct linux_state *state, const char *path, uint64_t flags)
{
    struct found found;
    int64_t result = path_find_text(state, path, 0, &found);

    if (result)
        return result;
    if (found.place == PLACE_MADE)
        result = open_made(state, found.which, found.text, flags);
    else if (found.place == PLACE_INSIDE)
        result = open_inside(state, &found, flags);
    else if (found.place == PLACE_ABOVE)
        result = open_listing(state, &found, flags);
    else
        result = -EACCES;
    found_drop(&found);
    return result;
}

/* Opening "/dev/stdin" and its like makes another open file of the same stream, with flags of its
 * own. */
static int64_t open_descriptor(struct linux_state *state, uint64_t fd, uint64_t flags)
{
    const struct open_file *file = descriptor_file(state, fd);
    struct open_file like;
    int result;

    if (!file)
        return -ENOENT;
    if (flags & O_NOFOLLOW)
        return -ELOOP;
    if (file->given)
        return given_open(state, file, flags);
    if (file->kind == FILE_DEVICE)
        return open_device(state, file->device, flags);
    if (file->kind == FILE_LIST && !file->object)
        return open_list(state, flags);
    if (!file_is_stream(file) && !file_is_memfd(state, file))
        return reopen_path(state, file->path, flags);
    if (flags & O_DIRECTORY)
        return -ENOTDIR;
    like = (struct open_file){.kind = file->kind, .status = file_status(flags), .fd = -1};
    if (file_is_memfd(state, file))
        result = memfd_reopen(state, file, &like);
    else if (file_type(file)->reopen)
        result = file_type(file)->reopen(state, file, &like);
    else
        result = -ENXIO;
    return result ? result : open_kind(state, &like, flags);
}

/* For --verbose: which files a program misses. Bounded, and fit to print, as the
 * name is the program's own. */
static void mention_refused(struct linux_state *state, const char *path)
{
    char shown[128];
    size_t i = 0;

    if (state->common->refused == REFUSED_MENTIONED_MAX)
        return;
    state->common->refused++;
    for (; i < sizeof(shown) - 1 && path[i]; i++)
        shown[i] = (char)(path[i] >= ' ' && path[i] < 127 ? path[i] : '?');
    shown[i] = '\0';
    vm_debug(state->vm, "may not open '%s': no directory given by --ro holds it", shown);
}

static int64_t open_new(struct linux_state *state, const struct found *found, uint64_t flags,
                        uint64_t mode)
{
    struct open_file *file;
    int64_t result = create_writable(state, found, flags, mode, &file);

    return result ? result : install(state, file, flags);
}

static int64_t open_place(struct linux_state *state, struct found *found, uint64_t flags,
                          uint64_t mode)
{
    bool writes = (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC);

    if (flags & O_CREAT && flags & O_EXCL && found->place > PLACE_OUTSIDE &&
        found->place != PLACE_MISSING)
        return -EEXIST;
    switch (found->place) {
    case PLACE_DEVICE:
        return open_device(state, (enum device)found->which, flags);
    case PLACE_DESCRIPTOR:
        return open_descriptor(state, found->which, flags);
    case PLACE_LIST:
        return open_list(state, flags);
    case PLACE_MADE:
        return open_made(state, found->which, found->text, flags);
    case PLACE_INSIDE:
        return is_nameless(flags) ? open_new(state, found, flags, mode)
                                  : open_inside(state, found, flags);
    case PLACE_MISSING:
        return open_new(state, found, flags, mode);
    case PLACE_ABOVE:
        return open_listing(state, found, flags);
    case PLACE_LINK:
        return -ELOOP;
    default:
        mention_refused(state, found->text);
        return writes ? -EACCES : -ENOENT;
    }
}

/* How often a file may appear while it is being made. */
#define OPEN_ATTEMPTS 16

static int64_t open_at(struct linux_state *state, uint64_t dirfd, uint64_t addr, uint64_t flags,
                       uint64_t mode)
{
    char name[PATH_MAX];
    struct found found;
    int64_t result = guest_get_string(state, addr, name, sizeof(name));
    bool slash = !result && name[0] && name[strlen(name) - 1] == '/';
    unsigned how;
    bool excl;

    if (result)
        return result;
    result = -EEXIST;

    if (flags & O_PATH) /* makes and changes nothing, whatever else is asked for */
        flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    excl = flags & O_CREAT && flags & O_EXCL;
    how = (flags & O_NOFOLLOW || excl ? 0 : FIND_FOLLOW) |
          (flags & O_CREAT ? FIND_NEW | FIND_NEW_DIRECTORY : 0);
    for (int i = 0; i < OPEN_ATTEMPTS && result == -EEXIST; i++) {
        result = path_find_name(state, dirfd, name, how, &found);
        if (result)
            return result;
        /* A file is not made by the name of a directory. */
        result = slash && found.place == PLACE_MISSING ? -EISDIR
                                                       : open_place(state, &found, flags, mode);
        found_drop(&found);
        if (excl)
            break;
    }
    return result;
}

int64_t sys_open(struct linux_state *state, const uint64_t arg[6])
{
    return open_at(state, (uint64_t)AT_FDCWD, arg[0], arg[1], arg[2]);
}

int64_t sys_openat(struct linux_state *state, const uint64_t arg[6])
{
    return open_at(state, arg[0], arg[1], arg[2], arg[3]);
}

int64_t sys_creat(struct linux_state *state, const uint64_t arg[6])
{
    return open_at(state, (uint64_t)AT_FDCWD, arg[0], O_CREAT | O_WRONLY | O_TRUNC, arg[1]);
}

static int64_t access_place(struct linux_state *state, const struct found *found, uint64_t mode)
{
    int32_t thread;

    switch (found->place) {
    case PLACE_INSIDE:
        return mode & W_OK && !found->mount->writable ? -EROFS : found_may(state, found, (int)mode);
    case PLACE_DEVICE:
        return mode & X_OK ? -EACCES : 0;
    case PLACE_LIST:
        return mode & W_OK ? -EACCES : 0;
    case PLACE_MADE:
        return mode & X_OK || (mode & W_OK && !made_names_thread(state, found->which, &thread))
                   ? -EACCES
                   : 0;
    case PLACE_DESCRIPTOR:
        if (!descriptor_file(state, found->which))
            return -ENOENT;
        return mode & X_OK ? -EACCES : 0;
    case PLACE_ABOVE:
    case PLACE_LINK:
        return mode & W_OK ? -EACCES : 0;
    default:
        return -ENOENT;
    }
}

/* Of an open file: as of the name by which /proc knows it. */
static int access_descriptor(struct linux_state *state, uint64_t fd, struct found *found)
{
    char name[32];

    if ((int32_t)fd == AT_FDCWD)
        return path_find_name(state, fd, ".", FIND_FOLLOW, found);
    snprintf(name, sizeof(name), "/proc/self/fd/%" PRId32, (int32_t)fd);
    return descriptor_file(state, fd) ? path_find_text(state, name, FIND_FOLLOW, found) : -EBADF;
}

static int64_t access_at(struct linux_state *state, uint64_t dirfd, uint64_t addr, uint64_t mode,
                         uint64_t flags)
{
    unsigned how = flags & AT_SYMLINK_NOFOLLOW ? 0 : FIND_FOLLOW;
    struct found found;
    char first = 1;
    int64_t result;

    if (mode & ~(uint64_t)(R_OK | W_OK | X_OK) ||
        flags & ~(uint64_t)(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    if (flags & AT_EMPTY_PATH && guest_get(state, addr, &first, 1))
        return -EFAULT;
    result = first ? path_find(state, dirfd, addr, how, &found)
                   : access_descriptor(state, dirfd, &found);
    if (result)
        return result;
    result = access_place(state, &found, mode);
    found_drop(&found);
    return result;
}

int64_t sys_access(struct linux_state *state, const uint64_t arg[6])
{
    return access_at(state, (uint64_t)AT_FDCWD, arg[0], (uint32_t)arg[1], 0);
}

int64_t sys_faccessat(struct linux_state *state, const uint64_t arg[6])
{
    return access_at(state, arg[0], arg[1], (uint32_t)arg[2], 0);
}

int64_t sys_faccessat2(struct linux_state *state, const uint64_t arg[6])
{
    return access_at(state, arg[0], arg[1], (uint32_t)arg[2], (uint32_t)arg[3]);
}

/* The text of the link that was found; its length. */
static int64_t link_text(struct linux_state *state, const struct found *found, char *text,
                         size_t bytes)
{
    struct host_call call = {.op = HOST_READLINK, .fd = found->fd, .to = text, .bytes = bytes};

    if (found->place == PLACE_INSIDE)
        return S_ISLNK(found->stat.st_mode) ? host_file_call(state, found->local, &call) : -EINVAL;
    if (found->place == PLACE_DESCRIPTOR || found->place == PLACE_LIST)
        return special_link(state, found->text, found->place, found->which, text, bytes);
    if (found->place == PLACE_LINK)
        return made_link(state, found->text, text, bytes);
    return found->place == PLACE_OUTSIDE ? -ENOENT : -EINVAL; /* there, but not a link */
}

/* An empty name means a link that was opened itself, with O_PATH. */
static int64_t opened_link_text(struct linux_state *state, uint64_t fd, char *text, size_t bytes)
{
    const struct open_file *file = descriptor_file(state, fd);
    struct host_call call = {.op = HOST_READLINK, .to = text, .bytes = bytes};

    if (!file)
        return (int32_t)fd == AT_FDCWD ? -ENOENT : -EBADF;
    if (file->kind != FILE_REGULAR || !(file->status & O_PATH))
        return -ENOENT;
    call.fd = file->fd;
    return host_file_call(state, file->local, &call);
}

static int64_t named_link_text(struct linux_state *state, uint64_t dirfd, const char *name,
                               char *text, size_t bytes)
{
    struct found found;
    int64_t result = path_find_name(state, dirfd, name, 0, &found);

    if (result)
        return result;
    result = link_text(state, &found, text, bytes);
    found_drop(&found);
    return result;
}

static int64_t readlink_at(struct linux_state *state, uint64_t dirfd, const uint64_t arg[3])
{
    char name[PATH_MAX], text[PATH_MAX];
    int64_t bytes;

    if ((int32_t)arg[2] <= 0)
        return -EINVAL;
    bytes = guest_get_string(state, arg[0], name, sizeof(name));
    if (!bytes)
        bytes = name[0] ? named_link_text(state, dirfd, name, text, sizeof(text))
                        : opened_link_text(state, dirfd, text, sizeof(text));
    if (bytes < 0)
        return bytes;
    if (bytes > (int32_t)arg[2])
        bytes = (int32_t)arg[2];
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
    struct found found;
    int result = path_find_text(state, state->cwd, FIND_FOLLOW, &found);

    if (!result)
        found_drop(&found);
    if (result == -ENOENT || result == -ENOTDIR)
        return -ENOENT; /* it was removed */
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
    struct found found;
    int64_t result = path_find(state, (uint64_t)AT_FDCWD, arg[0], FIND_FOLLOW, &found);

    if (result)
        return result;
    if (found.place == PLACE_ABOVE || found.place == PLACE_LIST ||
        (found.place == PLACE_INSIDE && S_ISDIR(found.stat.st_mode)))
        result = set_cwd(state, found.text);
    else
        result = found.place == PLACE_OUTSIDE ? -ENOENT : -ENOTDIR;
    found_drop(&found);
    return result;
}

int64_t sys_fchdir(struct linux_state *state, const uint64_t arg[6])
{
    const struct open_file *file = descriptor_file(state, arg[0]);

    if (!file)
        return -EBADF;
    return file->kind == FILE_DIRECTORY || file->kind == FILE_LIST ? set_cwd(state, file->path)
                                                                   : -ENOTDIR;
}
