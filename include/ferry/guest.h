/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libferry-guest: messages without copies for programs that run in a Ferry VM.
 *
 * A program is an ordinary static Linux program; ferry-cc builds it. The
 * stream layer below also works when the same file runs as an ordinary
 * process (it then reads fd 0 and writes fd 1), so that a stage can be tested
 * and compared outside a VM; the message layer needs Ferry.
 *
 * Functions return 0 or a negative errno value. They may be called by several threads at once, and
 * not by signal handlers. Messages of one thread keep their order. Of the streams one thread at a time
 * may take the input (ferry_input, ferry_forward) and one at a time make the output (ferry_output to
 * ferry_commit, ferry_forward, ferry_flush, ferry_close); they may be two. The threads must be those of
 * the C library (pthread_create, thrd_create): a program that never begins one pays nothing, else a
 * call costs some ten nanoseconds more.
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

/* ---- libferry-guest(3): messages without copies for programs in a Ferry VM ---- */

/* The control structure, or NULL when not in a Ferry VM. Refuses (NULL) another ABI version.
 *
 * Where the streams go: ferry_control()->info.stdin_peer is the id of the peer behind fd 0, and
 * .stdout_peer that of the peer behind fd 1, for instance the next stage of a pipeline;
 * FERRY_NO_PEER if there is none. The host has id 0 and the name "host". */
const struct ferry_control *ferry_control(void);

/* Says that the program has done what all its runs have in common. If the host wants a snapshot of the VM
 * (ferry_vm_snapshot), it is taken here, and this call returns once for each run that begins from it: the
 * number of the run, which no other run has, of this VM or of its copies. 0: there is no snapshot, or this
 * is no Ferry VM.
 *
 * All such runs begin with the same memory. Who seeded a generator of random numbers before seeds it
 * again, by getrandom(2), after this call. To be called while the program has one thread, no message and
 * nothing but files open; else the host is told why there can be no snapshot, and 0 is returned. */
uint64_t ferry_ready(void);

/* The peer with this name, or NULL. Its rights say whether this VM may send to it, and it to this
 * VM. */
const struct ferry_peer *ferry_peer_by_name(const char *name);

/* The peer with this id, or NULL. */
const struct ferry_peer *ferry_peer_by_id(uint16_t id);

/* ---- ferry_stream(3): input and output of a stage, in place ---- */

/* The next piece of input, in place, read-only. It stays valid until the next
 * call of ferry_input or ferry_forward. Returns its length, or 0 at the end of input
 * (and again each time). Blocks.
 *
 * Errors:
 * -ENOBUFS: 1024 messages of other peers wait to be taken by ferry_recv first
 * others: the error of read(2), in an ordinary process */
ssize_t ferry_input(const void **data);

/* Room for output, at least `want` bytes (at most 2 MiB; 0: as much as there is, at
 * least 1), in place. Returns its length; write at *data, then commit.
 * Blocks while the receiver has all the room.
 *
 * Errors:
 * -EMSGSIZE: `want` is more than 2 MiB
 * -EPIPE: the receiver is gone, or ferry_close was called
 * -ENOMEM: the pool has no extent, and none is expected to come home
 * -EDQUOT: this VM may own no extent
 * others: why a message was refused, as ferry_status says; the error of write(2), in an ordinary
 *  process */
ssize_t ferry_output(void **data, size_t want);

/* The first `bytes` of the room are output now. They are sent when an extent is
 * full, before a call of this library waits for input, a message or a loan, or by
 * ferry_flush. A system call that sleeps does not send them. Nor does a wait of another thread while
 * this one has room that it did not commit.
 *
 * Errors:
 * -EINVAL: there is not so much room
 * -EPIPE: the receiver is gone
 * others: as of ferry_output */
int ferry_commit(size_t bytes);

/* The whole current piece of input becomes the next piece of output without being
 * copied: its loan is forwarded. A piece that arrived as a copy is copied again. The piece
 * must not be touched afterwards.
 *
 * Errors:
 * -EINVAL: there is no current piece
 * -EPIPE: the receiver is gone, or ferry_close was called
 * others: as of ferry_output */
int ferry_forward(void);

/* Sends what was committed.
 *
 * Errors:
 * -EPIPE: the receiver is gone
 * others: as of ferry_output */
int ferry_flush(void);

/* Flushes and hangs up. exit() does this too if any output was made.
 *
 * Errors:
 * -EPIPE: the receiver is gone
 * others: as of ferry_output */
int ferry_close(void);

/* ---- ferry_msg(3): messages between programs in virtual machines ---- */

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

/* Where the payload of a message is, whatever its mode. */
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
/* The operator's --immediate or --deferred overrides the caller's choice. Over a direct link the
 * store itself delivers an INLINE message: a doorbell then only wakes a receiver
 * that waits, and FERRY_DEFERRED leaves that to the next natural exit. */

