/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Direct rings in the guest (abi/direct.h). The code that runs for each message is inline, since a
 * message costs a few nanoseconds in all; the code that runs once, or when a ring is full, is in
 * direct.c.
 *
 * A message is routed if it goes by the out ring and the VMM. The order of a link holds across both
 * ways. A sender uses the direct ring only when the VMM has taken all messages that the sender
 * queued for that peer before. So when a direct message can be seen, the messages that were routed
 * before it are in the in ring. A routed message says how many direct ones came before it (turn).
 */
#ifndef FERRY_GUEST_DIRECT_H
#define FERRY_GUEST_DIRECT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <ferry/abi/direct.h>
#include <ferry/guest.h>

/* The ticket of every direct message: it is delivered already. */
#define DIRECT_TICKET (1ll << 62)

/* The receiver publishes its tail after so many messages, and before it waits. */
#define DIRECT_STRIDE (FERRY_RING_ENTRIES / 4)

/* The receiver looks at so many slots together. Each slot is a cache line that another CPU has, and
 * in a short loop the CPU fetches several lines at once. In the code of a program, between two
 * messages, it does not; and to touch a line before the sender has written it costs more. */
#define DIRECT_AHEAD 8

/* The first word of a slot, which one store writes and one load reads. */
typedef uint64_t __attribute__((may_alias)) direct_word;

/* A ring to a peer. */
struct direct_out {
    const struct ferry_peer *peer;
    struct ferry_direct *ring;
    uint16_t id;
    bool hung_up;
    uint32_t head;   /* messages put into it */
    uint32_t limit;  /* of head, as far as is known here */
    uint64_t routed; /* ticket after the last message that went to this peer by the out ring */
};

/* A ring from a peer. */
struct direct_in {
    struct ferry_direct *ring;
    uint16_t id, own_id; /* of the peer, of this VM */
    uint32_t generation, own_generation;
    uint32_t tail, published;
    uint32_t seen;  /* messages up to here are known to be there */
    bool due;       /* its next message was seen ... */
    uint32_t after; /* ... when the in ring's head was this */
};

struct ferry_guest_direct {
    bool found;
    const struct ferry_control *receiving; /* NULL: this VM has not begun to receive */
    uint32_t out_count, in_count, cursor;
    struct direct_out *last; /* used last */
    struct direct_out out[FERRY_PEERS_MAX];
    struct direct_in in[FERRY_PEERS_MAX];
};

extern struct ferry_guest_direct ferry_guest_direct __attribute__((visibility("hidden")));

/* The ring to this peer, or NULL. */
struct direct_out *ferry_guest_direct_find(uint16_t dst);
/* Whether there is room for one more message, after a short spin at most. 0: yes; -ENOBUFS: the
 * ring is full; -EAGAIN: the ring is not in use (yet). */
int ferry_guest_direct_room(struct direct_out *out);
/* The receiver waits: rings the doorbell if that is wanted. Returns the ticket. */
int64_t ferry_guest_direct_wake(enum ferry_when when, int64_t ticket);
/* From now on this VM takes messages from its direct rings. Returns its control structure, or NULL
 * if this is not a VM. */
const struct ferry_control *ferry_guest_direct_begin(void);
/* Publishes exact tails, as is needed before a wait. */
void ferry_guest_direct_publish(void);
/* The direct ring whose message comes before `next`, or NULL. `next` is the first of the messages
 * that the in ring holds, from in_tail to in_head. `ready` is a ring with a message, found before
 * in_head was read, or NULL. */
struct direct_in *ferry_guest_direct_before(struct direct_in *ready, uint32_t in_tail,
                                            uint32_t in_head, const struct ferry_desc *next);

/* ---- sending ------------------------------------------------------------ */

/* Puts an INLINE message that fits into a ring with room. Returns the ticket. */
static inline int64_t direct_put(struct direct_out *out, const struct ferry_msg *msg,
                                 enum ferry_when when)
{
    struct ferry_desc *slot = &out->ring->slots[out->head % FERRY_RING_ENTRIES];
    int64_t ticket;

