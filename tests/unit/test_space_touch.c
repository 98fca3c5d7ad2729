/* SPDX-License-Identifier: BSD-2-Clause */
/* The program's address space: memory that is charged by touch. */
#include "space_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#define KIB   (1ull << 10)
#define PIECE (64 * KIB)

/* The bytes that the host lets this process read, in steps of a page. */
static uint64_t open_bytes(const struct space *space, uint64_t start, uint64_t bytes)
{
    uint64_t open = 0;

    for (uint64_t at = start; at < start + bytes; at += PAGE)
        open += host_can(space, at, false) ? PAGE : 0;
    return open;
}

static void touch(struct space *space, uint64_t addr)
{
    char *at = space_touch_at(space, guest_addr(addr), 1, SPACE_WRITE);

    assert_ptr_equal(at, space->base + addr);
    *at = 7;
}

static void test_nothing_is_charged_before_a_touch(void **state)
{
    struct space_fixture *f = *state;
    struct space *space = &f->space;

    assert_int_equal(
        space_map_by_touch(space, guest_addr(AREA), 1024 * LIMIT, READ_WRITE | SPACE_NORESERVE),
        -EINVAL); /* beyond the program's part */
    assert_int_equal(
        space_map_by_touch(space, guest_addr(AREA), 128 * LIMIT, READ_WRITE | SPACE_NORESERVE), 0);
    assert_int_equal(space->used_bytes, 0);
    assert_int_equal(f->slots_added, 0);
    assert_int_equal(space_prot(space, guest_addr(AREA)), READ_WRITE);
    assert_non_null(space_at(space, guest_addr(AREA), 128 * LIMIT, READ_WRITE));
    assert_false(host_can(space, AREA, false));
    assert_true(space_is_closed(space, guest_addr(AREA + 5 * MIB), 1));
    assert_int_equal(space->used_bytes, 0);
    touch(space, AREA + 5 * MIB + 3);
    assert_int_equal(space->used_bytes, PIECE);
    assert_false(space_is_closed(space, guest_addr(AREA + 5 * MIB), PIECE));
    assert_true(space_is_closed(space, guest_addr(AREA + 5 * MIB), PIECE + 1));
    assert_true(space_is_closed(space, guest_addr(AREA + 5 * MIB - 1), PIECE));
    assert_true(host_can(space, AREA + 5 * MIB, true));
    assert_int_equal(open_bytes(space, AREA + 4 * MIB, 2 * MIB), PIECE);
    touch(space, AREA + 5 * MIB + PIECE - 1);
    assert_int_equal(space->used_bytes, PIECE);
    assert_null(space_touch_at(space, guest_addr(AREA), 1, SPACE_EXEC));
    assert_int_equal(space->used_bytes, PIECE);
    assert_int_equal(space_unmap(space, guest_addr(AREA), 128 * LIMIT), 0);
    assert_int_equal(space->used_bytes, 0);
    assert_false(host_can(space, AREA + 5 * MIB, false));
}

/* Going on beside what is open takes fewer and fewer exits, and no further regions. */
static void test_pieces_grow(void **state)
{
    static const int ways[] = {1, -1};
    struct space *space = &((struct space_fixture *)*state)->space;

    for (size_t way = 0; way < 2; way++) {
        unsigned touches = 0;
        uint64_t first = ways[way] > 0 ? AREA : AREA + 32 * MIB - PAGE;

        assert_int_equal(
            space_map_by_touch(space, guest_addr(AREA), 32 * MIB, READ_WRITE | SPACE_NORESERVE), 0);
        for (uint64_t done = 0; done < 32 * MIB; done += PAGE) {
            uint64_t at = ways[way] > 0 ? first + done : first - done;

            if (!host_can(space, at, true)) {
                touch(space, at);
                touches++;
            }
        }
        assert_in_range(touches, 2, 30);
        assert_int_equal(space->count, 1);
        assert_int_equal(space->used_bytes, 32 * MIB);
        assert_int_equal(space_unmap(space, guest_addr(AREA), 32 * MIB), 0);
    }
}

