/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libferry-guest: messages without copies for programs that run in a Ferry VM.
 *
 * A program is an ordinary static Linux program; ferry-cc builds it. The
 * stream layer below also works when the same file runs as an ordinary
 * process (it then reads fd 0 and writes fd 1), so that a stage can be tested
 * and compared outside a VM; the message layer needs Ferry.
 *
 * Functions return 0 or a negative errno value. One thread; not for signal
 * handlers (a Ferry guest has neither threads nor handlers).
 */
#ifndef FERRY_GUEST_H
#define FERRY_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <ferry/abi/control.h>
#include <ferry/abi/message.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- streams ------------------------------------------------------------ */

/* The next piece of input, in place, read-only. It stays valid until the next
 * call of ferry_input or ferry_forward. Returns its length, 0 at the end of input
 * (and again each time), or a negative errno. Blocks. */
ssize_t ferry_input(const void **data);

/* Room for output, at least `want` bytes (at most 2 MiB; 0: what is at hand, at
 * least 1), in place. Returns how much there is; write at *data, then commit.
 * Blocks while the receiver has all the room. -EPIPE: the receiver is gone. */
ssize_t ferry_output(void **data, size_t want);

/* The first `bytes` of the room are output now. They travel when an extent is
 * full, before a call of this library waits for input, a message or a loan, or by
 * ferry_flush. A system call that sleeps does not send them. */
int ferry_commit(size_t bytes);

/* The current piece of input, whole, becomes the next piece of output without being
 * copied: its loan passes on. A piece that arrived as a copy is copied again. The piece
 * must not be touched afterwards. */
int ferry_forward(void);

/* Sends what was committed. */
int ferry_flush(void);

/* Flushes and hangs up; exit() does it too if any output was made. */
int ferry_close(void);

/* ---- messages ----------------------------------------------------------- */

/* A message as the program sees it: a private copy of its descriptor (claim 4). It may be copied by
 * assignment. It has no size as the structs of ferry.h do: the library is part of the program. */
struct ferry_msg {
    enum ferry_mode mode;
    uint32_t message; /* its number on this link, by the VMM; received only, 0 for INLINE */
    uint64_t tag;
    void *data; /* payload; INLINE received: NULL, as it is in `small` */
    size_t bytes;
    uint16_t src, dst; /* sending: dst only */
    uint32_t src_generation, dst_generation;
    uint32_t token;                    /* for ferry_release */
    uint8_t small[FERRY_INLINE_BYTES]; /* INLINE sent: the payload if data is NULL */
};

/* Where the payload of a message is, in whatever mode it came. */
static inline const void *ferry_msg_data(const struct ferry_msg *msg)
{
    return msg->mode == FERRY_INLINE && !msg->data ? msg->small : msg->data;
}

/* Whether the message leaves the VM at once. */
enum ferry_when {
    FERRY_WHEN_AUTO = 0, /* at once only if the receiver waits for it */
    FERRY_IMMEDIATE = 1, /* the store is followed by the doorbell: one exit */
    FERRY_DEFERRED = 2,  /* plain memory only: processed at the next natural exit */
};
/* The operator's --immediate or --deferred overrides the caller's choice. Over a direct link an
 * INLINE message is delivered by the store itself: a doorbell then only wakes a receiver
 * that waits, FERRY_DEFERRED leaves that to the next natural exit. */

/* The control structure, or NULL when not in a Ferry VM. Refuses (NULL) another ABI version. */
const struct ferry_control *ferry_control(void);

/* Where the streams go: the id of whoever is behind fd 0 or fd 1, for instance the
 * next stage of a pipeline, is ferry_control()->info.stdin_peer or .stdout_peer; FERRY_NO_PEER if
 * nobody is. The host has id 0 and the name "host". */

/* The peer with this name, or NULL. Rights say what may be sent and received. */
const struct ferry_peer *ferry_peer_by_name(const char *name);
const struct ferry_peer *ferry_peer_by_id(uint16_t id);

/* Queues one message to msg->dst with mode, tag, data and bytes. INLINE copies
 * the payload at once; for COPY it must stay unchanged until the message was
 * taken; LEND and MOVE take units away from the caller, and what these hold beside the payload is
 * zeroed for good; what was lent to the caller it can LEND on, with the same payload. Returns a ticket >= 0
 * for ferry_status, or a negative errno for what can be seen at once. Blocks only while the
 * out ring is full; while a direct ring is full it spins for microseconds and makes one exit. */
int64_t ferry_send(const struct ferry_msg *msg, enum ferry_when when);

/* What became of a message: 0 delivered (a direct one at once), -EINPROGRESS not yet taken, -ESTALE
 * too long ago (more than a ring's length), else why it was refused: it then stayed whole
 * with its sender. */
int ferry_status(int64_t ticket);

/* Sends and waits until it was taken; returns its status. */
int ferry_send_wait(const struct ferry_msg *msg, enum ferry_when when);

/* The next message, from any peer (claims 3, 4). Blocks at most timeout_ns (0: polls,
 * UINT64_MAX: for ever): -ETIMEDOUT. A FERRY_HANGUP message says that its sender will send no more. */
int ferry_recv(struct ferry_msg *msg, uint64_t timeout_ns);

/* Done with a COPY or LEND payload: it goes home at the next exit, or within the engine's
 * max_defer_us. */
int ferry_release(const struct ferry_msg *msg);

/* The next loan that came home: its units are the caller's to write again.
 * Blocks as ferry_recv does, also when nothing is lent out. A program that lends must
 * call it: while 64 loans are out or not yet taken note of, a LEND waits. */
int ferry_reclaim(void **addr, size_t *bytes, uint64_t timeout_ns);

/* `count` adjacent extents of 2 MiB, or 4 KiB pages, zeroed and owned. NULL: none to be had (errno). */
void *ferry_alloc_extents(size_t count);
void *ferry_alloc_pages(size_t count);
int ferry_free(void *addr, size_t bytes);

/* Leaves the VM so that what is queued is processed as far as its receivers have room: a
 * natural exit that sends. Does not wait. */
int ferry_yield(void);

#ifdef __cplusplus
}
#endif

#endif
