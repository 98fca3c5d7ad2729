/* SPDX-License-Identifier: BSD-2-Clause */
/* The personality: what is in files that a program may write. How much of it there may be, on the host
 * and in memory; who holds locks on it; how it goes from file to file. */
#include "write_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "linux/state.h"

/* ---- limits ---------------------------------------------------------------- */

static int64_t fill(struct tree *tree, uint64_t fd, uint64_t bytes)
{
    int64_t done = 0;

    while ((uint64_t)done < bytes) {
        int64_t put = CALL(tree->vm, write, fd, BUFFER, 16 * PAGE);

        if (put < 0)
            return put;
        done += put;
    }
    return done;
}

#define TOGETHER (50 * PAGE)

static int64_t written_meanwhile;

static void write_too(struct ferry_vm *vm)
{
    written_meanwhile = other_call(vm, SYS_write, (const uint64_t[6]){4, BUFFER, TOGETHER});
    assert_int_equal(other_call(vm, SYS_ftruncate, (const uint64_t[6]){5, TOGETHER}), -EDQUOT);
}

/* While the file system has one call, others have the rest of the room and no more. */
static void test_limit_of_calls_at_once(void **state)
{
    struct tree *tree = *state;
    struct ferry_vm *vm = tree->vm;
    int64_t put;

    for (uint64_t fd = 3; fd < 6; fd++) {
        char leaf[] = {'r', 'w', '/', (char)('0' + fd), '\0'};

        assert_int_equal(open_name(tree, leaf, O_CREAT | O_WRONLY), fd);
    }
    assert_int_equal(CALL(vm, ftruncate, 3, LIMIT - 3 * PAGE - 60 * PAGE), 0);
    assert_int_equal(CALL(vm, lseek, 3, 0, SEEK_END), LIMIT - 63 * PAGE);
    for (int fd = 3; fd < 6; fd++)
        vm->linux_state->descriptors[fd].file->local = false;
    vm->meanwhile = write_too;
    put = CALL(vm, write, 3, BUFFER, TOGETHER);
    assert_null(vm->meanwhile);
    assert_int_equal(put, TOGETHER);
    assert_int_equal(written_meanwhile, 10 * PAGE);
    /* Past the end of a file it may grow by more than it writes. */
    assert_int_equal(CALL(vm, ftruncate, 3, 0), 0);
    assert_int_equal(CALL(vm, pwrite64, 5, BUFFER, PAGE, TOGETHER), PAGE);
    assert_int_equal(CALL(vm, ftruncate, 5, 2 * TOGETHER), 0);
    assert_int_equal(CALL(vm, ftruncate, 5, LIMIT), -EDQUOT);
}

