/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the files that lead out of the VM: its input and output stream, and standard error. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "linux/file_type.h"
#include "linux/host_pipe.h"
#include "linux/linux.h"
#include "linux/objects.h"
#include "linux/state.h"

/* How often a write to standard error that waits looks whether the VM is to stop. */
#define ERROR_POLL_MS 50
/* Only the host's descriptor of standard error can tell that it has room again or that its reader
 * has gone. A wait for that checks it at this interval. */
#define ERROR_TURN_NS 50000000ull

/* The streams hold more than any pipe, so each size that a pipe may have is granted. */
static int64_t stream_resize(struct linux_state *state, struct open_file *file, uint32_t bytes)
{
    (void)state;
    if (bytes)
        file->pipe_bytes = bytes;
    return file->pipe_bytes ? file->pipe_bytes : PIPE_BYTES;
}

static int stream_reopen(struct linux_state *state, const struct open_file *file,
                         struct open_file *like)
{
    int mode = like->status & O_ACCMODE;

    (void)state;
    if (mode == (file->kind == FILE_INPUT ? O_WRONLY : O_RDONLY) && !(like->status & O_PATH))
        return -EACCES; /* the other end is not here */
    like->fd = file->fd;
    return 0;
}

void linux_streams(const struct linux_state *state, bool *input, bool *output)
{
    const struct open_file *first = state->descriptors[STDIN_FILENO].file;
    const struct open_file *second = state->descriptors[STDOUT_FILENO].file;

    *input = !state->traced && first && first->kind == FILE_INPUT && file_can_read(first);
    *output = !state->traced && second && second->kind == FILE_OUTPUT && file_can_write(second);
}

void linux_stat_streams(struct linux_state *state, struct stat *input, struct stat *output)
{
    const struct open_file first = {.kind = FILE_INPUT}, second = {.kind = FILE_OUTPUT};

    file_stat(state, &first, input);
    file_stat(state, &second, output);
}

uint32_t linux_poll_most(const struct linux_state *state)
{
    return descriptors_limit(state);
}

uint32_t linux_stream_flags(const struct linux_state *state, unsigned fd)
{
    return (uint32_t)state->descriptors[fd].file->status;
}

/* ---- input --------------------------------------------------------------- */

static int64_t input_get(struct linux_state *state, struct open_file *file, void *to, size_t bytes)
{
    if (file->status & O_NONBLOCK && !stream_available(vm_stream(state->vm))) {
        int ready = stream_poll(vm_stream(state->vm), POLLIN | POLLHUP, 0);

        file->stalls += !ready;
        if (ready <= 0)
            return ready ? ready : -EAGAIN;
    }
    file->stalls++; /* to a program that waits for changes, what comes next is new */
    return stream_read(vm_stream(state->vm), to, bytes);
}

/* A stream does not count what arrives. So readiness is new to a program that waits for changes
 * once it read, or found no room. The look tells what the guest kernel read. */
static int poll_stream(struct linux_state *state, const struct open_file *file, int want,
                       struct readiness *readiness)
{
    struct stream *stream = vm_stream(state->vm);
    int ready = stream_poll(stream, (short)want, 0);

    readiness->out_edges = file->stalls;
    readiness->in_edges = file->stalls + stream_guest_reads(stream);
    return ready;
}

static int input_poll(struct linux_state *state, struct open_file *file, int want,
                      struct readiness *readiness)
{
    return poll_stream(state, file, POLLHUP | (want & POLLIN), readiness);
}

static int64_t input_available(struct linux_state *state, struct open_file *file)
{
    (void)file;
    return (int64_t)stream_available(vm_stream(state->vm));
}

static int input_stat(struct linux_state *state, const struct open_file *file, struct stat *out)
{
    (void)state;
    (void)file;
    out->st_blksize = INPUT_BLOCK_BYTES;
    return 0;
}

const struct file_type input_type = {
    .name = "pipe",
    .mode = S_IFIFO | 0600,
    .stream = true,
    .get = input_get,
    .poll = input_poll,
    .stat = input_stat,
    .available = input_available,
    .reopen = stream_reopen,
    .resize = stream_resize,
};

