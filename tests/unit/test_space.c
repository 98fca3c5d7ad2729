/* SPDX-License-Identifier: BSD-2-Clause */
/* The program's address space: what is mapped, with what rights, and against a model. */
#include "space_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void test_base_is_aligned(void **state)
{
    struct space_fixture *f = *state;

    assert_int_equal((uintptr_t)f->space.base % (2 * MIB), 0);
}

static void test_map_gives_zeroed_memory(void **state)
{
    struct space *space = &((struct space_fixture *)*state)->space;
    char *host;

    assert_int_equal(space_map(space, guest_addr(AREA), 3 * PAGE, READ_WRITE), 0);
    host = space_at(space, guest_addr(AREA), 3 * PAGE, READ_WRITE);
    assert_ptr_equal(host, space->base + AREA);
    for (size_t i = 0; i < 3 * PAGE; i++)
        assert_int_equal(host[i], 0);
    memset(host, 7, 3 * PAGE);
    assert_int_equal(space->used_bytes, 3 * PAGE);
    assert_null(space_at(space, guest_addr(AREA - 1), 1, 0));
    assert_null(space_at(space, guest_addr(AREA + 3 * PAGE), 1, 0));
    assert_null(space_at(space, guest_addr(AREA), 3 * PAGE + 1, 0));
    assert_null(space_at(space, guest_addr(AREA), UINT64_MAX, 0));
    assert_null(space_at(space, guest_addr(AREA), 1, SPACE_EXEC));
    assert_non_null(space_at(space, guest_addr(0), 0, SPACE_READ));
    assert_int_equal(space_prot(space, guest_addr(AREA + PAGE)), READ_WRITE);
    assert_int_equal(space_prot(space, guest_addr(AREA - PAGE)), 0);
}

static void test_bad_ranges_are_refused(void **state)
{
    static const struct {
        uint64_t start, bytes;
    } bad[] = {
        {AREA, 0},
        {AREA + 1, PAGE},
        {AREA, PAGE + 1},
        {0, PAGE},
        {FERRY_PROGRAM_LOW - PAGE, PAGE},
        {FERRY_PROGRAM_LOW - PAGE, 2 * PAGE},
        {FERRY_PROGRAM_HIGH, PAGE},
        {FERRY_PROGRAM_HIGH - PAGE, 2 * PAGE},
        {AREA, UINT64_MAX & ~(PAGE - 1)},
        {UINT64_MAX & ~(PAGE - 1), PAGE},
        {FERRY_WINDOW_BASE, PAGE},
    };
    struct space_fixture *f = *state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(space_map(&f->space, guest_addr(bad[i].start), bad[i].bytes, READ_WRITE),
                         -EINVAL);
        assert_int_equal(
            space_map_file(&f->space, guest_addr(bad[i].start), bad[i].bytes, SPACE_READ, 0, 0),
            -EINVAL);
        assert_int_equal(space_unmap(&f->space, guest_addr(bad[i].start), bad[i].bytes), -EINVAL);
        assert_int_equal(
            space_protect(&f->space, guest_addr(bad[i].start), bad[i].bytes, READ_WRITE), -EINVAL);
    }
    assert_int_equal(space_map(&f->space, guest_addr(AREA), PAGE, 8), -EINVAL);
    assert_int_equal(f->space.count, 0);
    assert_int_equal(f->slots_added, 0);
}

