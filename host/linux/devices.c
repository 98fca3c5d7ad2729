/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what /dev/null and its like do. */
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/sysmacros.h>

#include "linux/file_type.h"
#include "linux/state.h"

/* Made-up bytes are made in parts like that, and between them a stop is looked at. */
#define MADE_PART (1u << 20)

static int64_t device_get(struct linux_state *state, struct open_file *file, void *to, size_t bytes)
{
    enum device device = file->device;
    size_t done = 0;

    if (device == DEVICE_NULL)
        return 0;
    while (done < bytes) {
        size_t part = bytes - done < MADE_PART ? bytes - done : MADE_PART;
        ssize_t got = (ssize_t)part;

        if (vm_stopping(state->vm))
            return -EINTR;
        if (device == DEVICE_RANDOM || device == DEVICE_URANDOM)
            got = getrandom((char *)to + done, part, 0);
        else
            memset((char *)to + done, 0, part);
        if (got > 0)
            done += (size_t)got;
        else if (errno != EINTR)
            return done ? (int64_t)done : -errno;
    }
    return (int64_t)done;
}

static int64_t device_put(struct linux_state *state, struct open_file *file, const void *from,
                          size_t bytes)
{
    (void)state;
    (void)from;
    return file->device == DEVICE_FULL ? -ENOSPC : (int64_t)bytes;
}

static int device_stat(struct linux_state *state, const struct open_file *file, struct stat *out)
{
    if (file->device >= DEVICE_TERMINAL)
        return file_stat(state, terminal_of(state, file->device), out);
    out->st_ino = 16 + (ino_t)file->device;
    out->st_uid = out->st_gid = 0; /* devices are the system's, not the program's */
    out->st_rdev = file->device == DEVICE_TTY ? makedev(5, 0) : makedev(1, file->device);
    return 0;
}

const struct file_type device_type = {
    .mode = S_IFCHR | 0666,
    .get = device_get,
    .put = device_put,
    .stat = device_stat,
};
