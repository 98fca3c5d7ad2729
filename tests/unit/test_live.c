/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the tests of host/lib/live.c: with a file that is really cut short, this process survives. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#include "../until.h"
#include "lib/live.h"

#define PAGE  4096
#define PAGES 300 /* more than are looked at together */
#define ALL   (PAGES * PAGE)

static int fd;
static char *memory;
static char bytes[ALL];

static struct reach at(size_t offset)
{
    return (struct reach){.at = memory + offset, .live = true};
}

static void map_file(int how, size_t length)
{
    fd = memfd_create("file", MFD_CLOEXEC);
    assert_int_equal(ftruncate(fd, (off_t)length), 0);
    memory = mmap(NULL, ALL, PROT_READ | PROT_WRITE, how, fd, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
}

static void cut(size_t length)
{
    assert_int_equal(ftruncate(fd, (off_t)length), 0);
}

static int end(void **state)
{
    (void)state;
    munmap(memory, ALL);
    close(fd);
    return 0;
}

static void copies_end_where_the_file_ends(void **state)
{
    (void)state;
    assert_true(live_works());
    map_file(MAP_PRIVATE, ALL);
    memory[10] = 'a';
    memory[2 * PAGE] = 'b'; /* also what was written is gone */
    assert_int_equal(reach_read(bytes, at(0), ALL), ALL);
    assert_int_equal(bytes[10], 'a');
    assert_int_equal(bytes[2 * PAGE], 'b');
    cut(PAGE + 5);
    assert_int_equal(reach_read(bytes, at(10), 2 * PAGE), 2 * PAGE - 10);
    assert_int_equal(bytes[0], 'a');
    assert_int_equal(reach_read(bytes, at(2 * PAGE), 1), 0);
    assert_int_equal(reach_write(at(2 * PAGE - 3), "12345", 5), 3);
    assert_memory_equal(memory + 2 * PAGE - 3, "123", 3);
    assert_int_equal(reach_write(at(ALL - 1), "x", 1), 0);
}

static void looks_change_nothing(void **state)
{
    (void)state;
    map_file(MAP_SHARED, ALL);
    memset(memory, 'm', ALL);
    assert_true(reach_may(at(0), ALL, false));
    assert_true(reach_may(at(1), ALL - 1, true));
    cut(ALL - 2 * PAGE);
    assert_true(reach_may(at(3), ALL - 2 * PAGE - 3, false));
    assert_true(reach_may(at(3), ALL - 2 * PAGE - 3, true));
    assert_false(reach_may(at(3), ALL - 2 * PAGE - 2, false));
    assert_false(reach_may(at(3), ALL - 2 * PAGE - 2, true));
    assert_false(reach_may(at(ALL - 1), 1, true));
    assert_false(reach_may((struct reach){0}, 1, false));
    for (size_t i = 0; i < ALL - 2 * PAGE; i++)
        assert_int_equal(memory[i], 'm');
}

static void words(void **state)
{
    struct reach word, gone;
    uint32_t value = 1, old = 7;
    struct sigaction before, after;

    (void)state;
    assert_int_equal(sigaction(SIGBUS, NULL, &before), 0);
    map_file(MAP_PRIVATE, ALL);
    word = at(PAGE + 8);
    gone = at(ALL - 4);
    *(uint32_t *)word.at = 5;
    assert_int_equal(reach_load(word, &value), 0);
    assert_int_equal(value, 5);
    assert_int_equal(reach_change(word, &old, 9), 0);
    assert_int_equal(old, 5);
    assert_int_equal(reach_change(word, &old, 9), 1);
    assert_int_equal(*(uint32_t *)word.at, 9);
    cut(2 * PAGE);
    assert_int_equal(reach_load(gone, &value), -EFAULT);
    assert_int_equal(reach_change(gone, &old, 9), -EFAULT);
    assert_int_equal(reach_change(word, &(uint32_t){9}, 10), 1);
    /* What this process does at a SIGBUS is as it was. */
    assert_int_equal(sigaction(SIGBUS, NULL, &after), 0);
    assert_ptr_equal(after.sa_handler, before.sa_handler);
}

static atomic_bool stop;

static void *turn_over(void *arg)
{
    while (!atomic_load(&stop))
        __atomic_fetch_xor((uint32_t *)arg, UINT32_MAX, __ATOMIC_SEQ_CST);
    return NULL;
}

/* All of its bits are the same at any moment, so a load that is torn shows. */
static void a_load_is_one_access(void **state)
{
    pthread_t thread;
    uint32_t value, last = 0, changes = 0;
    time_t begun = time(NULL);

    (void)state;
    map_file(MAP_SHARED, ALL);
    atomic_store(&stop, false);
    assert_int_equal(pthread_create(&thread, NULL, turn_over, memory + 64), 0);
    while (race_goes_on(begun, changes >= 1000, changes > 1)) {
        assert_int_equal(reach_load(at(64), &value), 0);
        assert_true(value == 0 || value == UINT32_MAX);
        changes += value != last;
        last = value;
    }
    atomic_store(&stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(changes > 1);
}

#define TEST(name) cmocka_unit_test_teardown(name, end)

/* ---- what lies in memory --------------------------------------------------- */

/* Whether this kernel can tell of this file. */
static bool can_tell(int file)
{
    char byte;
    struct iovec part = {&byte, 1};

    return preadv2(file, &part, 1, 0, RWF_NOWAIT) == 1 || errno != EOPNOTSUPP;
}

static void pages_that_are_cached_are_counted(void **state)
{
    static const struct {
        uint64_t offset, bytes, cached;
    } rows[] = {{0, PAGE, PAGE}, {PAGE, 2 * PAGE, 2 * PAGE},
                {0, ALL, ALL},   {ALL - PAGE, 3 * PAGE, PAGE},
                {ALL, PAGE, 0},  {0, 0, 0}};

    (void)state;
    map_file(MAP_SHARED, ALL - PAGE / 2);
    for (size_t i = 0; can_tell(fd) && i < sizeof(rows) / sizeof(*rows); i++)
        if (live_cached(fd, rows[i].offset, rows[i].bytes) != rows[i].cached)
            fail_msg("row %zu: %llu", i,
                     (unsigned long long)live_cached(fd, rows[i].offset, rows[i].bytes));
    assert_int_equal(live_cached(-1, 0, PAGE), 0);
}

/* Only where the test's directory is on a disk, and the kernel lets the page go. */
static void a_page_of_the_disk_is_not_waited_for(void **state)
{
    char name[] = "/tmp/ferry-test-XXXXXX";
    unsigned char there = 1;

    (void)state;
    fd = mkstemp(name);
    assert_true(fd >= 0);
    unlink(name);
    assert_int_equal(pwrite(fd, bytes, ALL, 0), ALL);
    fsync(fd);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    memory = mmap(NULL, ALL, PROT_READ, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    assert_int_equal(mincore(memory, PAGE, &there), 0);
    if (!(there & 1))
        assert_int_equal(live_cached(fd, 0, PAGE), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(copies_end_where_the_file_ends),
        TEST(looks_change_nothing),
        TEST(words),
        TEST(a_load_is_one_access),
        TEST(pages_that_are_cached_are_counted),
        TEST(a_page_of_the_disk_is_not_waited_for),
    };

    return cmocka_run_group_tests_name("live", tests, NULL, NULL);
}