/* In places far apart most of the limit can be had, in smaller and smaller pieces. */
static void test_pieces_shrink(void **state)
{
    struct space *space = &((struct space_fixture *)*state)->space;
    uint64_t at = AREA, last = 0;
    unsigned touches = 0;

    assert_int_equal(
        space_map_by_touch(space, guest_addr(AREA), 16384 * MIB, READ_WRITE | SPACE_NORESERVE), 0);
    for (; space_touch_at(space, guest_addr(at), 1, SPACE_WRITE); at += 2 * MIB) {
        assert_true(space->used_bytes <= LIMIT);
        assert_true(space->used_bytes > last);
        last = space->used_bytes;
        touches++;
    }
    assert_in_range(touches, 4000, LIMIT / PAGE);
    assert_int_equal(space->used_bytes, last);
    assert_in_range(last, LIMIT - LIMIT / 8, LIMIT);
    assert_false(host_can(space, at, false));
    /* What was touched stays usable. */
    assert_non_null(space_touch_at(space, guest_addr(AREA), PAGE, SPACE_WRITE));
}

static void test_what_cannot_be_had_is_refused(void **state)
{
    struct space *space = &((struct space_fixture *)*state)->space;
    struct guest_addr area = guest_addr(AREA), other = guest_addr(AREA + 1024 * MIB);

    assert_int_equal(space_map_by_touch(space, area, LIMIT + PAGE, READ_WRITE), -ENOMEM);
    assert_int_equal(space_map_by_touch(space, area, LIMIT, READ_WRITE), 0);
    assert_int_equal(space_map_by_touch(space, other, LIMIT, READ_WRITE),
                     0); /* nobody touched yet */
    touch(space, AREA);
    assert_int_equal(space_map_by_touch(space, other, LIMIT, READ_WRITE), -ENOMEM);
    assert_int_equal(space_prot(space, other), READ_WRITE); /* the mapping before it */
    /* A reservation is refused when it gets rights, one that may be more than the limit is not. */
    assert_int_equal(space_map_by_touch(space, other, 2 * LIMIT, 0), 0);
    assert_int_equal(space_protect(space, other, LIMIT, READ_WRITE), -ENOMEM);
    assert_int_equal(space_protect(space, other, LIMIT / 2, READ_WRITE), 0);
    assert_int_equal(space_map_by_touch(space, other, 2 * LIMIT, SPACE_NORESERVE), 0);
    assert_int_equal(space_protect(space, other, 2 * LIMIT, READ_WRITE), 0);
    /* All in one access is too much: nothing of it is charged. */
    assert_null(space_touch_at(space, other, 2 * LIMIT, SPACE_WRITE));
    assert_int_equal(space_touch(space, other, 2 * LIMIT), -ENOMEM);
    assert_non_null(space_touch_at(space, other, LIMIT / 2, SPACE_WRITE));
    assert_in_range(space->used_bytes, LIMIT / 2, LIMIT);
}