static void test_rights_are_the_hosts(void **state)
{
    static const struct {
        unsigned asked, has;
        bool read, write;
    } table[] = {
        {0, 0, false, false},
        {SPACE_READ, SPACE_READ, true, false},
        {SPACE_WRITE, READ_WRITE, true, true},
        {READ_WRITE, READ_WRITE, true, true},
        {SPACE_EXEC, SPACE_READ | SPACE_EXEC, true, false},
        {READ_WRITE | SPACE_EXEC, READ_WRITE | SPACE_EXEC, true, true},
    };
    struct space *space = &((struct space_fixture *)*state)->space;

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        assert_int_equal(space_map(space, guest_addr(AREA), PAGE, table[i].asked), 0);
        assert_int_equal(space_prot(space, guest_addr(AREA)), table[i].has);
        assert_int_equal(host_can(space, AREA, false), table[i].read);
        assert_int_equal(host_can(space, AREA, true), table[i].write);

        assert_int_equal(space_map(space, guest_addr(AREA + PAGE), PAGE, READ_WRITE), 0);
        assert_int_equal(space_protect(space, guest_addr(AREA + PAGE), PAGE, table[i].asked), 0);
        assert_int_equal(space_prot(space, guest_addr(AREA + PAGE)), table[i].has);
        assert_int_equal(host_can(space, AREA + PAGE, false), table[i].read);
        assert_int_equal(host_can(space, AREA + PAGE, true), table[i].write);
    }
}

static void test_unmap_splits_and_closes(void **state)
{
    struct space *space = &((struct space_fixture *)*state)->space;

    assert_int_equal(space_map(space, guest_addr(AREA), 3 * PAGE, READ_WRITE), 0);
    memset(space_at(space, guest_addr(AREA), 3 * PAGE, SPACE_WRITE), 7, 3 * PAGE);
    assert_int_equal(space_unmap(space, guest_addr(AREA + PAGE), PAGE), 0);
    assert_int_equal(space->used_bytes, 2 * PAGE);
    assert_int_equal(space->count, 2);
    assert_non_null(space_at(space, guest_addr(AREA), PAGE, READ_WRITE));
    assert_null(space_at(space, guest_addr(AREA + PAGE), 1, 0));
    assert_non_null(space_at(space, guest_addr(AREA + 2 * PAGE), PAGE, READ_WRITE));
    assert_false(host_can(space, AREA + PAGE, false));
    assert_true(host_can(space, AREA, true));
    assert_true(host_can(space, AREA + 2 * PAGE, true));
    /* A page that is mapped again is zero. */
    assert_int_equal(space_map(space, guest_addr(AREA + PAGE), PAGE, READ_WRITE), 0);
    assert_int_equal(*(char *)space_at(space, guest_addr(AREA + PAGE), 1, SPACE_READ), 0);
    assert_int_equal(*(char *)space_at(space, guest_addr(AREA), 1, SPACE_READ), 7);
    assert_int_equal(space_unmap(space, guest_addr(AREA - 16 * PAGE), 64 * PAGE), 0);
    assert_int_equal(space->count, 0);
    assert_int_equal(space->used_bytes, 0);
}

static void test_map_replaces(void **state)
{
    struct space *space = &((struct space_fixture *)*state)->space;
    char *host;

    assert_int_equal(space_map(space, guest_addr(AREA), 4 * PAGE, READ_WRITE), 0);
    host = space_at(space, guest_addr(AREA), 4 * PAGE, SPACE_WRITE);
    memset(host, 7, 4 * PAGE);
    assert_int_equal(space_map(space, guest_addr(AREA + PAGE), 2 * PAGE, SPACE_READ), 0);
    assert_int_equal(space->used_bytes, 4 * PAGE);
    assert_int_equal(host[PAGE], 0);
    assert_int_equal(host[3 * PAGE - 1], 0);
    assert_int_equal(host[PAGE - 1], 7);
    assert_int_equal(host[3 * PAGE], 7);
    assert_null(space_at(space, guest_addr(AREA), 4 * PAGE, SPACE_WRITE));
    assert_non_null(space_at(space, guest_addr(AREA), 4 * PAGE, SPACE_READ));
}

