/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns reading and writing in pieces. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <sys/uio.h>

#include "lib/bits.h"
#include "linux/calls.h"
#include "linux/file_type.h"
#include "linux/guest_files.h"
#include "linux/guest_rooms.h"
#include "linux/socket.h"
#include "linux/state.h"

#ifndef RWF_APPEND
#define RWF_APPEND 0x10
#endif
#define RWF_ALL (RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND)

int pieces_fetch(struct linux_state *state, uint64_t addr, uint64_t count, struct iovec *pieces)
{
    uint64_t left = TRANSFER_MAX;

    if (count > IOV_MAX)
        return -EINVAL;
    if (guest_get(state, addr, pieces, count * sizeof(pieces[0])))
        return -EFAULT;
    for (uint64_t i = 0; i < count; i++) {
        if (pieces[i].iov_len > SSIZE_MAX)
            return -EINVAL;
    }
    for (uint64_t i = 0; i < count; i++) {
        if (pieces[i].iov_len > MEMORY_USER_END ||
            (uintptr_t)pieces[i].iov_base > MEMORY_USER_END - pieces[i].iov_len)
            return -EFAULT;
        if (pieces[i].iov_len > left)
            pieces[i].iov_len = left;
        left -= pieces[i].iov_len;
    }
    return 0;
}

uint64_t pieces_bytes(const struct iovec *pieces, uint64_t count)
{
    uint64_t bytes = 0;

    for (uint64_t i = 0; i < count; i++)
        bytes += pieces[i].iov_len;
    return bytes;
}

int pieces_copy(struct linux_state *state, const struct iovec *pieces, uint64_t count,
                uint64_t skip, char *memory, uint64_t bytes, bool out)
{
    for (uint64_t i = 0; i < count && bytes; i++) {
        uint64_t addr = (uintptr_t)pieces[i].iov_base + skip, part = pieces[i].iov_len;

        if (skip >= part) {
            skip -= part;
            continue;
        }
        part = part - skip < bytes ? part - skip : bytes;
        if (out ? guest_put(state, addr, memory, part) : guest_get(state, addr, memory, part))
            return -EFAULT;
        memory += part;
        bytes -= part;
        skip = 0;
    }
    return 0;
}

/* Whether reading on after a full piece is sure not to block. */
static bool reads_on(struct linux_state *state, struct open_file *file)
{
    const struct file_type *type = file_type(file);

    return !type->stream || (type->available && type->available(state, file) > 0);
}

static int64_t read_pieces(struct linux_state *state, struct open_file *file,
                           const struct iovec *pieces, uint64_t count)
{
    int64_t done = 0;

    for (uint64_t i = 0; i < count; i++) {
        int64_t got;

        if (!pieces[i].iov_len)
            continue;
        if (done && !reads_on(state, file))
            break;
        if (vm_stopping(state->vm))
            return -EINTR;
        got = file_read_to(state, file, (uintptr_t)pieces[i].iov_base, pieces[i].iov_len);
        if (got < 0)
            return done ? done : got;
        done += got;
        if ((uint64_t)got < pieces[i].iov_len)
            break;
    }
    return done;
}

/* Pieces of a short message go out as one to standard error, so that lines of several VMs do not
 * mix, and to objects, as several writers of one pipe may expect. False: not a short one, or not all
 * readable. */
static bool write_gathered(struct linux_state *state, struct open_file *file,
                           const struct iovec *pieces, uint64_t count, int64_t *result)
{
    char line[ERROR_PART];
    size_t bytes = 0;

    if (file->kind == FILE_OUTPUT || !file_is_stream(file))
        return false;
    for (uint64_t i = 0; i < count; i++) {
        if (pieces[i].iov_len > sizeof(line) - bytes ||
            guest_get(state, (uintptr_t)pieces[i].iov_base, line + bytes, pieces[i].iov_len))
            return false;
        bytes += pieces[i].iov_len;
    }
    *result = file_write_bytes(state, file, line, bytes);
    return true;
}

/* A long piece is looked at in parts of this size, and the VM may be stopped between two. */
#define LOOK_PART (16ull << 20)

/* How much of one piece can be read, by parts. */
static uint64_t readable_part(struct linux_state *state, const struct iovec *piece)
{
    uint64_t done = 0, part;

    for (; done < piece->iov_len; done += part) {
        part = min_u64(piece->iov_len - done, LOOK_PART);
        if (vm_stopping(state->vm) ||
            !vm_may(state->vm, guest_addr((uint64_t)piece->iov_base + done), part, false))
            break;
    }
    return done;
}

/* How much of the pieces a pipe of Linux takes: it copies page by page, and a page that cannot be
 * read to its end is not sent. */
static uint64_t readable_bytes(struct linux_state *state, const struct iovec *pieces,
                               uint64_t count)
{
    uint64_t bytes = 0;

    for (uint64_t i = 0; i < count; i++) {
        if (readable_part(state, &pieces[i]) < pieces[i].iov_len)
            return bytes & ~(uint64_t)(FERRY_PAGE_BYTES - 1);
        bytes += pieces[i].iov_len;
    }
    return bytes;
}

