/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns changing the contents of files, and keeping what was changed. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "linux/calls.h"
#include "linux/guest_files.h"
#include "linux/host_file.h"
#include "linux/state.h"
#include "linux/writable.h"

/* A long write is made in parts of this size, and the VM may be stopped between two. */
#define WRITE_PART (16u << 20)

/* While a helper makes the call others are served, so the room that it may use is no one else's. Most
 * calls grow a file by their bytes at most; one that wants more, past its end, is made again with all
 * the room that there is. Only the end of the program leaves a call behind, so all comes back. */
static int64_t change_by_helper(struct linux_state *state, const struct open_file *file,
                                struct host_call *call)
{
    const uint64_t most[] = {call->op == HOST_TRUNCATE ? 0 : call->bytes, UINT64_MAX};
    int64_t result = -EDQUOT;

    for (int i = 0; i < 2 && result == -EDQUOT; i++) {
        call->room.bytes = writable_reserve(state, file->writable, most[i]);
        result = host_file_call(state, false, call);
        writable_unreserve(state, file->writable, call->room.bytes);
    }
    return result;
}

/* Makes a call that may let the file grow, and counts what it did. */
static int64_t change(struct linux_state *state, const struct open_file *file,
                      struct host_call *call)
{
    int64_t result;

    call->fd = file->fd;
    call->as_is = file->given;
    call->room = writable_room(state, file->writable);
    result = file->local || file->given || call->room.pages
                 ? host_file_call(state, file->local, call)
                 : change_by_helper(state, file, call);
    if (file->writable)
        writable_changed(state, file->writable, call);
    if (call->op == HOST_TRUNCATE || call->op == HOST_ALLOCATE)
        guest_files_cut(state);
    /* Once some was written the next call finds out why it was no more, as on Linux. */
    if (result == -EFBIG && call->room.length < INT64_MAX && !state->thread->call->wrote)
        signal_send(state, SIGXFSZ);
    state->thread->call->wrote |= call->op == HOST_WRITE && result > 0;
    return file->writable ? writable_error(state, file->writable, result) : result;
}

/* The descriptor of a file that the program appends to, and that is ours alone, tells where that ended. */
static bool ours_to_move(const struct open_file *file)
{
    return file->status & O_APPEND && !file->given;
}

/* From *offset on, or at the end of the file; *offset: where it ended. -1, and it stays so: from where
 * the descriptor of the host is. */
static int64_t write_at(struct linux_state *state, const struct open_file *file, const char *from,
                        size_t bytes, off_t *offset)
{
    size_t done = 0;

    while (done < bytes) {
        size_t part = bytes - done < WRITE_PART ? bytes - done : WRITE_PART;
        struct host_call call = {.op = HOST_WRITE,
                                 .number = file->status & O_APPEND,
                                 .offset = ours_to_move(file) ? -1 : *offset,
                                 .from = from + done,
                                 .bytes = part};
        int64_t put;

        if (vm_stopping(state->vm))
            return -EINTR;
        if (done && !file->local && !vm_still_has(state->vm, from + done, part, false))
            break; /* another thread unmapped it while a helper wrote the part before */
        put = change(state, file, &call);
        if (put == -EINTR || (put <= 0 && !done))
            return put;
        if (put <= 0)
            break;
        if (*offset >= 0)
            *offset = call.offset;
        done += (size_t)put;
    }
    return (int64_t)done;
}

int64_t regular_put(struct linux_state *state, struct open_file *file, const void *from,
                    size_t bytes)
{
    off_t offset = file->shares_position ? -1 : file->position;
    int64_t put = write_at(state, file, from, bytes, &offset);

    if (put > 0 && !file->shares_position)
        file->position = offset;
    return put;
}

int64_t regular_splice(struct linux_state *state, struct open_file *file, int pipe, size_t bytes)
{
    struct host_call call = {.op = HOST_WRITE,
                             .offset = file->shares_position ? -1 : file->position,
                             .source = pipe + 1,
                             .bytes = bytes < WRITE_PART ? bytes : WRITE_PART};
    int64_t put = change(state, file, &call);

    if (put > 0 && !file->shares_position)
        file->position = call.offset;
    return put;
}

