/* SPDX-License-Identifier: BSD-2-Clause */
/* The program's address space: memory slots, table entries, and what it takes of the host. */
#include "space_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define LEAF_NO_EXEC (1ull << 63)

static uint64_t slot_bytes(const struct space *space, size_t i)
{
    return space->slots[i].end - space->slots[i].start;
}

static void test_slots_cover_and_grow(void **state)
{
    struct space_fixture *f = *state;
    struct space *space = &f->space;

    assert_int_equal(space_map(space, guest_addr(AREA), PAGE, READ_WRITE), 0);
    assert_int_equal(f->slots_added, 1);
    assert_int_equal(slot_bytes(space, 0), 4 * MIB);
    assert_int_equal(space_map(space, guest_addr(AREA + 4 * MIB - PAGE), PAGE, READ_WRITE), 0);
    assert_int_equal(f->slots_added, 1);
    /* A reservation needs no slot before it gets rights. */
    assert_int_equal(space_map(space, guest_addr(AREA + 4 * MIB), PAGE, 0), 0);
    assert_int_equal(f->slots_added, 1);
    assert_int_equal(space_protect(space, guest_addr(AREA + 4 * MIB), PAGE, SPACE_READ), 0);
    assert_int_equal(f->slots_added, 2);
    assert_int_equal(slot_bytes(space, 1), 8 * MIB);
    /* One mapping is longer than the next slot would be. */
    assert_int_equal(space_map(space, guest_addr(AREA + 12 * MIB), 40 * MIB, READ_WRITE), 0);
    assert_int_equal(f->slots_added, 3);
    assert_int_equal(slot_bytes(space, 2), 40 * MIB);
    /* A range between two slots, and the ends of the program's part. */
    assert_int_equal(space_map(space, guest_addr(AREA - PAGE), PAGE, READ_WRITE), 0);
    assert_int_equal(space->slots[0].end, AREA);
    assert_int_equal(space_map(space, guest_addr(FERRY_PROGRAM_LOW), PAGE, READ_WRITE), 0);
    assert_int_equal(space->slots[0].start, FERRY_PROGRAM_LOW);
    assert_int_equal(space_map(space, guest_addr(FERRY_PROGRAM_HIGH - PAGE), PAGE, READ_WRITE), 0);
    assert_int_equal(space->slots[space->slot_count - 1].end, FERRY_PROGRAM_HIGH);
}

static void test_slots_have_a_budget(void **state)
{
    struct space_fixture *f = *state;
    uint64_t total = 0;
    int err = 0;

    /* One page at each place that makes a new slot, as a hostile program would. */
    for (uint64_t at = AREA; !err && at < FERRY_PROGRAM_HIGH;) {
        err = space_map(&f->space, guest_addr(at), PAGE, SPACE_READ);
        if (!err)
            at = f->space.slots[f->space.slot_count - 1].end;
    }
    assert_int_equal(err, -ENOMEM);
    for (size_t i = 0; i < f->space.slot_count; i++)
        total += slot_bytes(&f->space, i);
    assert_true(total >= LIMIT && total <= 4 * LIMIT + 8192 * MIB);
}

static void test_failed_slot_changes_nothing(void **state)
{
    struct space_fixture *f = *state;
    struct space *space = &f->space;

    assert_int_equal(space_map(space, guest_addr(AREA), PAGE, READ_WRITE), 0);
    assert_int_equal(space_map(space, guest_addr(AREA + 8 * MIB), PAGE, 0), 0);
    f->slots_allowed = f->slots_added;
    assert_int_equal(space_map(space, guest_addr(AREA), 8 * MIB, READ_WRITE), -ENOSPC);
    assert_int_equal(space_protect(space, guest_addr(AREA + 8 * MIB), PAGE, READ_WRITE), -ENOSPC);
    assert_int_equal(space->used_bytes, PAGE);
    assert_int_equal(space->count, 2);
    assert_int_equal(space_prot(space, guest_addr(AREA + 8 * MIB)), 0);
    assert_false(host_can(space, AREA + PAGE, false));
    assert_true(host_can(space, AREA, true));
}

