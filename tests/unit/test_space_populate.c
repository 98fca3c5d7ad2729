/* SPDX-License-Identifier: BSD-2-Clause */
/* The program's address space: memory that gets its pages before the program touches it. */
#include "space_fixture.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "lib/bits.h"

#define AHEAD       (256ull << 10) /* of fresh memory */
#define AHEAD_LEAST (64ull << 10)
#define AHEAD_PIECE MIB
#define AHEAD_IMAGE (2 * MIB)

enum page { NONE, OF_FILE, OWN };

static enum page page_at(const struct space *space, uint64_t addr)
{
    const uint64_t present = 1ull << 63, of_file = 1ull << 61;
    uint64_t place = (uintptr_t)space_host(space, addr) / PAGE, entry = 0;
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &entry, sizeof(entry), (off_t)(place * sizeof(entry))),
                     sizeof(entry));
    close(fd);
    return !(entry & present) ? NONE : entry & of_file ? OF_FILE : OWN;
}

/* How many of the pages in [start, start + bytes) are the program's own. */
static uint64_t own_pages(const struct space *space, uint64_t start, uint64_t bytes)
{
    uint64_t count = 0;

    for (uint64_t at = start; at < start + bytes; at += PAGE)
        count += page_at(space, at) == OWN;
    return count;
}

static void test_fresh_memory(void **state)
{
    struct space *space = &((struct space_fixture *)*state)->space;
    static const struct {
        uint64_t bytes;
        unsigned prot;
        uint64_t pages;
    } rows[] = {{PAGE, READ_WRITE, 1},
                {AHEAD, READ_WRITE, AHEAD / PAGE},
                {AHEAD + 3 * PAGE, READ_WRITE, AHEAD / PAGE},
                {AHEAD, SPACE_READ, 0},
                {AHEAD, 0, 0}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        uint64_t start = AREA + i * MIB;

        assert_int_equal(space_map(space, guest_addr(start), rows[i].bytes, rows[i].prot), 0);
        assert_int_equal(own_pages(space, start, MIB), rows[i].pages);
        assert_int_equal(own_pages(space, start, AHEAD), rows[i].pages);
    }
    /* Charged is what is mapped, as ever. */
    assert_int_equal(space->used_bytes, 3 * AHEAD + 4 * PAGE);
    /* Nothing of it is left where it was. */
    assert_int_equal(space_unmap(space, guest_addr(AREA), MIB), 0);
    assert_int_equal(space_map(space, guest_addr(AREA), PAGE, SPACE_READ), 0);
    assert_int_equal(own_pages(space, AREA, MIB), 0);
}

/* Data of an image: the bytes of the file in pages of the program's own, and the file as it was. */
static void test_image(void **state)
{
    struct space *space = &((struct space_fixture *)*state)->space;
    uint64_t bytes = AHEAD_IMAGE + 2 * PAGE;
    int fd = memfd_create("image", MFD_CLOEXEC);
    char byte = 0;

    assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
    for (uint64_t at = 0; at < bytes; at += PAGE)
        assert_int_equal(pwrite(fd, "data", 4, (off_t)at), 4);
    assert_int_equal(space_map_file(space, guest_addr(AREA), bytes, SPACE_READ, fd, 0), 0);
    assert_int_equal(own_pages(space, AREA, bytes), 0);
    assert_int_equal(space_map_file(space, guest_addr(AREA), bytes, READ_WRITE, fd, 0), 0);
    assert_int_equal(own_pages(space, AREA, bytes), AHEAD_IMAGE / PAGE);
    assert_int_equal(own_pages(space, AREA, AHEAD_IMAGE), AHEAD_IMAGE / PAGE);
    assert_int_equal(space->used_bytes, bytes);
    assert_memory_equal(space->base + AREA + AHEAD_IMAGE - PAGE, "data", 4);
    space->base[AREA] = 'x';
    assert_int_equal(pread(fd, &byte, 1, 0), 1);
    assert_int_equal(byte, 'd');
    close(fd);
}