static void test_limit(void **state)
{
    struct space_fixture *f = *state;
    struct space *space = &f->space;
    uint64_t other = AREA + 128 * MIB;

    assert_int_equal(space_map(space, guest_addr(AREA), LIMIT + PAGE, READ_WRITE), -ENOMEM);
    assert_int_equal(space->count, 0);
    assert_int_equal(f->slots_added, 0);
    assert_int_equal(space_map(space, guest_addr(AREA), LIMIT - PAGE, READ_WRITE), 0);
    assert_int_equal(space_map(space, guest_addr(other), 2 * PAGE, READ_WRITE), -ENOMEM);
    assert_int_equal(space_prot(space, guest_addr(other)), 0);
    assert_false(host_can(space, other, false));
    /* A range that replaces another is counted once. */
    assert_int_equal(space_map(space, guest_addr(AREA), LIMIT, READ_WRITE), 0);
    assert_int_equal(space->used_bytes, LIMIT);
    /* A reservation is free of charge until it gets rights. */
    assert_int_equal(space_map(space, guest_addr(other), 2 * PAGE, 0), 0);
    assert_int_equal(space->used_bytes, LIMIT);
    assert_int_equal(space_protect(space, guest_addr(other), PAGE, SPACE_READ), -ENOMEM);
    assert_int_equal(space_prot(space, guest_addr(other)), 0);
    assert_int_equal(space_unmap(space, guest_addr(AREA), PAGE), 0);
    assert_int_equal(space_protect(space, guest_addr(other), PAGE, SPACE_READ), 0);
    assert_int_equal(space->used_bytes, LIMIT);
    /* Memory without rights still holds its pages, so it stays charged. */
    assert_int_equal(space_protect(space, guest_addr(other), PAGE, 0), 0);
    assert_int_equal(space->used_bytes, LIMIT);
    assert_int_equal(space_protect(space, guest_addr(other + PAGE), PAGE, READ_WRITE), -ENOMEM);
    assert_int_equal(space_unmap(space, guest_addr(other), 2 * PAGE), 0);
    assert_int_equal(space->used_bytes, LIMIT - PAGE);
}

static void test_protect_wants_all_mapped(void **state)
{
    struct space *space = &((struct space_fixture *)*state)->space;

    assert_int_equal(space_map(space, guest_addr(AREA), PAGE, READ_WRITE), 0);
    assert_int_equal(space_map(space, guest_addr(AREA + 2 * PAGE), PAGE, READ_WRITE), 0);
    assert_int_equal(space_protect(space, guest_addr(AREA), 3 * PAGE, SPACE_READ), -ENOMEM);
    assert_int_equal(space_prot(space, guest_addr(AREA)), READ_WRITE);
    assert_true(host_can(space, AREA, true));
    assert_int_equal(space_protect(space, guest_addr(AREA - PAGE), 2 * PAGE, SPACE_READ), -ENOMEM);
    assert_int_equal(space_protect(space, guest_addr(AREA + 2 * PAGE), 2 * PAGE, SPACE_READ),
                     -ENOMEM);
}

static void test_protect_keeps_contents(void **state)
{
    struct space *space = &((struct space_fixture *)*state)->space;
    char *host;

    assert_int_equal(space_map(space, guest_addr(AREA), 3 * PAGE, READ_WRITE), 0);
    host = space_at(space, guest_addr(AREA), 3 * PAGE, SPACE_WRITE);
    memset(host, 7, 3 * PAGE);
    assert_int_equal(space_protect(space, guest_addr(AREA + PAGE), PAGE, 0), 0);
    assert_false(host_can(space, AREA + PAGE, false));
    assert_int_equal(space_protect(space, guest_addr(AREA), 3 * PAGE, SPACE_READ), 0);
    for (size_t i = 0; i < 3 * PAGE; i++)
        assert_int_equal(host[i], 7);
}