/* A part that gets rights at once when it is small, as the heaps of C libraries do. */
static void test_rights(void **state)
{
    struct space *space = &((struct space_fixture *)*state)->space;

    assert_int_equal(space_map_by_touch(space, guest_addr(AREA), 16 * MIB, 0), 0);
    assert_null(space_touch_at(space, guest_addr(AREA), 1, SPACE_READ));
    assert_int_equal(space_protect(space, guest_addr(AREA), 8 * PAGE, READ_WRITE), 0);
    assert_int_equal(space->used_bytes, 8 * PAGE);
    assert_true(host_can(space, AREA + 7 * PAGE, true));
    assert_false(host_can(space, AREA + 8 * PAGE, true));
    assert_int_equal(space_protect(space, guest_addr(AREA + 2 * MIB), 8 * MIB, READ_WRITE), 0);
    assert_int_equal(space->used_bytes, 8 * PAGE);
    touch(space, AREA + 3 * MIB);
    uint64_t used = space->used_bytes;
    assert_in_range(used, 9 * PAGE, 8 * PAGE + PIECE);
    assert_int_equal(space_protect(space, guest_addr(AREA), 16 * MIB, SPACE_READ), 0);
    assert_false(host_can(space, AREA + 4 * MIB, false));
    assert_int_equal(space->base[AREA + 3 * MIB], 7);
    assert_false(host_can(space, AREA + 3 * MIB, true));
    assert_int_equal(space_protect(space, guest_addr(AREA), 16 * MIB, 0), 0);
    assert_null(space_at(space, guest_addr(AREA + 3 * MIB), 1, SPACE_READ));
    assert_int_equal(space_protect(space, guest_addr(AREA), 16 * MIB, READ_WRITE), 0);
    assert_int_equal(space->base[AREA + 3 * MIB], 7);
    assert_false(host_can(space, AREA + 4 * MIB, false));
    assert_int_equal(space->used_bytes, used);
    touch(space, AREA + 15 * MIB);
    assert_true(space->used_bytes > used);
}

static void test_free_gives_back_what_is_private(void **state)
{
    struct space *space = &((struct space_fixture *)*state)->space;
    struct guest_addr area = guest_addr(AREA);

    assert_int_equal(space_map_by_touch(space, area, 4 * MIB, READ_WRITE), 0);
    assert_int_equal(
        space_map_by_touch(space, guest_addr(AREA + 4 * MIB), 4 * MIB, READ_WRITE | SPACE_SHARED),
        0);
    assert_non_null(space_touch_at(space, area, 8 * MIB, SPACE_WRITE));
    memset(space->base + AREA, 7, 8 * MIB);
    assert_int_equal(space_discard_private(space, guest_addr(AREA + MIB), MIB), 0);
    assert_int_equal(space->used_bytes, 7 * MIB);
    assert_int_equal(open_bytes(space, AREA + MIB, MIB), 0);
    /* Up to what is something else. */
    assert_int_equal(space_discard_private(space, guest_addr(AREA + 3 * MIB), 2 * MIB), -EINVAL);
    assert_int_equal(space->used_bytes, 6 * MIB);
    assert_int_equal(space->base[AREA + 4 * MIB], 7);
    assert_int_equal(space_discard_private(space, guest_addr(AREA + 5 * MIB), MIB), -EINVAL);
    assert_int_equal(space->base[AREA + 5 * MIB], 7);
    assert_int_equal(space->used_bytes, 6 * MIB);
    assert_int_equal(space_discard_private(space, guest_addr(AREA - PAGE), 2 * MIB), -ENOMEM);
    assert_int_equal(space->used_bytes, 5 * MIB);
}

static void test_discard_gives_back(void **state)
{
    struct space *space = &((struct space_fixture *)*state)->space;
    struct guest_addr area = guest_addr(AREA);

    assert_int_equal(space_map_by_touch(space, area, 32 * MIB, READ_WRITE), 0);
    assert_non_null(space_touch_at(space, area, 32 * MIB, SPACE_WRITE));
    assert_int_equal(space->used_bytes, 32 * MIB);
    memset(space->base + AREA, 7, 32 * MIB);
    /* Whole pieces go; of the rest only the contents. */
    assert_int_equal(space_discard(space, guest_addr(AREA + MIB - PAGE), MIB + 2 * PAGE, false), 0);
    assert_int_equal(space->used_bytes, 31 * MIB);
    assert_int_equal(open_bytes(space, AREA + MIB, MIB), 0);
    assert_int_equal(space->base[AREA + MIB - PAGE - 1], 7);
    assert_int_equal(space->base[AREA + MIB - PAGE], 0);
    assert_int_equal(space->base[AREA + 2 * MIB + PAGE - 1], 0);
    assert_int_equal(space->base[AREA + 2 * MIB + PAGE], 7);
    touch(space, AREA + MIB + 100 * KIB);
    assert_int_equal(space->base[AREA + MIB + 100 * KIB + 1], 0);
    assert_true(space->used_bytes > 31 * MIB);
    /* A page is not worth a touch. */
    touch(space, AREA + 4 * MIB);
    assert_int_equal(space_discard(space, guest_addr(AREA + 4 * MIB), PAGE, false), 0);
    assert_true(host_can(space, AREA + 4 * MIB, true));
    assert_int_equal(space->base[AREA + 4 * MIB], 0);
    assert_int_equal(space_discard(space, area, 32 * MIB, false), 0);
    assert_int_equal(space->used_bytes, 0);
    assert_int_equal(open_bytes(space, AREA, 32 * MIB), 0);
    /* Memory of several programs would keep its contents. */
    assert_int_equal(space_map_by_touch(space, area, 32 * MIB, READ_WRITE | SPACE_SHARED), 0);
    touch(space, AREA);
    assert_int_equal(space_discard(space, area, 32 * MIB, false), 0);
    assert_int_equal(space->base[AREA], 7);
    assert_int_equal(space_discard(space, area, 32 * MIB, true), 0);
    assert_int_equal(space->used_bytes, 0);
}

