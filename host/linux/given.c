/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns descriptors of the host that the embedder gave the program as its own: files, whose position
 * and end are those that other processes see, and terminals, pipes and sockets.
 *
 * The thread of a VM must never block in a call on one, and the flag O_NONBLOCK is the open file's,
 * which other processes share. So a pipe or a terminal is opened anew where that is possible, and a
 * socket has a flag for each call. What remains goes through a pipe of our own if it is a pipe, and is used
 * only after a look by poll if it is a device.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/clock.h"
#include "linux/file_type.h"
#include "linux/host_file.h"
#include "linux/host_pipe.h"
#include "linux/objects.h"
#include "linux/state.h"
#include "linux/writable.h"

/* How often to look at a descriptor that cannot be watched. */
#define UNWATCHED_NS 20000000ull
/* A device that poll calls writable takes so many bytes without blocking. */
#define SURE_BYTES 4096
/* What a program can see of the flags; the last is that of a file that may be large. */
#define STATUS_SHOWN (O_ACCMODE | O_APPEND | O_NONBLOCK | 0100000)
#define LOWEST_FD    3 /* the first three are the process's own */

/* ---- giving -------------------------------------------------------------- */

static int open_anew(int fd, int flags)
{
    int opened = host_open_anew(fd, flags | O_NONBLOCK);

    return opened < 0 ? -errno : opened;
}

static int duplicate(int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, LOWEST_FD);

    return copy < 0 ? -errno : copy;
}

/* To a reader that comes when the last writer has gone a named one never tells its end. */
static int open_fifo_anew(int fd, int flags)
{
    struct pollfd entry = {.fd = fd};
    int opened = open_anew(fd, flags);

    if (opened < 0 || flags != O_RDONLY || poll(&entry, 1, 0) <= 0 || !(entry.revents & POLLHUP))
        return opened;
    close(opened);
    return -ENXIO;
}

/* A file of its own for a stream of the host. */
static int open_stream(int fd, const struct stat *stat, struct open_file *like)
{
    unsigned number; /* of a pseudoterminal, of which opening the master anew makes another one */

    like->kind = FILE_GIVEN;
    like->socket = S_ISSOCK(stat->st_mode);
    like->may_block = !like->socket;
    like->fd = -1;
    if (S_ISFIFO(stat->st_mode))
        like->fd = open_fifo_anew(fd, like->status & O_ACCMODE);
    else if (S_ISCHR(stat->st_mode) && isatty(fd) && ioctl(fd, TIOCGPTN, &number) < 0)
        like->fd = open_anew(fd, like->status & O_ACCMODE);
    if (like->fd >= 0)
        like->may_block = false;
    else
        like->fd = duplicate(fd);
    like->terminal = like->fd >= 0 && isatty(like->fd);
    return like->fd < 0 ? like->fd : 0;
}

/* What /dev/null and its like do is known without asking the host. */
static bool is_known_device(const struct stat *stat)
{
    unsigned device = minor(stat->st_rdev);

    return S_ISCHR(stat->st_mode) && major(stat->st_rdev) == 1 &&
           (device == DEVICE_NULL || device == DEVICE_ZERO || device == DEVICE_FULL ||
            device == DEVICE_RANDOM || device == DEVICE_URANDOM);
}

static int make_like(int fd, struct open_file *like)
{
    int flags = fcntl(fd, F_GETFL);
    struct stat stat;

    if (flags < 0 || flags & O_PATH || fstat(fd, &stat))
        return -EBADF;
    *like = (struct open_file){.status = flags & STATUS_SHOWN, .fd = -1, .given = true};
    if (is_known_device(&stat)) {
        like->kind = FILE_DEVICE;
        like->device = (enum device)minor(stat.st_rdev);
        like->given = false;
        return 0;
    }
    if (!S_ISREG(stat.st_mode) && !S_ISBLK(stat.st_mode))
        return open_stream(fd, &stat, like);
    like->kind = FILE_REGULAR;
    like->shares_position = true;
    like->local = host_file_local(fd);
    like->fd = duplicate(fd);
    return like->fd < 0 ? like->fd : 0;
}

