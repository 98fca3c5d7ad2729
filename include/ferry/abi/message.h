/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The message descriptor: 64 bytes, one cache line, the same layout on its
 * way out of the sender and into the receiver. Identity fields are written by
 * the VMM; a sender must leave them zero (claims 3, 4, 7).
 */
#ifndef FERRY_ABI_MESSAGE_H
#define FERRY_ABI_MESSAGE_H

#include <stdint.h>

#include "layout.h"

#define FERRY_INLINE_BYTES 32u
#define FERRY_COPY_BYTES   65536u /* largest payload of one copied message */

enum ferry_mode {
    FERRY_INLINE = 1, /* payload inside the descriptor */
    FERRY_COPY = 2,   /* payload copied once by the VMM, from any readable memory of the sender */
    FERRY_LEND = 3,   /* whole units become readable at the receiver and come home when released */
    FERRY_MOVE = 4,   /* whole units change owner for good */
    FERRY_HANGUP = 5, /* no payload: nothing more will come over this link */
};

struct ferry_payload {
    uint64_t addr;    /* guest address of the first byte */
    uint64_t bytes;   /* length of the payload */
    uint32_t token;   /* in: what to release; out: zero */
    uint32_t message; /* in: its number on this link, counted by the VMM; out: zero */
    uint64_t zero;
};

struct ferry_desc {
    uint8_t mode; /* enum ferry_mode */
    uint8_t inline_bytes;
    uint16_t flags; /* none defined: zero */
    /* How many messages its sender has put into the direct ring of this link, this one
     * included if it is in there; 0 where there is none (direct.h). Carried unread by the VMM. */
    uint32_t turn;
    uint16_t src; /* id of the sender, by the VMM; id 0 is the host */
    uint16_t dst; /* id of the receiver, chosen by the sender and checked by the VMM */
    uint32_t src_generation;
    uint32_t dst_generation;
    uint32_t zero2;
    uint64_t tag; /* the sender's own, carried unread */
    union {
        uint8_t data[FERRY_INLINE_BYTES];
        struct ferry_payload payload;
    };
};

FERRY_STATIC_ASSERT(sizeof(struct ferry_payload) == 32, "payload fills the union");
FERRY_STATIC_ASSERT(sizeof(struct ferry_desc) == 64, "one descriptor, one cache line");

#endif
