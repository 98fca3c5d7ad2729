/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Private to the personality: a directory below which the program may write. It is one of the host,
 * with a limit on the bytes that the program adds there, or one in memory, whose contents count as
 * memory of the program.
 */
#ifndef FERRY_HOST_LINUX_WRITABLE_H
#define FERRY_HOST_LINUX_WRITABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "linux/host_file.h"

struct linux_state;
struct open_file;

/* What a file of the program added: it comes back when the file is cut or removed. */
struct charge {
    dev_t dev;
    ino_t ino;
    uint64_t bytes; /* 0: a free entry */
};

struct writable {
    bool memory;  /* counts as the program's memory */
    int kernel;   /* a file system of its own, of which the kernel counts the pages; or -1 */
    int lifeline; /* while it is open, somebody keeps the directory; or -1 */
    uint64_t limit_bytes, used_bytes; /* used: with what is reserved */
    struct charge *charges; /* a hash table by inode; the number of entries is a power of 2 */
    size_t charge_count, charge_room;
};

/* On the host, at first. NULL: no memory. */
struct writable *writable_create(uint64_t limit_bytes);
void writable_destroy(struct linux_state *state, struct writable *writable);
/* All that was there is removed; and: nothing is there any more, as somebody else has the directory. */
void writable_is_empty(struct linux_state *state, struct writable *writable);
void writable_leave(struct linux_state *state, struct writable *writable);
/* What is there costs so much, whoever else keeps some of it. */
void writable_recharge(struct linux_state *state, struct writable *writable, uint64_t bytes);

/* The umask of our process. The C library only tells it by setting another one, for all threads. */
uint32_t writable_umask(void);
/* How much a file there may grow; NULL: a file that is not counted, but has a length. */
struct host_room writable_room(struct linux_state *state, const struct writable *writable);
/* Takes so much of that room, or all that there is, for a call during which others are served: what
 * was taken, to be given back when the call is done, before it is counted. */
uint64_t writable_reserve(struct linux_state *state, struct writable *writable, uint64_t bytes);
void writable_unreserve(struct linux_state *state, struct writable *writable, uint64_t bytes);
/* Makes a call that makes a file there, and counts the file. -EDQUOT, -ENOSPC: there may be none. */
int64_t writable_make(struct linux_state *state, struct writable *writable, bool local,
                      struct host_call *call);
/* -EDQUOT or -ENOSPC: there may be no further file. */
int writable_has_file(struct linux_state *state, const struct writable *writable);
/* A file was made. */
void writable_made(struct linux_state *state, struct writable *writable, const struct stat *file);
/* A file was changed by the call, whatever its result. */
void writable_changed(struct linux_state *state, struct writable *writable,
                      const struct host_call *call);
/* A name of the file was removed; `file` is how it was before. */
void writable_removed(struct linux_state *state, struct writable *writable,
                      const struct stat *file);
/* An open file begins, and ends. Whoever holds it, a descriptor, a mapping, a socket or a call, what
 * it holds is there. */
void writable_opened(struct linux_state *state, struct open_file *file);
void writable_forget(struct open_file *file);
/* Closes the host's descriptor of the open file, which no descriptor of the program refers to. */
void writable_close(struct linux_state *state, const struct open_file *file);
/* The user of our process and its group are the program's own in what it sees of a file there. */
void writable_owner(struct stat *stat);
/* The error that programs know for -EDQUOT, which says that writable_room was not enough; other
 * results stay as they are. */
int64_t writable_error(struct linux_state *state, const struct writable *writable, int64_t result);

/* Stores to mapped memory may have made its files hold more: in a file system of our own the kernel is
 * asked how much. */
void writable_recount(struct linux_state *state, struct writable *writable);

/* ---- create.c ------------------------------------------------------------ */

struct found;

/* Opens the file that was found where the program may write, and may take its descriptor over. */
int64_t open_writable(struct linux_state *state, struct found *found, uint64_t flags,
                      struct open_file **out);
/* Makes and opens the file whose place was found, or (is_nameless) one in the directory that was
 * found. -EROFS: the program may not write there. */
int64_t create_writable(struct linux_state *state, const struct found *found, uint64_t flags,
                        uint64_t mode, struct open_file **out);
/* Whether open(2) is to make a file without a name. */
bool is_nameless(uint64_t flags);
/* The file with the name at `addr`. */
int64_t file_open_to_write(struct linux_state *state, uint64_t addr, struct open_file **out);

/* ---- contents.c ---------------------------------------------------------- */

/* write(2) to a FILE_REGULAR. */
int64_t regular_put(struct linux_state *state, struct open_file *file, const void *from,
                    size_t bytes);
/* splice(2) to it from a pipe of the host: up to so many bytes that are there. -EAGAIN: none is. */
int64_t regular_splice(struct linux_state *state, struct open_file *file, int pipe, size_t bytes);
int64_t file_truncate(struct linux_state *state, const struct open_file *file, off_t length);

/* ---- private.c ----------------------------------------------------------- */

/* Makes an empty directory in memory, which is gone when `writable` is destroyed or our process
 * dies. The result is a descriptor of it, the caller's. */
int private_make(struct linux_state *state, struct writable *writable);

/* ---- private_empty.c ----------------------------------------------------- */

/* Whether the program has a file, or a directory, in its directories in memory. */
bool private_has_files(struct linux_state *state);
/* Removes all that is there; nobody has any of it open or mapped. Where the host refuses it, the
 * directories are others from then on. */
void private_empty(struct linux_state *state);

#endif
