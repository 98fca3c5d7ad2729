/* SPDX-License-Identifier: BSD-2-Clause */
/* The personality: which files the guest kernel may write, and what is believed of what it did. The test
 * is the guest kernel. */
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>

#include <ferry/abi/kernel.h>

#include "linux/guest_files.h"
#include "linux/guest_rooms.h"
#include "linux/state.h"
#include "linux/writable.h"

#define WRITE_BYTES 10
#define WRITES      8
#define PLACE_BYTES (FERRY_FILES_BYTES + FERRY_ROOMS_BYTES)
#define ONE         (1ull << FERRY_KERNEL_GENERATION_SHIFT)

/* ---- the host's memory ----------------------------------------------------- */

ssize_t __real_pwritev64v2(int fd, const struct iovec *pieces, int count, off_t offset, int flags);
ssize_t __wrap_pwritev64v2(int fd, const struct iovec *pieces, int count, off_t offset, int flags);

static int refuses; /* with that errno; 0: it does not */
static size_t most; /* so many bytes at once */
static void (*meanwhile)(
    void); /* what another CPU does before the bytes are fetched; NULL: nothing */

ssize_t __wrap_pwritev64v2(int fd, const struct iovec *pieces, int count, off_t offset, int flags)
{
    struct iovec piece = pieces[0];

    assert_int_equal(count, 1);
    if (meanwhile)
        meanwhile();
    if (refuses) {
        errno = refuses;
        return -1;
    }
    piece.iov_len = piece.iov_len < most ? piece.iov_len : most;
    return __real_pwritev64v2(fd, &piece, 1, offset, flags);
}

/* ---- a VM with a guest kernel ---------------------------------------------- */

static struct ferry_kernel_shown kernel_page;
static struct ferry_kernel_words words;
static char *place;

