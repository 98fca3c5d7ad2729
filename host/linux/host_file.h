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
#include <time.h>

struct linux_state;

enum host_op {
    HOST_LOOK_UP, /* of `path` below fd, -ELOOP if a link is on the way; the result is an O_PATH
                     descriptor; fills in stat and local. -EACCES: of no kind that programs see */
    HOST_OPEN,    /* flags: number; the result is a descriptor, or 0 if the file is not local */
    HOST_ACCESS,  /* mode: number */
    HOST_READLINK,
    HOST_READ,    /* at offset */
    HOST_ENTRIES, /* getdents64, from offset on */
    HOST_SEEK,    /* offset, whence: number */
    HOST_STAT,
    HOST_STATFS,
    /* host_change.c */
    HOST_CREATE, /* a new file `path` in the directory fd, flags: number; fills in stat; the result
                      is a descriptor, O_PATH if it is not local */
    HOST_NAMELESS, /* as HOST_CREATE, without a name; only if local */
    HOST_MKDIR,    /* fills in stat */
    HOST_SYMLINK,  /* `path` in fd leads to path2; fd2: fd; fills in stat */
    HOST_LINK,   /* path2 in fd2 is one more name of the file fd; of `path` in fd if there is one */
    HOST_REMOVE, /* flags: number; stat: what was removed */
    HOST_RENAME, /* to path2 in fd2, flags: number; stat: what was there before, with st_nlink 0 if
                    that was nothing */
    HOST_CHMOD,
    HOST_TIMES,
    HOST_WRITE,    /* at offset, or at the end if it is -1; offset: where it ended */
    HOST_TRUNCATE, /* to offset */
    HOST_ALLOCATE, /* `bytes` from offset on, as number says */
    HOST_SYNC,     /* number: data only */
};

/* How much a file may grow. */
struct host_room {
    uint64_t bytes;
    bool pages;      /* count the pages it takes, not its length */
    uint64_t length; /* that it may have at most */
};

struct host_call {
    enum host_op op;
    int fd;
    int number;
    /* HOST_READ, HOST_WRITE: -1: where the descriptor is. HOST_WRITE, HOST_ENTRIES: and where that is
     * then. */
    off_t offset;
    const char *path;
    int fd2;
    const char *path2; /* not NULL: fd2 is one, too */
    uint32_t mode;
    struct timespec times[2];
    const void *from; /* HOST_WRITE: these bytes, */
    int source;       /* or those of this pipe, plus 1; 0: there is none */
    struct host_room room;
    bool as_is; /* on the descriptor itself, which is not opened anew */
    bool here;  /* HOST_LOOK_UP: not into another file system, which may not answer: -EXDEV */
    void *to;   /* what was read */
    size_t bytes;
    /* out: */
    bool local;
    struct stat stat;
    struct statfs fs;
    int64_t grown;  /* by so much the file is longer, or takes more */
    int64_t result; /* or a negative errno, -EINTR only when the VM is to stop */
};

/* Whether the file is on a file system that answers always. This may wait for it. */
bool host_file_local(int fd);

/* Makes the call and returns its result. `local`: the file is on a file system that answers. */
int64_t host_file_call(struct linux_state *state, bool local, struct host_call *call);

/* Opens anew the file that a descriptor of ours is open on, or (O_PATH) stands for. -1 with errno. */
int host_open_anew(int fd, int flags);

/* Makes the call here and now, whether it is answered or not. in_helper: in a process of its own. */
void host_call_make(struct host_call *call, bool in_helper);

/* helper.c: the same by a helper process. The call is not abandoned for an execve of another thread:
 * what it does is still charged, and what it takes is still bounded. Only the end of the program, or of
 * the VM, leaves it behind: -EINTR. */
int64_t host_call_by_helper(struct linux_state *state, struct host_call *call);

/* host_change.c: make the call. fd: the file, open for writing, where the call needs one. -1 with
 * errno. */
int64_t host_change(struct host_call *call, bool in_helper);
int64_t host_change_file(struct host_call *call, int fd);

#endif
