/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the tests of host/kvm/guest_tables.c: each table is walked as the CPU would. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "kvm/guest_tables.h"

#define BASE     0x900100000ull
#define CAPACITY 16
#define PAGE     4096ull
#define LARGE    (2ull << 20)
#define PRESENT  1ull
#define WRITABLE 2ull
#define USER     4ull
#define LEAF     0x80ull
#define NO_EXEC  (1ull << 63)
#define ADDR     0x000ffffffffff000ull
#define UNMAPPED UINT64_MAX

static _Alignas(4096) uint64_t pages[CAPACITY * 512];
static struct guest_tables tables;

static int setup(void **state)
{
    (void)state;
    memset(pages, 0xff, sizeof pages); /* what is not cleared shows */
    guest_tables_init(&tables, pages, guest_addr(BASE), CAPACITY);
    return 0;
}

static int map(uint64_t start, uint64_t end, unsigned flags)
{
    return guest_tables_map(&tables, guest_addr(start), end - start, flags);
}

struct walk {
    uint64_t physical; /* UNMAPPED: none */
    bool write, user, exec, large;
};

/* Rights are those of all levels together. */
static struct walk walk(uint64_t addr)
{
    struct walk found = {.physical = UNMAPPED, .write = true, .user = true, .exec = true};
    uint64_t table = BASE;

    for (int level = 3; level >= 0; level--) {
        assert_true(table >= BASE && table < BASE + PAGE * tables.used);
        uint64_t entry = pages[(table - BASE) / 8 + ((addr >> (12 + 9 * level)) & 511)];
        if (!(entry & PRESENT))
            return found;
        found.write &= (entry & WRITABLE) != 0;
        found.user &= (entry & USER) != 0;
        found.exec &= !(entry & NO_EXEC);
        table = entry & ADDR;
        found.large = level == 1 && (entry & LEAF);
        if (level == 0 || found.large) {
            uint64_t size = found.large ? LARGE : PAGE;
            assert_int_equal(table % size, 0);
            found.physical = table + addr % size;
            return found;
        }
    }
    return found;
}

static void assert_mapped(uint64_t addr, bool user, bool write, bool exec, bool large)
{
    struct walk found = walk(addr);

    assert_int_equal(found.physical, addr);
    assert_int_equal(found.user, user);
    assert_int_equal(found.write, write);
    assert_int_equal(found.exec, exec);
    assert_int_equal(found.large, large);
}

static void assert_unmapped(uint64_t addr)
{
    assert_true(walk(addr).physical == UNMAPPED);
}

static void small_pages_map_to_themselves(void **state)
{
    (void)state;
    assert_unmapped(0x10000);
    assert_int_equal(map(0x10000, 0x13000, GUEST_USER | GUEST_EXEC), 0);
    assert_mapped(0x10000, true, false, true, false);
    assert_mapped(0x12fff, true, false, true, false);
    assert_unmapped(0xffff);
    assert_unmapped(0x13000);
    assert_int_equal(tables.used, 4);
}

static void each_right_is_its_own(void **state)
{
    (void)state;
    assert_int_equal(map(0x20000, 0x21000, 0), 0);
    assert_mapped(0x20000, false, false, false, false);
    assert_int_equal(map(0x21000, 0x22000, GUEST_USER), 0);
    assert_mapped(0x21000, true, false, false, false);
    assert_int_equal(map(0x22000, 0x23000, GUEST_USER | GUEST_WRITE), 0);
    assert_mapped(0x22000, true, true, false, false);
}

static void a_range_may_cross_tables(void **state)
{
    uint64_t start = 0x40000000ull - 2 * PAGE;

    (void)state;
    assert_int_equal(map(start, start + 4 * PAGE, GUEST_USER), 0);
    for (uint64_t at = start; at < start + 4 * PAGE; at += PAGE)
        assert_mapped(at, true, false, false, false);
    assert_unmapped(start - PAGE);
    assert_unmapped(start + 4 * PAGE);
}

static void large_pages(void **state)
{
    uint64_t start = 0x1000000000ull;

    (void)state;
    assert_int_equal(map(start, start + 3 * LARGE, GUEST_USER | GUEST_WRITE | GUEST_LARGE), 0);
    assert_mapped(start, true, true, false, true);
    assert_mapped(start + 3 * LARGE - 1, true, true, false, true);
    assert_unmapped(start + 3 * LARGE);
    assert_int_equal(tables.used, 3);
}