static void test_move(void **state)
{
    struct space *space = &((struct space_fixture *)*state)->space;
    const uint64_t to = AREA + 256 * MIB;

    assert_int_equal(space_map_by_touch(space, guest_addr(AREA), 16 * MIB, READ_WRITE), 0);
    touch(space, AREA + 9 * MIB);
    uint64_t used = space->used_bytes;
    assert_int_equal(space_move(space, guest_addr(AREA), 16 * MIB, guest_addr(to)), 0);
    assert_int_equal(space->used_bytes, used);
    assert_int_equal(space->base[to + 9 * MIB], 7);
    assert_false(host_can(space, to + MIB, false));
    assert_false(host_can(space, AREA + 9 * MIB, false));
    touch(space, to + MIB);
    assert_true(space->used_bytes > used);
    assert_int_equal(space_move(space, guest_addr(to), 16 * MIB, guest_addr(AREA)), 0);
    assert_int_equal(space->base[AREA + 9 * MIB], 7);
    assert_int_equal(space->base[AREA + MIB], 7);
}

/* Another thread of the program, which stores where the memory was just before it is moved. */
static bool refills, refilled;

void *__real_mremap(void *old, size_t bytes, size_t fresh_bytes, int flags, void *fresh);
void *__wrap_mremap(void *old, size_t bytes, size_t fresh_bytes, int flags, void *fresh);
void *__wrap_mremap(void *old, size_t bytes, size_t fresh_bytes, int flags, void *fresh)
{
    char byte = 9;
    struct iovec mine = {&byte, 1}, there = {old, 1};
    void *got = __real_mremap(old, bytes, fresh_bytes, flags, fresh);

    if (refills && process_vm_writev(getpid(), &mine, 1, &there, 1, 0) == 1)
        refilled = true;
    return got;
}

static void test_nobody_stores_during_a_move(void **state)
{
    struct space *space = &((struct space_fixture *)*state)->space;
    const uint64_t to = AREA + 256 * MIB;

    assert_int_equal(space_map_by_touch(space, guest_addr(AREA), 16 * MIB, READ_WRITE), 0);
    touch(space, AREA + 9 * MIB);
    refills = true;
    assert_int_equal(space_move(space, guest_addr(AREA), 16 * MIB, guest_addr(to)), 0);
    refills = false;
    assert_false(refilled);
    assert_int_equal(space->base[to + 9 * MIB], 7);
    assert_true(host_can(space, to + 9 * MIB, true));
}

/* Mappings of this process within the program's memory. */
static unsigned host_mappings(const struct space *space)
{
    uintptr_t base = (uintptr_t)space->base, start;
    FILE *maps = fopen("/proc/self/maps", "re");
    unsigned count = 0;
    char line[512];

    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps)) {
        start = strtoull(line, NULL, 16);
        count += start >= base && start < base + FERRY_PROGRAM_HIGH;
    }
    fclose(maps);
    return count;
}