static void test_limit(void **state)
{
    struct tree *tree = *state;
    struct ferry_vm *vm = tree->vm;
    uint64_t fd = (uint64_t)open_name(tree, "rw/big", O_CREAT | O_RDWR);
    struct stat stat;

    assert_int_equal(fill(tree, fd, 2 * LIMIT), -EDQUOT);
    assert_int_equal(lstat(tree_at(tree, "rw/big"), &stat), 0);
    assert_int_equal(stat.st_size, LIMIT - PAGE); /* the file itself costs a page */
    assert_int_equal(open_name(tree, "rw/next", O_CREAT | O_RDWR), -EDQUOT);
    assert_int_equal(CALL(vm, mkdir, name(tree, "rw/next"), 0755), -EDQUOT);
    assert_int_equal(CALL(vm, ftruncate, fd, LIMIT), -EDQUOT);
    assert_int_equal(CALL(vm, fallocate, fd, FALLOC_FL_KEEP_SIZE, 0, LIMIT), -EDQUOT);
    /* What is there can be changed, and what is cut off is given back. */
    assert_int_equal(CALL(vm, pwrite64, fd, BUFFER, PAGE, 0), PAGE);
    assert_int_equal(CALL(vm, ftruncate, fd, LIMIT / 2), 0);
    make(tree, "rw/next", "next");
    assert_int_equal(CALL(vm, unlink, name(tree, "rw/next")), 0);
    /* A file that is open has its bytes until it is closed. */
    assert_int_equal(CALL(vm, unlink, name(tree, "rw/big")), 0);
    uint64_t second = (uint64_t)open_name(tree, "rw/big", O_CREAT | O_RDWR);
    assert_int_equal(CALL(vm, ftruncate, second, LIMIT - 2 * PAGE), -EDQUOT);
    /* And until nothing of it is mapped. */
    int64_t map = CALL(vm, mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    assert_true(map > 0);
    assert_int_equal(CALL(vm, close, fd), 0);
    assert_int_equal(CALL(vm, ftruncate, second, LIMIT - 2 * PAGE), -EDQUOT);
    assert_int_equal(CALL(vm, munmap, (uint64_t)map, PAGE), 0);
    assert_int_equal(CALL(vm, ftruncate, second, LIMIT - 2 * PAGE), 0);
    /* A file that is renamed to itself has its bytes. */
    assert_int_equal(CALL(vm, close, second), 0);
    assert_int_equal(rename_to(tree, "rw/big", "rw/big", 0), 0);
    second = (uint64_t)open_name(tree, "rw/big", O_RDWR);
    assert_int_equal(CALL(vm, ftruncate, second, LIMIT), -EDQUOT);
    /* Nothing is gained by removing what others wrote. */
    tree_put_file(tree, "rw/theirs", "0123456789");
    assert_int_equal(truncate(tree_at(tree, "rw/theirs"), 4 * LIMIT), 0);
    assert_int_equal(CALL(vm, unlink, name(tree, "rw/theirs")), 0);
    assert_int_equal(CALL(vm, ftruncate, second, 2 * LIMIT), -EDQUOT);
}

/* Files in memory are memory of the program. */
static void test_memory_limit(void **state)
{
    struct tree *tree = *state;
    struct ferry_vm *vm = tree->vm;
    uint64_t rw = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS;
    uint64_t fd = (uint64_t)open_name(tree, "/private/big", O_CREAT | O_RDWR);
    uint64_t heap = (uint64_t)CALL(vm, brk, 0); /* counts in full, touched or not */
    uint64_t before = vm->space.used_bytes;

    assert_int_equal(CALL(vm, brk, heap + 16 * MIB), heap + 16 * MIB);
    assert_int_equal(fill(tree, fd, MEMORY), -ENOSPC);
    assert_true(vm->space.used_bytes <= MEMORY && vm->space.used_bytes > MEMORY - MIB);
    assert_int_equal(CALL(vm, mmap, 0, MIB, rw, flags, ~0ull, 0), -ENOMEM);
    assert_int_equal(CALL(vm, brk, heap), heap);
    assert_true(fill(tree, fd, 8 * MIB) >= (int64_t)(8 * MIB));
    assert_int_equal(CALL(vm, unlink, name(tree, "/private/big")), 0);
    assert_int_equal(CALL(vm, close, fd), 0);
    assert_in_range(vm->space.used_bytes, before - PAGE, before + PAGE);
}

/* Of a file that the program may write a private mapping follows it until it is written itself. */
static void test_a_private_mapping_follows_the_file(void **state)
{
    struct tree *tree = *state;
    struct ferry_vm *vm = tree->vm;
    uint64_t fd = (uint64_t)open_name(tree, "rw/file", O_CREAT | O_RDWR);
    int64_t map;

    assert_int_equal(CALL(vm, ftruncate, fd, PAGE), 0);
    map = CALL(vm, mmap, 0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    assert_true(map > 0);
    memset(guest(vm, BUFFER), 'x', 8);
    assert_int_equal(CALL(vm, pwrite64, fd, BUFFER, 8, 0), 8);
    assert_memory_equal(guest(vm, (uint64_t)map), "xxxxxxxx", 8);
    assert_int_equal(CALL(vm, munmap, (uint64_t)map, PAGE), 0);
    assert_int_equal(CALL(vm, close, fd), 0);
}

/* Stores that fill holes of a file in memory count while it is mapped, and afterwards. */
static void test_memory_of_stores(void **state)
{
    struct tree *tree = *state;
    struct ferry_vm *vm = tree->vm;
    uint64_t fd = (uint64_t)open_name(tree, "/private/sparse", O_CREAT | O_RDWR);
    uint64_t before = vm->space.used_bytes;
    int64_t map;

    assert_int_equal(CALL(vm, ftruncate, fd, 8 * MIB), 0);
    map = CALL(vm, mmap, 0, 8 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(map > 0);
    assert_true(vm->space.used_bytes - before >= 8 * MIB);
    memset(guest(vm, (uint64_t)map), 1, 8 * MIB);
    assert_int_equal(CALL(vm, munmap, (uint64_t)map, 8 * MIB), 0);
    assert_true(vm->space.used_bytes - before >= 8 * MIB);
    assert_int_equal(CALL(vm, unlink, name(tree, "/private/sparse")), 0);
    assert_int_equal(CALL(vm, close, fd), 0);
    assert_in_range(vm->space.used_bytes, before - 2 * PAGE, before + PAGE);
}

/* They count on whatever takes the mapping's place. */
static void test_stores_count_after_all_ends(void **state)
{
    struct tree *tree = *state;
    struct ferry_vm *vm = tree->vm;
    uint64_t fd = (uint64_t)open_name(tree, "/private/sparse", O_CREAT | O_RDWR);
    uint64_t other = (uint64_t)open_name(tree, "rw/other", O_CREAT | O_RDWR);
    const uint64_t heap = (uint64_t)CALL(vm, brk, 0);
    const struct rlimit small = {256 * PAGE, 256 * PAGE};
    uint64_t before = vm->space.used_bytes;
    int64_t map;

    assert_int_equal(CALL(vm, ftruncate, fd, 8 * MIB), 0);
    assert_int_equal(CALL(vm, ftruncate, other, PAGE), 0);
    for (uint64_t part = 0; part < 3; part++) {
        const uint64_t at = part < 2 ? 0 : vm->linux_state->stack_start, bytes = 2 * MIB;

        if (part == 1)
            assert_int_equal(CALL(vm, brk, heap + bytes), heap + bytes);
        map = CALL(vm, mmap, part == 1 ? heap : at, bytes, PROT_READ | PROT_WRITE,
                   MAP_SHARED | (part ? MAP_FIXED : 0), fd, part * bytes);
        assert_true(map > 0);
        memset(guest(vm, (uint64_t)map), 1, bytes);
        if (part == 0) {
            assert_int_equal(
                CALL(vm, mmap, (uint64_t)map, bytes, PROT_READ, MAP_SHARED | MAP_FIXED, other, 0),
                map);
        } else if (part == 1) {
            assert_int_equal(CALL(vm, brk, heap), heap);
        } else {
            vm->cpu.sp = FERRY_PROGRAM_HIGH - PAGE;
            memcpy(guest(vm, BUFFER), &small, sizeof(small));
            assert_int_equal(CALL(vm, setrlimit, RLIMIT_STACK, BUFFER), 0);
        }
        assert_true(vm->space.used_bytes - before >= (part + 1) * bytes);
    }
}

static void test_file_size_limit(void **state)
{
    struct tree *tree = *state;
    struct ferry_vm *vm = tree->vm;
    const struct rlimit limit = {10, 100};
    uint64_t fd = (uint64_t)open_name(tree, "rw/short", O_CREAT | O_RDWR);

    memcpy(guest(vm, BUFFER), &limit, sizeof(limit));
    assert_int_equal(CALL(vm, setrlimit, RLIMIT_FSIZE, BUFFER), 0);
    assert_int_equal(CALL(vm, write, fd, BUFFER, 16), 10);
    assert_int_equal(vm->next, LINUX_RESUME); /* the signal comes when nothing can be written */
    assert_int_equal(CALL(vm, ftruncate, fd, 0), 0);
    assert_int_equal(CALL(vm, lseek, fd, 0, SEEK_SET), 0);
    memcpy(guest(vm, BUFFER), (uint64_t[]){BUFFER, 10, BUFFER, 10}, 32);
    assert_int_equal(CALL(vm, writev, fd, BUFFER, 2), 10);
    assert_int_equal(vm->next, LINUX_RESUME);
    assert_int_equal(CALL(vm, write, fd, BUFFER, 16), -EFBIG);
    assert_int_equal(vm->next, LINUX_SIGNAL);
    assert_int_equal(vm->status, SIGXFSZ);
}

/* A file takes less than the pipe has. No other thread may have a turn before that is taken from the pipe:
 * it could read the same bytes. */
static void test_no_turn_between_look_and_take(void **state)
{
    struct tree *tree = *state;
    struct ferry_vm *vm = tree->vm;
    const struct rlimit limit = {10, 100};
    uint64_t fd = (uint64_t)open_name(tree, "rw/short", O_CREAT | O_RDWR), sleeps;
    int ends[2];

    memcpy(guest(vm, BUFFER), &limit, sizeof(limit));
    assert_int_equal(CALL(vm, setrlimit, RLIMIT_FSIZE, BUFFER), 0);
    assert_int_equal(CALL(vm, pipe2, BUFFER, 0), 0);
    memcpy(ends, guest(vm, BUFFER), sizeof(ends));
    assert_int_equal(CALL(vm, write, (uint64_t)ends[1], BUFFER, 16), 16);
    sleeps = vm->sleeps;
    assert_int_equal(CALL(vm, splice, (uint64_t)ends[0], 0, fd, 0, 16, 0), 10);
    assert_int_equal(vm->sleeps, sleeps);
    assert_int_equal(CALL(vm, read, (uint64_t)ends[0], BUFFER, 16), 6);
}

/* ---- locks ------------------------------------------------------------------ */

static int64_t lock(struct tree *tree, uint64_t fd, uint64_t command, short type, off_t start)
{
    const struct flock lock = {.l_type = type, .l_start = start, .l_len = 10};

    memcpy(guest(tree->vm, BUFFER), &lock, sizeof(lock));
    return CALL(tree->vm, fcntl, fd, command, BUFFER);
}

/* What F_GETLK tells is in the way. */
static short in_the_way(struct tree *tree, uint64_t fd, off_t start)
{
    struct flock lock = {.l_type = F_WRLCK, .l_start = start, .l_len = 10};

    memcpy(guest(tree->vm, BUFFER), &lock, sizeof(lock));
    assert_int_equal(CALL(tree->vm, fcntl, fd, F_GETLK, BUFFER), 0);
    memcpy(&lock, guest(tree->vm, BUFFER), sizeof(lock));
    return lock.l_type;
}

static int host_lock(int fd, short type, off_t start)
{
    struct flock lock = {.l_type = type, .l_start = start, .l_len = 10};

    return fcntl(fd, F_OFD_SETLK, &lock);
}

/* Against others they hold; among the descriptors of one process they do not; closing one of these
 * takes all away. */
static void test_records(void **state)
{
    struct tree *tree = *state;
    uint64_t first, second;
    int host;

    make(tree, "rw/db", "0123456789");
    first = (uint64_t)open_name(tree, "rw/db", O_RDWR);
    second = (uint64_t)open_name(tree, "rw/db", O_RDWR);
    host = open(tree_at(tree, "rw/db"), O_RDWR);
    assert_int_equal(host_lock(host, F_WRLCK, 0), 0);
    assert_int_equal(in_the_way(tree, first, 0), F_WRLCK);
    assert_int_equal(lock(tree, first, F_SETLK, F_RDLCK, 0), -EAGAIN);
    assert_int_equal(lock(tree, first, F_SETLK, F_WRLCK, 20), 0);
    assert_int_equal(lock(tree, second, F_SETLK, F_WRLCK, 20), 0);
    assert_int_equal(host_lock(host, F_WRLCK, 20), -1);
    assert_int_equal(in_the_way(tree, first, 20), F_UNLCK);
    assert_int_equal(CALL(tree->vm, close, second), 0);
    assert_int_equal(host_lock(host, F_WRLCK, 20), 0);
    assert_int_equal(host_lock(host, F_UNLCK, 0), 0);
    /* Those of open files are of each one alone. */
    second = (uint64_t)open_name(tree, "rw/db", O_RDWR);
    assert_int_equal(lock(tree, first, F_OFD_SETLK, F_WRLCK, 0), 0);
    assert_int_equal(lock(tree, second, F_OFD_SETLK, F_WRLCK, 0), -EAGAIN);
    assert_int_equal(lock(tree, second, F_SETLK, F_WRLCK, 0), -EAGAIN);
    assert_int_equal(CALL(tree->vm, close, first), 0);
    assert_int_equal(lock(tree, second, F_OFD_SETLK, F_WRLCK, 0), 0);
    /* A wait ends with the VM. */
    assert_int_equal(host_lock(host, F_WRLCK, 40), 0);
    tree->vm->stop = true;
    assert_int_equal(lock(tree, second, F_SETLKW, F_WRLCK, 40), -EINTR);
    tree->vm->stop = false;
    assert_int_equal(close(host), 0);
    assert_int_equal(lock(tree, second, F_SETLKW, F_WRLCK, 40), 0);
}

/* A call that waits for a record asks again when its descriptor is closed already: what it gets ends
 * with it, as nothing of the program has the file open then. */
static void test_no_record_outlives_its_file(void **state)
{
    struct tree *tree = *state;
    struct linux_state *program = tree->vm->linux_state;
    const struct flock lock = {.l_type = F_WRLCK, .l_len = 10};
    struct open_file *file;
    uint64_t fd;

    make(tree, "rw/record", "");
    fd = (uint64_t)open_name(tree, "rw/record", O_RDWR);
    file = program->descriptors[fd].file;
    file->references++;
    assert_int_equal(CALL(tree->vm, close, fd), 0);
    memcpy(guest(tree->vm, BUFFER), &lock, sizeof(lock));
    assert_int_equal(record_lock(program, file, F_SETLK, BUFFER), 0);
    assert_non_null(program->record_owners);
    file_release(program, file);
    assert_null(program->record_owners);
}

/* They are memory of the host: there are only so many, and what unlocks makes no more either. */
static void test_records_are_bounded(void **state)
{
    struct tree *tree = *state;
    const struct flock all = {.l_type = F_UNLCK};
    uint64_t fd;
    off_t at = 0;

    make(tree, "rw/records", "");
    fd = (uint64_t)open_name(tree, "rw/records", O_RDWR);
    while (at < 200000 && lock(tree, fd, F_SETLK, F_WRLCK, at) == 0)
        at += 20;
    assert_in_range(at / 20, 4000, 8192);
    assert_int_equal(lock(tree, fd, F_SETLK, F_WRLCK, at), -ENOLCK);
    assert_int_equal(lock(tree, fd, F_OFD_SETLK, F_WRLCK, at), -ENOLCK);
    for (off_t half = 0; half < 4000 * 20; half += 20)
        assert_int_equal(lock(tree, fd, F_SETLK, F_UNLCK, half), 0);
    assert_int_equal(lock(tree, fd, F_SETLK, F_WRLCK, at), 0);
    memcpy(guest(tree->vm, BUFFER), &all, sizeof(all));
    assert_int_equal(CALL(tree->vm, fcntl, fd, F_SETLK, BUFFER), 0);
    for (at = 0; at < 4000 * 20; at += 20)
        assert_int_equal(lock(tree, fd, F_SETLK, F_WRLCK, at), 0);
}

static void test_flock(void **state)
{
    struct tree *tree = *state;
    uint64_t first, second, read_only;
    int host;

    make(tree, "rw/lock", "");
    first = (uint64_t)open_name(tree, "rw/lock", O_RDONLY);
    second = (uint64_t)open_name(tree, "rw/lock", O_RDONLY);
    host = open(tree_at(tree, "rw/lock"), O_RDONLY);
    assert_int_equal(CALL(tree->vm, flock, first, LOCK_EX), 0);
    assert_int_equal(CALL(tree->vm, flock, second, LOCK_SH | LOCK_NB), -EAGAIN);
    assert_int_equal(flock(host, LOCK_SH | LOCK_NB), -1);
    assert_int_equal(CALL(tree->vm, flock, first, LOCK_UN), 0);
    assert_int_equal(flock(host, LOCK_SH | LOCK_NB), 0);
    assert_int_equal(CALL(tree->vm, flock, second, LOCK_SH), 0);
    assert_int_equal(CALL(tree->vm, flock, first, LOCK_EX | LOCK_NB), -EAGAIN);
    assert_int_equal(close(host), 0);
    /* Who only reads a file locks nobody out. */
    read_only = (uint64_t)open_name(tree, "ro/file", O_RDONLY);
    assert_int_equal(CALL(tree->vm, flock, read_only, LOCK_EX), 0);
    host = open(tree_at(tree, "ro/file"), O_RDONLY);
    assert_int_equal(flock(host, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(close(host), 0);
}

/* ---- from file to file ------------------------------------------------------ */

static void test_copies(void **state)
{
    struct tree *tree = *state;
    struct ferry_vm *vm = tree->vm;
    const off_t offsets[2] = {2, 1};
    uint64_t from, to;

    make(tree, "rw/from", "0123456789");
    make(tree, "/private/to", "abcdef");
    from = (uint64_t)open_name(tree, "rw/from", O_RDWR);
    to = (uint64_t)open_name(tree, "/private/to", O_RDWR);
    memcpy(guest(vm, OTHER), offsets, sizeof(offsets));
    assert_int_equal(CALL(vm, copy_file_range, from, OTHER, to, OTHER + 8, 3, 0), 3);
    assert_int_equal(*(off_t *)guest(vm, OTHER), 5);
    assert_int_equal(*(off_t *)guest(vm, OTHER + 8), 4);
    check(tree, "/private/to", "a234ef");
    assert_int_equal(CALL(vm, lseek, to, 0, SEEK_CUR), 0);
    assert_int_equal(CALL(vm, copy_file_range, from, 0, to, 0, 100, 0), 10);
    check(tree, "/private/to", "0123456789");
    assert_int_equal(CALL(vm, copy_file_range, from, 0, from, 0, 100, 0), -EINVAL);
    memcpy(guest(vm, OTHER), offsets, sizeof(offsets));
    assert_int_equal(CALL(vm, sendfile, to, from, OTHER, 4), 4);
    check(tree, "/private/to", "01234567892345");
    vm->input = "input";
    memcpy(guest(vm, OTHER), offsets, sizeof(offsets));
    assert_int_equal(CALL(vm, splice, 0, 0, to, OTHER, 5, 0), 5);
    check(tree, "/private/to", "01input7892345");
    assert_int_equal(CALL(vm, lseek, to, 0, SEEK_CUR), 14);
}

static uint64_t raced;

static void unmap_raced(struct ferry_vm *vm)
{
    assert_int_equal(other_call(vm, SYS_munmap, (const uint64_t[6]){raced, 2 * MIB}), 0);
}

/* The file system is slow, and another thread takes away the memory of which a part is written. */
static void test_memory_goes_during_a_write(void **state)
{
    struct tree *tree = *state;
    int64_t fd = open_name(tree, "rw/file", O_WRONLY | O_CREAT), put;

    raced = (uint64_t)CALL(tree->vm, mmap, 0, 2 * MIB, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, (uint64_t)-1, 0);
    tree->vm->linux_state->descriptors[fd].file->local = false;
    tree->vm->meanwhile = unmap_raced;
    put = CALL(tree->vm, write, (uint64_t)fd, raced, 2 * MIB);
    assert_null(tree->vm->meanwhile);
    assert_true(put > 0 && put < (int64_t)(2 * MIB));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_limit),
        TEST(test_limit_of_calls_at_once),
        TEST(test_memory_limit),
        TEST(test_memory_of_stores),
        TEST(test_a_private_mapping_follows_the_file),
        TEST(test_stores_count_after_all_ends),
        TEST(test_file_size_limit),
        TEST(test_no_turn_between_look_and_take),
        TEST(test_records),
        TEST(test_flock),
        TEST(test_records_are_bounded),
        TEST(test_no_record_outlives_its_file),
        TEST(test_copies),
        TEST(test_memory_goes_during_a_write),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