static void test_out_of_tables_changes_nothing(void **state)
{
    struct space_fixture *f = *state;

    f->tables.capacity = f->tables.used;
    assert_int_equal(space_map(&f->space, guest_addr(AREA), PAGE, READ_WRITE), -ENOMEM);
    assert_int_equal(f->space.count, 0);
    assert_int_equal(f->space.used_bytes, 0);
    assert_false(host_can(&f->space, AREA, false));
}

/* Many small mappings far apart do not use up the tables: the last ones are mapped coarsely, but
 * neither code nor what the host forbids. */
static void test_tables_last(void **state)
{
    struct space_fixture *f = *state;
    bool large;

    for (uint64_t i = 0; i < 300; i++)
        assert_int_equal(space_map(&f->space, guest_addr(AREA + i * 2 * MIB), PAGE, READ_WRITE), 0);
    leaf_of(f, AREA, &large);
    assert_false(large);
    assert_true(leaf_of(f, AREA + 598 * MIB, &large) & LEAF_NO_EXEC);
    assert_true(large);
    assert_false(host_can(&f->space, AREA + 598 * MIB + PAGE, false));
    assert_int_equal(
        space_map(&f->space, guest_addr(AREA + 600 * MIB), PAGE, SPACE_READ | SPACE_EXEC), 0);
    assert_false(leaf_of(f, AREA + 600 * MIB, &large) & LEAF_NO_EXEC);
    assert_false(large);
    assert_int_equal(space_map(&f->space, guest_addr(FERRY_PROGRAM_LOW), PAGE, READ_WRITE), 0);
    leaf_of(f, FERRY_PROGRAM_LOW, &large);
    assert_false(large);
}

