/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A sum over a stream that touches all of it and is the same however the
 * stream is cut: its 8-byte little-endian words added up, the last one padded
 * with zeros. Fast enough that memory is the limit.
 */
#ifndef FERRY_EXAMPLES_SUM_H
#define FERRY_EXAMPLES_SUM_H

#include <emmintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct sum {
    uint64_t value;
    uint64_t bytes; /* seen so far */
};

static inline __m128i sum_load(const void *at)
{
    return _mm_loadu_si128(at);
}

static inline void sum_byte(struct sum *sum, uint8_t byte)
{
    sum->value += (uint64_t)byte << (sum->bytes % 8 * 8);
    sum->bytes++;
}

static inline void sum_add(struct sum *sum, const uint8_t *data, size_t bytes)
{
    __m128i lanes[4] = {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128(),
                        _mm_setzero_si128()};
    uint64_t parts[8];
    size_t done = 0;

    while (done < bytes && sum->bytes % 8 != 0)
        sum_byte(sum, data[done++]);
    for (; bytes - done >= 64; done += 64, sum->bytes += 64) {
        for (size_t lane = 0; lane < 4; lane++)
            lanes[lane] = _mm_add_epi64(lanes[lane], sum_load(data + done + 16u * lane));
    }
    memcpy(parts, lanes, sizeof(parts));
    for (int part = 0; part < 8; part++)
        sum->value += parts[part];
    while (done < bytes)
        sum_byte(sum, data[done++]);
}

#endif
