/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Private to the personality: calls of the host on files below a read-only
 * directory. A file system of a network or a daemon may never answer, and while
 * it does not, some of its calls end by no signal, SIGKILL included: a process
 * that makes one, or only has such a file open, cannot even exit. So a call on a
 * file that is not local is made by a process of its own, which shares our memory
 * but no descriptor, while the VM waits in a way that a stop ends. We have no more
 * of such files than O_PATH descriptors, so each call opens its file anew.
 */
#ifndef FERRY_HOST_LINUX_HOST_FILE_H
#define FERRY_HOST_LINUX_HOST_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/vfs.h>

struct linux_state;

enum host_op {
    HOST_LOOK_UP, /* of `path` below fd, -ELOOP if a link is on the way; the result is an O_PATH
                     descriptor; fills in stat and local. -EACCES: of no kind that programs see */
    HOST_OPEN,    /* for reading; the result is a descriptor, or 0 if the file is not local */
    HOST_ACCESS,  /* mode: number */
    HOST_READLINK,
    HOST_READ,    /* at offset */
    HOST_ENTRIES, /* getdents64, from offset on */
    HOST_SEEK,    /* offset, whence: number */
    HOST_STAT,
    HOST_STATFS,
};

struct host_call {
    enum host_op op;
    int fd;
    int number;
    off_t offset; /* HOST_ENTRIES: and where it is then */
    const char *path;
    bool here; /* HOST_LOOK_UP: not into another file system, which may not answer: -EXDEV */
    void *to;  /* what was read */
    size_t bytes;
    /* out: */
    bool local;
    struct stat stat;
    struct statfs fs;
    int64_t result; /* or a negative errno, -EINTR only when the VM is to stop */
};

/* Whether the file is on a file system that answers always. This may wait for it. */
bool host_file_local(int fd);

/* Makes the call and returns its result. `local`: the file is on a file system that answers. */
int64_t host_file_call(struct linux_state *state, bool local, struct host_call *call);

#endif