static void mapping_again_only_adds_rights(void **state)
{
    (void)state;
    assert_int_equal(map(0x20000, 0x21000, GUEST_USER | GUEST_WRITE), 0);
    assert_int_equal(map(0x20000, 0x21000, GUEST_EXEC), 0);
    assert_mapped(0x20000, true, true, true, false);
    assert_int_equal(map(0x20000, 0x21000, 0), 0);
    assert_mapped(0x20000, true, true, true, false);
}

static void leaves_keep_their_size(void **state)
{
    (void)state;
    assert_int_equal(map(0, LARGE, GUEST_LARGE | GUEST_USER), 0);
    assert_int_equal(map(0x5000, 0x6000, GUEST_USER | GUEST_WRITE), 0);
    assert_mapped(0x5000, true, true, false, true);
    assert_int_equal(map(LARGE, LARGE + PAGE, GUEST_USER), 0);
    assert_int_equal(map(LARGE, 2 * LARGE, GUEST_LARGE | GUEST_USER), 0);
    assert_mapped(LARGE, true, false, false, false);
    assert_mapped(2 * LARGE - 1, true, false, false, false);
    assert_unmapped(2 * LARGE);
}

static void running_out_keeps_what_there_was(void **state)
{
    (void)state;
    tables.capacity = 5;
    assert_int_equal(map(LARGE - PAGE, 2 * LARGE + PAGE, GUEST_USER), -ENOMEM);
    assert_int_equal(tables.used, 5);
    assert_mapped(LARGE - PAGE, true, false, false, false);
    assert_mapped(2 * LARGE - PAGE, true, false, false, false);
    assert_unmapped(2 * LARGE);
    assert_int_equal(map(0x100000, 0x101000, GUEST_USER), 0);
    assert_mapped(0x100000, true, false, false, false);
}

/* Alone, so that what is not hidden stays as it is. */
static void what_is_hidden_comes_back_as_it_was(void **state)
{
    const uint64_t low = 64ull << 30, high = low + (1ull << 30) + LARGE;

    (void)state;
    assert_int_equal(map(0x20000, 0x21000, GUEST_USER), 0);
    assert_int_equal(map(low, high, GUEST_LARGE | GUEST_USER | GUEST_WRITE), 0);
    guest_tables_hide(&tables, guest_addr(low), high - low);
    assert_unmapped(low);
    assert_unmapped(high - 1);
    assert_mapped(0x20000, true, false, false, false);
    guest_tables_show(&tables, guest_addr(low), high - low);
    assert_mapped(low, true, true, false, true);
    assert_mapped(high - 1, true, true, false, true);
    assert_unmapped(high);
}

/* What lies behind the tables must not change. A guest at CPL0 could have the host write there. */
static void an_entry_that_leads_to_no_table_is_not_followed(void **state)
{
    const uint64_t gib = 1ull << 30, beyond = BASE + CAPACITY * PAGE;
    const uint64_t forged[] = {0, BASE - PAGE, beyond, ADDR, BASE + 4 * PAGE, PAGE};
    static uint64_t before[CAPACITY * 512];

    (void)state;
    tables.capacity = 5; /* the rest are beyond it */
    assert_int_equal(map(0x20000, 0x21000, GUEST_USER), 0);
    assert_int_equal(tables.used, 4);
    for (unsigned level = 0; level < 3; level++) {
        for (size_t i = 0; i < sizeof forged / sizeof *forged; i++) {
            uint64_t *entry = &pages[level * 512], kept = *entry;

            *entry = forged[i] | PRESENT | WRITABLE | USER;
            memcpy(before, pages, sizeof pages);
            assert_int_equal(map(0x20000, 0x21000, GUEST_USER | GUEST_WRITE), -ENOMEM);
            if (level == 0) {
                guest_tables_hide(&tables, guest_addr(0), gib);
                guest_tables_show(&tables, guest_addr(0), gib);
            }
            assert_memory_equal(pages, before, sizeof pages);
            *entry = kept;
        }
    }
    assert_int_equal(map(0x20000, 0x21000, GUEST_USER | GUEST_WRITE), 0);
    assert_mapped(0x20000, true, true, false, false);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        CASE(small_pages_map_to_themselves),
        CASE(each_right_is_its_own),
        CASE(a_range_may_cross_tables),
        CASE(large_pages),
        CASE(mapping_again_only_adds_rights),
        CASE(leaves_keep_their_size),
        CASE(running_out_keeps_what_there_was),
        CASE(what_is_hidden_comes_back_as_it_was),
        CASE(an_entry_that_leads_to_no_table_is_not_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
