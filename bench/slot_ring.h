/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bare ring: what two processes that trust each other can do with shared
 * memory. One cache line per slot, with the turn in the slot, so that the
 * receiver reads nothing else; what it has taken it tells only now and then.
 */
#ifndef FERRY_BENCH_SLOT_RING_H
#define FERRY_BENCH_SLOT_RING_H

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <x86intrin.h>

#define RING_SLOTS 1024u
#define RING_TELL  64u /* messages taken between two tellings */

struct ring_slot {
    uint64_t turn; /* number of its message, from 1; an older one: empty */
    uint64_t data[7];
} __attribute__((aligned(64)));

struct ring {
    struct ring_slot slots[RING_SLOTS];
    uint64_t taken __attribute__((aligned(64))); /* by the receiver, told */
    /* The sender's own: */
    uint64_t head __attribute__((aligned(64)));
    uint64_t taken_seen;
    /* The receiver's own: */
    uint64_t tail __attribute__((aligned(64)));
};

static inline struct ring *ring_new(void)
{
    struct ring *ring = mmap(NULL, sizeof *ring, PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    return ring == MAP_FAILED ? NULL : ring;
}

static inline void ring_free(struct ring *ring)
{
    if (ring)
        munmap(ring, sizeof *ring);
}

static inline void ring_put(struct ring *ring, uint64_t value)
{
    struct ring_slot *slot = &ring->slots[ring->head % RING_SLOTS];

    while (ring->head - ring->taken_seen >= RING_SLOTS) {
        ring->taken_seen = __atomic_load_n(&ring->taken, __ATOMIC_ACQUIRE);
        if (ring->head - ring->taken_seen >= RING_SLOTS)
            _mm_pause();
    }
    slot->data[0] = value;
    memset(slot->data + 1, 0, sizeof slot->data - sizeof slot->data[0]);
    ring->head++;
    __atomic_store_n(&slot->turn, ring->head, __ATOMIC_RELEASE);
}

/* Waits for the next, and returns the sum of its words. */
static inline uint64_t ring_take(struct ring *ring)
{
    const struct ring_slot *slot = &ring->slots[ring->tail % RING_SLOTS];
    uint64_t sum = 0;

    while (__atomic_load_n(&slot->turn, __ATOMIC_ACQUIRE) != ring->tail + 1)
        _mm_pause();
    for (int i = 0; i < 7; i++)
        sum += slot->data[i];
    ring->tail++;
    if (ring->tail % RING_TELL == 0)
        __atomic_store_n(&ring->taken, ring->tail, __ATOMIC_RELEASE);
    return sum;
}

#endif
