/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A direct ring: one mapping that two VMs share, for INLINE messages over one
 * link with no exit and no VMM. The receiver's page is read-only to the sender,
 * the slots are read-only to the receiver. A message does not name its sender: the
 * VMM mapped the ring for this link only.
 *
 * The sender writes a slot and then, by one store with release order, the word
 * with its mode, length and turn. Turns count up from 1, so that a slot tells by
 * itself whether it is new, and nobody publishes a head.
 */
#ifndef FERRY_ABI_DIRECT_H
#define FERRY_ABI_DIRECT_H

#include <stddef.h>
#include <stdint.h>

#include "control.h"
#include "layout.h"
#include "message.h"

/* Page 0: written by the receiver. */
struct ferry_direct_receiver {
    FERRY_ALIGNED(64) uint32_t tail; /* messages taken; may lag by a quarter of the ring */
    uint32_t ready; /* not 0: it takes from this ring; until then use the out ring */
    uint8_t pad[4096 - 8];
};

struct ferry_direct {
    struct ferry_direct_receiver receiver;
    struct ferry_desc slots[FERRY_RING_ENTRIES]; /* pages 1 to 16: written by the sender */
};

FERRY_STATIC_ASSERT(sizeof(struct ferry_direct_receiver) == 4096, "a page of its own");
FERRY_STATIC_ASSERT(offsetof(struct ferry_direct, slots) == 4096, "whole pages");
FERRY_STATIC_ASSERT(sizeof(struct ferry_direct) == 17ul * 4096, "17 pages");
FERRY_STATIC_ASSERT(sizeof(struct ferry_direct) <= FERRY_DIRECT_STRIDE, "rings do not overlap");
/* One store writes them all. */
FERRY_STATIC_ASSERT(offsetof(struct ferry_desc, mode) == 0, "mode");
FERRY_STATIC_ASSERT(offsetof(struct ferry_desc, inline_bytes) == 1, "length");
FERRY_STATIC_ASSERT(offsetof(struct ferry_desc, flags) == 2, "flags");
FERRY_STATIC_ASSERT(offsetof(struct ferry_desc, turn) == 4, "turn");

#endif