    slot->tag = msg->tag;
    if (msg->bytes == FERRY_INLINE_BYTES) {
        memcpy(slot->data, ferry_msg_data(msg), FERRY_INLINE_BYTES);
    } else {
        memset(slot->data, 0, FERRY_INLINE_BYTES);
        if (msg->bytes > 0)
            memcpy(slot->data, ferry_msg_data(msg), msg->bytes);
    }
    out->head++;
    ticket = DIRECT_TICKET | out->head;
    __atomic_store_n((direct_word *)slot,
                     FERRY_INLINE | (uint64_t)msg->bytes << 8 | (uint64_t)out->head << 32,
                     __ATOMIC_RELEASE);
    /* The CPU may read `waiting` before others see the slot. This is harmless: the VMM interrupts
     * this CPU after it shows `waiting` and before it looks at the slot. models/wake.pml has the store
     * buffer of this CPU, and finds the message that nobody tells of without that. */
    __asm__ volatile("" : : : "memory");
    if (__builtin_expect(
            __atomic_load_n(&out->peer->waiting, __ATOMIC_RELAXED) & FERRY_WAITS_DIRECT, 0))
        return ferry_guest_direct_wake(when, ticket);
    return ticket;
}

/* Whether this message can go into the ring that was used last. Most can, and then nothing else
 * need be checked. `taken`: the VMM is known to have taken the out ring up to this ticket. */
static inline bool direct_at_once(const struct direct_out *last, const struct ferry_msg *msg,
                                  uint64_t taken)
{
    return last != NULL && last->id == msg->dst && msg->mode == FERRY_INLINE &&
           msg->bytes <= FERRY_INLINE_BYTES && last->head != last->limit && last->routed <= taken &&
           __atomic_load_n(&last->peer->state, __ATOMIC_RELAXED) == FERRY_PEER_LIVE;
}

/* ---- receiving ---------------------------------------------------------- */

static inline uint64_t direct_first_word(const struct direct_in *in, uint32_t position)
{
    const struct ferry_desc *slot = &in->ring->slots[position % FERRY_RING_ENTRIES];

    return __atomic_load_n((const direct_word *)slot, __ATOMIC_ACQUIRE);
}

static inline bool direct_is_ready(struct direct_in *in)
{
    uint32_t seen = in->tail;

    if (in->seen != seen)
        return true;
    while (seen - in->tail < DIRECT_AHEAD &&
           (uint32_t)(direct_first_word(in, seen) >> 32) == seen + 1)
        seen++;
    in->seen = seen;
    return seen != in->tail;
}

/* A ring with a message, each in its turn, or NULL. */
static inline struct direct_in *direct_next(void)
{
    struct ferry_guest_direct *direct = &ferry_guest_direct;

    for (uint32_t i = 0; i < direct->in_count; i++) {
        struct direct_in *in = &direct->in[direct->cursor];

        if (direct_is_ready(in))
            return in;
        direct->cursor = direct->cursor + 1 < direct->in_count ? direct->cursor + 1 : 0;
    }
    return NULL;
}

/* Takes the next message of a ring that has one. False: the slot was skipped, as such a message may
 * not be sent this way. The sender may write while this reads, so each word is read once. */
static inline bool direct_take(struct direct_in *in, struct ferry_msg *msg)
{
    struct ferry_guest_direct *direct = &ferry_guest_direct;
    const struct ferry_desc *slot = &in->ring->slots[in->tail % FERRY_RING_ENTRIES];
    uint64_t first = direct_first_word(in, in->tail);
    size_t bytes = (first >> 8) & 0xff;

    msg->tag = *(const volatile uint64_t *)&slot->tag;
    memcpy(msg->small, slot->data, FERRY_INLINE_BYTES);
    in->tail++;
    in->due = false;
    if (in->tail % DIRECT_STRIDE == 0) {
        in->published = in->tail;
        __atomic_store_n(&in->ring->receiver.tail, in->tail, __ATOMIC_RELEASE);
    }
    direct->cursor = direct->cursor + 1 < direct->in_count ? direct->cursor + 1 : 0;
    if ((first & 0xffff00ff) != FERRY_INLINE || bytes > FERRY_INLINE_BYTES)
        return false;
    msg->mode = FERRY_INLINE;
    msg->message = 0;
    msg->token = 0;
    msg->data = NULL;
    msg->bytes = bytes;
    msg->src = in->id;
    msg->src_generation = in->generation;
    msg->dst = in->own_id;
    msg->dst_generation = in->own_generation;
    return true;
}

#endif
