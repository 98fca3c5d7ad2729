/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns reading and writing by descriptor. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/bits.h"
#include "linux/calls.h"
#include "linux/file_type.h"
#include "linux/guest_files.h"
#include "linux/guest_rooms.h"
#include "linux/host_file.h"
#include "linux/socket.h"
#include "linux/state.h"

/* A long read is made in parts of this size, and the VM may be stopped between two. */
#define READ_PART (64u << 20)

static int64_t read_part(struct linux_state *state, const struct open_file *file, void *to,
                         size_t bytes, off_t offset)
{
    struct host_call call = {.op = HOST_READ,
                             .fd = file->fd,
                             .offset = offset,
                             .to = to,
                             .bytes = bytes,
                             .as_is = file->given};
    struct vcpu *aside = file->local ? vm_step_aside(state->vm, to) : NULL;
    int64_t got = host_file_call(state, file->local, &call);

    vm_step_back(state->vm, aside);
    return got;
}

int64_t file_read(struct linux_state *state, const struct open_file *file, void *to, size_t bytes,
                  off_t offset)
{
    size_t done = 0, part;
    int64_t got;

    do {
        part = bytes - done < READ_PART ? bytes - done : READ_PART;
        got = read_part(state, file, (char *)to + done, part,
                        offset < 0 ? offset : offset + (off_t)done);
        done += got > 0 ? (size_t)got : 0;
    } while (got == (int64_t)part && done < bytes && !vm_stopping(state->vm));
    return done ? (int64_t)done : got;
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

/* ---- live memory --------------------------------------------------------- */

/* The bytes that a call of our own moves to live memory, or from there, go through memory of the VMM,
 * in parts like that: none is shorter than the longest message of a socket. */
#define LIVE_PART (256u << 10)
_Static_assert(LIVE_PART >= SOCKET_BYTES, "a message is moved in one part");

/* Whether only the host's kernel touches the bytes that are read or written. */
static bool is_by_kernel(const struct open_file *file)
{
    return file->kind == FILE_REGULAR && file->local;
}

static int64_t get_live(struct linux_state *state, struct open_file *file, uint64_t addr,
                        size_t bytes)
{
    size_t part = bytes < LIVE_PART ? bytes : LIVE_PART;
    /* Before anything is taken from the file. */
    bool may = vm_may(state->vm, guest_addr(addr), part, true);
    char *memory = may ? malloc(part ? part : 1) : NULL;
    int64_t got = memory ? file_get(state, file, memory, part) : may ? -ENOMEM : -EFAULT;

    if (got > 0 && guest_put(state, addr, memory, (size_t)got))
        got = -EFAULT;
    free(memory);
    return got;
}

static int64_t put_live(struct linux_state *state, struct open_file *file, uint64_t addr,
                        uint64_t bytes)
{
    char *memory = malloc(bytes < LIVE_PART ? bytes : LIVE_PART);
    uint64_t done = 0, part = 0, there;
    int64_t put = memory ? 0 : -ENOMEM;

    while (put >= 0 && done < bytes && (uint64_t)put == part) {
        part = bytes - done < LIVE_PART ? bytes - done : LIVE_PART;
        there = vm_copy_in_pages(state->vm, memory, guest_addr(addr + done), part);
        if (there < part) /* a pipe of Linux takes pages, or nothing */
            part = there & ~(uint64_t)(FERRY_PAGE_BYTES - 1);
        put = part ? file_put(state, file, memory, part) : -EFAULT;
        done += put > 0 ? (uint64_t)put : 0;
    }
    free(memory);
    return done ? (int64_t)done : put;
}

/* Linux asks for that first, of all that was asked for, also for no bytes. */
static bool is_programs(uint64_t addr, uint64_t bytes)
{
    return bytes <= MEMORY_USER_END && addr <= MEMORY_USER_END - bytes;
}

/* Memory that is not there matters only to bytes that come: Linux tells the end all the same, and that
 * there is nothing yet. */
static int64_t get_to_nowhere(struct linux_state *state, struct open_file *file)
{
    struct readiness readiness;
    int events;
    char none;

    if ((file->kind != FILE_REGULAR && file->kind != FILE_PIPE && file->kind != FILE_SOCKET &&
         file->kind != FILE_INPUT) ||
        file_type(file)->available(state, file) != 0)
        return -EFAULT;
    if (file->kind == FILE_REGULAR)
        return 0;
    if (file->kind != FILE_INPUT)
        return file_get(state, file, &none, 1);
    /* It does not wait: the next message may be another peer's, which only the program takes. */
    events = file_poll(state, file, POLLIN, &readiness);
    return events & POLLHUP ? 0 : -EFAULT;
}

/* How many bytes there are before the first that the program may not reach: between a file and its
 * reader or writer Linux moves so many. */
static uint64_t reachable(struct linux_state *state, uint64_t addr, uint64_t bytes, bool write)
{
    uint64_t low = 0, high = bytes, middle;

    while (low < high) {
        middle = high - (high - low) / 2;
        if (vm_memory(state->vm, guest_addr(addr), middle, write).at)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

static int64_t get_to(struct linux_state *state, struct open_file *file, uint64_t addr,
                      size_t bytes)
{
    struct reach to = vm_memory(state->vm, guest_addr(addr), bytes, true);
    int64_t there;

    if (!to.at && file->kind == FILE_REGULAR) {
        there = file_type(file)->available(state, file);
        bytes = there > 0 ? reachable(state, addr, min_u64(bytes, (uint64_t)there), true) : 0;
        if (bytes)
            to = vm_memory(state->vm, guest_addr(addr), bytes, true);
    }
    if (to.live && !is_by_kernel(file))
        return get_live(state, file, addr, bytes);
    return to.at ? file_get(state, file, to.at, bytes) : get_to_nowhere(state, file);
}

static int64_t put_from(struct linux_state *state, struct open_file *file, uint64_t addr,
                        size_t bytes)
{
    struct reach from = vm_memory(state->vm, guest_addr(addr), bytes, false);

    if (!from.at && file->kind == FILE_REGULAR) {
        bytes = reachable(state, addr, bytes, false);
        if (bytes)
            from = vm_memory(state->vm, guest_addr(addr), bytes, false);
    }
    if (from.live && !is_by_kernel(file))
        return put_live(state, file, addr, bytes);
    return from.at ? file_put(state, file, from.at, bytes) : -EFAULT;
}

/* ---- reading and writing ------------------------------------------------- */

bool file_waited(struct linux_state *state, struct open_file *file, int events, int64_t *result)
{
    struct readiness readiness;
    int waited;

    if (*result != -EAGAIN || file->status & O_NONBLOCK)
        return false;
    /* It may be ready and yet have no room for so much: an eventfd, or what a driver of the host says.
     * Others have their turn, and signals and the VM's end are noticed. */
    if (file_poll(state, file, events, &readiness))
        waited = vm_sleep(state->vm, 0);
    else
        waited = file_await(state, file, events);
    *result = waited ? waited : *result;
    return !waited;
}

int64_t file_read_to(struct linux_state *state, struct open_file *file, uint64_t addr,
                     uint64_t bytes)
{
    int64_t got;

    if (!is_programs(addr, bytes))
        return -EFAULT;
    if (!file_is_stream(file) && !has_positions_for((uint64_t)file->position, bytes))
        return -EINVAL;
    if (bytes > TRANSFER_MAX)
        bytes = TRANSFER_MAX;
    if (file->kind == FILE_DIRECTORY || file->kind == FILE_LIST)
        return -EISDIR; /* also for no bytes */
    if (!bytes || (file->kind == FILE_DEVICE && file->device == DEVICE_NULL))
        return 0;
    /* A buffer may be larger than the memory that there is, if little comes. */
    bytes = min_u64(bytes, space_touchable(vm_space(state->vm), guest_addr(addr), bytes));
    do {
        got = get_to(state, file, addr, bytes);
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
        put = memory ? file_put(state, file, memory + done, bytes - done)
                     : put_from(state, file, addr + done, bytes - done);
        done += put > 0 ? (uint64_t)put : 0;
        if (put > 0 && done < bytes)
            put = -EAGAIN; /* there is no room for the rest */
    } while (file_waited(state, file, POLLOUT, &put));
    return done ? (int64_t)done : put;
}

int64_t file_write_from(struct linux_state *state, struct open_file *file, uint64_t addr,
                        uint64_t bytes)
{
    if (!is_programs(addr, bytes))
        return -EFAULT;
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

static int64_t read_from(struct linux_state *state, struct open_file *file, const uint64_t arg[6])
{
    return file_can_read(file) ? file_read_to(state, file, arg[1], arg[2]) : -EBADF;
}

int64_t sys_read(struct linux_state *state, const uint64_t arg[6])
{
    struct open_file *file = descriptor_file(state, arg[0]);
    int64_t got = file_in_turn(state, file, arg, read_from);

    if (got > 0)
        guest_files_served(state, file, arg[0], file->position - got, got);
    return got;
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
    struct open_file *file = descriptor_file(state, arg[0]);
    int64_t put = file_in_turn(state, file, arg, write_to);

    guest_rooms_served(state, file, arg[0], put);
    return put;
}

/* The file's own position stays as it is, also for other threads meanwhile. */
int64_t sys_pread64(struct linux_state *state, const uint64_t arg[6])
{
    struct open_file *file = descriptor_file(state, arg[0]);
    uint64_t bytes = arg[2] > TRANSFER_MAX ? TRANSFER_MAX : arg[2];
    struct open_file at;
    int64_t got;

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
    if (file->kind != FILE_REGULAR)
        return -EISDIR;
    at = file_at(file, (off_t)arg[3]);
    got = file_read_to(state, &at, arg[1], arg[2]);
    guest_files_served(state, file, arg[0], (off_t)arg[3], got);
    return got;
}

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
    at = file_at(file, (off_t)arg[3]);
    return write_to(state, &at, arg);
}

static int64_t seek_file(struct linux_state *state, struct open_file *file, off_t offset,
                         int whence)
{
    struct host_call call = {.op = HOST_SEEK, .fd = file->fd, .offset = offset, .number = whence};
    int64_t position;

    call.as_is = file->given;
    if (whence == SEEK_CUR && !file->shares_position) {
        if (__builtin_add_overflow(offset, file->position, &call.offset))
            return -EINVAL;
        call.number = SEEK_SET;
    }
    position = host_file_call(state, file->local, &call);
    if (position >= 0 && !file->shares_position)
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

static int64_t seek(struct linux_state *state, struct open_file *file, const uint64_t arg[6])
{
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

int64_t sys_lseek(struct linux_state *state, const uint64_t arg[6])
{
    return file_in_turn(state, descriptor_file(state, arg[0]), arg, seek);
}

/* A directory whose file system a helper asks. */
static int64_t entries_live(struct linux_state *state, uint64_t addr, struct host_call *call)
{
    int64_t got = -ENOMEM;

    if (call->bytes > LIVE_PART)
        call->bytes = LIVE_PART;
    call->to = malloc(call->bytes);
    if (call->to)
        got = host_file_call(state, false, call);
    if (got > 0 && guest_put(state, addr, call->to, (size_t)got))
        got = -EFAULT;
    free(call->to);
    return got;
}

static int64_t read_entries(struct linux_state *state, struct open_file *file,
                            const uint64_t arg[6])
{
    struct host_call call = {.op = HOST_ENTRIES, .bytes = (uint32_t)arg[2]};
    int64_t got = -EFAULT;
    struct reach to;

    if (!file || file->status & O_PATH)
        return -EBADF;
    if (file->kind == FILE_LIST)
        return listing_entries(state, file, arg[1], (uint32_t)arg[2]);
    if (file->kind != FILE_DIRECTORY)
        return -ENOTDIR;
    call.fd = file->fd;
    call.offset = file->position;
    to = vm_memory(state->vm, guest_addr(arg[1]), call.bytes, true);
    if (to.live && !file->local)
        got = entries_live(state, arg[1], &call);
    else if ((call.to = to.at))
        got = host_file_call(state, file->local, &call);
    if (got >= 0)
        file->position = call.offset;
    return got;
}

int64_t sys_getdents64(struct linux_state *state, const uint64_t arg[6])
{
    return file_in_turn(state, descriptor_file(state, arg[0]), arg, read_entries);
}
