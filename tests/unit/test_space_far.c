/* SPDX-License-Identifier: BSD-2-Clause */
/* The far part of a program's address space: where it ends, when it is reserved, what lies between. */
#include <errno.h>
#include <string.h>

#include "space_fixture.h"

#define LOW  FERRY_PROGRAM_FAR_LOW
#define HIGH FERRY_PROGRAM_FAR_HIGH
#define GIB  (1ull << 30)
#define TIB  (1ull << 40)

static int setup(void **state)
{
    int result = space_setup(state);

    ((struct space_fixture *)*state)->space.backend.far_high = HIGH;
    return result;
}

static struct space_fixture *fixture_of(void **state)
{
#ifdef __SANITIZE_THREAD__
    skip(); /* ThreadSanitizer leaves no hole so long among the host's addresses */
#endif
    return *state;
}

static void test_what_fits_nowhere_else_is_put_there(void **state)
{
    struct space *space = &fixture_of(state)->space;

    assert_int_equal(space_find(space, guest_addr(0), 20 * GIB).value, AREA);
    assert_null(space->far); /* nothing asked for it */
    assert_int_equal(space_find(space, guest_addr(0), TIB).value, LOW);
    assert_int_equal(space_map_by_touch(space, guest_addr(LOW), TIB, 0), 0);
    assert_int_equal(space_find(space, guest_addr(0), 512 * GIB).value, LOW + TIB);
    assert_int_equal(space_find(space, guest_addr(0), TIB).value, 0);
    assert_int_equal(space_find(space, guest_addr(0), HIGH).value, 0);
    assert_int_equal(space_find(space, guest_addr(0), UINT64_MAX & ~(PAGE - 1)).value, 0);
    assert_int_equal(space_find(space, guest_addr(LOW), PAGE).value, AREA);
    assert_int_equal(space_find(space, guest_addr(LOW + TIB), PAGE).value, LOW + TIB);
    /* A region there is no end of the gap below. */
    assert_int_equal(space_find(space, guest_addr(0), 25 * GIB).value, FERRY_PROGRAM_LOW);
    assert_int_equal(space_find(space, guest_addr(0), 33 * GIB).value, LOW + TIB);
    assert_int_equal(space_unmap(space, guest_addr(LOW), TIB), 0);
    assert_int_equal(space_find(space, guest_addr(0), TIB).value, LOW);
}

static void test_ends_of_the_range(void **state)
{
    static const struct {
        uint64_t start, bytes;
    } bad[] = {
        {HIGH, PAGE},
        {HIGH - PAGE, 2 * PAGE},
        {LOW - PAGE, PAGE},
        {LOW - PAGE, 2 * PAGE},
        {FERRY_PROGRAM_HIGH - PAGE, LOW - FERRY_PROGRAM_HIGH + 2 * PAGE},
        {FERRY_PROGRAM_LOW, HIGH - FERRY_PROGRAM_LOW},
        {LOW, UINT64_MAX & ~(PAGE - 1)},
        {HIGH - PAGE, UINT64_MAX - HIGH + PAGE + 1},
    };
    struct space_fixture *f = fixture_of(state);
    struct space *space = &f->space;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct guest_addr at = guest_addr(bad[i].start);

        assert_int_equal(space_map(space, at, bad[i].bytes, READ_WRITE), -EINVAL);
        assert_int_equal(space_map_by_touch(space, at, bad[i].bytes, 0), -EINVAL);
        assert_int_equal(space_unmap(space, at, bad[i].bytes), -EINVAL);
        assert_int_equal(space_protect(space, at, bad[i].bytes, READ_WRITE), -EINVAL);
    }
    assert_null(space->far);
    for (int last = 0; last < 2; last++) {
        uint64_t at = last ? HIGH - PAGE : LOW;
        bool large;

        assert_int_equal(space_map(space, guest_addr(at), PAGE, READ_WRITE), 0);
        memset(space_at(space, guest_addr(at), PAGE, SPACE_WRITE), 7, PAGE);
        assert_true(host_can(space, at, true));
        assert_int_equal(leaf_of(f, at, &large) & 0x000ffffffffff000ull, at);
        assert_null(space_at(space, guest_addr(at - 1), 2, 0));
        assert_null(space_at(space, guest_addr(at), PAGE + 1, 0));
    }
}

