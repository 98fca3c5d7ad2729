/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the tests of host/ipc/ring.h: what a hostile index may do, and single fetches. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "ipc/ring.h"

static void ahead_is_bounded(void **state)
{
    static const struct {
        uint32_t shared, ours, most, want;
    } rows[] = {
        {0, 0, 64, 0},
        {1, 0, 64, 1},
        {64, 0, 64, 64},
        {65, 0, 64, 0}, /* further ahead than can be */
        {UINT32_MAX, 0, 64, 0},
        {0x80000000u, 0, 64, 0},
        {9, 10, 64, 0}, /* behind */
        {0, 10, 64, 0},
        {5, 0xfffffffeu, 64, 7}, /* counted past the end of the type */
        {0xfffffffeu, 5, 64, 0}, /* behind, across the end */
        {61, 0xfffffffdu, 64, 64},
        {62, 0xfffffffdu, 64, 0},
        {3, 0, 2, 0}, /* `most` may be fewer than the ring holds */
        {2, 0, 2, 2},
        {1, 0, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t found = ring_ahead(&rows[i].shared, rows[i].ours, rows[i].most);
        if (found != rows[i].want)
            fail_msg("row %zu: %u, not %u", i, found, rows[i].want);
    }
}

static void fetch_is_masked_and_whole(void **state)
{
    struct ferry_desc ring[FERRY_RING_ENTRIES];

    (void)state;
    for (unsigned i = 0; i < FERRY_RING_ENTRIES; i++)
        memset(&ring[i], (int)i, sizeof ring[i]);
    const uint32_t indexes[] = {0, 1, 63, 64, 130, 0x80000001u, UINT32_MAX};
    for (size_t i = 0; i < sizeof indexes / sizeof indexes[0]; i++) {
        struct ferry_desc desc = ring_fetch(ring, indexes[i]);
        assert_memory_equal(&desc, &ring[indexes[i] % FERRY_RING_ENTRIES], sizeof desc);
    }
}

static void fetched_words_are_masked(void **state)
{
    uint32_t ring[FERRY_RING_ENTRIES];

    (void)state;
    for (uint32_t i = 0; i < FERRY_RING_ENTRIES; i++)
        ring[i] = 1000 + i;
    assert_int_equal(ring_fetch_word(ring, 3), 1003);
    assert_int_equal(ring_fetch_word(ring, 64), 1000);
    assert_int_equal(ring_fetch_word(ring, UINT32_MAX), 1063);
}

static void publish_stores(void **state)
{
    uint32_t shared = 0;

    (void)state;
    ring_publish(&shared, 0xfffffff0u);
    assert_int_equal(shared, 0xfffffff0u);
    assert_int_equal(ring_ahead(&shared, 0xffffffe0u, 64), 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ahead_is_bounded),
        cmocka_unit_test(fetch_is_masked_and_whole),
        cmocka_unit_test(fetched_words_are_masked),
        cmocka_unit_test(publish_stores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