/* ---- length -------------------------------------------------------------- */

int64_t file_truncate(struct linux_state *state, const struct open_file *file, off_t length)
{
    struct host_call call = {.op = HOST_TRUNCATE, .offset = length};

    return change(state, file, &call);
}

int64_t sys_ftruncate(struct linux_state *state, const uint64_t arg[6])
{
    const struct open_file *file = descriptor_file(state, arg[0]);

    if (!file || file->status & O_PATH)
        return -EBADF;
    if ((int64_t)arg[1] < 0 || file->kind != FILE_REGULAR || !file_can_write(file))
        return -EINVAL;
    return file_truncate(state, file, (off_t)arg[1]);
}

int64_t sys_truncate(struct linux_state *state, const uint64_t arg[6])
{
    struct open_file *file;
    int64_t result;

    if ((int64_t)arg[1] < 0)
        return -EINVAL;
    result = file_open_to_write(state, arg[0], &file);
    if (result)
        return result;
    result = file_truncate(state, file, (off_t)arg[1]);
    file_release(state, file);
    return result;
}

#define ALLOCATE_MODES (uint64_t)(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)

int64_t sys_fallocate(struct linux_state *state, const uint64_t arg[6])
{
    const struct open_file *file = descriptor_file(state, arg[0]);
    struct host_call call = {.op = HOST_ALLOCATE, .number = (int)arg[1]};

    if (!file || file->status & O_PATH)
        return -EBADF;
    if ((int64_t)arg[2] < 0 || (int64_t)arg[3] <= 0)
        return -EINVAL;
    if (arg[1] & ~ALLOCATE_MODES)
        return -EOPNOTSUPP;
    if (!file_can_write(file))
        return -EBADF;
    if (file_is_stream(file))
        return -ESPIPE;
    if (file->kind != FILE_REGULAR)
        return -ENODEV;
    if (!has_positions_for(arg[2], arg[3]))
        return -EFBIG;
    call.offset = (off_t)arg[2];
    call.bytes = arg[3];
    return change(state, file, &call);
}

/* ---- to the disk --------------------------------------------------------- */

static int64_t sync_file(struct linux_state *state, uint64_t fd, bool data_only)
{
    const struct open_file *file = descriptor_file(state, fd);
    struct host_call call = {.op = HOST_SYNC, .number = data_only};
    struct vcpu *aside;
    int64_t result;

    if (!file || file->status & O_PATH)
        return -EBADF;
    if (file_is_stream(file) || file->kind == FILE_DEVICE)
        return -EINVAL;
    if (!file->writable && !file->given)
        return 0;
    call.as_is = file->given;
    call.fd = file->fd;
    aside = file->local ? vm_step_aside(state->vm, NULL) : NULL;
    result = host_file_call(state, file->local, &call);
    vm_step_back(state->vm, aside);
    return result;
}

int64_t sys_fsync(struct linux_state *state, const uint64_t arg[6])
{
    return sync_file(state, arg[0], false);
}

int64_t sys_fdatasync(struct linux_state *state, const uint64_t arg[6])
{
    return sync_file(state, arg[0], true);
}

int64_t sys_sync_file_range(struct linux_state *state, const uint64_t arg[6])
{
    const struct open_file *file = descriptor_file(state, arg[0]);

    if (arg[3] & ~(uint64_t)(SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                             SYNC_FILE_RANGE_WAIT_AFTER) ||
        (int64_t)arg[1] < 0 || (int64_t)arg[2] < 0)
        return -EINVAL;
    if (!file || file->status & O_PATH)
        return -EBADF;
    if (file->kind != FILE_REGULAR && file->kind != FILE_DIRECTORY)
        return -ESPIPE;
    return file->kind == FILE_REGULAR ? sync_file(state, arg[0], true) : 0;
}
