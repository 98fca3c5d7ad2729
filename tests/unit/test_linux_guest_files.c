/* SPDX-License-Identifier: BSD-2-Clause */
/* The personality: which files the guest kernel is shown, and what is believed of what it did. The test
 * is the guest kernel. */
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <ferry/abi/kernel.h>

#include "linux/guest_files.h"
#include "linux/state.h"
#include "linux/writable.h"

#define BYTES     100000u
#define AT_A_TIME 100

void *__real_mmap64(void *addr, size_t bytes, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *addr, size_t bytes, int prot, int flags, int fd, off_t offset);

static bool refuse_files;

/* A file system that refuses does so when the old mapping is gone. */
void *__wrap_mmap64(void *addr, size_t bytes, int prot, int flags, int fd, off_t offset)
{
    if (!refuse_files || fd < 0 || !(flags & MAP_FIXED))
        return __real_mmap64(addr, bytes, prot, flags, fd, offset);
    munmap(addr, bytes);
    errno = ENODEV;
    return MAP_FAILED;
}

static struct ferry_kernel_shown told;
static struct ferry_kernel_words words;

static int setup(void **state)
{
    char *text = malloc(BYTES + 1);
    struct tree *tree;

    tree_setup(state);
    tree = *state;
    for (unsigned i = 0; i < BYTES; i++)
        text[i] = (char)('a' + i / 7 % 26);
    text[BYTES] = 0;
    tree_put_file(tree, "file", text);
    tree_put_file(tree, "short", "short");
    free(text);
    tree->vm = linux_vm_create((const char *const[]){tree->top, NULL}, -1);
    memset(&told, 0, sizeof(told));
    memset(&words, 0, sizeof(words));
    tree->vm->guest_files = (struct vm_files){
        .shown = &told,
        .words = &words,
        .place = mmap(NULL, FERRY_FILES_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)};
    return 0;
}

static int teardown(void **state)
{
    struct tree *tree = *state;
    char *place = tree->vm->guest_files.place;

    tree_teardown(state);
    munmap(place, FERRY_FILES_BYTES);
    return 0;
}

static uint64_t open_name(struct tree *tree, const char *name)
{
    int64_t fd = CALL(tree->vm, openat, (uint64_t)AT_FDCWD,
                      guest_string(tree->vm, SCRATCH, tree_at(tree, name)), O_RDONLY);

    assert_true(fd >= 0);
    return (uint64_t)fd;
}

static void read_some(struct tree *tree, uint64_t fd, unsigned times)
{
    while (times--)
        assert_int_equal(CALL(tree->vm, read, fd, SCRATCH, AT_A_TIME), AT_A_TIME);
}

/* The file is open, was read 8 times, and is published. */
static uint64_t published(struct tree *tree)
{
    uint64_t fd = open_name(tree, "file");

    read_some(tree, fd, 8);
    linux_publish_files(tree->vm->linux_state);
    assert_int_equal(told.file_fds[0], fd);
    assert_true(ferry_kernel_generation(words.files[0]));
    return fd;
}

static bool is_mapped(struct tree *tree)
{
    return reach_may((struct reach){tree->vm->guest_files.place, true}, 1, false);
}

static int64_t position(struct tree *tree, uint64_t fd)
{
    return CALL(tree->vm, lseek, fd, 0, SEEK_CUR);
}

static void test_a_few_reads_publish_nothing(void **state)
{
    struct tree *tree = *state;
    uint64_t fd = open_name(tree, "file"), other = open_name(tree, "file");

    read_some(tree, fd, 7);
    for (int i = 0; i < 20; i++)
        assert_int_equal(CALL(tree->vm, pread64, other, SCRATCH, 20000, 0), 20000); /* too long */
    assert_false(linux_wants_files(tree->vm->linux_state));
    linux_publish_files(tree->vm->linux_state);
    assert_false(is_mapped(tree));
    read_some(tree, fd, 1);
    assert_true(linux_wants_files(tree->vm->linux_state));
}

