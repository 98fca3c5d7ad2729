/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns inotify: changes of files that the program may read. The host's inotify tells of them, so
 * they are told whoever makes them. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lib/clock.h"
#include "linux/calls.h"
#include "linux/file_type.h"
#include "linux/objects.h"
#include "linux/state.h"

/* The host allows a user so many that others would miss them, of all VMs together. */
#define WATCHES_MAX 1024
/* Only the host's descriptor tells that there is something, so a wait looks at this interval. */
#define TURN_NS 50000000ull
/* Events are taken in parts of this size, which holds several. */
#define PART_BYTES 4096

struct inotify {
    unsigned watches;
    int newest; /* the numbers of watches grow */
};

/* A file that was removed is watched no more. */
static void count_ignored(struct inotify *inotify, const char *events, size_t bytes)
{
    struct inotify_event event;

    for (size_t at = 0; at + sizeof(event) <= bytes; at += sizeof(event) + event.len) {
        memcpy(&event, events + at, sizeof(event));
        inotify->watches -= event.mask & IN_IGNORED && inotify->watches;
    }
}

static int64_t inotify_get(struct linux_state *state, struct open_file *file, void *to,
                           size_t bytes)
{
    char events[PART_BYTES];
    ssize_t got = read(file->fd, events, bytes < sizeof(events) ? bytes : sizeof(events));

    (void)state;
    file->stalls++;
    if (got < 0)
        return errno == EINTR ? -EAGAIN : -errno;
    count_ignored(file->object, events, (size_t)got);
    memcpy(to, events, (size_t)got);
    return got;
}

static int inotify_poll(struct linux_state *state, struct open_file *file, int want,
                        struct readiness *readiness)
{
    struct pollfd host = {.fd = file->fd, .events = POLLIN};

    (void)state;
    readiness->again_ns = clock_deadline(TURN_NS);
    readiness->in_edges = file->stalls;
    return poll(&host, 1, 0) > 0 ? want & POLLIN : 0;
}

static int64_t inotify_available(struct linux_state *state, struct open_file *file)
{
    int bytes = 0;

    (void)state;
    return ioctl(file->fd, FIONREAD, &bytes) < 0 ? -errno : bytes;
}

static void inotify_release(struct linux_state *state, const struct open_file *file)
{
    (void)state;
    close(file->fd);
    free(file->object);
}

const struct file_type inotify_type = {
    .name = "anon_inode:inotify",
    .mode = 0600,
    .stream = true,
    .get = inotify_get,
    .poll = inotify_poll,
    .available = inotify_available,
    .release = inotify_release,
};

int64_t sys_inotify_init1(struct linux_state *state, const uint64_t arg[6])
{
    uint32_t flags = (uint32_t)arg[0];
    struct open_file like = {.kind = FILE_INOTIFY};

    if (flags & ~(uint32_t)(IN_CLOEXEC | IN_NONBLOCK))
        return -EINVAL;
    like.object = calloc(1, sizeof(struct inotify));
    if (!like.object)
        return -ENOMEM;
    like.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (like.fd < 0) {
        free(like.object);
        return -EMFILE;
    }
    like.status = O_RDONLY | (int)(flags & O_NONBLOCK);
    return install_object(state, &like, flags & IN_CLOEXEC);
}

int64_t sys_inotify_init(struct linux_state *state, const uint64_t arg[6])
{
    (void)arg;
    return sys_inotify_init1(state, (const uint64_t[6]){0});
}

/* The open inotify of a descriptor; else NULL and *result. */
static struct open_file *inotify_of(struct linux_state *state, uint64_t fd, int64_t *result)
{
    struct open_file *file = descriptor_file(state, fd);

    *result = !file ? -EBADF : file->kind == FILE_INOTIFY ? 0 : -EINVAL;
    return *result ? NULL : file;
}

static int64_t add_watch(const struct open_file *file, int fd, bool local, uint32_t mask)
{
    struct inotify *inotify = file->object;
    char path[32];
    int watch;

    /* Asking a file system that may never answer takes a process, and it tells of no change that
     * others make. */
    if (!local)
        return -EOPNOTSUPP;
    if (inotify->watches >= WATCHES_MAX)
        return -ENOSPC;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    watch = inotify_add_watch(file->fd, path, mask & ~(uint32_t)IN_DONT_FOLLOW);
    if (watch < 0)
        return errno == ENOMEM ? -ENOSPC : -errno;
    if (watch > inotify->newest) { /* else it was watched before */
        inotify->watches++;
        inotify->newest = watch;
    }
    return watch;
}

/* One that the host has, and the program may read. It is not opened: whoever watches it, or has it
 * watched already, would be told. */
static int64_t watch_found(struct linux_state *state, const struct open_file *file,
                           const struct found *found, uint32_t mask)
{
    int result;

    if (mask & IN_ONLYDIR && !S_ISDIR(found->stat.st_mode))
        return -ENOTDIR;
    if (found->partly)
        return -EACCES;
    result = S_ISLNK(found->stat.st_mode) ? 0 : found_may(state, found, R_OK);
    return result ? result : add_watch(file, found->fd, found->local, mask);
}

/* Any other is opened as by the program. */
static int64_t watch_opened(struct linux_state *state, const struct open_file *file, uint64_t name,
                            uint32_t mask)
{
    uint64_t flags = O_RDONLY | (mask & IN_ONLYDIR ? (uint64_t)O_DIRECTORY : 0) |
                     (mask & IN_DONT_FOLLOW ? (uint64_t)O_NOFOLLOW : 0);
    int64_t fd = sys_openat(state, (const uint64_t[6]){(uint64_t)AT_FDCWD, name, flags}), result;
    const struct open_file *opened;

    if (fd < 0)
        return fd;
    opened = descriptor_file(state, (uint64_t)fd);
    if (opened && (opened->kind == FILE_REGULAR || opened->kind == FILE_DIRECTORY))
        result = add_watch(file, opened->fd, opened->local, mask);
    else
        result = -EACCES;
    sys_close(state, (const uint64_t[6]){(uint64_t)fd});
    return result;
}

int64_t sys_inotify_add_watch(struct linux_state *state, const uint64_t arg[6])
{
    uint32_t mask = (uint32_t)arg[2];
    struct open_file *file;
    struct found found;
    int64_t result;

    file = inotify_of(state, arg[0], &result);
    if (!file)
        return result;
    if (!(mask & (IN_ALL_EVENTS | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED)) ||
        (mask & IN_MASK_ADD && mask & IN_MASK_CREATE))
        return -EINVAL;
    result = path_find(state, (uint64_t)AT_FDCWD, arg[1], mask & IN_DONT_FOLLOW ? 0 : FIND_FOLLOW,
                       &found);
    if (result)
        return result;
    result = found.place == PLACE_INSIDE ? watch_found(state, file, &found, mask)
                                         : watch_opened(state, file, arg[1], mask);
    found_drop(&found);
    return result;
}

int64_t sys_inotify_rm_watch(struct linux_state *state, const uint64_t arg[6])
{
    int64_t result;
    struct open_file *file = inotify_of(state, arg[0], &result);

    if (!file)
        return result;
    return inotify_rm_watch(file->fd, (int)(uint32_t)arg[1]) < 0 ? -errno : 0;
}
