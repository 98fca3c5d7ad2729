/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the calls that move bytes from one descriptor to another without passing through the
 * program. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>

#include <ferry/abi/layout.h>

#include "lib/bits.h"
#include "linux/calls.h"
#include "linux/file_type.h"
#include "linux/objects.h"
#include "linux/socket.h"
#include "linux/state.h"
#include "linux/writable.h"

#define SPLICE_ALL (SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT)
/* Bytes that go through our memory go in parts of this size, which is that of a pipe. */
#define THROUGH_BYTES 65536

/* Of the files that streams take, and from which one may start anywhere. */
static bool has_positions(const struct open_file *file)
{
    return file->kind == FILE_REGULAR || file->kind == FILE_DEVICE;
}

/* Without waiting: whether input is there (1), has ended (0), or -EAGAIN. */
static int64_t input_now(struct linux_state *state)
{
    int ready;

    stream_first_look(vm_stream(state->vm));
    ready = stream_poll(vm_stream(state->vm), POLLIN | POLLHUP, 0);
    return ready < 0 ? ready : !ready ? -EAGAIN : ready & POLLIN ? 1 : 0;
}

/* Stream to stream: whole messages pass on. */
static int64_t pass_on(struct linux_state *state, uint64_t bytes, bool waits)
{
    if (!waits) {
        int64_t ready = input_now(state);

        if (ready <= 0)
            return ready;
        ready = stream_poll(vm_stream(state->vm), POLLOUT | POLLERR, 0);
        if (ready <= 0)
            return ready ? ready : -EAGAIN;
    }
    return stream_pass(vm_stream(state->vm), bytes);
}

/* Writes what there is room for now. The thread keeps its turn, unless it is a file that is not local. */
static int64_t put_now(struct linux_state *state, struct open_file *out, const void *from,
                       size_t bytes)
{
    int status = out->status;
    int64_t put;

    out->status |= O_NONBLOCK; /* nobody else sees that */
    put = file_put(state, out, from, bytes);
    out->status = status;
    return put;
}

/* Writing is nonblocking if the call is. */
static int64_t put_some(struct linux_state *state, struct open_file *out, const void *from,
                        size_t bytes, bool waits)
{
    return waits || out->kind == FILE_REGULAR ? file_write_bytes(state, out, from, bytes)
                                              : put_now(state, out, from, bytes);
}

/* ---- from what can be looked at before it is taken ------------------------- */

/* The position of none of these moves by bytes that the other side did not take. */
static bool can_peek(const struct open_file *file)
{
    return file->kind == FILE_INPUT || file->kind == FILE_PIPE || file->kind == FILE_SOCKET;
}

static int64_t peek_now(struct linux_state *state, struct open_file *in, void *to, size_t bytes)
{
    struct socket_read how = {.peek = true};

    return in->kind == FILE_PIPE ? pipe_peek(in, to, bytes)
                                 : socket_take(state, in->object, to, bytes, &how);
}

/* Up to so many bytes, which stay for the next read; 0: the end. */
static int64_t peek(struct linux_state *state, struct open_file *in, void *to, size_t bytes,
                    bool waits)
{
    const void *data;
    int64_t there;

    if (in->kind != FILE_INPUT) {
        do
            there = peek_now(state, in, to, bytes);
        while (waits && file_waited(state, in, POLLIN, &there));
        return there;
    }
    there = waits && !(in->status & O_NONBLOCK)
                ? stream_poll(vm_stream(state->vm), POLLIN | POLLHUP, UINT64_MAX)
                : input_now(state);
    if (there <= 0)
        return there;
    there = (int64_t)min_u64(stream_peek(vm_stream(state->vm), &data), bytes);
    memcpy(to, data, (size_t)there);
    return there;
}

/* Takes what was looked at just now. */
static void take(struct linux_state *state, struct open_file *in, void *unused, int64_t bytes)
{
    for (int64_t got = 1; bytes > 0 && got > 0; bytes -= got)
        got = file_get(state, in, unused, (size_t)bytes);
}

/* What the other side takes at once: while it waits for room, others may take from here. It stays here
 * if it is only copied. */
static int64_t from_peeked(struct linux_state *state, struct open_file *in, struct open_file *out,
                           uint64_t bytes, bool waits, bool copies)
{
    char through[THROUGH_BYTES];
    int64_t there, put;

    bytes = min_u64(bytes, sizeof(through));
    do {
        there = peek(state, in, through, bytes, waits);
        put = there > 0 ? put_now(state, out, through, (size_t)there) : there;
    } while (there > 0 && waits && file_waited(state, out, POLLOUT, &put));
    if (!copies)
        take(state, in, through, put);
    return put;
}

