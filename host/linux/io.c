/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns reading and writing by descriptor. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "linux/calls.h"
#include "linux/file_type.h"
#include "linux/host_file.h"
#include "linux/state.h"

int64_t file_read(struct linux_state *state, const struct open_file *file, void *to, size_t bytes,
                  off_t offset)
{
    struct host_call call = {
        .op = HOST_READ, .fd = file->fd, .offset = offset, .to = to, .bytes = bytes};

    return host_file_call(state, file->local, &call);
}

int64_t file_get(struct linux_state *state, struct open_file *file, void *to, size_t bytes)
{
    const struct file_type *type = file_type(file);

    if (type->get)
        return type->get(state, file, to, bytes);
    /* The other end is not here, although the file was opened for both. */
    return file->object ? -EINVAL : -EBADF;
}

int64_t file_put(struct linux_state *state, struct open_file *file, const void *from, size_t bytes)
{
    const struct file_type *type = file_type(file);

    if (type->put)
        return type->put(state, file, from, bytes);
    return file->object ? -EINVAL : -EBADF;
}

bool file_waited(struct linux_state *state, struct open_file *file, int events, int64_t *result)
{
    int waited;

    if (*result != -EAGAIN || file->status & O_NONBLOCK)
        return false;
    waited = file_await(state, file, events);
    *result = waited ? waited : *result;
    return !waited;
}

int64_t file_read_to(struct linux_state *state, struct open_file *file, uint64_t addr,
                     uint64_t bytes)
{
    int64_t got;

    if (bytes > TRANSFER_MAX)
        bytes = TRANSFER_MAX;
    if (!bytes || (file->kind == FILE_DEVICE && file->device == DEVICE_NULL))
        return 0;
    do {
        void *to = vm_reach_out(state->vm, guest_addr(addr), bytes);

        got = to ? file_get(state, file, to, bytes) : -EFAULT;
    } while (file_waited(state, file, POLLIN, &got));
    return got;
}

/* From our memory, or if that is NULL from the program's. */
static int64_t write_all(struct linux_state *state, struct open_file *file, const char *memory,
                         uint64_t addr, uint64_t bytes)
{
    uint64_t done = 0;
    int64_t put;

    do {
        const void *from =
            memory ? memory + done : vm_reach_in(state->vm, guest_addr(addr + done), bytes - done);

        put = from ? file_put(state, file, from, bytes - done) : -EFAULT;
        done += put > 0 ? (uint64_t)put : 0;
        if (put > 0 && done < bytes)
            put = -EAGAIN; /* there is no room for the rest */
    } while (file_waited(state, file, POLLOUT, &put));
    return done ? (int64_t)done : put;
}

int64_t file_write_from(struct linux_state *state, struct open_file *file, uint64_t addr,
                        uint64_t bytes)
{
    if (bytes > TRANSFER_MAX)
        bytes = TRANSFER_MAX;
    if (!bytes || file->kind == FILE_DEVICE) /* those look at nothing */
        return file_put(state, file, NULL, bytes);
    return write_all(state, file, NULL, addr, bytes);
}

int64_t file_write_bytes(struct linux_state *state, struct open_file *file, const void *from,
                         size_t bytes)
{
    return write_all(state, file, from, 0, bytes);
}

int64_t sys_read(struct linux_state *state, const uint64_t arg[6])
{
    struct open_file *file = descriptor_file(state, arg[0]);

    return file_can_read(file) ? file_read_to(state, file, arg[1], arg[2]) : -EBADF;
}

static int64_t write_to(struct linux_state *state, struct open_file *file, const uint64_t arg[6])
{
    int64_t result;

    if (!file_can_write(file))
        return -EBADF;
    result = file_write_from(state, file, arg[1], arg[2]);
    return result == -EPIPE ? signal_broken_pipe(state) : result;
}

int64_t sys_write(struct linux_state *state, const uint64_t arg[6])
{
    return write_to(state, descriptor_file(state, arg[0]), arg);
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
    if (file_is_stream(file))
        return -ESPIPE;
    if (!file_can_read(file))
        return -EBADF;
    if (!has_positions_for(arg[3], bytes))
        return -EINVAL;
    if (file->kind == FILE_DEVICE)
        return sys_read(state, arg);
    if (file->kind != FILE_REGULAR || !bytes)
        return file->kind == FILE_REGULAR ? 0 : -EISDIR;
    to = vm_reach_out(state->vm, guest_addr(arg[1]), bytes);
    return to ? file_read(state, file, to, bytes, (off_t)arg[3]) : -EFAULT;
}

/* The file's own position stays as it is, also for other threads meanwhile. */
int64_t sys_pwrite64(struct linux_state *state, const uint64_t arg[6])
{
    const struct open_file *file = descriptor_file(state, arg[0]);
    struct open_file at;

    if ((int64_t)arg[3] < 0)
        return -EINVAL;
    if (!file || file->status & O_PATH)
        return -EBADF;
    if (file_is_stream(file))
        return -ESPIPE;
    if (file_can_write(file) &&
        !has_positions_for(arg[3], arg[2] < TRANSFER_MAX ? arg[2] : TRANSFER_MAX))
        return -EINVAL;
    at = *file;
    at.position = (off_t)arg[3];
    return write_to(state, &at, arg);
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
    if (file_is_stream(file))
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
        return listing_entries(state, file, arg[1], (uint32_t)arg[2]);
    if (file->kind != FILE_DIRECTORY)
        return -ENOTDIR;
    call.fd = file->fd;
    call.offset = file->position;
    call.to = vm_reach_out(state->vm, guest_addr(arg[1]), call.bytes);
    got = call.to ? host_file_call(state, file->local, &call) : -EFAULT;
    if (got >= 0)
        file->position = call.offset;
    return got;
}