static void test_what_is_published(void **state)
{
    struct tree *tree = *state;

    published(tree);
    assert_int_equal(ferry_kernel_position(words.files[0]), 8 * AT_A_TIME);
    assert_int_equal(told.files[0].start, 0);
    assert_int_equal(told.files[0].bytes, BYTES);
    assert_true(told.files[0].has_position);
    for (unsigned i = 0; i < BYTES; i++)
        assert_int_equal(tree->vm->guest_files.place[i], 'a' + i / 7 % 26);
}

static void test_a_call_takes_the_position_back(void **state)
{
    struct tree *tree = *state;
    uint64_t fd = published(tree);

    words.files[0] += 1234;
    assert_int_equal(position(tree, fd), 8 * AT_A_TIME + 1234);
    assert_int_equal(words.files[0], 0);
    read_some(tree, fd, 1);
    linux_publish_files(tree->vm->linux_state);
    assert_int_equal(ferry_kernel_position(words.files[0]), 9 * AT_A_TIME + 1234);
    assert_int_equal(CALL(tree->vm, lseek, fd, BYTES + 1, SEEK_SET), BYTES + 1);
    linux_publish_files(tree->vm->linux_state);
    assert_false(told.files[0].has_position); /* but bytes, for pread */
    words.files[0] += 5;
    assert_int_equal(position(tree, fd), BYTES + 1);
}

static void test_forged_words(void **state)
{
    struct tree *tree = *state;
    uint64_t fd = published(tree), own = words.files[0] - 8 * AT_A_TIME, next;
    const uint64_t one = 1ull << FERRY_KERNEL_GENERATION_SHIFT;
    const struct {
        uint64_t word; /* 0, or what it would be if nothing had been published since */
        int64_t position;
    } table[] = {{own, 0},
                 {own + BYTES, BYTES},
                 {own + BYTES + 1, BYTES},
                 {own + UINT32_MAX, BYTES},
                 {own + one + 5, BYTES},
                 {own - one + 5, BYTES},
                 {UINT64_MAX, BYTES},
                 {0, BYTES},
                 {5, BYTES},
                 {own + 5, 5}};

    for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        words.files[0] = table[i].word ? table[i].word + i * one : 0; /* a generation each time */
        assert_int_equal(position(tree, fd), table[i].position);
        linux_publish_files(tree->vm->linux_state);
        next = words.files[0];
        assert_int_equal(ferry_kernel_generation(next), ferry_kernel_generation(own) + i + 1);
        assert_int_equal(ferry_kernel_position(next), table[i].position);
    }
}

static void test_descriptors_that_share_a_position(void **state)
{
    struct tree *tree = *state;
    uint64_t fd = published(tree);
    int64_t other = CALL(tree->vm, dup, fd);

    linux_publish_files(tree->vm->linux_state);
    assert_int_equal(words.files[0], 0);
    assert_int_equal(CALL(tree->vm, close, (uint64_t)other), 0);
    linux_publish_files(tree->vm->linux_state);
    assert_int_not_equal(words.files[0], 0);
}

static void test_a_closed_file(void **state)
{
    struct tree *tree = *state;
    uint64_t fd = published(tree), other;

    assert_true(is_mapped(tree));
    assert_int_equal(CALL(tree->vm, close, fd), 0);
    assert_int_equal(words.files[0], 0);
    assert_int_equal(told.file_fds[0], FERRY_KERNEL_NO_FD);
    assert_false(is_mapped(tree));
    fd = published(tree);
    other = open_name(tree, "short");
    assert_int_equal(CALL(tree->vm, dup2, other, fd), (int64_t)fd);
    linux_publish_files(tree->vm->linux_state);
    assert_int_equal(words.files[0], 0);
    assert_false(is_mapped(tree));
}