/* ---- from files ------------------------------------------------------------ */

/* From a file, part after part. Bytes that are not taken are read again, so the position moves only
 * by those that were. */
static int64_t from_file(struct linux_state *state, struct open_file *in, struct open_file *out,
                         uint64_t bytes, bool waits)
{
    char through[THROUGH_BYTES];
    uint64_t done = 0;

    while (done < bytes) {
        off_t position = file_position(in);
        uint64_t left = bytes - done;
        int64_t got =
            vm_stopping(state->vm)
                ? -EINTR
                : file_get(state, in, through, left < THROUGH_BYTES ? left : THROUGH_BYTES);
        int64_t put = got > 0 ? put_some(state, out, through, (size_t)got, waits) : got;

        if (in->kind == FILE_REGULAR && got > 0)
            file_set_position(in, position + (put > 0 ? put : 0));
        if (put <= 0)
            return done ? (int64_t)done : put;
        done += (uint64_t)put;
        if (put < got || got < THROUGH_BYTES)
            break;
    }
    return (int64_t)done;
}

/* As from_file, from an offset in the program's memory on, which is moved instead. */
static int64_t from_offset(struct linux_state *state, struct open_file *in, struct open_file *out,
                           uint64_t addr, uint64_t bytes, bool waits)
{
    struct open_file at;
    off_t offset;
    int64_t result;

    if (!addr)
        return from_file(state, in, out, bytes, waits);
    if (guest_get(state, addr, &offset, sizeof(offset)))
        return -EFAULT;
    if (!has_positions_for((uint64_t)offset, bytes))
        return -EINVAL;
    at = file_at(in, offset); /* other threads may use the file while this one waits */
    result = from_file(state, &at, out, bytes, waits);
    offset = in->kind == FILE_REGULAR ? at.position : offset + (result > 0 ? result : 0);
    return guest_put(state, addr, &offset, sizeof(offset)) ? -EFAULT : result;
}

/* As `from_offset` of what is written: makes *at the file with the offset at `addr` as its position.
 * give_offset puts the offset back. */
static int take_offset(struct linux_state *state, const struct open_file *out, uint64_t addr,
                       uint64_t bytes, struct open_file *at)
{
    off_t offset;

    if (guest_get(state, addr, &offset, sizeof(offset)))
        return -EFAULT;
    if (!has_positions_for((uint64_t)offset, bytes))
        return -EINVAL;
    *at = file_at(out, offset);
    return 0;
}

static int64_t give_offset(struct linux_state *state, uint64_t addr, const struct open_file *at,
                           int64_t result)
{
    return guest_put(state, addr, &at->position, sizeof(at->position)) ? -EFAULT : result;
}

/* ---- from what was given -------------------------------------------------- */

/* From one pipe of the host to another, or (`copies`) only copied there. */
static int64_t between_pipes(struct linux_state *state, struct open_file *in, struct open_file *out,
                             uint64_t bytes, bool waits, bool copies)
{
    int64_t done;

    bytes = min_u64(bytes, TRANSFER_MAX);
    waits = waits && !((in->status | out->status) & O_NONBLOCK);
    do {
        done = copies ? tee(in->fd, out->fd, bytes, SPLICE_F_NONBLOCK)
                      : splice(in->fd, NULL, out->fd, NULL, bytes, SPLICE_F_NONBLOCK);
        if (done < 0)
            done = errno == EINTR ? -EAGAIN : -errno;
    } while (waits && file_waited(state, in, POLLIN, &done) &&
             file_waited(state, out, POLLOUT, &done));
    return done;
}

static bool is_host_pipe(const struct open_file *file)
{
    return file->kind == FILE_GIVEN && fcntl(file->fd, F_GETPIPE_SZ) > 0;
}

/* Bytes that were taken cannot be put back, so no more than is sure to fit is taken. */
static int64_t from_given(struct linux_state *state, struct open_file *in, struct open_file *out,
                          uint64_t bytes, bool waits)
{
    char through[THROUGH_BYTES];
    size_t sure = file_is_stream(out) ? PIPE_BUF : sizeof(through);
    struct readiness readiness;
    int64_t got;

    do {
        got = file_poll(state, out, POLLOUT, &readiness) ? 0 : -EAGAIN;
    } while (waits && file_waited(state, out, POLLOUT, &got));
    if (!got && in->kind == FILE_INPUT && !waits && (got = input_now(state)) == 0)
        return 0;
    if (got >= 0)
        got = file_get(state, in, through, min_u64(bytes, sure));
    return got > 0 ? put_some(state, out, through, (size_t)got, waits) : got;
}

