/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading and writing memory that is shared with a guest. The guest may change
 * its side at any moment: each word is read once, into private memory, and
 * indexes are bounded here and nowhere else. Runs without KVM.
 */
#ifndef FERRY_HOST_RING_H
#define FERRY_HOST_RING_H

#include <stdint.h>

#include <ferry/abi/control.h>

#define RING_MASK  (FERRY_RING_ENTRIES - 1)
#define TOKEN_MASK (FERRY_TOKENS - 1)

/* How many entries lie between our index and the peer's, which it published
 * at *shared: 0 to `most`. If the peer's index is impossible (behind ours, or further ahead
 * than `most`) the answer is 0: so a peer can stop its own traffic, no more. */
static inline uint32_t ring_ahead(const uint32_t *shared, uint32_t ours, uint32_t most)
{
    uint32_t ahead = __atomic_load_n(shared, __ATOMIC_ACQUIRE) - ours;

    return ahead <= most ? ahead : 0;
}

/* Makes entries up to `index` visible to the peer. */
static inline void ring_publish(uint32_t *shared, uint32_t index)
{
    __atomic_store_n(shared, index, __ATOMIC_RELEASE);
}

/* One fetch: eight volatile reads. A plain struct assignment would let the
 * compiler read the guest's copy again after the checks. */
static inline struct ferry_desc ring_fetch(const struct ferry_desc *ring, uint32_t index)
{
    union {
        uint64_t words[8];
        struct ferry_desc desc;
    } copy;
    const volatile uint64_t *slot = (const volatile uint64_t *)&ring[index & RING_MASK];

    for (int i = 0; i < 8; i++)
        copy.words[i] = slot[i];
    return copy.desc;
}

/* Of the release ring. */
static inline uint32_t ring_fetch_word(const uint32_t *ring, uint32_t index)
{
    return __atomic_load_n(&ring[index & TOKEN_MASK], __ATOMIC_RELAXED);
}

#endif