static void test_leaves(void **state)
{
    struct space_fixture *f = *state;
    struct space *space = &f->space;
    int file = memfd_create("file", MFD_CLOEXEC);
    bool large;

    assert_true(file >= 0);
    /* The leaves at the edges are small, those between are large. */
    assert_int_equal(space_map(space, guest_addr(AREA + PAGE), 6 * MIB, READ_WRITE), 0);
    assert_int_equal(leaf_of(f, AREA, &large), 0);
    assert_true(leaf_of(f, AREA + PAGE, &large) & LEAF_NO_EXEC);
    assert_false(large);
    assert_true(leaf_of(f, AREA + 2 * MIB, &large) & LEAF_NO_EXEC);
    assert_true(large);
    assert_non_null(leaf_of(f, AREA + 6 * MIB - PAGE, &large));
    assert_true(large);
    assert_non_null(leaf_of(f, AREA + 6 * MIB, &large));
    assert_false(large);
    /* Write rights are in every leaf: the host's mapping decides. */
    assert_int_equal(space_map(space, guest_addr(AREA + 16 * MIB), PAGE, SPACE_READ), 0);
    assert_int_equal(leaf_of(f, AREA + 16 * MIB, &large) & 7, 7);
    /* Code has a large leaf only where all of it is code. */
    assert_int_equal(
        space_map(space, guest_addr(AREA + 32 * MIB), 5 * MIB, SPACE_READ | SPACE_EXEC), 0);
    assert_int_equal(leaf_of(f, AREA + 34 * MIB, &large) & LEAF_NO_EXEC, 0);
    assert_true(large);
    assert_int_equal(leaf_of(f, AREA + 36 * MIB, &large) & LEAF_NO_EXEC, 0);
    assert_false(large);
    assert_int_equal(space_map(space, guest_addr(AREA + 37 * MIB), MIB, SPACE_READ), 0);
    assert_true(leaf_of(f, AREA + 37 * MIB, &large) & LEAF_NO_EXEC);
    /* So has an image, which may lie in huge pages; another file has small leaves. */
    assert_int_equal(space_map_file(space, guest_addr(AREA + 40 * MIB), 3 * MIB,
                                    SPACE_READ | SPACE_EXEC, file, 0),
                     0);
    assert_int_equal(leaf_of(f, AREA + 40 * MIB, &large) & LEAF_NO_EXEC, 0);
    assert_true(large);
    assert_int_equal(
        space_map_live(space, guest_addr(AREA + 44 * MIB), 3 * MIB, SPACE_READ, file, 0), 0);
    assert_true(leaf_of(f, AREA + 44 * MIB, &large) & LEAF_NO_EXEC);
    assert_false(large);
    /* A right may be gained later. */
    assert_int_equal(space_protect(space, guest_addr(AREA + PAGE), PAGE, SPACE_READ | SPACE_EXEC),
                     0);
    assert_int_equal(leaf_of(f, AREA + PAGE, &large) & LEAF_NO_EXEC, 0);
    assert_true(leaf_of(f, AREA + 2 * PAGE, &large) & LEAF_NO_EXEC);
    /* That of a large leaf is that of all 2 MiB, and of no other; rights to write stay as they were. */
    assert_int_equal(
        space_protect(space, guest_addr(AREA + 3 * MIB), PAGE, SPACE_READ | SPACE_EXEC), 0);
    assert_int_equal(leaf_of(f, AREA + 2 * MIB, &large) & LEAF_NO_EXEC, 0);
    assert_true(large);
    assert_false(host_can(space, AREA + 3 * MIB, true));
    assert_true(host_can(space, AREA + 3 * MIB + PAGE, true));
    assert_true(leaf_of(f, AREA + 4 * MIB, &large) & LEAF_NO_EXEC);
    assert_true(leaf_of(f, AREA + 2 * MIB - PAGE, &large) & LEAF_NO_EXEC);
    /* The same where memory was unmapped; with small leaves it is that of the code alone. */
    assert_int_equal(space_map(space, guest_addr(AREA + 52 * MIB), 2 * MIB, READ_WRITE), 0);
    assert_int_equal(space_map(space, guest_addr(AREA + 54 * MIB), MIB, READ_WRITE), 0);
    assert_int_equal(space_unmap(space, guest_addr(AREA + 52 * MIB), 3 * MIB), 0);
    for (uint64_t at = AREA + 52 * MIB; at < AREA + 55 * MIB; at += 2 * MIB) {
        assert_int_equal(
            space_map_live(space, guest_addr(at), PAGE, SPACE_READ | SPACE_EXEC, file, 0), 0);
        assert_int_equal(leaf_of(f, at, &large) & LEAF_NO_EXEC, 0);
        assert_int_equal(!(leaf_of(f, at + PAGE, &large) & LEAF_NO_EXEC), at < AREA + 54 * MIB);
    }
    /* A reservation has no leaves. */
    assert_int_equal(space_map(space, guest_addr(AREA + 48 * MIB), PAGE, 0), 0);
    assert_int_equal(leaf_of(f, AREA + 48 * MIB, &large), 0);
    assert_int_equal(close(file), 0);
}

/* Host mappings inside the reservation. */
static unsigned count_host_mappings(const struct space *space)
{
    uintptr_t low = (uintptr_t)space->base, high = low + FERRY_PROGRAM_HIGH;
    FILE *maps = fopen("/proc/self/maps", "r");
    unsigned count = 0;
    char line[512];

    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps)) {
        char *rest;
        uintptr_t start = strtoul(line, &rest, 16);

        if (*rest == '-' && start < high && strtoul(rest + 1, NULL, 16) > low)
            count++;
    }
    assert_int_equal(fclose(maps), 0);
    return count;
}

/* Pages touched before their neighbours came: the kernel does not merge them,
 * so neither may the list, or its bound would be none. */
static void test_host_mappings_are_bounded(void **state)
{
    struct space *space = &((struct space_fixture *)*state)->space;
    int err = 0;

    for (uint64_t area = AREA; !err && area < AREA + 31 * MIB; area += MIB) {
        for (int odd = 0; odd < 2; odd++) {
            for (uint64_t i = 0; !err && i < 128; i++) {
                uint64_t at = area + (2 * i + (uint64_t)odd) * PAGE;

                err = space_map(space, guest_addr(at), PAGE, READ_WRITE);
                if (!err)
                    *(char *)space_at(space, guest_addr(at), 1, SPACE_WRITE) = 1;
            }
        }
    }
    for (uint64_t at = AREA + 32 * MIB; !err; at += 2 * PAGE)
        err = space_map(space, guest_addr(at), PAGE, READ_WRITE);
    assert_int_equal(err, -ENOMEM);
    assert_true(space->used_bytes < LIMIT);
    assert_true(space->count <= 12288);
    assert_true(count_host_mappings(space) <= 2 * space->count + 1);
}