/* A processor whose addresses are shorter, and one that has none there. */
static void test_it_ends_where_the_processors_addresses_do(void **state)
{
    struct space *space = &fixture_of(state)->space;

    space->backend.far_high = LOW + GIB;
    assert_int_equal(space_find(space, guest_addr(0), TIB).value, 0);
    assert_int_equal(space_map(space, guest_addr(LOW + GIB), PAGE, READ_WRITE), -EINVAL);
    assert_int_equal(space_map(space, guest_addr(LOW + GIB - PAGE), PAGE, READ_WRITE), 0);
    assert_int_equal(space->slots[space->slot_count - 1].end, LOW + GIB);
    space->backend.far_high = 1ull << 36;
    assert_int_equal(space_find(space, guest_addr(0), 33 * GIB).value, 0);
    assert_int_equal(space_map(space, guest_addr(LOW), PAGE, READ_WRITE), -EINVAL);
}

static bool refuse(void *arg)
{
    (void)arg;
    return false;
}

static void test_without_addresses_of_the_host(void **state)
{
    struct space *space = &fixture_of(state)->space;

    space->backend.allow_far = refuse;
    assert_int_equal(space_find(space, guest_addr(LOW), PAGE).value, AREA);
    assert_int_equal(space_find(space, guest_addr(0), TIB).value, 0);
    assert_int_equal(space_map(space, guest_addr(LOW), PAGE, READ_WRITE), -ENOMEM);
    assert_int_equal(space_map_by_touch(space, guest_addr(LOW), TIB, 0), -ENOMEM);
    assert_int_equal(space_map_file(space, guest_addr(LOW), PAGE, SPACE_READ, 0, 0), -ENOMEM);
    assert_int_equal(space_unmap(space, guest_addr(LOW), TIB), 0);
    assert_int_equal(space_discard(space, guest_addr(LOW), TIB, false), -ENOMEM);
    assert_int_equal(space_protect(space, guest_addr(LOW), TIB, READ_WRITE), -ENOMEM);
    assert_int_equal(space_map(space, guest_addr(AREA), PAGE, READ_WRITE), 0);
    assert_int_equal(space_move(space, guest_addr(AREA), PAGE, guest_addr(LOW)), -ENOMEM);
    assert_int_equal(space->count, 1);
    assert_null(space->far);
}

static void test_memory_moves_between_the_parts(void **state)
{
    struct space *space = &fixture_of(state)->space;
    struct guest_addr addr;
    char *at;

    assert_int_equal(space_map(space, guest_addr(AREA), 2 * PAGE, READ_WRITE), 0);
    memset(space_at(space, guest_addr(AREA), PAGE, SPACE_WRITE), 7, PAGE);
    assert_int_equal(space_move(space, guest_addr(AREA), 2 * PAGE, guest_addr(LOW + TIB)), 0);
    at = space_at(space, guest_addr(LOW + TIB), 2 * PAGE, SPACE_WRITE);
    assert_non_null(at);
    assert_int_equal(at[PAGE - 1], 7);
    assert_true(space_guest(space, at + 5, &addr));
    assert_int_equal(addr.value, LOW + TIB + 5);
    assert_true(space_guest(space, space->base + AREA, &addr));
    assert_int_equal(addr.value, AREA);
    assert_false(space_guest(space, &addr, &addr));
    assert_int_equal(space_move(space, guest_addr(LOW + TIB), 2 * PAGE, guest_addr(AREA)), 0);
    assert_int_equal(space->base[AREA], 7);
    assert_false(host_can(space, LOW + TIB, false));
    assert_int_equal(space->used_bytes, 2 * PAGE);
}