/* A live file is populated when the caller says so. Beyond its end there is nothing, and that is no
 * error; a file that is mapped shared would be written. */
static void test_live_file(void **state)
{
    struct space *space = &((struct space_fixture *)*state)->space;
    struct guest_addr area = guest_addr(AREA);
    int fd = memfd_create("file", MFD_CLOEXEC);

    assert_int_equal(pwrite(fd, "text", 4, PAGE), 4);
    assert_int_equal(space_map_live(space, area, 4 * PAGE, READ_WRITE, fd, 0), 0);
    assert_int_equal(own_pages(space, AREA, 4 * PAGE), 0);
    space_populate(space, area, 4 * PAGE);
    assert_int_equal(own_pages(space, AREA, 4 * PAGE), 2);
    assert_memory_equal(space->base + AREA + PAGE, "text", 4);
    /* Cut short, also the pages of the program's own go. */
    assert_int_equal(ftruncate(fd, PAGE), 0);
    assert_false(host_can(space, AREA + PAGE, false));
    assert_int_equal(space->used_bytes, 4 * PAGE);
    /* Cut short after somebody looked how long it was: nobody gets a signal, and what is there is
     * the program's own. */
    assert_int_equal(space_map_live(space, area, 4 * PAGE, READ_WRITE, fd, 0), 0);
    space_populate(space, area, 4 * PAGE);
    assert_int_equal(own_pages(space, AREA, 4 * PAGE), 1);
    assert_int_equal(ftruncate(fd, 0), 0);
    space_populate(space, area, 4 * PAGE);
    assert_int_equal(own_pages(space, AREA, 4 * PAGE), 0);
    assert_int_equal(space->used_bytes, 4 * PAGE);
    close(fd);
}

/* Of a piece that is opened by a touch. */
static void test_by_touch(void **state)
{
    struct space *space = &((struct space_fixture *)*state)->space;
    const uint64_t piece = 64ull << 10;

    assert_int_equal(space_map_by_touch(space, guest_addr(AREA), 3 * MIB, READ_WRITE), 0);
    assert_int_equal(own_pages(space, AREA, 3 * MIB), 0);
    assert_int_equal(space_touch(space, guest_addr(AREA + MIB + 5), 1), 0);
    assert_int_equal(space->used_bytes, piece);
    assert_int_equal(own_pages(space, AREA, 3 * MIB), piece / 2 / PAGE);
    assert_int_equal(own_pages(space, AREA + MIB, piece / 2), piece / 2 / PAGE);
    /* What is opened at once for a long access gets its pages from there on, up to a bound. */
    assert_int_equal(space_touch(space, guest_addr(AREA + MIB + piece), 2 * MIB - piece), 0);
    assert_int_equal(own_pages(space, AREA, 3 * MIB), (piece / 2 + AHEAD_PIECE) / PAGE);
    assert_int_equal(own_pages(space, AREA + MIB + piece, AHEAD_PIECE), AHEAD_PIECE / PAGE);
    /* Downwards: the page that is touched is among them. */
    assert_int_equal(space_touch(space, guest_addr(AREA + MIB - 1), 1), 0);
    assert_int_equal(page_at(space, AREA + MIB - PAGE), OWN);
    /* What cannot be written is shown as zeros. */
    assert_int_equal(space_map_by_touch(space, guest_addr(AREA + 8 * MIB), MIB, SPACE_READ), 0);
    assert_int_equal(space_touch(space, guest_addr(AREA + 8 * MIB), 1), 0);
    assert_int_equal(own_pages(space, AREA + 8 * MIB, MIB), 0);
}

/* The page that is touched is among those at the end of a piece, too. */
static void test_end_of_a_piece(void **state)
{
    struct space *space = &((struct space_fixture *)*state)->space;
    const uint64_t piece = 64ull << 10;

    assert_int_equal(space_map_by_touch(space, guest_addr(AREA), 2 * MIB, READ_WRITE), 0);
    assert_int_equal(space_touch(space, guest_addr(AREA + MIB + piece - 1), 1), 0);
    assert_int_equal(space->used_bytes, piece);
    assert_int_equal(own_pages(space, AREA + MIB + piece / 2, piece / 2), piece / 2 / PAGE);
    assert_int_equal(own_pages(space, AREA, 2 * MIB), piece / 2 / PAGE);
}