static void test_fresh_neighbours_merge(void **state)
{
    struct space *space = &((struct space_fixture *)*state)->space;

    for (uint64_t i = 0; i < 4096; i++)
        assert_int_equal(space_map(space, guest_addr(AREA + i * PAGE), PAGE, READ_WRITE), 0);
    assert_int_equal(space->count, 1);
    /* An allocator opens a reservation bit by bit in this way. */
    assert_int_equal(space_map(space, guest_addr(AREA + 32 * MIB), 16 * MIB, 0), 0);
    for (uint64_t i = 0; i < 4096; i++)
        assert_int_equal(
            space_protect(space, guest_addr(AREA + 32 * MIB + i * PAGE), PAGE, READ_WRITE), 0);
    assert_int_equal(space->count, 2);
}

/* When a program has used up its regions, whatever needs no further region still works, and so
 * does the heap. */
static void test_full_list(void **state)
{
    struct space *space = &((struct space_fixture *)*state)->space;
    const uint64_t heap = FERRY_PROGRAM_LOW;
    uint64_t at = AREA;

    while (space_map(space, guest_addr(at), PAGE, SPACE_READ) == 0)
        at += 2 * PAGE;
    assert_true(at > AREA + 1000 * PAGE);
    at -= 2 * PAGE; /* the last one */
    /* A range is mapped beside a region, of the same kind and of another. */
    assert_int_equal(space_map(space, guest_addr(at + PAGE), PAGE, READ_WRITE), -ENOMEM);
    assert_int_equal(space_map(space, guest_addr(at + PAGE), 2 * PAGE, SPACE_READ), 0);
    assert_int_equal(space_protect(space, guest_addr(at + PAGE), PAGE, READ_WRITE), -ENOMEM);
    assert_int_equal(space_protect(space, guest_addr(at), 3 * PAGE, READ_WRITE), 0);
    /* A hole makes two regions of one. To unmap an end does not. */
    assert_int_equal(space_unmap(space, guest_addr(at + PAGE), PAGE), -ENOMEM);
    assert_int_equal(space_unmap(space, guest_addr(at + 2 * PAGE), PAGE), 0);
    assert_int_equal(space_map(space, guest_addr(at + PAGE), PAGE, SPACE_READ), -ENOMEM);
    assert_int_equal(space_map(space, guest_addr(at), 2 * PAGE, SPACE_READ), 0);
    for (uint64_t end = heap; end < heap + 12 * MIB; end += end < heap + 4 * MIB ? PAGE : 4 * MIB)
        assert_int_equal(
            space_map_heap(space, guest_addr(end), end < heap + 4 * MIB ? PAGE : 4 * MIB), 0);
    assert_int_equal(space_map(space, guest_addr(heap + 64 * MIB), PAGE, SPACE_READ), -ENOMEM);
    /* A region that is unmapped as a whole leaves room for another. */
    assert_int_equal(space_unmap(space, guest_addr(AREA), 5 * PAGE), 0);
    assert_int_equal(space_map(space, guest_addr(heap + 64 * MIB), PAGE, SPACE_READ), 0);
    assert_non_null(space_at(space, guest_addr(heap), 12 * MIB, READ_WRITE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_slots_cover_and_grow),
        TEST(test_slots_have_a_budget),
        TEST(test_failed_slot_changes_nothing),
        TEST(test_out_of_tables_changes_nothing),
        TEST(test_tables_last),
        TEST(test_leaves),
        TEST(test_host_mappings_are_bounded),
        TEST(test_fresh_neighbours_merge),
        TEST(test_full_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
