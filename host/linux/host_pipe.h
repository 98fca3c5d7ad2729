/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pipes of the host that other processes use as well and that could not be opened anew: O_NONBLOCK is the
 * open file's, so setting it would change theirs, and what poll saw may be taken by them before a read
 * or write. From one pipe to another bytes go without waiting, whatever that flag is.
 */
#ifndef FERRY_HOST_HOST_PIPE_H
#define FERRY_HOST_HOST_PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

bool host_pipe_is(int fd);

/* As read(2) and write(2) with O_NONBLOCK: -1 with errno. A write of at most a page is done as a whole or
 * not at all; of more, a page is written. */
ssize_t host_pipe_read(int fd, void *to, size_t bytes);
ssize_t host_pipe_write(int fd, const void *from, size_t bytes);

#endif
