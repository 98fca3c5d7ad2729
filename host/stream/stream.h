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

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct endpoint;
struct stream;

/* The stream of a VM's endpoint, which has it from here to its end. */
int stream_create(struct endpoint *endpoint);

/* Whether nothing was read and written yet. */
bool stream_is_new(const struct stream *stream);
/* It is so again: its VM's program begins anew, and owns nothing. */
void stream_begin_anew(struct stream *stream);

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
 * (or has ended) or output has room, at most timeout_ns (UINT64_MAX: for ever). With 0 it waits for
 * nothing but a copy that the sender makes, not even at the first look: no other thread of the program
 * is served meanwhile.
 * `want` and the result are POLLIN, POLLOUT, POLLHUP (input ended), POLLERR (receiver gone). */
int stream_poll(struct stream *stream, short want, uint64_t timeout_ns);
/* Bytes that can be read without blocking, as FIONREAD gives. What the sender gathered is sent first. */
size_t stream_available(struct stream *stream);
/* The program has ended: sends the rest, waiting for room. -EINTR: told to stop before. */
int stream_finish(struct stream *stream);
/* The program closed its last descriptor of that side. */
void stream_close_input(struct stream *stream);
void stream_close_output(struct stream *stream);

/* --- the guest kernel (abi/kernel.h), which reads and writes without an exit --- */

struct ferry_kernel_shown;
struct ferry_kernel_words;

/* Whether the program reads and writes so much that the guest kernel is worth its start. */
bool stream_is_busy(const struct stream *stream);
/* From here on the pages are there. gather_ticks: of the guest's clock, how long a receiver that waits
 * may wait for more. */
void stream_guest_start(struct stream *stream, struct ferry_kernel_shown *shown,
                        struct ferry_kernel_words *words, uint64_t gather_ticks);
#define STREAM_GATHER_NS    500000 /* the time for that, and the bytes */
#define STREAM_GATHER_BYTES (256u << 10)
/* Before the guest runs: publishes input that is there, and room for output, as allowed. */
void stream_publish(struct stream *stream, bool input, bool output);
/* Takes back what was published and is no longer allowed to be. */
void stream_unpublish(struct stream *stream, bool input, bool output);
/* After an exit: what the guest kernel read and wrote is counted, and who waits for the room gets it. */
void stream_settle(struct stream *stream);
/* Counts up whenever the guest kernel has read, as far as that is known. */
unsigned stream_guest_reads(const struct stream *stream);
/* A CPU of the guest left off in the middle of a write, which has had no effect. */
void stream_guest_left(struct stream *stream, uint32_t cpu);
/* A tick, while no thread is served and the guest runs: gives back what was read, publishes what came. */
void stream_look(struct stream *stream);

#endif
