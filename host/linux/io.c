/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns reading and writing by descriptor. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "linux/calls.h"
#include "linux/host_file.h"
#include "linux/state.h"

/* How often a write to standard error that waits looks whether the VM is to stop. */
#define ERROR_POLL_MS 50
/* Made-up bytes are made in parts like that, and between them a stop is looked at. */
#define MADE_PART (1u << 20)

int64_t file_read(struct linux_state *state, const struct open_file *file, void *to, size_t bytes,
                  off_t offset)
{
    struct host_call call = {
        .op = HOST_READ, .fd = file->fd, .offset = offset, .to = to, .bytes = bytes};

    return host_file_call(state, file->local, &call);
}

static int64_t read_input(struct linux_state *state, const struct open_file *file, void *to,
                          size_t bytes)
{
    if (file->status & O_NONBLOCK && !stream_available(vm_stream(state->vm))) {
        int ready = stream_poll(vm_stream(state->vm), POLLIN | POLLHUP, 0);

        if (ready <= 0)
            return ready ? ready : -EAGAIN;
    }
    return stream_read(vm_stream(state->vm), to, bytes);
}

/* From its position on. */
static int64_t read_on(struct linux_state *state, struct open_file *file, void *to, size_t bytes)
{
    int64_t got = file_read(state, file, to, bytes, file->position);

    file->position += got > 0 ? got : 0;
    return got;
}

static int64_t read_device(struct linux_state *state, enum device device, char *to, size_t bytes)
{
    size_t done = 0;

    if (device == DEVICE_NULL)
        return 0;
    while (done < bytes) {
        size_t part = bytes - done < MADE_PART ? bytes - done : MADE_PART;
        ssize_t got = (ssize_t)part;

        if (vm_stopping(state->vm))
            return -EINTR;
        if (device == DEVICE_RANDOM || device == DEVICE_URANDOM)
            got = getrandom(to + done, part, 0);
        else
            memset(to + done, 0, part);
        if (got > 0)
            done += (size_t)got;
        else if (errno != EINTR)
            return done ? (int64_t)done : -errno;
    }
    return (int64_t)done;
}

int64_t file_get(struct linux_state *state, struct open_file *file, void *to, size_t bytes)
{
    switch (file->kind) {
    case FILE_INPUT:
        return read_input(state, file, to, bytes);
    case FILE_DEVICE:
        return read_device(state, file->device, to, bytes);
    case FILE_REGULAR:
        return read_on(state, file, to, bytes);
    case FILE_DIRECTORY:
    case FILE_LIST:
        return -EISDIR;
    default:
        return -EBADF; /* the other end is not here, although it was opened for both */
    }
}

static int64_t read_file(struct linux_state *state, struct open_file *file, uint64_t addr,
                         uint64_t bytes)
{
    void *to;

    if (bytes > TRANSFER_MAX)
        bytes = TRANSFER_MAX;
    if (!bytes || (file->kind == FILE_DEVICE && file->device == DEVICE_NULL))
        return 0;
    to = vm_reach_out(state->vm, addr, bytes);
    return to ? file_get(state, file, to, bytes) : -EFAULT;
}

/* The thread of a VM takes no signals, so it must not block in write(2): it
 * waits for room in short turns and asks in between whether to stop. */