/* The limit makes pieces larger. Of the first it gets no more pages, of those by which the program
 * goes on all, up to a bound. */
static void test_pieces_of_any_limit(void **state)
{
    struct space *space = &((struct space_fixture *)*state)->space;
    static const struct {
        uint64_t limit, piece, going;
    } rows[] = {{64 * MIB, 64 << 10, 64 << 10},
                {256 * MIB, 64 << 10, 64 << 10},
                {1024 * MIB, 256 << 10, 256 << 10},
                {8192 * MIB, 2 * MIB, MIB},
                {65536 * MIB, 16 * MIB, MIB}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        uint64_t area = AREA + i * 64 * MIB, piece = rows[i].piece, all = 2 * piece;

        space->limit_bytes = rows[i].limit;
        assert_int_equal(space_map_by_touch(space, guest_addr(area), max_u64(all, 4 * MIB),
                                            READ_WRITE | SPACE_NORESERVE),
                         0);
        assert_int_equal(space_touch(space, guest_addr(area), 1), 0);
        assert_int_equal(space->used_bytes, piece);
        assert_int_equal(own_pages(space, area, all), 8);
        assert_int_equal(space_touch(space, guest_addr(area + piece), 1), 0);
        assert_int_equal(space->used_bytes, 2 * piece);
        assert_int_equal(own_pages(space, area + piece, piece), rows[i].going / PAGE);
        assert_int_equal(own_pages(space, area, all), 8 + rows[i].going / PAGE);
        assert_int_equal(space_unmap(space, guest_addr(area), max_u64(all, 4 * MIB)), 0);
        /* An access is use, too. */
        assert_int_equal(space_map_by_touch(space, guest_addr(area), max_u64(all, 4 * MIB),
                                            READ_WRITE | SPACE_NORESERVE),
                         0);
        assert_int_equal(space_touch(space, guest_addr(area + 5), 10 * PAGE), 0);
        assert_int_equal(own_pages(space, area, all), 11);
        assert_int_equal(space_unmap(space, guest_addr(area), max_u64(all, 4 * MIB)), 0);
    }
}

/* Maps so much, uses the first bytes of it, and unmaps it. How many pages it had at first. */
static uint64_t map_use_unmap(struct space *space, uint64_t bytes, uint64_t used)
{
    uint64_t pages;

    assert_int_equal(space_map(space, guest_addr(AREA), bytes, READ_WRITE), 0);
    pages = own_pages(space, AREA, bytes);
    for (uint64_t at = 0; at < used; at += PAGE)
        space->base[AREA + at] = 1;
    assert_int_equal(space_unmap(space, guest_addr(AREA), bytes), 0);
    return pages;
}

