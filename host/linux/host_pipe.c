/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads and writes that never wait, by a pipe of our own that is there for one call. */
#include "linux/host_pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

bool host_pipe_is(int fd)
{
    return fcntl(fd, F_GETPIPE_SZ) >= 0;
}

static void close_both(const int ends[2])
{
    int error = errno;

    close(ends[0]);
    close(ends[1]);
    errno = error;
}

ssize_t host_pipe_read(int fd, void *to, size_t bytes)
{
    int between[2];
    ssize_t got;

    if (pipe2(between, O_CLOEXEC) < 0)
        return -1;
    got = splice(fd, NULL, between[1], NULL, bytes, SPLICE_F_NONBLOCK);
    if (got > 0)
        got = read(between[0], to, (size_t)got);
    close_both(between);
    return got;
}

/* A page takes one place of the other pipe. */
ssize_t host_pipe_write(int fd, const void *from, size_t bytes)
{
    int between[2];
    ssize_t put;

    if (pipe2(between, O_CLOEXEC) < 0)
        return -1;
    put = write(between[1], from, bytes < PIPE_BUF ? bytes : PIPE_BUF);
    if (put > 0)
        put = splice(between[0], NULL, fd, NULL, (size_t)put, SPLICE_F_NONBLOCK);
    close_both(between);
    return put;
}