static void test_file_is_private(void **state)
{
    struct space *space = &((struct space_fixture *)*state)->space;
    int fd = memfd_create("test", 0);
    char text[4] = {0}, *host;

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 3 * PAGE), 0);
    assert_int_equal(pwrite(fd, "two", 4, PAGE), 4);
    assert_int_equal(space_map(space, guest_addr(AREA), 4 * PAGE, READ_WRITE), 0);
    memset(space_at(space, guest_addr(AREA), 4 * PAGE, SPACE_WRITE), 7, 4 * PAGE);
    assert_int_equal(space_map_file(space, guest_addr(AREA + PAGE), PAGE, READ_WRITE, fd, PAGE), 0);
    host = space_at(space, guest_addr(AREA), 4 * PAGE, READ_WRITE);
    assert_string_equal(host + PAGE, "two");
    assert_int_equal(host[PAGE - 1], 7);
    assert_int_equal(host[2 * PAGE], 7);
    assert_int_equal(space->used_bytes, 4 * PAGE);
    memcpy(host + PAGE, "new", 4);
    assert_int_equal(pread(fd, text, 4, PAGE), 4);
    assert_string_equal(text, "two");
    assert_int_equal(space_map_file(space, guest_addr(AREA + PAGE), PAGE, SPACE_READ, fd, 1),
                     -EINVAL);
    assert_string_equal(host + PAGE, "new"); /* a refusal changes nothing ... */
    assert_int_equal(space_map_file(space, guest_addr(AREA + PAGE), PAGE, SPACE_READ, -1, 0),
                     -EBADF);
    /* ... but a refusal by the host may: then nothing is left in that place, and all else stays. */
    assert_null(space_at(space, guest_addr(AREA + PAGE), 1, SPACE_READ));
    assert_false(host_can(space, AREA + PAGE, false));
    assert_int_equal(host[PAGE - 1], 7);
    assert_int_equal(host[2 * PAGE], 7);
    assert_int_equal(space->used_bytes, 3 * PAGE);
    close(fd);
}

static int copy_of(const char *text, off_t bytes)
{
    int fd = memfd_create("copy", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, text, strlen(text), 0), strlen(text));
    assert_int_equal(ftruncate(fd, bytes), 0);
    return fd;
}

/* A file itself: only what can be written is charged, and that before it is. */
static void test_live_file(void **state)
{
    struct space_fixture *f = *state;
    struct space *space = &f->space;
    struct guest_addr area = guest_addr(AREA), data = guest_addr(AREA + PAGE);
    int fd = memfd_create("file", MFD_CLOEXEC);
    struct reach place;

    assert_int_equal(pwrite(fd, "text", 4, PAGE), 4);
    assert_int_equal(ftruncate(fd, 3 * PAGE + 1), 0);
    assert_int_equal(space_map_live(space, area, 1024 * LIMIT, SPACE_READ, fd, PAGE),
                     -EINVAL); /* beyond the program's part */
    assert_int_equal(space_map_live(space, area, 2 * LIMIT, SPACE_READ, fd, PAGE), 0);
    assert_int_equal(space->used_bytes, 0);
    assert_memory_equal(space->base + AREA, "text", 4);
    assert_true(host_can(space, AREA + 2 * PAGE, false));
    assert_false(host_can(space, AREA + 3 * PAGE, false));
    /* The VMM itself must not touch it. */
    assert_null(space_at(space, area, 1, SPACE_READ));
    place = space_reach(space, area, 4 * PAGE, SPACE_READ);
    assert_true(place.live);
    assert_ptr_equal(place.at, space->base + AREA);
    assert_null(space_reach(space, area, 1, SPACE_WRITE).at);
    assert_true(reach_may(place, 3 * PAGE, false));
    assert_false(reach_may(place, 4 * PAGE, false));
    /* It follows the file, both ways. */
    assert_int_equal(ftruncate(fd, 4 * PAGE + 1), 0);
    assert_true(reach_may(place, 4 * PAGE, false));
    assert_int_equal(ftruncate(fd, 3 * PAGE + 1), 0);
    assert_false(reach_may(place, 4 * PAGE, false));
    /* Rights to write are charged once, and for good. */
    assert_int_equal(space_protect(space, area, 2 * LIMIT, READ_WRITE), -ENOMEM);
    assert_int_equal(space_protect(space, data, PAGE, READ_WRITE), 0);
    assert_int_equal(space->used_bytes, PAGE);
    space->base[AREA + PAGE] = 'x';
    assert_int_equal(space_protect(space, data, PAGE, SPACE_READ), 0);
    assert_int_equal(space_protect(space, data, PAGE, READ_WRITE), 0);
    assert_int_equal(space->used_bytes, PAGE);
    assert_int_equal(space_discard(space, data, PAGE, false), 0);
    assert_int_equal(space->base[AREA + PAGE], 0); /* as the file, which nobody wrote to */
    assert_int_equal(space_unmap(space, area, 2 * LIMIT), 0);
    assert_int_equal(space->used_bytes, 0);
    /* Mapped to be written at once. */
    assert_int_equal(space_map_live(space, area, 2 * LIMIT, READ_WRITE, fd, 0), -ENOMEM);
    assert_int_equal(space_map_live(space, area, 2 * PAGE, READ_WRITE, fd, 0), 0);
    assert_int_equal(space->used_bytes, 2 * PAGE);
    close(fd);
    /* All goes, but for what is charged otherwise. */
    assert_int_equal(space_charge(space, 3 * PAGE), 0);
    assert_int_equal(space_charge(space, 4 * PAGE), 0);
    assert_int_equal(space_clear(space, 3 * PAGE), 0);
    assert_int_equal(space->used_bytes, 4 * PAGE);
    assert_int_equal(space_prot(space, area), 0);
    assert_false(host_can(space, AREA, false));
}

