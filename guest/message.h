/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the stream layer needs from the message layer beyond guest.h. Both share the rings of one
 * VM, so each leaves to the other what is not its own: the message layer calls the hooks, the
 * stream layer takes messages from one peer only.
 */
#ifndef FERRY_GUEST_MESSAGE_H
#define FERRY_GUEST_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ferry/guest.h>

struct ferry_guest_hooks {
    /* Called before a slot of the out ring is used again: the last moment
     * at which the status of its former message can be read. */
    void (*settle)(void);
    /* Called before waiting for a message or a loan: sends what was committed. */
    void (*flush)(void);
    /* A loan came home; true if it is the stream layer's. */
    bool (*came_home)(uint64_t addr, uint64_t bytes);
};

void ferry_guest_set_hooks(const struct ferry_guest_hooks *hooks);

/* The peer with this id, if this VM has all these rights (FERRY_MAY_...); or NULL. */
const struct ferry_peer *ferry_guest_peer(uint16_t id, uint16_t rights);

/* The functions below are called with the library's lock held (lock.h). */

/* As ferry_send and ferry_status. */
int64_t ferry_guest_send(const struct ferry_msg *msg, enum ferry_when when);
int ferry_guest_status(int64_t ticket);

/* Waits by FERRY_CALL_WAIT: events of abi/call.h. Meanwhile other threads may have the lock; if there
 * are any, it may return 0 before the time is over. */
int64_t ferry_guest_wait(unsigned events, uint64_t timeout_ns);

/* The next message from this peer, without waiting: -EAGAIN. Those of others are kept
 * for ferry_recv; -ENOBUFS when so many wait there that no more can be kept. */
int ferry_guest_take_from(uint16_t src, struct ferry_msg *msg);

/* Reads the completions of all loans that came home. Those that the stream layer does not claim are
 * kept for ferry_reclaim. */
void ferry_guest_take_homes(void);

/* Rings the doorbell if a message to this peer still waits in the out ring and the peer waits for
 * it. This is for deferred messages, once it is known that no other exit comes soon. */
void ferry_guest_announce(uint16_t dst);

void ferry_guest_release(uint32_t token);

/* The units around a range of the window: 4 KiB in its first part, else extents. */
void ferry_guest_units(const void *data, size_t bytes, uint64_t *addr, uint64_t *whole);

#endif
