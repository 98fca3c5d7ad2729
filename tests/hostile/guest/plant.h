/* SPDX-License-Identifier: BSD-2-Clause */
/* What those who have the secret share. */
#ifndef FERRY_TESTS_HOSTILE_PLANT_H
#define FERRY_TESTS_HOSTILE_PLANT_H

#include "../secret.h"
#include "guest.h"

static inline const char *planted(void)
{
    const char *secret = getenv("SECRET");

    if (!secret || strlen(secret) != SECRET_BYTES)
        fail("no secret");
    return secret;
}

static inline void plant_in(char *page)
{
    for (size_t at = 0; at < FERRY_PAGE_BYTES; at += SECRET_BYTES)
        memcpy(page + at, planted(), SECRET_BYTES);
}

static inline void expect_planted(const char *page)
{
    for (size_t at = 0; at < FERRY_PAGE_BYTES; at += SECRET_BYTES)
        if (memcmp(page + at, planted(), SECRET_BYTES) != 0)
            fail("its own memory was changed at %zu", at);
}

/* In memory, in a unit that is kept (returned), and in one that goes back to the pool. */
static inline char *plant(char *memory)
{
    char *kept = alloc_units(FERRY_PAGE_BYTES), *freed = alloc_units(FERRY_PAGE_BYTES);

    plant_in(memory);
    plant_in(kept);
    plant_in(freed);
    expect_ok("free", ferry_free(freed, FERRY_PAGE_BYTES));
    return kept;
}

#endif