/* A program that maps and unmaps gets so many pages as it uses. */
static void test_a_loop(void **state)
{
    struct space *space = &((struct space_fixture *)*state)->space;
    static const struct {
        uint64_t bytes, used, pages;
    } rows[] = {
        {AHEAD, PAGE, 64},
        {AHEAD, PAGE, 32},
        {AHEAD, PAGE, 16},
        {AHEAD, PAGE, 16},
        {3 * AHEAD, PAGE, 16},
        {AHEAD_LEAST, 0, 16},
        {PAGE, PAGE, 1},
        {AHEAD, 16 * PAGE, 16},
        {AHEAD, 17 * PAGE, 16},
        {AHEAD, AHEAD, 32},
        {AHEAD, AHEAD, 64},
        {3 * AHEAD, AHEAD, 32},
        {3 * AHEAD, AHEAD, 64},
        {3 * AHEAD, 2 * AHEAD, 32},
        {3 * AHEAD, 2 * AHEAD, 64},
        {3 * AHEAD, 2 * AHEAD, 64},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        uint64_t pages = map_use_unmap(space, rows[i].bytes, rows[i].used);

        if (pages != rows[i].pages)
            fail_msg("row %zu: %llu", i, (unsigned long long)pages);
    }
    /* Another mapping in its place ends it, too, and so does more that is unmapped. */
    for (uint64_t pages = 64; pages >= 32; pages /= 2) {
        assert_int_equal(space_map(space, guest_addr(AREA), AHEAD, READ_WRITE), 0);
        assert_int_equal(own_pages(space, AREA, AHEAD), pages);
    }
    assert_int_equal(space_unmap(space, guest_addr(AREA - PAGE), AHEAD + 2 * PAGE), 0);
    assert_int_equal(map_use_unmap(space, AHEAD, 17 * PAGE), 16);
    assert_int_equal(map_use_unmap(space, AHEAD, AHEAD), 32);
    /* Where only a part is unmapped, or another mapping, nothing is told. */
    assert_int_equal(space_map(space, guest_addr(AREA + MIB), AHEAD, READ_WRITE), 0);
    assert_int_equal(space_map(space, guest_addr(AREA), AHEAD, READ_WRITE), 0);
    assert_int_equal(space_unmap(space, guest_addr(AREA + MIB), AHEAD), 0);
    assert_int_equal(space_unmap(space, guest_addr(AREA), AHEAD - PAGE), 0);
    assert_int_equal(space_unmap(space, guest_addr(AREA), AHEAD), 0);
    assert_int_equal(map_use_unmap(space, AHEAD, 0), 32);
    /* Another program begins anew. */
    assert_int_equal(space_clear(space, 0), 0);
    assert_int_equal(map_use_unmap(space, AHEAD, 0), 64);
}

/* In the far part all is as it is near. */
static void test_far(void **state)
{
    struct space *space = &((struct space_fixture *)*state)->space;
    const uint64_t far = FERRY_PROGRAM_FAR_LOW + 1024 * MIB, piece = 64ull << 10;

#ifdef __SANITIZE_THREAD__
    skip(); /* ThreadSanitizer leaves no hole so long among the host's addresses */
#endif
    space->backend.far_high = FERRY_PROGRAM_FAR_HIGH;
    assert_int_equal(space_map(space, guest_addr(far), 2 * AHEAD, READ_WRITE), 0);
    assert_int_equal(own_pages(space, far, 2 * AHEAD), AHEAD / PAGE);
    assert_int_equal(space_discard(space, guest_addr(far), AHEAD - PAGE, false), 0);
    assert_int_equal(own_pages(space, far, 2 * AHEAD), 1);
    assert_int_equal(space->used_bytes, 2 * AHEAD);
    assert_int_equal(space_unmap(space, guest_addr(far), 2 * AHEAD), 0);
    assert_int_equal(space_map_by_touch(space, guest_addr(far), 3 * MIB, READ_WRITE), 0);
    assert_int_equal(space_touch(space, guest_addr(far), 1), 0);
    assert_int_equal(space_touch(space, guest_addr(far + piece), 1), 0);
    assert_int_equal(own_pages(space, far, 3 * MIB), (piece + piece / 2) / PAGE);
    assert_int_equal(space->used_bytes, 2 * piece);
    assert_int_equal(space_discard(space, guest_addr(far), 3 * MIB, false), 0);
    assert_int_equal(own_pages(space, far, 3 * MIB), 0);
    assert_int_equal(space->used_bytes, 0);
}

int main(void)
{
    /* Of a huge page all pages come at once. */
    const int no_huge = prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);

    const struct CMUnitTest tests[] = {
        TEST(test_fresh_memory),   TEST(test_image),
        TEST(test_live_file),      TEST(test_by_touch),
        TEST(test_end_of_a_piece), TEST(test_pieces_of_any_limit),
        TEST(test_a_loop),         TEST(test_far),
    };

    assert_int_equal(no_huge, 0);
    return cmocka_run_group_tests_name("space_populate", tests, NULL, NULL);
}
