/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what is the same for files of all kinds, the types of files that have a path, and waiting
 * for a file. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "linux/epoll.h"
#include "linux/file_type.h"
#include "linux/host_file.h"
#include "linux/state.h"
#include "linux/writable.h"

/* What of the events for readers, and for writers, a file of Linux tells when it is ready. */
#define READ_EVENTS  (POLLIN | POLLRDNORM)
#define WRITE_EVENTS (POLLOUT | POLLWRNORM)

struct told_events {
    int read, write;
};

static struct told_events told_by(const struct open_file *file)
{
    switch (file->kind) {
    case FILE_EVENT:
    case FILE_SIGNALS:
    case FILE_TIMER:
        return (struct told_events){POLLIN, POLLOUT};
    case FILE_SOCKET:
        return (struct told_events){READ_EVENTS, WRITE_EVENTS | POLLWRBAND};
    default:
        return (struct told_events){READ_EVENTS, WRITE_EVENTS};
    }
}

/* ---- files of the host --------------------------------------------------- */

static int64_t regular_get(struct linux_state *state, struct open_file *file, void *to,
                           size_t bytes)
{
    int64_t got = file_read(state, file, to, bytes, file->shares_position ? -1 : file->position);

    if (got > 0 && !file->shares_position)
        file->position += got;
    return got;
}

static int64_t is_directory(struct linux_state *state, struct open_file *file, void *to,
                            size_t bytes)
{
    (void)state;
    (void)file;
    (void)to;
    (void)bytes;
    return -EISDIR;
}

int host_stat(struct linux_state *state, const struct open_file *file, struct stat *out)
{
    struct host_call call = {.op = HOST_STAT, .fd = file->fd};
    int64_t result = host_file_call(state, file->local, &call);

    *out = call.stat;
    if (file->writable || file->given)
        writable_owner(out);
    return (int)result;
}

int64_t regular_available(struct linux_state *state, struct open_file *file)
{
    off_t position = file_position(file);
    struct stat stat;
    int result = host_stat(state, file, &stat);

    if (result)
        return result;
    return position < stat.st_size ? stat.st_size - position : 0;
}

static void host_release(struct linux_state *state, const struct open_file *file)
{
    if (file->writable)
        writable_close(state, file);
    else
        close(file->fd);
}

static const struct file_type regular_type = {
    .get = regular_get,
    .put = regular_put,
    .stat = host_stat,
    .available = regular_available,
    .release = host_release,
};

static const struct file_type directory_type = {
    .get = is_directory,
    .stat = host_stat,
    .release = host_release,
};

/* ---- all ----------------------------------------------------------------- */

const struct file_type *file_type(const struct open_file *file)
{
    static const struct file_type *const types[FILE_KINDS] = {
        [FILE_INPUT] = &input_type,     [FILE_OUTPUT] = &output_type,
        [FILE_ERROR] = &error_type,     [FILE_DEVICE] = &device_type,
        [FILE_REGULAR] = &regular_type, [FILE_DIRECTORY] = &directory_type,
        [FILE_LIST] = &list_type,       [FILE_PIPE] = &pipe_type,
        [FILE_EVENT] = &event_type,     [FILE_EPOLL] = &epoll_type,
        [FILE_TIMER] = &timer_type,     [FILE_SOCKET] = &socket_type,
        [FILE_INOTIFY] = &inotify_type, [FILE_GIVEN] = &given_type,
        [FILE_SIGNALS] = &signals_type, [FILE_NAME] = &thread_name_type,
    };

    return types[file->kind];
}

bool file_is_stream(const struct open_file *file)
{
    return file_type(file)->stream;
}

