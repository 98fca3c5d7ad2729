/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the tests of host/pool/pool.c, host/pool/page_table.c and host/ipc/units.c. */
#include "core_fixture.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

static void sizes_are_rounded_and_bounded(void **state)
{
    struct pool pool;

    (void)state;
    assert_int_equal(pool_create(&pool, 0, 0), -EINVAL);
    assert_int_equal(pool_create(&pool, 0, UINT32_MAX), -EINVAL);
    assert_int_equal(pool_create(&pool, UINT32_MAX, UINT32_MAX), -EINVAL);
    assert_int_equal(pool_create(&pool, 513, 2), 0);
    assert_int_equal(pool.pages, 1024);
    assert_int_equal(pool.bytes, 4 * FERRY_EXTENT_BYTES);
    assert_int_equal(pool_units(&pool), 1026);
    assert_int_equal((uintptr_t)pool.base % FERRY_EXTENT_BYTES, 0);
    pool_destroy(&pool);
}

static void units_have_their_place(void **state)
{
    struct pool pool;

    (void)state;
    assert_int_equal(pool_create(&pool, 512, 3), 0);
    assert_int_equal(pool_offset(&pool, 0).bytes, 0);
    assert_int_equal(pool_offset(&pool, 511).bytes, 511 * 4096);
    assert_int_equal(pool_offset(&pool, 512).bytes, FERRY_EXTENT_BYTES);
    assert_int_equal(pool_offset(&pool, 514).bytes, 3 * FERRY_EXTENT_BYTES);
    assert_int_equal(units_bytes(&pool, (struct units){510, 2}), 8192);
    assert_int_equal(units_bytes(&pool, (struct units){512, 3}), 3 * FERRY_EXTENT_BYTES);
    pool_destroy(&pool);
}

static void covering_is_safe_for_any_input(void **state)
{
#define E FERRY_EXTENT_BYTES
    static const struct {
        uint64_t offset, bytes;
        uint32_t first, count; /* 0: refused */
    } rows[] = {
        {0, 0, 0, 0},           {0, 1, 0, 1},
        {4095, 1, 0, 1},        {4095, 2, 0, 2},
        {4096, 4096, 1, 1},     {0, E, 0, 512},
        {E - 1, 2, 0, 0}, /* pages and an extent */
        {0, 4 * E, 0, 0},       {E, 1, 512, 1},
        {E, 3 * E, 512, 3},     {2 * E - 1, 2, 512, 2},
        {4 * E - 1, 1, 514, 1}, {4 * E - 1, 2, 0, 0}, /* past the end */
        {4 * E, 1, 0, 0},       {4 * E, 0, 0, 0},
        {UINT64_MAX, 1, 0, 0},  {UINT64_MAX, UINT64_MAX, 0, 0},
        {1, UINT64_MAX, 0, 0},  {E, UINT64_MAX - E + 1, 0, 0}, /* ends at 2^64 */
        {E, UINT64_MAX, 0, 0},
    };
    struct pool pool;

    (void)state;
    assert_int_equal(pool_create(&pool, 512, 3), 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct units units = {0, 0};
        bool covers =
            pool_covering(&pool, (struct pool_offset){rows[i].offset}, rows[i].bytes, &units);
        if (covers != (rows[i].count != 0) || units.first != rows[i].first ||
            units.count != rows[i].count)
            fail_msg("row %zu: %d %u+%u", i, covers, units.first, units.count);
    }
    pool_destroy(&pool);
}

static void scrubbing_zeroes_what_was_used(void **state)
{
    struct pool pool;

    (void)state;
    assert_int_equal(pool_create(&pool, 512, 2), 0);
    memset(pool.base, 0x5a, pool.bytes);
    pool_opened(&pool, (struct units){3, 2});
    pool_opened(&pool, (struct units){513, 1});
    pool_scrub(&pool, (struct units){3, 2});
    for (uint64_t at = 0; at < 8 * 4096; at++)
        assert_int_equal(pool.base[at], at / 4096 == 3 || at / 4096 == 4 ? 0 : 0x5a);
    pool_scrub(&pool, (struct units){513, 1});
    char *extent = pool_at(&pool, pool_offset(&pool, 513));
    assert_int_equal(extent[0], 0);
    assert_int_equal(memcmp(extent, extent + 1, FERRY_EXTENT_BYTES - 1), 0);
    assert_int_equal(extent[-1], 0x5a);
    pool_destroy(&pool);
}