int linux_give(struct linux_state *state, unsigned fd, int host_fd)
{
    struct open_file like, *file;
    int result = make_like(host_fd, &like);

    if (result)
        return result;
    like.given_as = (int)fd + 1;
    result = file_create(state, like, &file);
    if (result)
        return result;
    descriptor_give(state, fd, file);
    return terminal_given(state, file);
}

/* ---- names --------------------------------------------------------------- */

/* The program may have no other rights than it was given. */
static bool has_rights(const struct open_file *file, uint64_t flags)
{
    uint64_t has = (uint64_t)file->status & O_ACCMODE, wants = flags & O_ACCMODE;

    if (flags & O_TRUNC && has == O_RDONLY)
        return false;
    return has == O_RDWR || has == wants;
}

int64_t given_open(struct linux_state *state, const struct open_file *file, uint64_t flags)
{
    struct open_file like = {
        .kind = file->kind, .status = file_status(flags), .local = file->local, .given = true};
    /* The embedder's O_APPEND, whatever the program has set since. */
    int how =
        (int)(flags & (O_ACCMODE | O_TRUNC | O_APPEND)) | (fcntl(file->fd, F_GETFL) & O_APPEND);
    struct stat stat;

    if (flags & O_DIRECTORY)
        return -ENOTDIR;
    if (flags & O_PATH)
        return -EACCES;
    if (!has_rights(file, flags))
        return -EACCES;
    if (fstat(file->fd, &stat) || S_ISSOCK(stat.st_mode))
        return -ENXIO;
    if (file->kind == FILE_GIVEN) {
        int result = open_stream(file->fd, &stat, &like);

        return result ? result : install_object(state, &like, flags & O_CLOEXEC);
    }
    /* A file system that may never answer: the descriptor is there already. */
    like.shares_position = file->local;
    like.fd = file->local ? open_anew(file->fd, how) : duplicate(file->fd);
    return like.fd < 0 ? like.fd : install_object(state, &like, flags & O_CLOEXEC);
}

/* The name that a file has on the host is not the program's business. */
int given_name(const struct open_file *file, char *text, size_t bytes)
{
    const char *kind = "file";
    char name[PATH_MAX];
    struct stat stat;

    if (file->terminal && ttyname_r(file->fd, name, sizeof(name)) == 0 &&
        strncmp(name, "/dev/", 5) == 0)
        return snprintf(text, bytes, "%s", name);
    if (fstat(file->fd, &stat))
        return -ENOENT;
    if (S_ISFIFO(stat.st_mode))
        kind = "pipe";
    else if (S_ISSOCK(stat.st_mode))
        kind = "socket";
    return snprintf(text, bytes, "%s:[%lu]", kind, (unsigned long)stat.st_ino);
}

/* ---- files --------------------------------------------------------------- */

off_t file_position(const struct open_file *file)
{
    return file->shares_position ? lseek(file->fd, 0, SEEK_CUR) : file->position;
}

void file_set_position(struct open_file *file, off_t position)
{
    if (file->shares_position)
        (void)lseek(file->fd, position, SEEK_SET);
    else
        file->position = position;
}

struct open_file file_at(const struct open_file *file, off_t position)
{
    struct open_file at = *file;

    at.shares_position = false;
    at.position = position;
    return at;
}

/* ---- streams ------------------------------------------------------------- */

static bool is_ready(const struct open_file *file, short events)
{
    struct pollfd entry = {.fd = file->fd, .events = events};

    return poll(&entry, 1, 0) > 0;
}

/* -1 with errno. */
static ssize_t read_now(const struct open_file *file, void *to, size_t bytes)
{
    struct iovec piece = {to, bytes};
    ssize_t got;

    if (file->socket)
        return recv(file->fd, to, bytes, MSG_DONTWAIT);
    if (!file->may_block)
        return read(file->fd, to, bytes);
    got = preadv2(file->fd, &piece, 1, -1, RWF_NOWAIT);
    if (got >= 0 || errno != EOPNOTSUPP)
        return got;
    if (host_pipe_is(file->fd))
        return host_pipe_read(file->fd, to, bytes);
    errno = EAGAIN;
    return is_ready(file, POLLIN) ? read(file->fd, to, bytes) : -1;
}