/* The bound on regions is one on mappings of the host, which come from one that was touched here. */
static void test_moved_regions_bound_mappings(void **state)
{
    struct space *space = &((struct space_fixture *)*state)->space;
    const uint64_t to = AREA + 256 * MIB;

    assert_int_equal(space_map_by_touch(space, guest_addr(AREA), 2 * MIB, READ_WRITE), 0);
    touch(space, AREA + MIB);
    assert_int_equal(space_protect(space, guest_addr(AREA), 2 * MIB, 0), 0);
    for (uint64_t i = 0; i < 64; i++)
        assert_int_equal(
            space_move(space, guest_addr(AREA + i * PAGE), PAGE, guest_addr(to + (63 - i) * PAGE)),
            0);
    assert_int_equal(space_protect(space, guest_addr(to), 64 * PAGE, SPACE_READ), 0);
    assert_int_equal(space_protect(space, guest_addr(to), 64 * PAGE, 0), 0);
    assert_true(host_mappings(space) <= 2 * space->count + 1);
}

static int slot_refused(void *arg, struct guest_addr gpa, uint64_t bytes, void *host)
{
    struct space_fixture *f = arg;

    (void)gpa, (void)bytes, (void)host;
    f->space.base[AREA + PAGE] = 7; /* as another thread of the program may */
    return -ENOMEM;
}

/* Rights that are refused half way: what was open for a moment is closed again, and empty. */
static void test_refused_rights(void **state)
{
    struct space_fixture *f = *state;
    struct space *space = &f->space;
    const uint64_t far = AREA + 64 * LIMIT;
    int fd = memfd_create("file", MFD_CLOEXEC), reader;
    char name[32];

    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    reader = open(name, O_RDONLY | O_CLOEXEC);
    assert_int_equal(ftruncate(fd, PAGE), 0);
    assert_int_equal(space_map_by_touch(space, guest_addr(AREA), MIB, 0), 0);
    assert_int_equal(
        space_map_live(space, guest_addr(AREA + MIB), PAGE, SPACE_READ | SPACE_SHARED, reader, 0),
        0);
    assert_int_equal(space_protect(space, guest_addr(AREA + PAGE), MIB, READ_WRITE), -EACCES);
    assert_int_equal(open_bytes(space, AREA, MIB), 0);
    assert_int_equal(space->used_bytes, 0);
    assert_true(host_can(space, AREA + MIB, false));
    /* Between two small parts that would be opened one that stays closed. */
    assert_int_equal(space_map_by_touch(space, guest_addr(AREA + MIB), far - AREA - MIB,
                                        READ_WRITE | SPACE_NORESERVE),
                     0);
    assert_int_equal(space_map_by_touch(space, guest_addr(far), MIB, 0), 0);
    space->backend.slot_add = slot_refused;
    assert_int_equal(space_protect(space, guest_addr(AREA + PAGE), far - AREA, READ_WRITE),
                     -ENOMEM);
    assert_int_equal(open_bytes(space, AREA, MIB), 0);
    assert_int_equal(space->used_bytes, 0);
    assert_int_equal(space_protect(space, guest_addr(AREA), 2 * PAGE, SPACE_READ), 0);
    assert_int_equal(space->base[AREA + PAGE], 0);
    close(reader);
    close(fd);
}

static void test_touch_around(void **state)
{
    struct space *space = &((struct space_fixture *)*state)->space;

    assert_int_equal(space_map(space, guest_addr(AREA - PAGE), PAGE, READ_WRITE), 0);
    assert_int_equal(space_map_by_touch(space, guest_addr(AREA), 20 * MIB, READ_WRITE), 0);
    assert_false(space_is_by_touch(space, guest_addr(AREA - 1)));
    assert_true(space_is_by_touch(space, guest_addr(AREA)));
    assert_false(space_is_by_touch(space, guest_addr(AREA + 20 * MIB)));
    space_touch_around(space, guest_addr(AREA - 1));
    assert_int_equal(space->used_bytes, PAGE);
    space_touch_around(space, guest_addr(AREA + 7 * MIB));
    assert_int_equal(open_bytes(space, AREA, 20 * MIB), 20 * MIB);
}