static int64_t write_error(struct linux_state *state, const struct open_file *file,
                           const char *from, size_t bytes)
{
    size_t done = 0;

    while (file->fd >= 0 && done < bytes) {
        struct pollfd ready = {.fd = file->fd, .events = POLLOUT};
        size_t part = bytes - done < ERROR_PART ? bytes - done : ERROR_PART;
        ssize_t put;

        if (vm_stopping(state->vm))
            return -EINTR;
        if (poll(&ready, 1, 0) <= 0) {
            if (file->status & O_NONBLOCK)
                return done ? (int64_t)done : -EAGAIN;
            /* Before it blocks, as before any wait, others get the messages they wait for. */
            if (vm_sleep(state->vm, 0) == -EINTR)
                return -EINTR;
            poll(&ready, 1, ERROR_POLL_MS);
            continue;
        }
        /* A socket is full again if somebody else was faster; pipes and terminals were opened anew
         * so as not to wait. */
        put = send(file->fd, from + done, part, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (put < 0 && errno == ENOTSOCK)
            put = write(file->fd, from + done, part);
        if (put > 0)
            done += (size_t)put;
        else if (put < 0 && errno != EINTR && errno != EAGAIN)
            return done ? (int64_t)done : -errno;
    }
    return (int64_t)bytes;
}

int64_t file_put(struct linux_state *state, const struct open_file *file, const void *from,
                 size_t bytes)
{
    switch (file->kind) {
    case FILE_OUTPUT:
        return file->status & O_NONBLOCK ? stream_write_some(vm_stream(state->vm), from, bytes)
                                         : stream_write(vm_stream(state->vm), from, bytes);
    case FILE_ERROR:
        return write_error(state, file, from, bytes);
    case FILE_DEVICE:
        return file->device == DEVICE_FULL ? -ENOSPC : (int64_t)bytes;
    default:
        return -EBADF;
    }
}

static int64_t write_file(struct linux_state *state, const struct open_file *file, uint64_t addr,
                          uint64_t bytes)
{
    const void *from;

    if (bytes > TRANSFER_MAX)
        bytes = TRANSFER_MAX;
    if (!bytes || file->kind == FILE_DEVICE) /* those look at nothing */
        return file_put(state, file, NULL, bytes);
    from = vm_reach_in(state->vm, addr, bytes);
    return from ? file_put(state, file, from, bytes) : -EFAULT;
}

int64_t sys_read(struct linux_state *state, const uint64_t arg[6])
{
    struct open_file *file = descriptor_file(state, arg[0]);

    return file_can_read(file) ? read_file(state, file, arg[1], arg[2]) : -EBADF;
}

int64_t sys_write(struct linux_state *state, const uint64_t arg[6])
{
    const struct open_file *file = descriptor_file(state, arg[0]);
    int64_t result;

    if (!file_can_write(file))
        return -EBADF;
    result = write_file(state, file, arg[1], arg[2]);
    return result == -EPIPE ? signal_broken_pipe(state) : result;
}

int64_t sys_pread64(struct linux_state *state, const uint64_t arg[6])
{
    const struct open_file *file = descriptor_file(state, arg[0]);
    uint64_t bytes = arg[2] > TRANSFER_MAX ? TRANSFER_MAX : arg[2];
    void *to;

    if ((int64_t)arg[3] < 0)
        return -EINVAL;
    if (!file || file->status & O_PATH)
        return -EBADF;
    if (file_is_pipe(file))
        return -ESPIPE;
    if (!file_can_read(file))
        return -EBADF;
    if (!has_positions_for(arg[3], bytes))
        return -EINVAL;
    if (file->kind == FILE_DEVICE)
        return sys_read(state, arg);
    if (file->kind != FILE_REGULAR || !bytes)
        return file->kind == FILE_REGULAR ? 0 : -EISDIR;
    to = vm_reach_out(state->vm, arg[1], bytes);
    return to ? file_read(state, file, to, bytes, (off_t)arg[3]) : -EFAULT;
}

/* Nothing that can be written to has positions, devices aside. */
int64_t sys_pwrite64(struct linux_state *state, const uint64_t arg[6])
{
    const struct open_file *file = descriptor_file(state, arg[0]);

    if ((int64_t)arg[3] < 0)
        return -EINVAL;
    if (!file || file->status & O_PATH)
        return -EBADF;
    if (file_is_pipe(file))
        return -ESPIPE;
    if (file_can_write(file) &&
        !has_positions_for(arg[3], arg[2] < TRANSFER_MAX ? arg[2] : TRANSFER_MAX))
        return -EINVAL;
    return sys_write(state, arg);
}

static int64_t seek_file(struct linux_state *state, struct open_file *file, off_t offset,
                         int whence)
{
    struct host_call call = {.op = HOST_SEEK, .fd = file->fd, .offset = offset, .number = whence};
    int64_t position;

    if (whence == SEEK_CUR) {
        if (__builtin_add_overflow(offset, file->position, &call.offset))
            return -EINVAL;
        call.number = SEEK_SET;
    }
    position = host_file_call(state, file->local, &call);
    if (position >= 0)
        file->position = position;
    return position;
}

/* Of /proc/self/fd: places in the list. */
static int64_t seek_list(struct open_file *file, off_t offset, int whence)
{
    off_t position = offset;

    if (whence == SEEK_CUR && __builtin_add_overflow(offset, file->position, &position))
        return -EINVAL;
    if ((whence != SEEK_SET && whence != SEEK_CUR) || position < 0)
        return -EINVAL;
    file->position = position;
    return position;
}

int64_t sys_lseek(struct linux_state *state, const uint64_t arg[6])
{
    struct open_file *file = descriptor_file(state, arg[0]);

    if (!file || file->status & O_PATH)
        return -EBADF;
    if ((uint32_t)arg[2] > SEEK_HOLE)
        return -EINVAL;
    if (file_is_pipe(file))
        return -ESPIPE;
    if (file->kind == FILE_DEVICE)
        return 0;
    if (file->kind == FILE_LIST)
        return seek_list(file, (off_t)arg[1], (int)arg[2]);
    return seek_file(state, file, (off_t)arg[1], (int)arg[2]);
}

int64_t sys_getdents64(struct linux_state *state, const uint64_t arg[6])
{
    struct open_file *file = descriptor_file(state, arg[0]);
    struct host_call call = {.op = HOST_ENTRIES, .bytes = (uint32_t)arg[2]};
    int64_t got;

    if (!file || file->status & O_PATH)
        return -EBADF;
    if (file->kind == FILE_LIST)
        return special_entries(state, file, arg[1], (uint32_t)arg[2]);
    if (file->kind != FILE_DIRECTORY)
        return -ENOTDIR;
    call.fd = file->fd;
    call.offset = file->position;
    call.to = vm_reach_out(state->vm, arg[1], call.bytes);
    got = call.to ? host_file_call(state, file->local, &call) : -EFAULT;
    if (got >= 0)
        file->position = call.offset;
    return got;
}