/* What is written to a shared mapping is the file's, and is nobody's charge. */
static void test_shared_live_file(void **state)
{
    struct space *space = &((struct space_fixture *)*state)->space;
    const unsigned shared = SPACE_READ | SPACE_SHARED;
    int fd = memfd_create("file", MFD_CLOEXEC), reader;
    char name[64], bytes[4] = {0};

    assert_int_equal(ftruncate(fd, PAGE), 0);
    assert_int_equal(
        space_map_live(space, guest_addr(AREA), 2 * LIMIT, shared | SPACE_WRITE, fd, 0), 0);
    assert_int_equal(space->used_bytes, 0);
    assert_int_equal(reach_write(space_reach(space, guest_addr(AREA), 4, SPACE_WRITE), "abc", 4),
                     4);
    assert_int_equal(pread(fd, bytes, 4, 0), 4);
    assert_string_equal(bytes, "abc");
    assert_int_equal(space_protect(space, guest_addr(AREA), PAGE, SPACE_READ), 0);
    assert_int_equal(space_protect(space, guest_addr(AREA), PAGE, READ_WRITE), 0);
    assert_int_equal(space->used_bytes, 0);
    /* A file that was opened for reading stays as it is. */
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    reader = open(name, O_RDONLY | O_CLOEXEC);
    assert_int_equal(space_map_live(space, guest_addr(AREA), PAGE, shared, reader, 0), 0);
    assert_int_equal(space_protect(space, guest_addr(AREA), PAGE, READ_WRITE), -EACCES);
    assert_true(host_can(space, AREA, false));
    close(reader);
    close(fd);
}