/* ---- against a model ----------------------------------------------------- */

#define UNITS 40
#define UNIT  (32 * PAGE) /* two of them are a piece at most */

struct unit {
    bool mapped;
    unsigned prot;
    char value; /* 0: never written */
};

/* Everything open is charged, and what is closed holds nothing. */
static void check_model(struct space *space, const struct unit *units)
{
    uint64_t open = 0;

    for (unsigned i = 0; i < UNITS; i++) {
        uint64_t at = AREA + i * UNIT;

        assert_int_equal(space_at(space, guest_addr(at), UNIT, 0) != NULL, units[i].mapped);
        assert_int_equal(space_prot(space, guest_addr(at)), units[i].prot);
        if (units[i].prot && units[i].value)
            assert_int_equal(space->base[at], units[i].value);
        else if (host_can(space, at, false))
            assert_int_equal(space->base[at], 0);
        if (!units[i].prot)
            assert_int_equal(open_bytes(space, at, UNIT), 0);
        open += open_bytes(space, at, UNIT);
    }
    assert_true(open <= space->used_bytes);
    assert_true(space->used_bytes <= LIMIT);
}

static void model_step(struct space *space, struct unit *units, unsigned op, unsigned first,
                       unsigned count, unsigned prot)
{
    struct guest_addr at = guest_addr(AREA + first * UNIT);
    bool holes = false;
    int result = 0;

    for (unsigned i = first; i < first + count; i++)
        holes |= !units[i].mapped;
    if (op == 0)
        result = space_map_by_touch(space, at, count * UNIT, prot);
    else if (op == 1)
        result = space_unmap(space, at, count * UNIT);
    else if (op == 2)
        result = space_protect(space, at, count * UNIT, prot);
    else if (op == 3)
        result = space_discard(space, at, count * UNIT, false);
    assert_int_equal(result, op > 1 && op < 4 && holes ? -ENOMEM : 0);
    for (unsigned i = first; i < first + count; i++) {
        struct unit *unit = &units[i];

        if (op < 2)
            *unit = (struct unit){.mapped = op == 0};
        if (!unit->mapped)
            continue;
        if (op == 0 || (op == 2 && !holes))
            unit->prot = prot;
        if (op == 3)
            unit->value = 0;
        if (op == 4 && unit->prot & SPACE_WRITE) {
            unit->value = (char)(1 + rand() % 100);
            touch(space, AREA + i * UNIT);
            space->base[AREA + i * UNIT] = unit->value;
        }
    }
}

static void test_random_steps(void **state)
{
    static const unsigned prots[] = {0, SPACE_READ, READ_WRITE, READ_WRITE};
    struct space *space = &((struct space_fixture *)*state)->space;
    struct unit units[UNITS] = {0};

    srand(1);
    for (int step = 0; step < 1500; step++) {
        unsigned first = (unsigned)rand() % UNITS;
        unsigned count = 1 + (unsigned)rand() % (UNITS - first);

        model_step(space, units, (unsigned)rand() % 5, first, count, prots[rand() % 4]);
        if (step % 5 == 0)
            check_model(space, units);
    }
    assert_int_equal(space_unmap(space, guest_addr(AREA), UNITS * UNIT), 0);
    assert_int_equal(space->used_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nothing_is_charged_before_a_touch),
        TEST(test_pieces_grow),
        TEST(test_pieces_shrink),
        TEST(test_what_cannot_be_had_is_refused),
        TEST(test_rights),
        TEST(test_discard_gives_back),
        TEST(test_free_gives_back_what_is_private),
        TEST(test_move),
        TEST(test_nobody_stores_during_a_move),
        TEST(test_moved_regions_bound_mappings),
        TEST(test_refused_rights),
        TEST(test_touch_around),
        TEST(test_random_steps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