/* ---- output -------------------------------------------------------------- */

static int64_t output_put(struct linux_state *state, struct open_file *file, const void *from,
                          size_t bytes)
{
    struct stream *stream = vm_stream(state->vm);
    int64_t put;

    if (!(file->status & O_NONBLOCK))
        return stream_write(stream, from, bytes);
    put = stream_write_some(stream, from, bytes);
    file->stalls += put == -EAGAIN || (put >= 0 && (uint64_t)put < bytes);
    return put;
}

static int output_poll(struct linux_state *state, struct open_file *file, int want,
                       struct readiness *readiness)
{
    return poll_stream(state, file, POLLERR | (want & POLLOUT), readiness);
}

static int64_t nothing_available(struct linux_state *state, struct open_file *file)
{
    (void)state;
    (void)file;
    return 0;
}

const struct file_type output_type = {
    .name = "pipe",
    .mode = S_IFIFO | 0600,
    .stream = true,
    .put = output_put,
    .poll = output_poll,
    .available = nothing_available,
    .reopen = stream_reopen,
    .resize = stream_resize,
};

/* ---- standard error ------------------------------------------------------ */

/* A socket or pipe is full again if somebody else was faster. What could be opened anew does not wait. */
static ssize_t error_write(const struct linux_state *state, int fd, const void *from, size_t bytes)
{
    ssize_t put = send(fd, from, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (put >= 0 || errno != ENOTSOCK)
        return put;
    return state->common->error_fd < 0 && host_pipe_is(fd) ? host_pipe_write(fd, from, bytes)
                                                           : write(fd, from, bytes);
}

/* The thread of a VM takes no signals, so it must not block in write(2): it
 * waits for room in short turns and asks in between whether to stop. */
static int64_t error_put(struct linux_state *state, struct open_file *file, const void *from,
                         size_t bytes)
{
    size_t done = 0;

    while (file->fd >= 0 && done < bytes) {
        struct pollfd ready = {.fd = file->fd, .events = POLLOUT};
        size_t part = bytes - done < ERROR_PART ? bytes - done : ERROR_PART;
        const char *next = (const char *)from + done;
        ssize_t put;

        if (vm_stopping(state->vm))
            return -EINTR;
        if (poll(&ready, 1, 0) <= 0) {
            file->stalls++;
            if (file->status & O_NONBLOCK)
                return done ? (int64_t)done : -EAGAIN;
            /* Before it blocks, as before any wait, others get the messages they wait for. */
            if (vm_sleep(state->vm, 0) == -EINTR || signal_interrupts(state))
                return done ? (int64_t)done : -EINTR;
            vm_poll(state->vm, &ready, ERROR_POLL_MS);
            if (!vm_still_has(state->vm, from, bytes, false))
                return done ? (int64_t)done : -EFAULT;
            continue;
        }
        put = error_write(state, file->fd, next, part);
        if (put > 0)
            done += (size_t)put;
        else if (put < 0 && errno != EINTR && errno != EAGAIN)
            return done ? (int64_t)done : -errno;
    }
    return (int64_t)bytes;
}

/* Standard error is the host's, so the host knows best. It cannot be read, so only a file, which
 * Linux calls readable always, is called so. */
static int error_poll(struct linux_state *state, struct open_file *file, int want,
                      struct readiness *readiness)
{
    struct pollfd host = {.fd = file->fd, .events = (short)(want & POLLOUT)};
    struct stat stat;

    (void)state;
    readiness->in_edges = readiness->out_edges = file->stalls;
    if (file->fd < 0)
        return want & POLLOUT;
    readiness->again_ns = clock_deadline(ERROR_TURN_NS);
    if (want & POLLIN && !fstat(file->fd, &stat) && S_ISREG(stat.st_mode))
        host.events = (short)want;
    return poll(&host, 1, 0) > 0 ? host.revents : 0;
}

const struct file_type error_type = {
    .name = "pipe",
    .mode = S_IFIFO | 0600,
    .stream = true,
    .put = error_put,
    .poll = error_poll,
    .reopen = stream_reopen,
    .resize = stream_resize,
};
