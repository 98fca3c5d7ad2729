/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns reading and writing by descriptor. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "calls.h"
#include "host_file.h"
#include "state.h"

/* Linux moves at most so much in one call. */
#define TRANSFER_MAX 0x7ffff000ull
/* Standard error goes out in parts that a pipe with any room takes without blocking. */
#define ERROR_PART 4096
/* How often a write to standard error that waits looks whether the VM is to stop. */
#define ERROR_POLL_MS 50

static bool can_read(const struct open_file *file)
{
    return file && (file->status & O_ACCMODE) != O_WRONLY;
}

static bool can_write(const struct open_file *file)
{
    return file && (file->status & O_ACCMODE) != O_RDONLY;
}

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
    if (file->status & O_NONBLOCK && !stream_available(state->vm)) {
        int ready = stream_poll(state->vm, POLLIN | POLLHUP, 0);

        if (ready <= 0)
            return ready ? ready : -EAGAIN;
    }
    return stream_read(state->vm, to, bytes);
}

/* From its position on. */
static int64_t read_on(struct linux_state *state, struct open_file *file, void *to, size_t bytes)
{
    int64_t got = file_read(state, file, to, bytes, file->position);

    file->position += got > 0 ? got : 0;
    return got;
}

static int64_t read_file(struct linux_state *state, struct open_file *file, uint64_t addr,
                         uint64_t bytes)
{
    void *to;

    if (bytes > TRANSFER_MAX)
        bytes = TRANSFER_MAX;
    if (file->kind == FILE_NULL || !bytes)
        return 0;
    if (file->kind == FILE_DIRECTORY)
        return -EISDIR;
    to = vm_memory(state->vm, addr, bytes, true);
    if (!to)
        return -EFAULT;
    if (file->kind == FILE_INPUT)
        return read_input(state, file, to, bytes);
    return read_on(state, file, to, bytes);
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
            /* Before it blocks, as before any wait: others get what they wait for. */
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

static int64_t write_file(struct linux_state *state, const struct open_file *file, uint64_t addr,
                          uint64_t bytes)
{
    const void *from;

    if (bytes > TRANSFER_MAX)
        bytes = TRANSFER_MAX;
    if (file->kind == FILE_NULL || !bytes)
        return (int64_t)bytes;
    from = vm_memory(state->vm, addr, bytes, false);
    if (!from)
        return -EFAULT;
    return file->kind == FILE_OUTPUT ? stream_write(state->vm, from, bytes)
                                     : write_error(state, file, from, bytes);
}

int64_t sys_read(struct linux_state *state, const uint64_t arg[6])
{
    struct open_file *file = descriptor_file(state, arg[0]);

    return can_read(file) ? read_file(state, file, arg[1], arg[2]) : -EBADF;
}

int64_t sys_write(struct linux_state *state, const uint64_t arg[6])
{
    const struct open_file *file = descriptor_file(state, arg[0]);
    int64_t result;

    if (!can_write(file))
        return -EBADF;
    result = write_file(state, file, arg[1], arg[2]);
    return result == -EPIPE ? signal_broken_pipe(state) : result;
}

/* From standard input to standard output without passing through the program. */
static int64_t pass_on(struct linux_state *state, uint64_t from, uint64_t to, uint64_t bytes)
{
    const struct open_file *in = descriptor_file(state, from);
    const struct open_file *out = descriptor_file(state, to);
    int64_t result;

    if (!can_read(in) || !can_write(out))
        return -EBADF;
    if (in->kind != FILE_INPUT || out->kind != FILE_OUTPUT)
        return -EINVAL;
    result = in->status & O_NONBLOCK ? stream_poll(state->vm, POLLIN | POLLHUP, 0) : 1;
    if (result <= 0 || !bytes)
        return result < 0 || !bytes ? result : -EAGAIN;
    result = stream_pass(state->vm, bytes < TRANSFER_MAX ? bytes : TRANSFER_MAX);
    return result == -EPIPE ? signal_broken_pipe(state) : result;
}

/* Linux wants a file to send from; a stream here is as good, and copies nothing. */
int64_t sys_sendfile(struct linux_state *state, const uint64_t arg[6])
{
    return arg[2] ? -ESPIPE : pass_on(state, arg[1], arg[0], arg[3]);
}

int64_t sys_splice(struct linux_state *state, const uint64_t arg[6])
{
    return arg[1] || arg[3] ? -ESPIPE : pass_on(state, arg[0], arg[2], arg[4]);
}

/* Fetches `count` pieces; their lengths together fit one transfer. */
static int get_pieces(struct linux_state *state, uint64_t addr, uint64_t count,
                      struct iovec pieces[IOV_MAX])
{
    uint64_t left = TRANSFER_MAX;

    if (count > IOV_MAX)
        return -EINVAL;
    if (guest_get(state, addr, pieces, count * sizeof(pieces[0])))
        return -EFAULT;
    for (uint64_t i = 0; i < count; i++) {
        if (pieces[i].iov_len > SSIZE_MAX)
            return -EINVAL;
        if (pieces[i].iov_len > left)
            pieces[i].iov_len = left;
        left -= pieces[i].iov_len;
    }
    return 0;
}

/* Whether reading on after a full piece is sure not to block. */
static bool reads_on(struct linux_state *state, const struct open_file *file)
{
    return file->kind != FILE_INPUT || stream_available(state->vm);
}

int64_t sys_readv(struct linux_state *state, const uint64_t arg[6])
{
    struct open_file *file = descriptor_file(state, arg[0]);
    struct iovec pieces[IOV_MAX];
    int64_t done = 0;
    int err;

    if (!can_read(file))
        return -EBADF;
    err = get_pieces(state, arg[1], arg[2], pieces);
    if (err)
        return err;
    for (uint64_t i = 0; i < arg[2]; i++) {
        int64_t got;

        if (!pieces[i].iov_len)
            continue;
        if (done && !reads_on(state, file))
            break;
        got = read_file(state, file, (uintptr_t)pieces[i].iov_base, pieces[i].iov_len);
        if (got < 0)
            return done && got != -EINTR ? done : got;
        done += got;
        if ((uint64_t)got < pieces[i].iov_len)
            break;
    }
    return done;
}

/* Pieces of a short message to standard error go out as one, so that lines of
 * several VMs do not mix. False: not a short one, or not all readable. */
static bool write_gathered(struct linux_state *state, const struct open_file *file,
                           const struct iovec *pieces, uint64_t count, int64_t *result)
{
    char line[ERROR_PART];
    size_t bytes = 0;

    if (file->kind != FILE_ERROR)
        return false;
    for (uint64_t i = 0; i < count; i++) {
        if (pieces[i].iov_len > sizeof(line) - bytes ||
            guest_get(state, (uintptr_t)pieces[i].iov_base, line + bytes, pieces[i].iov_len))
            return false;
        bytes += pieces[i].iov_len;
    }
    *result = write_error(state, file, line, bytes);
    return true;
}

static int64_t write_pieces(struct linux_state *state, const struct open_file *file,
                            const struct iovec *pieces, uint64_t count)
{
    int64_t done = 0, put;

    if (write_gathered(state, file, pieces, count, &put))
        return put;
    for (uint64_t i = 0; i < count; i++) {
        put = write_file(state, file, (uintptr_t)pieces[i].iov_base, pieces[i].iov_len);
        if (put < 0)
            return done && put != -EINTR ? done : put;
        done += put;
        if ((uint64_t)put < pieces[i].iov_len)
            break;
    }
    return done;
}

int64_t sys_writev(struct linux_state *state, const uint64_t arg[6])
{
    const struct open_file *file = descriptor_file(state, arg[0]);
    struct iovec pieces[IOV_MAX];
    int64_t result;

    if (!can_write(file))
        return -EBADF;
    result = get_pieces(state, arg[1], arg[2], pieces);
    if (!result)
        result = write_pieces(state, file, pieces, arg[2]);
    return result == -EPIPE ? signal_broken_pipe(state) : result;
}

int64_t sys_pread64(struct linux_state *state, const uint64_t arg[6])
{
    const struct open_file *file = descriptor_file(state, arg[0]);
    uint64_t bytes = arg[2] > TRANSFER_MAX ? TRANSFER_MAX : arg[2];
    void *to;

    if (!can_read(file))
        return -EBADF;
    if ((int64_t)arg[3] < 0)
        return -EINVAL;
    if (file->kind == FILE_INPUT)
        return -ESPIPE;
    if (file->kind != FILE_REGULAR || !bytes)
        return file->kind == FILE_DIRECTORY ? -EISDIR : 0;
    to = vm_memory(state->vm, arg[1], bytes, true);
    return to ? file_read(state, file, to, bytes, (off_t)arg[3]) : -EFAULT;
}

/* Nothing that can be written to has positions, /dev/null aside. */
int64_t sys_pwrite64(struct linux_state *state, const uint64_t arg[6])
{
    const struct open_file *file = descriptor_file(state, arg[0]);

    if (!can_write(file))
        return -EBADF;
    if (file->kind != FILE_NULL)
        return -ESPIPE;
    return (int64_t)(arg[2] > TRANSFER_MAX ? TRANSFER_MAX : arg[2]);
}

static int64_t seek_file(struct linux_state *state, struct open_file *file, off_t offset,
                         int whence)
{
    struct host_call call = {.op = HOST_SEEK, .fd = file->fd, .offset = offset, .number = whence};
    int64_t position;

    if (whence == SEEK_CUR) {
        if (__builtin_add_overflow(offset, file->position, &call.offset))
            return -EOVERFLOW;
        call.number = SEEK_SET;
    }
    position = host_file_call(state, file->local, &call);
    if (position >= 0)
        file->position = position;
    return position;
}

int64_t sys_lseek(struct linux_state *state, const uint64_t arg[6])
{
    struct open_file *file = descriptor_file(state, arg[0]);

    if (!file)
        return -EBADF;
    if (file->kind == FILE_NULL)
        return 0;
    if (file->kind != FILE_REGULAR && file->kind != FILE_DIRECTORY)
        return -ESPIPE;
    if (arg[2] > SEEK_HOLE)
        return -EINVAL;
    return seek_file(state, file, (off_t)arg[1], (int)arg[2]);
}

int64_t sys_getdents64(struct linux_state *state, const uint64_t arg[6])
{
    struct open_file *file = descriptor_file(state, arg[0]);
    struct host_call call = {.op = HOST_ENTRIES, .bytes = (uint32_t)arg[2]};
    int64_t got;

    if (!file)
        return -EBADF;
    if (file->kind != FILE_DIRECTORY)
        return -ENOTDIR;
    call.fd = file->fd;
    call.offset = file->position;
    call.to = vm_memory(state->vm, arg[1], call.bytes, true);
    got = call.to ? host_file_call(state, file->local, &call) : -EFAULT;
    if (got >= 0)
        file->position = call.offset;
    return got;
}

/* Advice may be ignored. */
int64_t sys_fadvise64(struct linux_state *state, const uint64_t arg[6])
{
    const struct open_file *file = descriptor_file(state, arg[0]);

    if (!file)
        return -EBADF;
    return file->kind == FILE_REGULAR ? 0 : -ESPIPE;
}
