/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns fcntl and ioctl: the properties of an open file that can be read and set. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "linux/calls.h"
#include "linux/file_type.h"
#include "linux/host_file.h"
#include "linux/mapped.h"
#include "linux/state.h"

/* The flags that F_SETFL may change. */
#define STATUS_SETTABLE (O_NONBLOCK | O_APPEND | O_NOATIME)
/* What a pipe of Linux holds at most without privileges. */
#define PIPE_BYTES_MAX (1u << 20)

/* The commands allowed on an O_PATH descriptor, which only stands for a file. */
static bool allowed_by_path(uint64_t command)
{
    return command == F_DUPFD || command == F_DUPFD_CLOEXEC || command == F_GETFD ||
           command == F_SETFD || command == F_GETFL;
}

static int64_t pipe_size(struct linux_state *state, struct open_file *file, uint64_t command,
                         uint32_t wanted)
{
    const struct file_type *type = file_type(file);
    uint32_t bytes = FERRY_PAGE_BYTES;

    if (!type->resize)
        return -EBADF;
    if (command == F_GETPIPE_SZ)
        return type->resize(state, file, 0);
    if (wanted > INT_MAX)
        return -EINVAL;
    if (wanted > PIPE_BYTES_MAX)
        return -EPERM;
    while (bytes < wanted)
        bytes *= 2;
    return type->resize(state, file, bytes);
}

int64_t sys_fcntl(struct linux_state *state, const uint64_t arg[6])
{
    struct open_file *file = descriptor_file(state, arg[0]);
    struct descriptor *descriptor;

    if (!file || (file->status & O_PATH && !allowed_by_path(arg[1])))
        return -EBADF;
    descriptor = &state->descriptors[(uint32_t)arg[0]];
    switch (arg[1]) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        if (arg[2] >= descriptors_limit(state))
            return -EINVAL;
        return descriptor_install(state, file, (unsigned)arg[2], arg[1] == F_DUPFD_CLOEXEC);
    case F_GETFD:
        return descriptor->close_on_exec ? FD_CLOEXEC : 0;
    case F_SETFD:
        descriptor->close_on_exec = arg[2] & FD_CLOEXEC;
        return 0;
    case F_GETFL:
        return file->status;
    case F_SETFL:
        file->status = (file->status & ~STATUS_SETTABLE) | (int)(arg[2] & STATUS_SETTABLE);
        return 0;
    case F_GETLK:
    case F_OFD_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        return record_lock(state, file, arg[1], arg[2]);
    case F_ADD_SEALS:
    case F_GET_SEALS:
        return file_seals(state, file, arg[1], arg[2]);
    case F_GETPIPE_SZ:
    case F_SETPIPE_SZ:
        return pipe_size(state, file, arg[1], (uint32_t)arg[2]);
    case F_GETOWN:
    case F_SETOWN: /* no signal is sent to anybody */
    case F_GETSIG:
        return 0;
    case F_GETOWN_EX:
        return guest_put(state, arg[2], &(const struct f_owner_ex){F_OWNER_PID, 0},
                         sizeof(struct f_owner_ex));
    default:
        return -EINVAL;
    }
}

/* FIONREAD: how much can be read at once. */
static int64_t readable_bytes(struct linux_state *state, struct open_file *file, uint64_t addr)
{
    const struct file_type *type = file_type(file);
    int64_t bytes = type->available ? type->available(state, file) : -ENOTTY;
    int answer = bytes > INT_MAX ? INT_MAX : (int)bytes;

    return bytes < 0 ? bytes : guest_put(state, addr, &answer, sizeof(answer));
}

int64_t sys_ioctl(struct linux_state *state, const uint64_t arg[6])
{
    struct open_file *file = descriptor_file(state, arg[0]);
    int on;

    if (!file || file->status & O_PATH)
        return -EBADF;
    switch ((uint32_t)arg[1]) {
    case FIONREAD:
        return readable_bytes(state, file, arg[2]);
    case FIONBIO:
        if (guest_get(state, arg[2], &on, sizeof(on)))
            return -EFAULT;
        file->status = on ? file->status | O_NONBLOCK : file->status & ~O_NONBLOCK;
        return 0;
    case FIOCLEX:
    case FIONCLEX:
        state->descriptors[(uint32_t)arg[0]].close_on_exec = (uint32_t)arg[1] == FIOCLEX;
        return 0;
    default:
        return file->terminal ? terminal_ioctl(state, file, (uint32_t)arg[1], arg[2]) : -ENOTTY;
    }
}

/* ---- its file system ----------------------------------------------------- */

static int64_t put_statfs(struct linux_state *state, uint64_t addr, const struct open_file *file)
{
    struct host_call call = {.op = HOST_STATFS, .fd = file->fd};
    int64_t result = 0;

    call.fs = (struct statfs){.f_type = file_is_stream(file)      ? PIPEFS_MAGIC
                                        : file->kind == FILE_LIST ? PROC_SUPER_MAGIC
                                                                  : TMPFS_MAGIC,
                              .f_bsize = 4096,
                              .f_frsize = 4096,
                              .f_namelen = 255};
    if (file->kind == FILE_REGULAR || file->kind == FILE_DIRECTORY || file->kind == FILE_GIVEN)
        result = host_file_call(state, file->local, &call);
    return result ? result : guest_put(state, addr, &call.fs, sizeof(call.fs));
}

int64_t sys_fstatfs(struct linux_state *state, const uint64_t arg[6])
{
    const struct open_file *file = descriptor_file(state, arg[0]);

    return file ? put_statfs(state, arg[1], file) : -EBADF;
}

int64_t sys_statfs(struct linux_state *state, const uint64_t arg[6])
{
    struct open_file like = {.kind = FILE_DEVICE};
    struct found found;
    int64_t result = path_find(state, (uint64_t)AT_FDCWD, arg[0], FIND_FOLLOW, &found);

    if (result)
        return result;
    if (found.place == PLACE_INSIDE)
        like = (struct open_file){.kind = FILE_REGULAR, .fd = found.fd, .local = found.local};
    if (found.place == PLACE_DESCRIPTOR)
        result = sys_fstatfs(state, (const uint64_t[6]){found.which, arg[1]});
    else
        result = found.place == PLACE_OUTSIDE ? -ENOENT : put_statfs(state, arg[1], &like);
    found_drop(&found);
    return result;
}

int64_t sys_syncfs(struct linux_state *state, const uint64_t arg[6])
{
    return descriptor_file(state, arg[0]) ? 0 : -EBADF;
}

/* ---- what is for files alone --------------------------------------------- */

int64_t sys_readahead(struct linux_state *state, const uint64_t arg[6])
{
    const struct open_file *file = descriptor_file(state, arg[0]);

    if (!file_can_read(file))
        return -EBADF;
    return file->kind == FILE_REGULAR ? 0 : -EINVAL;
}

/* Advice may be ignored. */
int64_t sys_fadvise64(struct linux_state *state, const uint64_t arg[6])
{
    const struct open_file *file = descriptor_file(state, arg[0]);

    if (!file || file->status & O_PATH)
        return -EBADF;
    if (file_is_stream(file))
        return -ESPIPE;
    return (int64_t)arg[2] < 0 || arg[3] > POSIX_FADV_NOREUSE ? -EINVAL : 0;
}