int file_stat(struct linux_state *state, const struct open_file *file, struct stat *out)
{
    const struct file_type *type = file_type(file);

    *out = (struct stat){
        .st_dev = makedev(0, 14), /* of no file system that can be seen */
        .st_ino = 1 + (ino_t)file->kind,
        .st_nlink = 1,
        .st_mode = type->mode,
        .st_uid = LINUX_USER,
        .st_gid = LINUX_USER,
        .st_blksize = 4096,
        .st_atim = state->started,
        .st_mtim = state->started,
        .st_ctim = state->started,
    };
    return type->stat ? type->stat(state, file, out) : 0;
}

int file_poll(struct linux_state *state, struct open_file *file, int events,
              struct readiness *readiness)
{
    const struct file_type *type = file_type(file);
    const struct told_events told = told_by(file);
    int want = events & ~(told.read | told.write), holds;

    readiness->again_ns = UINT64_MAX;
    readiness->in_edges = readiness->out_edges = 0;
    if (!type->poll)
        return events & (told.read | told.write);
    want |= (events & told.read ? POLLIN : 0) | (events & told.write ? POLLOUT : 0);
    holds = type->poll(state, file, want, readiness);
    return (holds & POLLIN ? events & told.read : 0) | (holds & POLLOUT ? events & told.write : 0) |
           (holds & ~(POLLIN | POLLOUT) & (events | POLLERR | POLLHUP));
}

void file_first_look(struct linux_state *state, const struct open_file *file)
{
    if (file->kind == FILE_INPUT || epoll_holds_input(file))
        stream_first_look(vm_stream(state->vm));
}

uint32_t file_wakes(const struct open_file *file)
{
    switch (file->kind) {
    case FILE_PIPE:
    case FILE_EVENT:
    case FILE_SOCKET:
        return wakes_of(file->object);
    default:
        return WAKES_ALL;
    }
}

/* A wait for one file. */
struct file_wait {
    struct linux_state *state;
    struct open_file *file;
    int events;
};

static bool is_ready(void *arg, uint64_t *again_ns)
{
    struct file_wait *wait = arg;
    struct readiness readiness;
    int holds = file_poll(wait->state, wait->file, wait->events, &readiness);

    *again_ns = readiness.again_ns;
    return holds;
}

int file_await(struct linux_state *state, struct open_file *file, int events)
{
    struct file_wait wait = {state, file, events};

    const struct file_type *type = file_type(file);
    uint64_t timeout_ns = type->patience ? type->patience(file, events) : UINT64_MAX;
    uint32_t wakes;
    int result;

    file_first_look(state, file);
    wakes = file_wakes(file);
    result = vm_wait_for(state->vm, is_ready, &wait, timeout_ns, &wakes);

    /* A wait with a limit is never made again after a signal. */
    if (result == -EINTR && timeout_ns != UINT64_MAX && state->thread->call)
        state->thread->call->timed = true;
    return result == -ETIMEDOUT && timeout_ns != UINT64_MAX ? -EAGAIN : result;
}

/* ---- positions ----------------------------------------------------------- */

static bool is_position_free(void *arg, uint64_t *again_ns)
{
    (void)again_ns;
    return !((const struct open_file *)arg)->position_used;
}

/* As Linux waits for its lock, which no signal ends. */
static int await_position(struct linux_state *state, struct open_file *file)
{
    const uint32_t wakes = wakes_of(file);
    int result;

    file->position_wanted++;
    state->thread->signals.patient = true;
    result = vm_wait_for(state->vm, is_position_free, file, UINT64_MAX, &wakes);
    state->thread->signals.patient = false;
    file->position_wanted--;
    return result;
}

int64_t file_in_turn(struct linux_state *state, struct open_file *file, const uint64_t arg[6],
                     file_call call)
{
    int64_t result;

    if (!file || file->kind == FILE_DEVICE || file_is_stream(file))
        return call(state, file, arg);
    result = file->position_used ? await_position(state, file) : 0;
    if (result)
        return result;
    file->position_used = true;
    result = call(state, file, arg);
    file->position_used = false;
    if (file->position_wanted)
        vm_wake_for(state->vm, wakes_of(file));
    return result;
}