/* Into a file of the host, whose kernel takes from the pipe what it has written. */
static int64_t from_host_pipe(struct linux_state *state, struct open_file *in,
                              struct open_file *out, uint64_t bytes, bool waits)
{
    int64_t got;

    do
        got = regular_splice(state, out, in->fd, bytes);
    while (waits && file_waited(state, in, POLLIN, &got));
    return got;
}

/* From a pipe or a socket. */
static int64_t from_stream(struct linux_state *state, struct open_file *in, struct open_file *out,
                           uint64_t bytes, bool waits)
{
    int64_t moved = -EINVAL;

    waits = waits && !(out->status & O_NONBLOCK);
    if (can_peek(in) && !(out->kind == FILE_REGULAR && !out->local))
        return from_peeked(state, in, out, bytes, waits, false);
    if (is_host_pipe(in) && is_host_pipe(out))
        return between_pipes(state, in, out, bytes, waits, false);
    if (is_host_pipe(in) && out->kind == FILE_REGULAR && out->local)
        moved = from_host_pipe(state, in, out, bytes, waits);
    if (moved != -EINVAL) /* else its file system has no such call */
        return moved;
    do
        moved = from_given(state, in, out, bytes, waits);
    while (waits && file_waited(state, in, POLLIN, &moved));
    return moved;
}

/* ---- the calls ------------------------------------------------------------- */

static bool is_pipe(const struct open_file *file)
{
    return file_type(file)->resize;
}

/* Into a file, at an offset if there is one. */
static int64_t into_file(struct linux_state *state, struct open_file *in, struct open_file *out,
                         const uint64_t arg[6], bool waits)
{
    uint64_t bytes = arg[4] < TRANSFER_MAX ? arg[4] : TRANSFER_MAX;
    struct open_file at;
    int64_t result = out->status & O_APPEND ? -EINVAL
                     : arg[3]               ? take_offset(state, out, arg[3], bytes, &at)
                                            : 0;

    if (result)
        return result;
    if (arg[3])
        out = &at;
    result = is_pipe(in) ? from_stream(state, in, out, bytes, waits) : -EINVAL;
    return arg[3] ? give_offset(state, arg[3], out, result) : result;
}

static int64_t splice_some(struct linux_state *state, const uint64_t arg[6])
{
    struct open_file *in = descriptor_file(state, arg[0]), *out = descriptor_file(state, arg[2]);
    uint64_t bytes = arg[4] < TRANSFER_MAX ? arg[4] : TRANSFER_MAX;
    bool waits = !(arg[5] & SPLICE_F_NONBLOCK);

    if (!bytes)
        return 0;
    if (arg[5] & ~(uint64_t)SPLICE_ALL)
        return -EINVAL;
    if (!file_can_read(in) || !file_can_write(out))
        return -EBADF;
    if ((file_is_stream(in) && arg[1]) || (file_is_stream(out) && arg[3]))
        return -ESPIPE;
    if (out->kind == FILE_REGULAR)
        return into_file(state, in, out, arg, waits);
    if (in->kind == FILE_INPUT && out->kind == FILE_OUTPUT)
        return pass_on(state, bytes, waits && !((in->status | out->status) & O_NONBLOCK));
    if (file_is_stream(in) && (is_pipe(in) || is_pipe(out)))
        return in->object && in->object == out->object ? -EINVAL
                                                       : from_stream(state, in, out, bytes, waits);
    if (!is_pipe(out) || !has_positions(in))
        return -EINVAL;
    return from_offset(state, in, out, arg[1], bytes, waits);
}

int64_t sys_splice(struct linux_state *state, const uint64_t arg[6])
{
    int64_t result = splice_some(state, arg);

    return result == -EPIPE ? signal_broken_pipe(state) : result;
}

/* Linux wants a file to send from. A stream is as good where whole messages can pass on without a
 * copy; with less a program is better off to read and write, as on Linux. */