/* Each touch costs a slot and tables: far fewer than there are places, and never more than the limit. */
static void test_touches_far_apart_are_bounded(void **state)
{
    struct space_fixture *f = fixture_of(state);
    struct space *space = &f->space;
    uint64_t slot_bytes = 0;
    unsigned touched = 0;

    assert_int_equal(space_map_by_touch(space, guest_addr(LOW), TIB, READ_WRITE | SPACE_NORESERVE),
                     0);
    while (touched < 1024 && !space_touch(space, guest_addr(LOW + touched * GIB + 5), 1))
        touched++;
    assert_in_range(touched, 64, 1023);
    assert_true(space->used_bytes <= LIMIT);
    assert_int_equal(f->tables.used, f->tables.capacity);
    for (size_t i = 0; i < space->slot_count; i++)
        slot_bytes += space->slots[i].end - space->slots[i].start;
    assert_true(slot_bytes <= 4 * LIMIT + 8 * GIB);
    /* What the program had before is still usable. */
    assert_int_equal(space_touch(space, guest_addr(LOW + 4096), PAGE), 0);
}

/* All at once, with reservations between: no step for each piece of what is not usable. */
static void test_what_lies_around_is_touched(void **state)
{
    struct space *space = &fixture_of(state)->space;

    assert_int_equal(space_map_by_touch(space, guest_addr(LOW), TIB, 0), 0);
    assert_int_equal(space_map_by_touch(space, guest_addr(LOW + TIB), 4 * MIB, READ_WRITE), 0);
    space_touch_around(space, guest_addr(LOW + 5));
    assert_int_equal(space->used_bytes, 4 * MIB);
    assert_true(host_can(space, LOW + TIB + 4 * MIB - 1, true));
    assert_false(host_can(space, LOW + TIB - 1, false));
}

static void test_clearing_keeps_the_addresses(void **state)
{
    struct space *space = &fixture_of(state)->space;
    const char *far;

    assert_int_equal(space_map(space, guest_addr(LOW), PAGE, READ_WRITE), 0);
    assert_int_equal(space_map(space, guest_addr(AREA), PAGE, READ_WRITE), 0);
    far = space->far;
    memset(space->far, 7, PAGE);
    assert_int_equal(space_clear(space, 0), 0);
    assert_int_equal(space->used_bytes, 0);
    assert_int_equal(space->count, 0);
    assert_false(host_can(space, LOW, false));
    assert_ptr_equal(space->far, far); /* KVM still knows it */
    assert_int_equal(space_map(space, guest_addr(LOW), PAGE, READ_WRITE), 0);
    assert_int_equal(space->far[0], 0);
}

/* A program must never go on without a part of its memory. The host refuses what is at an odd address. */
static void test_clearing_is_refused_before_anything_is_gone(void **state)
{
    struct space *space = &fixture_of(state)->space;

    assert_int_equal(space_map(space, guest_addr(LOW), PAGE, READ_WRITE), 0);
    assert_int_equal(space_map(space, guest_addr(AREA), PAGE, READ_WRITE), 0);
    space->base++;
    assert_int_equal(space_clear(space, 0), -ENOMEM);
    space->base--;
    assert_int_equal(space->used_bytes, 2 * PAGE);
    assert_true(host_can(space, LOW, true) && host_can(space, AREA, true));
    space->far++;
    assert_int_equal(space_clear(space, 0), 1);
    space->far--;
    assert_int_equal(space->used_bytes, PAGE);
    assert_false(host_can(space, AREA, false));
    assert_int_equal(space_clear(space, 0), 0);
    assert_int_equal(space->used_bytes, 0);
}

int main(void)
{
#define FAR(name) cmocka_unit_test_setup_teardown(name, setup, space_teardown)
    const struct CMUnitTest tests[] = {
        FAR(test_what_fits_nowhere_else_is_put_there),
        FAR(test_ends_of_the_range),
        FAR(test_it_ends_where_the_processors_addresses_do),
        FAR(test_without_addresses_of_the_host),
        FAR(test_memory_moves_between_the_parts),
        FAR(test_touches_far_apart_are_bounded),
        FAR(test_what_lies_around_is_touched),
        FAR(test_clearing_keeps_the_addresses),
        FAR(test_clearing_is_refused_before_anything_is_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
