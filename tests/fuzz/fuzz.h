/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What all fuzzers share: an input read as numbers, and an assertion that libFuzzer takes for a
 * finding. An input that ends too early reads on as zeros, so every input means something, and a
 * byte more or less changes little.
 */
#ifndef FERRY_TESTS_FUZZ_H
#define FERRY_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* What libFuzzer calls, again and again. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* cmocka's functions call exit(), which libFuzzer takes for a finding too; this one says where. */
#define FUZZ_ASSERT(condition)                                                             \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                       \
        }                                                                                  \
    } while (0)

struct fuzz {
    const uint8_t *at, *end;
};

static inline struct fuzz fuzz_begin(const uint8_t *data, size_t bytes)
{
    return (struct fuzz){data, data + bytes};
}

static inline size_t fuzz_left(const struct fuzz *fuzz)
{
    return (size_t)(fuzz->end - fuzz->at);
}

static inline uint8_t fuzz_byte(struct fuzz *fuzz)
{
    return fuzz->at < fuzz->end ? *fuzz->at++ : 0;
}

static inline uint32_t fuzz_below(struct fuzz *fuzz, uint32_t limit)
{
    return fuzz_byte(fuzz) % limit;
}

static inline uint64_t fuzz_bytes(struct fuzz *fuzz, unsigned count)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < count; i++)
        value |= (uint64_t)fuzz_byte(fuzz) << (8 * i);
    return value;
}

/* A number of any size, with those at which arithmetic goes wrong in few bytes: small ones, a power of
 * two and its neighbours, small negative ones, or all 64 bits. */
static inline uint64_t fuzz_value(struct fuzz *fuzz)
{
    uint8_t kind = fuzz_byte(fuzz);

    switch (kind >> 6) {
    case 0:
        return kind;
    case 1:
        return (1ull << (kind & 63)) + (uint64_t)(int64_t)(int8_t)fuzz_byte(fuzz);
    case 2:
        return -(uint64_t)(kind & 63);
    default:
        return fuzz_bytes(fuzz, 1 + (kind & 7));
    }
}

#endif