static int64_t send_file(struct linux_state *state, const uint64_t arg[6])
{
    struct open_file *in = descriptor_file(state, arg[1]), *out = descriptor_file(state, arg[0]);
    uint64_t bytes = arg[3] < TRANSFER_MAX ? arg[3] : TRANSFER_MAX;

    if (!file_can_read(in))
        return -EBADF;
    if (file_is_stream(in) && arg[2])
        return -ESPIPE;
    if (!file_can_write(out))
        return -EBADF;
    if (in->kind == FILE_INPUT && out->kind == FILE_OUTPUT && bytes >= FERRY_EXTENT_BYTES)
        return pass_on(state, bytes, !((in->status | out->status) & O_NONBLOCK));
    if (!has_positions(in) || out->status & O_APPEND)
        return -EINVAL;
    return bytes ? from_offset(state, in, out, arg[2], bytes, true) : 0;
}

int64_t sys_sendfile(struct linux_state *state, const uint64_t arg[6])
{
    int64_t result = send_file(state, arg);

    return result == -EPIPE ? signal_broken_pipe(state) : result;
}

/* tee: bytes of input go to output, and stay for the next read. */
int64_t sys_tee(struct linux_state *state, const uint64_t arg[6])
{
    struct open_file *in = descriptor_file(state, arg[0]), *out = descriptor_file(state, arg[1]);
    bool waits = !(arg[3] & SPLICE_F_NONBLOCK);
    char through[THROUGH_BYTES];
    int64_t there, result;

    if (arg[3] & ~(uint64_t)SPLICE_ALL)
        return -EINVAL;
    if (!arg[2])
        return 0;
    if (!file_can_read(in) || !file_can_write(out))
        return -EBADF;
    if (!is_pipe(in) || !is_pipe(out) || out->kind == FILE_INPUT || in->kind == FILE_OUTPUT ||
        (in->object && in->object == out->object))
        return -EINVAL;
    if (in->kind == FILE_PIPE) {
        waits = waits && !((in->status | out->status) & O_NONBLOCK);
        result = from_peeked(state, in, out, arg[2], waits, true);
        return result == -EPIPE ? signal_broken_pipe(state) : result;
    }
    if (in->kind == FILE_GIVEN && out->kind == FILE_GIVEN) {
        result = between_pipes(state, in, out, arg[2], waits, true);
        return result == -EPIPE ? signal_broken_pipe(state) : result;
    }
    if (in->kind != FILE_INPUT)
        return -EINVAL;
    there = peek(state, in, through, min_u64(arg[2], sizeof(through)), waits);
    result = there > 0 ? put_some(state, out, through, (size_t)there, waits) : there;
    return result == -EPIPE ? signal_broken_pipe(state) : result;
}

int64_t sys_vmsplice(struct linux_state *state, const uint64_t arg[6])
{
    const struct open_file *file = descriptor_file(state, arg[0]);

    if (arg[3] & ~(uint64_t)SPLICE_ALL)
        return -EINVAL;
    if (!file || file->status & O_PATH || !is_pipe(file))
        return -EBADF;
    return file_can_write(file) ? sys_writev(state, arg) : sys_readv(state, arg);
}

static bool overlaps(const struct open_file *in, const struct open_file *out, off_t from, off_t to,
                     uint64_t bytes)
{
    return out->writable && in->writable == out->writable && in->ino == out->ino &&
           in->dev == out->dev && (uint64_t)(from > to ? from - to : to - from) < bytes;
}

/* The bytes pass through our memory: what a file system would share by itself is written. */
int64_t sys_copy_file_range(struct linux_state *state, const uint64_t arg[6])
{
    struct open_file *in = descriptor_file(state, arg[0]), *out = descriptor_file(state, arg[2]);
    uint64_t bytes = arg[4] < TRANSFER_MAX ? arg[4] : TRANSFER_MAX;
    struct open_file at;
    off_t from;
    int64_t result;

    if (arg[5])
        return -EINVAL;
    if (!in || !out)
        return -EBADF;
    if (in->kind == FILE_DIRECTORY || out->kind == FILE_DIRECTORY)
        return -EISDIR;
    if (in->kind != FILE_REGULAR || out->kind != FILE_REGULAR)
        return -EINVAL;
    if (!file_can_read(in) || !file_can_write(out) || out->status & O_APPEND)
        return -EBADF;
    from = file_position(in);
    if (arg[1] && guest_get(state, arg[1], &from, sizeof(from)))
        return -EFAULT;
    result = arg[3] ? take_offset(state, out, arg[3], bytes, &at) : 0;
    if (result)
        return result;
    if (arg[3])
        out = &at;
    if (overlaps(in, out, from, file_position(out), bytes))
        result = -EINVAL;
    else
        result = from_offset(state, in, out, arg[1], bytes, true);
    return arg[3] ? give_offset(state, arg[3], out, result) : result;
}
