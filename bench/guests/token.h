/* SPDX-License-Identifier: BSD-2-Clause */
/* The message that goes round many VMs. */
#ifndef FERRY_BENCH_GUESTS_TOKEN_H
#define FERRY_BENCH_GUESTS_TOKEN_H

#include <stdint.h>

enum token_way {
    TOKEN_RING = 1,   /* to the first peer */
    TOKEN_RANDOM = 2, /* to any */
};

struct token {
    uint32_t way;
    uint32_t hops; /* to go */
    uint64_t seed; /* where it goes next */
};

#endif