static ssize_t write_now(const struct open_file *file, const void *from, size_t bytes)
{
    if (file->socket)
        return send(file->fd, from, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (!file->may_block)
        return write(file->fd, from, bytes);
    if (host_pipe_is(file->fd))
        return host_pipe_write(file->fd, from, bytes);
    errno = EAGAIN;
    return is_ready(file, POLLOUT) ? write(file->fd, from, bytes < SURE_BYTES ? bytes : SURE_BYTES)
                                   : -1;
}

/* -EINTR means something else here, and neither call waits. */
static int64_t result_of(ssize_t done)
{
    return done >= 0 ? done : errno == EINTR ? -EAGAIN : -errno;
}

static int64_t given_get(struct linux_state *state, struct open_file *file, void *to, size_t bytes)
{
    int64_t got = file->terminal ? terminal_may(state, file, SIGTTIN) : 0;
    bool waited;

    file->stalls++; /* to a program that waits for changes, what comes next is new */
    if (!got && file->terminal)
        got = terminal_await(state, file, to, bytes);
    if (got < 0)
        return got;
    waited = got > 0;
    got = result_of(read_now(file, to, bytes));
    return waited && got == -EAGAIN ? 0 : got;
}

static int64_t given_put(struct linux_state *state, struct open_file *file, const void *from,
                         size_t bytes)
{
    int64_t put = file->terminal ? terminal_may(state, file, SIGTTOU) : 0;

    if (!put)
        put = result_of(write_now(file, from, bytes));
    file->stalls += put == -EAGAIN || (put >= 0 && (uint64_t)put < bytes);
    return put;
}

static int given_poll(struct linux_state *state, struct open_file *file, int want,
                      struct readiness *readiness)
{
    const int always = POLLERR | POLLHUP | POLLNVAL;
    struct pollfd entry = {.fd = file->fd,
                           .events = (short)(want & (POLLIN | POLLOUT | POLLPRI | POLLRDHUP))};
    int now = poll(&entry, 1, 0) > 0 ? entry.revents : 0, missing = entry.events & ~now;

    file->came += (now & ~file->held) != 0;
    file->held = (short)((file->held & ~(entry.events | always)) | now);
    readiness->in_edges = readiness->out_edges = file->stalls + file->came;
    if (now && !(file->watches && missing))
        return now;
    /* Who was told all that holds waits for the rest (EPOLLET). What always tells something cannot be
     * watched. */
    if (now & always || !watch_arm(state, file->fd, (short)missing))
        readiness->again_ns = clock_deadline(UNWATCHED_NS);
    return now;
}

static int given_stat(struct linux_state *state, const struct open_file *file, struct stat *out)
{
    (void)state;
    if (fstat(file->fd, out))
        return -errno;
    writable_owner(out);
    return 0;
}

static int64_t given_available(struct linux_state *state, struct open_file *file)
{
    int bytes;

    (void)state;
    return ioctl(file->fd, FIONREAD, &bytes) < 0 ? -errno : bytes;
}

static int64_t given_resize(struct linux_state *state, struct open_file *file, uint32_t bytes)
{
    int now = bytes ? fcntl(file->fd, F_SETPIPE_SZ, (int)bytes) : fcntl(file->fd, F_GETPIPE_SZ);

    (void)state;
    return now < 0 ? -errno : now;
}

static void stream_release(struct linux_state *state, const struct open_file *file)
{
    watch_drop(state, file->fd);
    close(file->fd);
    if (file->given_as && !state->closing)
        vm_closed(state->vm, file->given_as - 1);
}

const struct file_type given_type = {
    .stream = true,
    .get = given_get,
    .put = given_put,
    .poll = given_poll,
    .stat = given_stat,
    .available = given_available,
    .resize = given_resize,
    .release = stream_release,
};
