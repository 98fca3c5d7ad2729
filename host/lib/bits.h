/* SPDX-License-Identifier: BSD-2-Clause */
/* Arithmetic on addresses and sizes. */
#ifndef FERRY_HOST_BITS_H
#define FERRY_HOST_BITS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <ferry/abi/layout.h>

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* To a multiple of `to`, a power of two; 0 if that overflows. */
static inline uint64_t align_up(uint64_t value, uint64_t to)
{
    return (value + to - 1) & ~(to - 1);
}

static inline uint64_t page_down(uint64_t value)
{
    return value & ~(FERRY_PAGE_BYTES - 1);
}

/* 0 if that overflows. */
static inline uint64_t page_up(uint64_t value)
{
    return align_up(value, FERRY_PAGE_BYTES);
}

static inline bool page_is_zero(const char *page)
{
    static const char zeros[FERRY_PAGE_BYTES];

    return memcmp(page, zeros, sizeof(zeros)) == 0;
}

#endif