/* Written pages lie beside the copy, so a copy that can be written is charged twice. */
static void test_copy_is_charged(void **state)
{
    struct space *space = &((struct space_fixture *)*state)->space;
    int fd = copy_of("text", 5000);

    assert_int_equal(space_map_copy(space, guest_addr(AREA), 4 * PAGE, SPACE_READ, fd, 5000), 0);
    assert_int_equal(space->used_bytes, 4 * PAGE);
    assert_int_equal(space_protect(space, guest_addr(AREA), PAGE, READ_WRITE), 0);
    assert_int_equal(space->used_bytes, 5 * PAGE);
    assert_int_equal(space_protect(space, guest_addr(AREA), PAGE, SPACE_READ), 0);
    assert_int_equal(space_protect(space, guest_addr(AREA), PAGE, READ_WRITE), 0);
    assert_int_equal(space->used_bytes, 5 * PAGE);
    assert_int_equal(space_unmap(space, guest_addr(AREA), 4 * PAGE), 0);
    assert_int_equal(space->used_bytes, 0);
    assert_int_equal(space_map_copy(space, guest_addr(AREA), LIMIT, SPACE_READ, fd, 5000), 0);
    assert_int_equal(space_protect(space, guest_addr(AREA), PAGE, READ_WRITE), -ENOMEM);
    assert_int_equal(space_unmap(space, guest_addr(AREA), LIMIT), 0);
    assert_int_equal(space_map_copy(space, guest_addr(AREA), LIMIT, READ_WRITE, fd, 5000), -ENOMEM);
    assert_false(space_has_room(space, guest_addr(AREA), LIMIT, READ_WRITE));
    assert_true(space_has_room(space, guest_addr(AREA), LIMIT, SPACE_READ));
    assert_int_equal(space->used_bytes, 0);
    /* Rights of the program, not of the host alone, end where the file ends. */
    assert_int_equal(
        space_map_copy(space, guest_addr(AREA), 4 * PAGE, SPACE_READ | SPACE_SHARED, fd, 5000), 0);
    assert_int_equal(space_prot(space, guest_addr(AREA + PAGE)), SPACE_READ);
    assert_int_equal(space_prot(space, guest_addr(AREA + 2 * PAGE)), 0);
    assert_true(space_beyond_file(space, guest_addr(AREA + 2 * PAGE)));
    assert_false(space_beyond_file(space, guest_addr(AREA + PAGE)));
    assert_false(host_can(space, AREA + 2 * PAGE, false));
    assert_int_equal(space_protect(space, guest_addr(AREA), PAGE, READ_WRITE), -EACCES);
    close(fd);
}

/* A move takes contents, rights, charge and what the kernel knows of the file along. */
static void test_move(void **state)
{
    struct space *space = &((struct space_fixture *)*state)->space;
    const uint64_t to = AREA + 64 * PAGE;
    int fd = copy_of("text", PAGE);

    assert_int_equal(space_map(space, guest_addr(AREA), 2 * PAGE, READ_WRITE), 0);
    assert_int_equal(
        space_map_copy(space, guest_addr(AREA + 2 * PAGE), 2 * PAGE, READ_WRITE, fd, PAGE), 0);
    close(fd);
    memset(space->base + AREA, 7, 3 * PAGE);
    assert_int_equal(space_protect(space, guest_addr(AREA), PAGE, SPACE_READ), 0);
    assert_int_equal(space_map(space, guest_addr(to + PAGE), 8 * PAGE, READ_WRITE), 0);
    assert_int_equal(space->used_bytes, 14 * PAGE);
    assert_int_equal(space_move(space, guest_addr(AREA), 4 * PAGE, guest_addr(to)), 0);
    assert_int_equal(space->used_bytes, 11 * PAGE); /* three of those at `to` are gone */
    assert_null(space_at(space, guest_addr(AREA), PAGE, 0));
    assert_false(host_can(space, AREA, false));
    assert_int_equal(space_prot(space, guest_addr(to)), SPACE_READ);
    assert_int_equal(space_prot(space, guest_addr(to + PAGE)), READ_WRITE);
    assert_false(host_can(space, to, true));
    assert_true(host_can(space, to + 2 * PAGE, true));
    assert_int_equal(space->base[to + PAGE], 7);
    assert_int_equal(space->base[to + 3 * PAGE - 1], 7);
    assert_true(space_beyond_file(space, guest_addr(to + 3 * PAGE)));
    assert_int_equal(space_discard(space, guest_addr(to), 4 * PAGE, false), 0);
    assert_int_equal(space->base[to], 0);
    assert_memory_equal(space->base + to + 2 * PAGE, "text", 5);
    assert_int_equal(space_move(space, guest_addr(to), 4 * PAGE, guest_addr(to + PAGE)), -EINVAL);
    assert_int_equal(space_move(space, guest_addr(AREA), PAGE, guest_addr(to)), -EFAULT);
    assert_non_null(space_at(space, guest_addr(to), PAGE, SPACE_READ));
}

