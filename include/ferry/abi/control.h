/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control structure, one per VM, at the address the auxiliary vector
 * gives (claims 3, 8). Each page has one writer. Every index counts up for
 * ever and is masked when used; each side keeps its own indexes privately
 * and treats what it publishes here as output only.
 */
#ifndef FERRY_ABI_CONTROL_H
#define FERRY_ABI_CONTROL_H

#include <stddef.h>
#include <stdint.h>

#include "layout.h"
#include "message.h"

#define FERRY_CONTROL_MAGIC 0x4c4f525459524546ull /* "FERYTROL" */
#define FERRY_ABI_VERSION   2u

/* Powers of two. The out and in rings are long, so that one exit can serve many messages. A VM
 * holds at most FERRY_TOKENS payloads at once, and has at most as many loans out. */
#define FERRY_RING_ENTRIES 1024u /* of the out and in rings */
#define FERRY_TOKENS       64u   /* of the completion and release rings */
#define FERRY_PEERS_MAX    16u
#define FERRY_NAME_BYTES   32u
#define FERRY_DIGEST_BYTES 32u

#define FERRY_NO_PEER 0xffffu

/* control_info.delivery: what the operator asked the library to do. */
#define FERRY_DELIVERY_AUTO      0u /* ring the doorbell when a receiver waits */
#define FERRY_DELIVERY_IMMEDIATE 1u /* ring it for every message */
#define FERRY_DELIVERY_DEFERRED  2u /* never ring it */
#define FERRY_DELIVERY_POLLED    3u /* never ring it: the VMM watches the rings */

/* control_info.payload: how the stream layer sends. */
#define FERRY_PAYLOAD_AUTO 0u
#define FERRY_PAYLOAD_COPY 1u
#define FERRY_PAYLOAD_MAP  2u

/* ferry_peer.rights */
#define FERRY_MAY_SEND    1u /* this VM may send to the peer */
#define FERRY_MAY_RECEIVE 2u /* the peer may send to this VM */

/* ferry_peer.state */
#define FERRY_PEER_LIVE 1u
#define FERRY_PEER_GONE 2u

/* ferry_peer.waiting */
#define FERRY_WAITS        1u /* blocked for any reason: a doorbell is worth its exit */
#define FERRY_WAITS_DIRECT 2u /* waits for a message, also for one in a direct ring */

/* A peer as the VMM knows it. The sender cannot influence any of this. */
struct ferry_peer {
    uint16_t id;
    uint16_t rights;
    uint16_t state;
    uint16_t zero;
    uint32_t generation;
    uint32_t waiting; /* FERRY_WAITS, FERRY_WAITS_DIRECT */
    char name[FERRY_NAME_BYTES];
    uint8_t digest[FERRY_DIGEST_BYTES]; /* SHA-256 of the image it runs */
    uint64_t direct_out;                /* direct ring to it, struct ferry_direct; 0: none */
    uint64_t direct_in;                 /* likewise from it */
    uint8_t pad[32];
};

/* Page 0 of the control structure: written by the VMM, read-only to the guest. */
struct ferry_control_info {
    uint64_t magic;
    uint32_t version;
    uint32_t size_bytes; /* of struct ferry_control */
    uint16_t id;
    uint16_t peer_count;
    uint32_t generation;
    uint64_t window_base;
    uint64_t window_bytes;
    uint64_t small_bytes; /* the first part of the window is 4 KiB pages, the rest extents */
    uint64_t receive_base;
    uint64_t crossover_bytes; /* payloads at most this long are cheaper to copy, in pieces too */
    uint64_t gather_ticks; /* of the TSC: so long a stream may gather for a receiver that waits */
    uint32_t pool_extents; /* how many extents this VM may own */
    uint32_t delivery;     /* FERRY_DELIVERY_* */
    uint32_t payload;      /* FERRY_PAYLOAD_* */
    uint16_t stdin_peer;   /* id, or FERRY_NO_PEER */
    uint16_t stdout_peer;
    uint64_t copy; /* of a snapshot: the number of this run from it; 0: there is none */
    uint8_t pad[1952];
    struct ferry_peer peers[FERRY_PEERS_MAX];
};

/* A loan that came home: the units of [addr, addr + bytes) may be written again. */
struct ferry_home {
    uint64_t addr;
    uint64_t bytes;
};

/* Page 1: written by the VMM, read-only to the guest. */
struct ferry_control_vmm {
    FERRY_ALIGNED(64) uint32_t out_tail; /* descriptors taken from the out ring */
    FERRY_ALIGNED(64) uint32_t in_head;  /* descriptors put into the in ring */
    FERRY_ALIGNED(64) uint32_t home_head;
    FERRY_ALIGNED(64) struct ferry_home home[FERRY_TOKENS];
    uint8_t pad[2880];
};

/* Page 3: written by the guest. */
struct ferry_control_guest {
    FERRY_ALIGNED(64) uint32_t out_head; /* descriptors put into the out ring */
    FERRY_ALIGNED(64) uint32_t in_tail;  /* descriptors taken from the in ring */
    FERRY_ALIGNED(64) uint32_t home_tail;
    FERRY_ALIGNED(64) uint32_t release_head; /* tokens put into release[] */
    uint32_t release[FERRY_TOKENS];          /* never full: a VM holds at most so many */
    uint8_t pad[4096 - 192 - 64 - 256];
};

struct ferry_control {
    struct ferry_control_info info;
    struct ferry_control_vmm vmm;
    /* Page 2: written by the VMM, read-only; 0 or negative errno, valid once taken. */
    int32_t out_status[FERRY_RING_ENTRIES];
    struct ferry_control_guest guest;
    struct ferry_desc out[FERRY_RING_ENTRIES]; /* pages 4 to 19: written by the guest */
    struct ferry_desc in[FERRY_RING_ENTRIES];  /* pages 20 to 35: by the VMM, read-only */
};

FERRY_STATIC_ASSERT(sizeof(struct ferry_peer) == 128, "peer");
FERRY_STATIC_ASSERT(sizeof(struct ferry_control_info) == 4096, "info is a page");
FERRY_STATIC_ASSERT(sizeof(struct ferry_control_vmm) == 4096, "vmm is a page");
FERRY_STATIC_ASSERT(sizeof(struct ferry_control_guest) == 4096, "guest is a page");
FERRY_STATIC_ASSERT(offsetof(struct ferry_control, out_status) == 2ul * 4096, "a page of its own");
FERRY_STATIC_ASSERT(offsetof(struct ferry_control, guest) == 3ul * 4096, "a page of its own");
FERRY_STATIC_ASSERT(offsetof(struct ferry_control, out) == 4ul * 4096, "whole pages");
FERRY_STATIC_ASSERT(offsetof(struct ferry_control, in) == 20ul * 4096, "whole pages");
FERRY_STATIC_ASSERT(sizeof(struct ferry_control) == 36ul * 4096, "36 pages");

#endif