static void test_a_file_that_was_cut_short(void **state)
{
    struct tree *tree = *state;
    uint64_t fd = published(tree);

    assert_int_equal(truncate(tree_at(tree, "file"), 5000), 0);
    linux_publish_files(tree->vm->linux_state);
    assert_int_equal(words.files[0], 0);
    assert_false(is_mapped(tree));
    read_some(tree, fd, 8);
    linux_publish_files(tree->vm->linux_state);
    assert_int_equal(told.files[0].bytes, 5000);
}

static void test_more_files_than_there_are_places(void **state)
{
    struct tree *tree = *state;
    uint64_t first = published(tree);

    words.files[0] += 11;
    for (unsigned i = 0; i < FERRY_KERNEL_FILES; i++) {
        uint64_t fd = open_name(tree, "file");

        read_some(tree, fd, 8);
        linux_publish_files(tree->vm->linux_state);
    }
    assert_int_not_equal(told.file_fds[0], first);
    assert_int_equal(position(tree, first), 8 * AT_A_TIME + 11);
}

static void test_a_file_system_that_refuses_leaves_no_hole(void **state)
{
    struct tree *tree = *state;
    uint64_t fd = open_name(tree, "file");

    refuse_files = true;
    read_some(tree, fd, 8);
    linux_publish_files(tree->vm->linux_state);
    refuse_files = false;
    assert_int_equal(words.files[0], 0);
    assert_int_equal(msync(tree->vm->guest_files.place, BYTES, MS_ASYNC), 0); /* else ENOMEM */
    read_some(tree, fd, 8);
    assert_false(linux_wants_files(tree->vm->linux_state)); /* it is not asked again */
}

/* Of files in memory the pages are charged as they are written; a read of a hole would make some. */
static void test_files_in_memory_are_mapped_where_they_have_no_holes(void **state)
{
    struct tree *tree = *state;
    struct linux_state *linux_state = tree->vm->linux_state;
    struct writable memory = {.kernel = open(tree->top, O_PATH | O_CLOEXEC), .lifeline = -1};
    uint64_t fd = open_name(tree, "file");
    struct open_file *file = linux_state->descriptors[fd].file;
    int host = open(tree_at(tree, "file"), O_RDWR | O_CLOEXEC);

    file->writable = &memory;
    assert_int_equal(ftruncate(host, 0), 0);
    assert_int_equal(ftruncate(host, BYTES), 0);
    read_some(tree, fd, 8);
    linux_publish_files(linux_state);
    assert_int_equal(words.files[0], 0);
    /* As many pages as it is long, but where it has ended. */
    assert_int_equal(fallocate(host, FALLOC_FL_KEEP_SIZE, BYTES, BYTES), 0);
    read_some(tree, fd, 8);
    linux_publish_files(linux_state);
    assert_int_equal(words.files[0], 0);
    for (unsigned at = 0; at < BYTES; at += AT_A_TIME)
        assert_int_equal(pwrite(host, "x", 1, at), 1);
    read_some(tree, fd, 8);
    linux_publish_files(linux_state);
    assert_int_not_equal(words.files[0], 0);
    assert_int_equal(fallocate(host, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, BYTES / 2), 0);
    guest_files_cut(linux_state);
    linux_publish_files(linux_state);
    assert_int_equal(words.files[0], 0);
    file->writable = NULL;
    close(host);
    close(memory.kernel);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_few_reads_publish_nothing),
        TEST(test_what_is_published),
        TEST(test_a_call_takes_the_position_back),
        TEST(test_forged_words),
        TEST(test_descriptors_that_share_a_position),
        TEST(test_a_closed_file),
        TEST(test_a_file_that_was_cut_short),
        TEST(test_more_files_than_there_are_places),
        TEST(test_a_file_system_that_refuses_leaves_no_hole),
        TEST(test_files_in_memory_are_mapped_where_they_have_no_holes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