/* Queues one message to msg->dst with mode, tag, data and bytes. INLINE copies the payload at once;
 * for COPY it must stay unchanged until the message was taken; LEND and MOVE take units away from
 * the caller, and the bytes of these beside the payload are zeroed for good. The caller can forward
 * a loan by LEND, with the same payload. Returns a ticket for ferry_status, or an error that can be
 * seen at once. Blocks only while the out ring is full; while a direct ring is full it spins for
 * microseconds and makes one exit.
 *
 * Errors:
 * -EPERM: no such peer, or no right to send to it
 * -EPIPE: the peer is gone
 * -EMSGSIZE: too long for its mode
 * -EFAULT: LEND or MOVE of a range that is not in the pool
 * -EINVAL: no such mode, or a hang-up with a payload
 * -ENOSYS: not in a Ferry VM */
int64_t ferry_send(const struct ferry_msg *msg, enum ferry_when when);

/* The result of a message. 0: it was delivered; a direct message is delivered at once. The payload
 * of a message that was refused stayed with its sender.
 *
 * Errors:
 * -EINPROGRESS: not yet taken
 * -ESTALE: taken too long ago, more than a ring's length
 * -EINVAL: there is no such ticket, or a field that must be zero is not
 * -EPERM: no right to send to the peer, or not all units are the caller's
 * -EPIPE: the peer is gone, or the link was hung up
 * -EMSGSIZE: too long for its mode, or a MOVE of more units than the receiver may own
 * -EFAULT: the payload is not where it may be
 * -ENOMEM: the host has no mappings left
 * -ENOSYS: not in a Ferry VM */
int ferry_status(int64_t ticket);

/* Sends and waits until it was taken; returns its status.
 *
 * Errors:
 * -EPERM: no such peer, no right to send to it, or not all units are the caller's
 * -EPIPE: the peer is gone, or the link was hung up
 * -EMSGSIZE: too long for its mode, or a MOVE of more units than the receiver may own
 * -EFAULT: the payload is not where it may be
 * -EINVAL: no such mode, or a hang-up with a payload
 * -ENOMEM: the host has no mappings left
 * -ENOSYS: not in a Ferry VM */
int ferry_send_wait(const struct ferry_msg *msg, enum ferry_when when);

/* The next message, from any peer (claims 3, 4). Blocks at most timeout_ns (0: polls,
 * UINT64_MAX: for ever). A FERRY_HANGUP message says that its sender will send no more.
 *
 * Errors:
 * -ETIMEDOUT: none came for so long
 * -ENOSYS: not in a Ferry VM */
int ferry_recv(struct ferry_msg *msg, uint64_t timeout_ns);

/* Releases a COPY or LEND payload: it goes home at the next exit, or within the engine's
 * max_defer_us.
 *
 * Errors:
 * -EINVAL: a MOVE: its units are the caller's, for ferry_free
 * -ENOSYS: not in a Ferry VM */
int ferry_release(const struct ferry_msg *msg);

/* The next loan that came home: its units are the caller's to write again.
 * Blocks as ferry_recv does, also when nothing is lent out. A program that lends must
 * call it: while 64 loans are out or not yet reclaimed, a LEND waits.
 *
 * Errors:
 * -ETIMEDOUT: none came home for so long
 * -ENOSYS: not in a Ferry VM */
int ferry_reclaim(void **addr, size_t *bytes, uint64_t timeout_ns);

/* `count` adjacent extents of 2 MiB, zeroed and owned. NULL: errno says why.
 *
 * Errors:
 * ENOMEM: the pool has none
 * EDQUOT: this VM may own no more
 * EINVAL: none were asked for
 * ENOSYS: not in a Ferry VM */
void *ferry_alloc_extents(size_t count);

/* The same for 4 KiB pages.
 *
 * Errors:
 * ENOMEM: the pool has none
 * EDQUOT: this VM may own no more
 * EINVAL: none were asked for
 * ENOSYS: not in a Ferry VM */
void *ferry_alloc_pages(size_t count);

/* Gives whole owned units back to the pool, or none of them.
 *
 * Errors:
 * -EINVAL: not whole units of the pool
 * -EPERM: not all are owned by the caller
 * -ENOMEM: the host has no mappings left
 * -ENOSYS: not in a Ferry VM */
int ferry_free(void *addr, size_t bytes);

/* Makes a natural exit, so that queued messages are processed as far as their receivers have room.
 * Does not wait.
 *
 * Errors:
 * -ENOSYS: not in a Ferry VM */
int ferry_yield(void);

#ifdef __cplusplus
}
#endif

#endif