static void window_shows_the_pool_and_obeys(void **state)
{
    struct ferry_engine *engine = core_engine(512, 1);
    struct endpoint endpoint = {.exchange = &engine->exchange};

    (void)state;
    assert_int_equal(
        window_create(&endpoint.window, engine->exchange.pool.fd, engine->exchange.pool.bytes), 0);
    struct window *window = &endpoint.window;
    assert_int_equal((uintptr_t)window->base % FERRY_EXTENT_BYTES, 0);
    assert_int_equal(core_rights(&endpoint, 1), WINDOW_CLOSED);
    assert_int_equal(
        window_set(window, (struct pool_offset){4096}, 8192, WINDOW_CLOSED, WINDOW_READ), 0);
    assert_int_equal(core_rights(&endpoint, 0), WINDOW_CLOSED);
    assert_int_equal(core_rights(&endpoint, 1), WINDOW_READ);
    assert_int_equal(core_rights(&endpoint, 2), WINDOW_READ);
    assert_int_equal(core_rights(&endpoint, 3), WINDOW_CLOSED);
    assert_int_equal(
        window_set(window, (struct pool_offset){4096}, 4096, WINDOW_READ, WINDOW_WRITE), 0);
    assert_int_equal(core_rights(&endpoint, 1), WINDOW_WRITE);
    assert_int_equal(core_rights(&endpoint, 2), WINDOW_READ);
    window->base[4096] = 77;
    assert_int_equal(core_bytes(engine, 1)[0], 77);
    assert_int_equal(
        window_set(window, (struct pool_offset){4096}, 8192, WINDOW_READ, WINDOW_CLOSED), 0);
    assert_int_equal(core_rights(&endpoint, 1), WINDOW_CLOSED);
    window_destroy(window);
    assert_null(window->base);
    /* In the host's window there is nothing to change. */
    assert_int_equal(window_set(window, (struct pool_offset){0}, 4096, WINDOW_CLOSED, WINDOW_READ),
                     0);
    core_end(engine);
}

static void failed_update_changes_nothing(void **state)
{
    struct ferry_engine *engine = core_engine(512, 0);
    struct endpoint endpoint = {.exchange = &engine->exchange};

    (void)state;
    assert_int_equal(
        window_create(&endpoint.window, engine->exchange.pool.fd, engine->exchange.pool.bytes), 0);
    core_exhaust_mappings();
    int result =
        window_set(&endpoint.window, (struct pool_offset){4096}, 8192, WINDOW_CLOSED, WINDOW_READ);
    enum window_access rights[4];
    for (uint32_t i = 0; i < 4; i++)
        rights[i] = core_rights(&endpoint, i);
    core_restore_mappings();
    assert_int_equal(result, -ENOMEM);
    for (int i = 0; i < 4; i++)
        assert_int_equal(rights[i], WINDOW_CLOSED);
    assert_int_equal(
        window_set(&endpoint.window, (struct pool_offset){4096}, 8192, WINDOW_CLOSED, WINDOW_READ),
        0);
    assert_int_equal(core_rights(&endpoint, 2), WINDOW_READ);
    window_destroy(&endpoint.window);
    core_end(engine);
}

/* Two mappings, because of what the first was advised: the kernel changes the first whole and
 * cannot split the second. */
static void half_an_update_is_undone(void **state)
{
    struct ferry_engine *engine = core_engine(512, 0);
    struct endpoint endpoint = {.exchange = &engine->exchange};
    struct window *window = &endpoint.window;
    enum window_access rights[4];

    (void)state;
    assert_int_equal(window_create(window, engine->exchange.pool.fd, engine->exchange.pool.bytes),
                     0);
    assert_int_equal(madvise(window->base + 4096, 4096, MADV_RANDOM), 0);
    core_exhaust_mappings();
    int alone = mprotect(window->base + 4096, 4096, PROT_READ); /* so it can be changed */
    int closed = mprotect(window->base + 4096, 4096, PROT_NONE);
    int result = window_set(window, (struct pool_offset){4096}, 8192, WINDOW_CLOSED, WINDOW_READ);
    for (uint32_t i = 0; i < 4; i++)
        rights[i] = core_rights(&endpoint, i);
    core_restore_mappings();
    assert_int_equal(alone, 0);
    assert_int_equal(closed, 0);
    assert_int_equal(result, -ENOMEM);
    for (int i = 0; i < 4; i++)
        assert_int_equal(rights[i], WINDOW_CLOSED);
    window_destroy(window);
    core_end(engine);
}

