/* SPDX-License-Identifier: BSD-2-Clause */
/* The page tables the guest's CPU walks: building the identity map. */
#include "kvm/guest_tables.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define PAGE       4096ull
#define LARGE      (2ull << 20)
#define GIB        (1ull << 30)
#define ADDR_MASK  0x000ffffffffff000ull
#define PRESENT    1ull
#define WRITABLE   2ull
#define USER       4ull
#define USED       0x60ull /* accessed and dirty, so that the CPU need not write the entry */
#define LARGE_LEAF 0x80ull
#define NO_EXEC    (1ull << 63)

/* Bits of an address that index the table of a level: 3 is the root. */
static unsigned index_at(uint64_t addr, int level)
{
    return (unsigned)(addr >> (12 + 9 * level)) & 511;
}

/* The table that `entry` leads to; NULL: it leads to none of those that were made. The tables lie in
 * memory of the guest's, and a guest that got around its rights may have written any entry. */
static uint64_t *table_of(const struct guest_tables *tables, uint64_t entry)
{
    uint64_t at = (entry & ADDR_MASK) - tables->base.value;

    return at < tables->used * PAGE ? tables->pages + at / sizeof(uint64_t) : NULL;
}

void guest_tables_init(struct guest_tables *tables, void *pages, struct guest_addr base,
                       uint32_t capacity)
{
    *tables = (struct guest_tables){.pages = pages, .base = base, .capacity = capacity, .used = 1};
    memset(pages, 0, PAGE);
}

/* CPUs may walk the tables meanwhile: an entry changes in one store, after what it leads to. */
static void set_entry(uint64_t *entry, uint64_t value)
{
    __atomic_store_n(entry, value, __ATOMIC_RELEASE);
}

/* Once: what is looked at is what is used. The table that it leads to was counted before. */
static uint64_t get_entry(const uint64_t *entry)
{
    return __atomic_load_n(entry, __ATOMIC_ACQUIRE);
}

/* The table below `entry`, made if there is none; NULL: out of pages, or the entry is false. */
static uint64_t *descend(struct guest_tables *tables, uint64_t *entry)
{
    uint64_t value = get_entry(entry);

    if (!(value & PRESENT)) {
        if (tables->used == tables->capacity)
            return NULL;
        uint64_t page = tables->base.value + PAGE * tables->used++;
        memset(table_of(tables, page), 0, PAGE);
        value = page | PRESENT | WRITABLE | USER | USED;
        set_entry(entry, value);
    }
    return table_of(tables, value);
}

/* Sets a leaf, or adds rights to the one that is there. */
static void set_leaf(uint64_t *entry, uint64_t addr, unsigned flags, uint64_t size_bit)
{
    uint64_t rights =
        PRESENT | USED | (flags & GUEST_USER ? USER : 0) | (flags & GUEST_WRITE ? WRITABLE : 0);
    uint64_t no_exec = flags & GUEST_EXEC ? 0 : NO_EXEC;

    if (*entry & PRESENT)
        set_entry(entry, (*entry | rights) & ~(no_exec ? 0 : NO_EXEC));
    else
        set_entry(entry, addr | rights | no_exec | size_bit);
}

/* Tables that are kept for mappings that need small leaves: code, and the levels above it. */
#define TABLES_KEPT 64

static bool is_scarce(const struct guest_tables *tables)
{
    return tables->capacity - tables->used <= TABLES_KEPT;
}

int guest_tables_map(struct guest_tables *tables, struct guest_addr start, uint64_t bytes,
                     unsigned flags)
{
    const uint64_t end = start.value + bytes;
    bool large = flags & GUEST_LARGE;

    for (uint64_t addr = start.value; addr < end;) {
        uint64_t *table = tables->pages;
        for (int level = 3; level > 1; level--) {
            table = descend(tables, &table[index_at(addr, level)]);
            if (!table)
                return -ENOMEM;
        }
        uint64_t *entry = &table[index_at(addr, 1)];
        bool empty = !(*entry & PRESENT);
        bool coarse = flags & GUEST_COARSE && is_scarce(tables);
        if ((empty && (large || coarse)) || (!empty && *entry & LARGE_LEAF)) {
            set_leaf(entry, addr & ~(LARGE - 1), flags, LARGE_LEAF);
            addr = (addr & ~(LARGE - 1)) + LARGE;
            continue;
        }
        table = descend(tables, entry);
        if (!table)
            return -ENOMEM;
        uint64_t stop = (addr & ~(LARGE - 1)) + LARGE;
        for (; addr < end && addr < stop; addr += PAGE)
            set_leaf(&table[index_at(addr, 0)], addr, flags, 0);
    }
    return 0;
}

/* The entry of the GiB at addr, whose table is there; NULL: it is there no more. */
static uint64_t *gib_entry(struct guest_tables *tables, uint64_t addr)
{
    uint64_t *table = table_of(tables, get_entry(&tables->pages[index_at(addr, 3)]));

    return table ? &table[index_at(addr, 2)] : NULL;
}

void guest_tables_hide(struct guest_tables *tables, struct guest_addr start, uint64_t bytes)
{
    for (uint64_t addr = start.value & ~(GIB - 1); addr < start.value + bytes; addr += GIB) {
        uint64_t *entry = gib_entry(tables, addr);
        if (entry)
            *entry &= ~PRESENT;
    }
}

void guest_tables_show(struct guest_tables *tables, struct guest_addr start, uint64_t bytes)
{
    for (uint64_t addr = start.value & ~(GIB - 1); addr < start.value + bytes; addr += GIB) {
        uint64_t *entry = gib_entry(tables, addr);
        if (entry)
            __atomic_fetch_or(entry, PRESENT, __ATOMIC_RELEASE);
    }
}