static int64_t write_pieces(struct linux_state *state, struct open_file *file,
                            const struct iovec *pieces, uint64_t count)
{
    uint64_t bytes = pieces_bytes(pieces, count), may;
    int64_t done = 0, put;

    if (file->kind == FILE_DEVICE)
        return bytes ? file_put(state, file, NULL, bytes) : 0;
    if (write_gathered(state, file, pieces, count, &put))
        return put;
    may = file->kind == FILE_REGULAR ? bytes : readable_bytes(state, pieces, count);
    if (!may && bytes)
        return vm_stopping(state->vm) ? -EINTR : -EFAULT;
    for (uint64_t i = 0; i < count && (uint64_t)done < may; i++) {
        uint64_t left = may - (uint64_t)done;
        uint64_t part = pieces[i].iov_len < left ? pieces[i].iov_len : left;

        if (vm_stopping(state->vm))
            return -EINTR;
        put = file_write_from(state, file, (uintptr_t)pieces[i].iov_base, part);
        if (put < 0)
            return done ? done : put;
        done += put;
        if ((uint64_t)put < part)
            break;
    }
    return done;
}

static int64_t readv_from(struct linux_state *state, struct open_file *file, const uint64_t arg[6])
{
    struct iovec pieces[IOV_MAX];
    struct socket_read how;
    int64_t got;
    int result;

    if (!file_can_read(file))
        return -EBADF;
    result = pieces_fetch(state, arg[1], arg[2], pieces);
    if (!result && file->kind == FILE_SOCKET) {
        got = socket_receive(state, file, pieces, arg[2], 0, &how);
        rights_drop(state, how.rights);
        return got;
    }
    return result ? result : read_pieces(state, file, pieces, arg[2]);
}

int64_t sys_readv(struct linux_state *state, const uint64_t arg[6])
{
    struct open_file *file = descriptor_file(state, arg[0]);
    int64_t got = file_in_turn(state, file, arg, readv_from);

    if (got > 0)
        guest_files_served(state, file, arg[0], file->position - got, got);
    return got;
}

static int64_t writev_to(struct linux_state *state, struct open_file *file, const uint64_t arg[6])
{
    struct iovec pieces[IOV_MAX];
    struct rights *none = NULL;
    int64_t result;

    if (!file_can_write(file))
        return -EBADF;
    result = pieces_fetch(state, arg[1], arg[2], pieces);
    if (!result && file->kind == FILE_SOCKET)
        result = socket_send(state, file, pieces, arg[2], true, &none);
    else if (!result)
        result = write_pieces(state, file, pieces, arg[2]);
    return result == -EPIPE ? signal_broken_pipe(state) : result;
}

int64_t sys_writev(struct linux_state *state, const uint64_t arg[6])
{
    struct open_file *file = descriptor_file(state, arg[0]);
    int64_t put = file_in_turn(state, file, arg, writev_to);

    guest_rooms_served(state, file, arg[0], put);
    return put;
}

/* Of the flags of preadv2 only RWF_NOWAIT and RWF_APPEND mean something here. */
static int call_flags(const uint64_t arg[6])
{
    return (arg[5] & RWF_NOWAIT ? O_NONBLOCK : 0) | (arg[5] & RWF_APPEND ? O_APPEND : 0);
}

/* At an offset: that of files which have positions. Their own one stays as it is. Other threads may
 * use the file while this one waits for it, so the call works on a copy that has the offset. */
static int64_t at_offset(struct linux_state *state, const struct open_file *file, int flags,
                         const uint64_t arg[6], file_call run)
{
    struct open_file at;

    if ((int64_t)arg[3] < 0)
        return -EINVAL;
    if (!file || file->status & O_PATH)
        return -EBADF;
    if (file_is_stream(file))
        return -ESPIPE;
    at = file_at(file, (off_t)arg[3]);
    at.status |= flags;
    return run(state, &at, arg);
}

int64_t sys_preadv(struct linux_state *state, const uint64_t arg[6])
{
    struct open_file *file = descriptor_file(state, arg[0]);
    int64_t got = at_offset(state, file, 0, arg, readv_from);

    if (got > 0)
        guest_files_served(state, file, arg[0], (off_t)arg[3], got);
    return got;
}

int64_t sys_pwritev(struct linux_state *state, const uint64_t arg[6])
{
    return at_offset(state, descriptor_file(state, arg[0]), 0, arg, writev_to);
}

/* At the file's own position, with the flags of the call. */
static int64_t own_with_flags(struct linux_state *state, struct open_file *file,
                              const uint64_t arg[6], file_call run)
{
    struct open_file own = *file;
    int64_t result;

    own.status |= call_flags(arg);
    result = run(state, &own, arg);
    if (result > 0)
        file->position = own.position;
    file->stalls = own.stalls;
    return result;
}

static int64_t readv_with_flags(struct linux_state *state, struct open_file *file,
                                const uint64_t arg[6])
{
    return own_with_flags(state, file, arg, readv_from);
}

static int64_t writev_with_flags(struct linux_state *state, struct open_file *file,
                                 const uint64_t arg[6])
{
    return own_with_flags(state, file, arg, writev_to);
}

/* An offset of -1 is the file's own position. */
static int64_t with_flags(struct linux_state *state, const uint64_t arg[6], file_call run,
                          file_call run_with_flags)
{
    struct open_file *file = descriptor_file(state, arg[0]);

    if (arg[5] & ~(uint64_t)RWF_ALL)
        return -EOPNOTSUPP;
    if (!file)
        return -EBADF;
    if ((int64_t)arg[3] != -1)
        return at_offset(state, file, call_flags(arg), arg, run);
    return file_in_turn(state, file, arg, call_flags(arg) ? run_with_flags : run);
}

int64_t sys_preadv2(struct linux_state *state, const uint64_t arg[6])
{
    return with_flags(state, arg, readv_from, readv_with_flags);
}

int64_t sys_pwritev2(struct linux_state *state, const uint64_t arg[6])
{
    return with_flags(state, arg, writev_to, writev_with_flags);
}