static void units_come_zeroed_and_open(void **state)
{
    struct ferry_engine *engine = core_engine(512, 2);
    struct ferry_vm *a = core_vm(engine, "a"), *b = core_vm(engine, "b");

    (void)state;
    struct units units = core_alloc(a->endpoint, 2, true);
    assert_int_equal(core_rights(a->endpoint, units.first + 1), WINDOW_WRITE);
    assert_int_equal(core_rights(b->endpoint, units.first + 1), WINDOW_CLOSED);
    *window_at(&a->endpoint->window, pool_offset(&engine->exchange.pool, units.first)) = 1;
    assert_int_equal(units_free(b->endpoint, units), -EPERM);
    assert_int_equal(core_rights(a->endpoint, units.first), WINDOW_WRITE);
    assert_int_equal(units_free(a->endpoint, units), 0);
    assert_int_equal(core_rights(a->endpoint, units.first), WINDOW_CLOSED);
    assert_int_equal(units_free(a->endpoint, units), -EPERM);
    struct units all = core_alloc(b->endpoint, engine->exchange.pool.pages, true);
    assert_int_equal(core_bytes(engine, units.first)[0], 0);
    assert_int_equal(all.count, 512);
    b->endpoint->most_extents = 1;
    assert_int_equal(units_alloc(b->endpoint, 2, false, &units), -EDQUOT);
    assert_int_equal(units_alloc(b->endpoint, UINT64_MAX, false, &units), -EDQUOT);
    assert_int_equal(units_alloc(b->endpoint, 1, false, &units), 0);
    ferry_vm_destroy(a);
    ferry_vm_destroy(b);
    core_end(engine);
}

static void failed_alloc_gives_the_units_back(void **state)
{
    struct ferry_engine *engine = core_engine(512, 0);
    struct ferry_vm *a = core_vm(engine, "a");
    struct units own = core_alloc(a->endpoint, 3, true), units;
    struct units middle = {own.first + 1, 1};

    (void)state;
    core_alloc(a->endpoint, 1, true);
    assert_int_equal(units_free(a->endpoint, (struct units){own.first + 3, 1}), 0);
    engine->exchange.ledger.hint_page = 100; /* so that it splits the closed part */
    core_exhaust_mappings();
    int allocated = units_alloc(a->endpoint, 1, true, &units);
    int freed = units_free(a->endpoint, middle);
    core_restore_mappings();
    assert_int_equal(allocated, -ENOMEM);
    assert_int_equal(freed, -ENOMEM);
    assert_int_equal(core_rights(a->endpoint, middle.first), WINDOW_WRITE);
    core_assert_books(engine, 509, 3, 0);
    assert_int_equal(units_free(a->endpoint, middle), 0);
    ferry_vm_destroy(a);
    core_end(engine);
}

static void addresses_of_whole_units(void **state)
{
    struct ferry_engine *engine = core_engine(512, 2);
    struct ferry_vm *a = core_vm(engine, "a");
    struct units units;

    (void)state;
    assert_int_equal(units_at(a->endpoint, (struct pool_offset){8192}, 4096, &units), 0);
    assert_int_equal(units.first, 2);
    assert_int_equal(units_at(a->endpoint, (struct pool_offset){FERRY_EXTENT_BYTES},
                              2 * FERRY_EXTENT_BYTES, &units),
                     0);
    assert_int_equal(units.count, 2);
    const struct {
        uint64_t addr, bytes;
    } bad[] = {
        {FERRY_WINDOW_BASE + 1, 4096},
        {FERRY_WINDOW_BASE, 4095},
        {FERRY_WINDOW_BASE, 0},
        {FERRY_WINDOW_BASE - 4096, 4096},
        {0, 4096},
        {UINT64_MAX - 4095, 4096},
        {FERRY_WINDOW_BASE + FERRY_EXTENT_BYTES, 4096},
        {FERRY_WINDOW_BASE + engine->exchange.pool.bytes, 4096},
        {FERRY_WINDOW_BASE, engine->exchange.pool.bytes},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(units_at(a->endpoint,
                                  endpoint_offset(a->endpoint, guest_addr(bad[i].addr)),
                                  bad[i].bytes, &units),
                         -EINVAL);
    ferry_vm_destroy(a);
    core_end(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_rounded_and_bounded),
        cmocka_unit_test(units_have_their_place),
        cmocka_unit_test(covering_is_safe_for_any_input),
        cmocka_unit_test(scrubbing_zeroes_what_was_used),
        cmocka_unit_test(window_shows_the_pool_and_obeys),
        cmocka_unit_test(failed_update_changes_nothing),
        cmocka_unit_test(half_an_update_is_undone),
        cmocka_unit_test(units_come_zeroed_and_open),
        cmocka_unit_test(failed_alloc_gives_the_units_back),
        cmocka_unit_test(addresses_of_whole_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
