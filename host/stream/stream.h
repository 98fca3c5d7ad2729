/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes over messages: the read and write calls of an unmodified program. Output gathers in extents
 * the VM owns and is lent to the next VM when an extent is full, when the receiver waits (at once
 * if it is the first piece for some time, else a little later with what follows), or when delivery
 * is immediate; input is copied out of the messages that arrive.
 *
 * Called on the thread that serves the VM. During a wait other threads of the program are served, so
 * all that was read before is looked at anew. Blocking calls return -EINTR when the VM is told to
 * stop, and -EFAULT if the program's memory was taken away meanwhile.
 */
#ifndef FERRY_HOST_STREAM_H
#define FERRY_HOST_STREAM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct endpoint;
struct stream;

/* The stream of a VM's endpoint, which has it from here to its end. */
int stream_create(struct endpoint *endpoint);

/* Up to `bytes` of input into dst; blocks while there is none; 0: end. */
ssize_t stream_read(struct stream *stream, void *dst, size_t bytes);
/* All of src, unless -EPIPE (the receiver is gone) or -EINTR came first.
 * Without a receiver (no link) output is discarded. */
ssize_t stream_write(struct stream *stream, const void *src, size_t bytes);
/* As a write to a pipe with O_NONBLOCK: writes as much as there is room for now, a short piece as a
 * whole or not at all; -EAGAIN, also while a message that was queued before waits for room. */
ssize_t stream_write_some(struct stream *stream, const void *src, size_t bytes);
/* The bytes that can be read of one message without blocking. They stay there; *data is valid until
 * they are read. */
size_t stream_peek(struct stream *stream, const void **data);
/* Input becomes output, up to `bytes`, as splice(2) between two pipes: whole loans are forwarded
 * without a copy. Blocks while there is no input, and for room; 0: end. -EINVAL: one of the two is
 * not linked. */
ssize_t stream_pass(struct stream *stream, size_t bytes);
/* The program looks for input without waiting. The host may begin to send only at the first look.
 * So that a program which looks only once finds the input, this first look waits a moment. */
void stream_first_look(struct stream *stream);
/* As poll(2) of two pipes: waits until input can be read without blocking
 * (or has ended) or output has room, at most timeout_ns (UINT64_MAX: for ever). With 0 it never
 * waits, not even at the first look: no other thread of the program is served meanwhile.
 * `want` and the result are POLLIN, POLLOUT, POLLHUP (input ended), POLLERR (receiver gone). */
int stream_poll(struct stream *stream, short want, uint64_t timeout_ns);
/* Bytes that can be read without blocking, as FIONREAD gives. */
size_t stream_available(struct stream *stream);
/* The program has ended: sends the rest, waiting for room. -EINTR: told to stop before. */
int stream_finish(struct stream *stream);
/* The program closed its last descriptor of that side. */
void stream_close_input(struct stream *stream);
void stream_close_output(struct stream *stream);

#endif