static int setup(void **state)
{
    struct tree *tree;

    refuses = 0;
    most = SIZE_MAX;
    meanwhile = NULL;
    tree_setup(state);
    tree = *state;
    tree->vm = linux_vm_create_as(
        (struct linux_config){.private_dirs = (const char *const[]){"/private", NULL},
                              .view = FERRY_VIEW_NONE,
                              .stderr_fd = -1});
    memset(&kernel_page, 0, sizeof(kernel_page));
    memset(&words, 0, sizeof(words));
    place = mmap(NULL, PLACE_BYTES, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    tree->vm->guest_files =
        (struct vm_files){.shown = &kernel_page, .words = &words, .place = place};
    return 0;
}

static int teardown(void **state)
{
    tree_teardown(state);
    munmap(place, PLACE_BYTES);
    return 0;
}

static int64_t open_own(struct tree *tree, const char *name, int flags)
{
    return CALL(tree->vm, openat, (uint64_t)AT_FDCWD, guest_string(tree->vm, SCRATCH, name),
                (uint64_t)flags | O_CREAT, 0600);
}

/* As a CPU of that number enters and leaves the guest. */
static void enter(struct tree *tree)
{
    linux_publish_files(tree->vm->linux_state);
    linux_publish_rooms(tree->vm->linux_state);
}

static void leave(struct tree *tree, uint32_t cpu)
{
    linux_now_serves(tree->vm->linux_state, linux_first_thread(tree->vm->linux_state));
    linux_left(tree->vm->linux_state, cpu);
}

static void write_some(struct tree *tree, uint64_t fd)
{
    for (int i = 0; i < WRITES; i++)
        assert_int_equal(CALL(tree->vm, write, fd, SCRATCH, WRITE_BYTES), WRITE_BYTES);
}

/* A file that has a room, the first one, and 80 bytes. */
static uint64_t published(struct tree *tree)
{
    int64_t fd = open_own(tree, "/private/own", O_RDWR);

    assert_true(fd >= 0);
    write_some(tree, (uint64_t)fd);
    enter(tree);
    assert_int_equal(kernel_page.room_fds[0], fd);
    assert_int_equal(kernel_page.room_sizes[0], FERRY_KERNEL_ROOM_BYTES);
    assert_true(ferry_kernel_generation(words.rooms[0]));
    assert_int_equal(ferry_kernel_position(words.rooms[0]), 0);
    assert_int_equal(ferry_kernel_owner(words.rooms[0]), 0);
    return (uint64_t)fd;
}

static bool is_open(unsigned i)
{
    return ferry_kernel_generation(words.rooms[i]);
}

static int64_t length(struct tree *tree, uint64_t fd)
{
    struct stat stat;

    assert_int_equal(CALL(tree->vm, fstat, fd, SCRATCH), 0);
    memcpy(&stat, guest(tree->vm, SCRATCH), sizeof(stat));
    return stat.st_size;
}

static int64_t position(struct tree *tree, uint64_t fd)
{
    return CALL(tree->vm, lseek, fd, 0, SEEK_CUR);
}

/* What the guest kernel does. */
static void put(unsigned i, const char *text)
{
    memcpy(place + FERRY_FILES_BYTES + i * FERRY_KERNEL_ROOM_BYTES +
               ferry_kernel_position(words.rooms[i]),
           text, strlen(text));
    words.rooms[i] += strlen(text);
}

/* ---- the tests ------------------------------------------------------------- */

static void test_what_was_written_is_in_the_file(void **state)
{
    struct tree *tree = *state;
    uint64_t fd = published(tree);

    put(0, "what is ");
    put(0, "written");
    most = 4; /* bytes at once */
    leave(tree, 0);
    assert_false(is_open(0));
    assert_int_equal(position(tree, fd), WRITES * WRITE_BYTES + 15);
    assert_int_equal(length(tree, fd), WRITES * WRITE_BYTES + 15);
    assert_int_equal(CALL(tree->vm, pread64, fd, SCRATCH, 15, WRITES * WRITE_BYTES), 15);
    assert_memory_equal(guest(tree->vm, SCRATCH), "what is written", 15);
    leave(tree, 0);
    assert_int_equal(length(tree, fd), WRITES * WRITE_BYTES + 15); /* once */
    enter(tree);
    put(0, "!");
    leave(tree, 0);
    assert_int_equal(length(tree, fd), WRITES * WRITE_BYTES + 16);
}

/* Each is of another generation, or beyond the room, or nothing. */
static void test_forged_words(void **state)
{
    struct tree *tree = *state;
    uint64_t fd = published(tree);
    const int64_t forged[] = {
        0, 5, -1, FERRY_KERNEL_ROOM_BYTES + 1, ONE + 5, -(int64_t)ONE + 5, INT64_MIN, UINT32_MAX};

    for (size_t i = 0; i < sizeof(forged) / sizeof(forged[0]); i++) {
        uint64_t word = words.rooms[0];

        words.rooms[0] = i < 3 ? (uint64_t)forged[i] : word + (uint64_t)forged[i];
        leave(tree, 0);
        words.rooms[0] = word + 7; /* of what was published before */
        leave(tree, 0);
        assert_int_equal(position(tree, fd), WRITES * WRITE_BYTES);
        assert_int_equal(length(tree, fd), WRITES * WRITE_BYTES);
        enter(tree);
        assert_int_equal(words.rooms[0] - word, ONE);
    }
    words.rooms[0] += FERRY_KERNEL_ROOM_BYTES; /* all of it */
    leave(tree, 0);
    assert_int_equal(length(tree, fd), WRITES * WRITE_BYTES + FERRY_KERNEL_ROOM_BYTES);
}

/* Words of rooms that are nobody's, and numbers of files that are not theirs. */
static void test_words_of_others(void **state)
{
    struct tree *tree = *state;
    uint64_t fd = published(tree);
    int64_t other = open_own(tree, "/private/other", O_RDWR);

    enter(tree);
    kernel_page.room_fds[0] = (uint32_t)other; /* which only the VMM may write */
    for (unsigned i = 1; i < FERRY_KERNEL_ROOMS; i++)
        words.rooms[i] = words.rooms[0] + 20;
    words.rooms[0] += 10;
    leave(tree, 0);
    assert_int_equal(length(tree, (uint64_t)other), 0);
    assert_int_equal(length(tree, fd), WRITES * WRITE_BYTES + 10);
}

static void change_meanwhile(void)
{
    words.rooms[0] = UINT64_MAX;
    memset(place + FERRY_FILES_BYTES, '?', 100);
}

/* Another CPU stores while it is written out: other bytes, but no more of them. */
static void test_a_change_meanwhile(void **state)
{
    struct tree *tree = *state;
    uint64_t fd = published(tree);

    put(0, "written");
    meanwhile = change_meanwhile;
    leave(tree, 0);
    meanwhile = NULL;
    assert_int_equal(length(tree, fd), WRITES * WRITE_BYTES + 7);
    assert_int_equal(position(tree, fd), WRITES * WRITE_BYTES + 7);
}

/* The CPU that has begun a write may still store there, until it leaves. */
static void test_a_write_that_was_begun(void **state)
{
    struct tree *tree = *state;
    uint64_t fd = published(tree);

    put(0, "before");
    words.rooms[0] |= 3ull << FERRY_KERNEL_OWNER_SHIFT; /* CPU 2 */
    leave(tree, 0);
    assert_int_equal(length(tree, fd), WRITES * WRITE_BYTES + 6);
    enter(tree);
    assert_false(is_open(0));
    leave(tree, 1);
    enter(tree);
    assert_false(is_open(0));
    leave(tree, 2);
    enter(tree);
    assert_true(is_open(0));
    words.rooms[0] |= 255ull << FERRY_KERNEL_OWNER_SHIFT; /* which there is not: its own loss */
    leave(tree, 2);
    enter(tree);
    assert_false(is_open(0));
}

static void test_only_what_nobody_else_can_look_at(void **state)
{
    struct tree *tree = *state;
    uint64_t fd = published(tree), other;

    leave(tree, 0);
    other = (uint64_t)open_own(tree, "/private/own", O_RDONLY);
    enter(tree);
    assert_false(is_open(0));
    CALL(tree->vm, close, other);
    enter(tree);
    assert_true(is_open(0));
    leave(tree, 0);
    other = (uint64_t)CALL(tree->vm, dup, fd);
    enter(tree);
    assert_false(is_open(0));
    CALL(tree->vm, close, other);
    CALL(tree->vm, fcntl, fd, F_SETFL, O_APPEND);
    enter(tree);
    assert_false(is_open(0));
    CALL(tree->vm, fcntl, fd, F_SETFL, 0);
    other = (uint64_t)CALL(tree->vm, inotify_init1, 0);
    enter(tree);
    assert_false(is_open(0));
    CALL(tree->vm, close, other);
    other = (uint64_t)CALL(tree->vm, mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    enter(tree);
    assert_false(is_open(0));
    CALL(tree->vm, munmap, other, PAGE);
    enter(tree);
    assert_true(is_open(0));
}

/* Of the host, of no directory, or not to be written: what others see at once, and what has no room. */
static void test_files_that_get_no_room(void **state)
{
    struct tree *tree = *state;
    uint64_t memfd, reader;

    published(tree);
    leave(tree, 0);
    memfd = (uint64_t)CALL(tree->vm, memfd_create, guest_string(tree->vm, SCRATCH, "m"), 0);
    write_some(tree, memfd);
    enter(tree);
    assert_int_equal(kernel_page.room_fds[1], FERRY_KERNEL_NO_FD);
    leave(tree, 0);
    reader = (uint64_t)open_own(tree, "/private/reader", O_WRONLY | O_APPEND);
    write_some(tree, reader);
    enter(tree);
    assert_int_equal(kernel_page.room_fds[1], FERRY_KERNEL_NO_FD);
    assert_true(is_open(0));
}

static void test_a_descriptor_that_becomes_another_file(void **state)
{
    struct tree *tree = *state;
    uint64_t fd = published(tree);

    leave(tree, 0);
    CALL(tree->vm, close, fd);
    enter(tree);
    assert_false(is_open(0));
    assert_int_equal(kernel_page.room_fds[0], FERRY_KERNEL_NO_FD);
    assert_int_equal(open_own(tree, "/private/own", O_WRONLY | O_TRUNC), fd);
    enter(tree);
    assert_false(is_open(0));
    assert_int_equal(length(tree, fd), 0);
}

/* The file goes on by another descriptor, and the first one is another file's. */
static void test_a_file_that_changes_its_descriptor(void **state)
{
    struct tree *tree = *state;
    uint64_t fd = published(tree);

    leave(tree, 0);
    assert_true(CALL(tree->vm, dup, fd) > 0);
    CALL(tree->vm, close, fd);
    assert_int_equal(open_own(tree, "/private/other", O_WRONLY), fd);
    enter(tree);
    assert_false(is_open(0));
    assert_int_equal(kernel_page.room_fds[0], FERRY_KERNEL_NO_FD);
}

static void test_more_files_than_there_are_rooms(void **state)
{
    struct tree *tree = *state;
    char name[] = "/private/0";
    uint64_t first = published(tree);

    for (unsigned i = 0; i < FERRY_KERNEL_ROOMS; i++) {
        put(0, "x");
        leave(tree, 0);
        name[sizeof(name) - 2]++;
        write_some(tree, (uint64_t)open_own(tree, name, O_WRONLY));
        enter(tree);
    }
    assert_int_not_equal(kernel_page.room_fds[0], first);
    leave(tree, 0);
    assert_int_equal(length(tree, first), WRITES * WRITE_BYTES + FERRY_KERNEL_ROOMS);
}

/* The position of a file is in one place: where it is read, or where it is written. */
static void test_a_file_that_is_read_and_written(void **state)
{
    struct tree *tree = *state;
    uint64_t fd = published(tree);
    struct open_file *file = tree->vm->linux_state->descriptors[fd].file;

    leave(tree, 0);
    for (int i = 0; i < 8; i++)
        assert_int_equal(CALL(tree->vm, pread64, fd, SCRATCH, 10, 0), 10);
    enter(tree);
    assert_true(guest_files_has(tree->vm->linux_state, file));
    assert_false(is_open(0));
    leave(tree, 0);
    write_some(tree, fd);
    enter(tree);
    assert_false(guest_files_has(tree->vm->linux_state, file));
    assert_true(is_open(0));
}

static void test_no_more_than_there_may_be(void **state)
{
    struct tree *tree = *state;
    uint64_t fd = published(tree);
    struct space *space = vm_space(tree->vm);
    uint64_t limit = space->limit_bytes;

    leave(tree, 0);
    tree->vm->linux_state->limits[RLIMIT_FSIZE].rlim_cur = WRITES * WRITE_BYTES + 30;
    enter(tree);
    assert_int_equal(kernel_page.room_sizes[0], 30);
    words.rooms[0] += 31;
    leave(tree, 0);
    assert_int_equal(length(tree, fd), WRITES * WRITE_BYTES);
    for (unsigned less = 0; less < 2; less++) {
        tree->vm->linux_state->limits[RLIMIT_FSIZE].rlim_cur = WRITES * WRITE_BYTES - less;
        enter(tree);
        assert_false(is_open(0));
    }
    tree->vm->linux_state->limits[RLIMIT_FSIZE].rlim_cur = RLIM_INFINITY;
    space->limit_bytes = space->used_bytes + FERRY_KERNEL_ROOM_BYTES + PAGE - 1;
    enter(tree);
    assert_false(is_open(0));
    space->limit_bytes++;
    enter(tree);
    assert_true(is_open(0));
    leave(tree, 0);
    space->limit_bytes = limit;
    write_some(tree, (uint64_t)open_own(tree, "/private/second", O_WRONLY));
    space->limit_bytes = space->used_bytes + 2 * (FERRY_KERNEL_ROOM_BYTES + PAGE) - 1;
    enter(tree);
    assert_true(is_open(0));
    assert_false(is_open(1));
    leave(tree, 0);
    space->limit_bytes++;
    enter(tree);
    assert_true(is_open(1));
}

/* What is written counts as memory once it is in the file. */
static void test_what_is_written_is_charged(void **state)
{
    struct tree *tree = *state;
    uint64_t used;

    published(tree);
    used = vm_space(tree->vm)->used_bytes;
    words.rooms[0] += FERRY_KERNEL_ROOM_BYTES;
    leave(tree, 0);
    assert_int_equal(vm_space(tree->vm)->used_bytes, used + FERRY_KERNEL_ROOM_BYTES);
}

static void test_a_host_without_memory(void **state)
{
    struct tree *tree = *state;

    published(tree);
    put(0, "lost");
    refuses = ENOMEM;
    leave(tree, 0);
    assert_string_equal(tree->vm->lost, "/private/own: ENOMEM");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_was_written_is_in_the_file),
        TEST(test_forged_words),
        TEST(test_words_of_others),
        TEST(test_a_change_meanwhile),
        TEST(test_a_write_that_was_begun),
        TEST(test_only_what_nobody_else_can_look_at),
        TEST(test_files_that_get_no_room),
        TEST(test_a_descriptor_that_becomes_another_file),
        TEST(test_a_file_that_changes_its_descriptor),
        TEST(test_more_files_than_there_are_rooms),
        TEST(test_a_file_that_is_read_and_written),
        TEST(test_no_more_than_there_may_be),
        TEST(test_what_is_written_is_charged),
        TEST(test_a_host_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