/* Memory that moved does not merge with what is mapped beside it, since the kernel keeps them
 * apart; else it could not be moved again. */
static void test_moves_again(void **state)
{
    struct space *space = &((struct space_fixture *)*state)->space;
    const uint64_t there = AREA + 64 * PAGE;
    unsigned long long calls;

    assert_int_equal(space_map(space, guest_addr(AREA), PAGE, READ_WRITE), 0);
    space->base[AREA] = 7;
    calls = atomic_load(&space->host_calls);
    assert_int_equal(space_move(space, guest_addr(AREA), PAGE, guest_addr(there)), 0);
    /* Closed, moved, opened there, and reserved here. */
    assert_int_equal(atomic_load(&space->host_calls) - calls, 4);
    assert_int_equal(space_map(space, guest_addr(there + PAGE), PAGE, READ_WRITE), 0);
    assert_int_equal(space->count, 2);
    space->base[there + PAGE] = 8;
    assert_int_equal(space_move(space, guest_addr(there), 2 * PAGE, guest_addr(AREA)), 0);
    assert_int_equal(space->base[AREA], 7);
    assert_int_equal(space->base[AREA + PAGE], 8);
    assert_int_equal(space->used_bytes, 2 * PAGE);
}

static void test_find(void **state)
{
    struct space *space = &((struct space_fixture *)*state)->space;
    uint64_t all = FERRY_PROGRAM_HIGH - AREA;

    assert_int_equal(space_find(space, guest_addr(0), PAGE).value, AREA);
    assert_int_equal(space_find(space, guest_addr(0x400000), PAGE).value, 0x400000);
    assert_int_equal(space_find(space, guest_addr(PAGE), PAGE).value, AREA); /* too low */
    assert_int_equal(space_find(space, guest_addr(AREA + 1), PAGE).value, AREA);
    assert_int_equal(space_find(space, guest_addr(0), 0).value, 0);
    assert_int_equal(space_find(space, guest_addr(0), 1).value, 0);
    assert_int_equal(space_find(space, guest_addr(0), all).value, AREA);
    /* Below that area only what fits nowhere else. */
    assert_int_equal(space_find(space, guest_addr(0), all + PAGE).value, FERRY_PROGRAM_LOW);
    assert_int_equal(space_find(space, guest_addr(0), FERRY_PROGRAM_HIGH).value, 0);
    assert_int_equal(space_find(space, guest_addr(0), UINT64_MAX & ~(PAGE - 1)).value, 0);

    assert_int_equal(space_map(space, guest_addr(AREA), PAGE, READ_WRITE), 0);
    assert_int_equal(space_map(space, guest_addr(AREA + 2 * PAGE), PAGE, 0), 0);
    assert_int_equal(space_find(space, guest_addr(AREA), PAGE).value, AREA + PAGE);
    assert_int_equal(space_find(space, guest_addr(0), 2 * PAGE).value, AREA + 3 * PAGE);
    assert_int_equal(space_find(space, guest_addr(AREA + PAGE), 2 * PAGE).value, AREA + 3 * PAGE);
    /* Large ranges begin where a huge page may begin. */
    assert_int_equal(space_find(space, guest_addr(0), 2 * MIB + PAGE).value, AREA + 2 * MIB);
    /* ... unless there is no such place left. */
    assert_int_equal(space_find(space, guest_addr(0), all - 3 * PAGE).value, AREA + 3 * PAGE);
    assert_int_equal(space_find(space, guest_addr(0), all - 2 * PAGE).value, 0);
    /* The end of the area, with something mapped there. */
    assert_int_equal(space_map(space, guest_addr(FERRY_PROGRAM_HIGH - PAGE), PAGE, READ_WRITE), 0);
    assert_int_equal(space_find(space, guest_addr(0), all - 4 * PAGE).value, AREA + 3 * PAGE);
    assert_int_equal(space_find(space, guest_addr(0), all - 3 * PAGE).value, 0);
}

