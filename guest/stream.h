/* SPDX-License-Identifier: BSD-2-Clause */
/* The calls of the stream layer with the library's lock held (lock.h): each is that of guest.h whose
 * name ends so. */
#ifndef FERRY_GUEST_STREAM_H
#define FERRY_GUEST_STREAM_H

#include <stddef.h>
#include <sys/types.h>

ssize_t ferry_stream_input(const void **data);
ssize_t ferry_stream_output(void **data, size_t want);
int ferry_stream_commit(size_t bytes);
int ferry_stream_forward(void);
int ferry_stream_flush(void);
int ferry_stream_close(void);

/* Before a call that changes output: another thread, which is about to wait for a message, may be
 * sending what this one committed, and goes first. 0 or a negative errno. */
int ferry_stream_await_sender(void);

#endif