/* ---- against a model ----------------------------------------------------- */

#define MODEL_PAGES 48

struct model_page {
    bool mapped, charged;
    unsigned prot;
    char value;
};

static void check_model(const struct space *space, const struct model_page *model)
{
    uint64_t used = 0, last = 0;

    for (unsigned i = 0; i < MODEL_PAGES; i++) {
        uint64_t at = AREA + i * PAGE;

        used += model[i].charged ? PAGE : 0;
        assert_int_equal(space_at(space, guest_addr(at), PAGE, 0) != NULL, model[i].mapped);
        assert_int_equal(space_prot(space, guest_addr(at)), model[i].prot);
        assert_int_equal(host_can(space, at, false), model[i].prot != 0);
        if (model[i].prot)
            assert_int_equal(space->base[at], model[i].value);
    }
    assert_int_equal(space->used_bytes, used);
    for (size_t i = 0; i < space->count; i++) {
        assert_true(space->regions[i].start >= last);
        assert_true(space->regions[i].end > space->regions[i].start);
        last = space->regions[i].end;
    }
}

static void model_step(struct space *space, struct model_page *model, unsigned op, unsigned first,
                       unsigned count, unsigned prot)
{
    uint64_t at = AREA + first * PAGE;
    bool holes = false;
    int err;

    for (unsigned i = first; i < first + count; i++)
        holes |= !model[i].mapped;
    if (op == 0)
        err = space_map(space, guest_addr(at), count * PAGE, prot);
    else if (op == 1)
        err = space_unmap(space, guest_addr(at), count * PAGE);
    else
        err = space_protect(space, guest_addr(at), count * PAGE, prot);
    assert_int_equal(err, op == 2 && holes ? -ENOMEM : 0);
    if (err)
        return;
    for (unsigned i = first; i < first + count; i++) {
        struct model_page *page = &model[i];

        if (op < 2)
            *page = (struct model_page){.mapped = op == 0};
        if (op != 1) {
            page->prot = prot;
            page->charged |= prot != 0;
        }
        if (page->prot & SPACE_WRITE)
            page->value = space->base[AREA + i * PAGE] = (char)(1 + rand() % 100);
    }
}

static void test_random_steps(void **state)
{
    static const unsigned prots[] = {0, SPACE_READ, READ_WRITE, SPACE_READ | SPACE_EXEC};
    struct space *space = &((struct space_fixture *)*state)->space;
    struct model_page model[MODEL_PAGES] = {0};

    srand(1);
    for (int step = 0; step < 5000; step++) {
        unsigned first = (unsigned)rand() % MODEL_PAGES;
        unsigned count = 1 + (unsigned)rand() % (MODEL_PAGES - first);

        if (rand() % 4)
            count = count > 4 ? 4 : count;
        model_step(space, model, (unsigned)rand() % 3, first, count, prots[rand() % 4]);
        check_model(space, model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_base_is_aligned),
        TEST(test_map_gives_zeroed_memory),
        TEST(test_bad_ranges_are_refused),
        TEST(test_rights_are_the_hosts),
        TEST(test_unmap_splits_and_closes),
        TEST(test_map_replaces),
        TEST(test_limit),
        TEST(test_protect_wants_all_mapped),
        TEST(test_protect_keeps_contents),
        TEST(test_file_is_private),
        TEST(test_copy_is_charged),
        TEST(test_live_file),
        TEST(test_shared_live_file),
        TEST(test_move),
        TEST(test_moves_again),
        TEST(test_find),
        TEST(test_random_steps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
