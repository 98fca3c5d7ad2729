/* SPDX-License-Identifier: BSD-2-Clause */
/* The personality: names without files of the host, and what an open file can be asked. */
#include "linux_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "linux/state.h"

#define OUT (SCRATCH + PAGE)

static int64_t open_it(struct ferry_vm *vm, const char *name, uint64_t flags)
{
    return CALL(vm, open, guest_string(vm, SCRATCH, name), flags);
}

static void test_devices(void **state)
{
    struct ferry_vm *vm = *state;
    char *got = guest(vm, OUT), zero[64] = {0};
    struct stat *stat = guest(vm, OUT);
    int64_t *offset = guest(vm, OUT);
    int64_t at;

    assert_int_equal(open_it(vm, "/dev/zero", O_RDWR), 3);
    memset(got, 'x', 64);
    assert_int_equal(CALL(vm, read, 3, OUT, 64), 64);
    assert_memory_equal(got, zero, 64);
    assert_int_equal(CALL(vm, write, 3, NOWHERE, 9), 9);
    assert_int_equal(CALL(vm, fstat, 3, OUT), 0);
    assert_true(S_ISCHR(stat->st_mode));
    assert_int_equal(stat->st_rdev, makedev(1, 5));
    /* It goes on as long as there are offsets. */
    *offset = INT64_MAX - 64;
    assert_int_equal(CALL(vm, sendfile, 1, 3, OUT, 64), 64);
    assert_int_equal(*offset, INT64_MAX);
    assert_int_equal(CALL(vm, sendfile, 1, 3, OUT, 1), -EINVAL);
    assert_int_equal(CALL(vm, splice, 3, OUT, 1, 0, 1, 0), -EINVAL);
    assert_int_equal(CALL(vm, pread64, 3, OUT, 64, INT64_MAX - 63), -EINVAL);
    assert_int_equal(CALL(vm, pwrite64, 3, OUT, 64, INT64_MAX - 63), -EINVAL);
    at = CALL(vm, mmap, 0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, 3, 0);
    assert_true(at > 0);
    assert_memory_equal(guest(vm, (uint64_t)at), zero, 64);

    assert_int_equal(open_it(vm, "/dev/full", O_WRONLY), 4);
    assert_int_equal(CALL(vm, write, 4, SCRATCH, 1), -ENOSPC);
    assert_int_equal(CALL(vm, write, 4, SCRATCH, 0), -ENOSPC);
    assert_int_equal(CALL(vm, read, 4, OUT, 1), -EBADF);

    assert_int_equal(open_it(vm, "/dev/urandom", O_RDONLY), 5);
    assert_int_equal(open_it(vm, "/dev/random", O_RDONLY | O_NONBLOCK), 6);
    for (uint64_t fd = 5; fd < 7; fd++) {
        memset(got, 0, 64);
        assert_int_equal(CALL(vm, read, fd, OUT, 64), 64);
        assert_memory_not_equal(got, zero, 64);
    }
    vm->stop = true; /* a long read is no way to go on */
    CALL(vm, read, 5, OUT, 4096);
    assert_int_equal(vm->next, LINUX_STOPPED);
}

/* The user of the VM has a name, so that a program that looks it up finds one. */
static void test_made_files(void **state)
{
    struct ferry_vm *vm = *state;
    char *got = guest(vm, OUT);
    struct stat *stat = guest(vm, OUT);
    uint64_t inode;

    assert_int_equal(open_it(vm, "/etc/passwd", O_RDONLY), 3);
    assert_true(CALL(vm, read, 3, OUT, 1000) > 0);
    assert_non_null(strstr(got, "\nnobody:x:65534:65534:"));
    assert_int_equal(CALL(vm, read, 3, OUT, 1000), 0);
    assert_int_equal(CALL(vm, fstat, 3, OUT), 0);
    assert_int_equal(stat->st_mode, S_IFREG | 0444);
    inode = stat->st_ino;
    assert_int_equal(CALL(vm, stat, SCRATCH, OUT), 0);
    assert_int_equal(stat->st_ino, inode);
    assert_int_equal(CALL(vm, access, SCRATCH, R_OK), 0);
    assert_int_equal(CALL(vm, access, SCRATCH, W_OK), -EACCES);
    assert_int_equal(open_it(vm, "/etc/passwd", O_WRONLY), -EACCES);
    assert_int_equal(open_it(vm, "/etc/passwd", O_DIRECTORY), -ENOTDIR);
    assert_int_equal(open_it(vm, "/proc/self/fd/3", O_RDONLY), 4);
    assert_int_equal(CALL(vm, pread64, 4, OUT, 4, 0), 4);
    assert_int_equal(open_it(vm, "/etc/group", O_RDONLY), 5);
    memset(got, 0, 1000);
    assert_true(CALL(vm, read, 5, OUT, 999) > 0);
    assert_non_null(strstr(got, ":65534:"));
    assert_int_equal(open_it(vm, "/etc/fstab", O_RDONLY), -ENOENT);
    assert_int_equal(CALL(vm, stat, guest_string(vm, SCRATCH, "/etc"), OUT), 0);
}

/* Other runs of a program have the same ones, and other VMs that are copies. */
static void test_made_files_stay_as_they_are(void **state)
{
    static const char *const names[] = {"/etc/passwd", "/proc/self/status"};
    struct ferry_vm *vm = *state;

    for (uint64_t i = 0; i < 2; i++) {
        assert_int_equal(open_it(vm, names[i], O_RDONLY), 3 + i);
        int64_t map = CALL(vm, mmap, 0, PAGE, PROT_READ, MAP_SHARED, 3 + i, 0);
        assert_true(map > 0);
        assert_int_equal(CALL(vm, mprotect, (uint64_t)map, PAGE, PROT_READ | PROT_WRITE), -EACCES);
    }
}

/* Of a file whose position other processes share, as of one that the embedder gave. */
static void test_shared_positions_are_told(void **state)
{
    struct ferry_vm *vm = *state;
    struct open_file *file;

    assert_int_equal(open_it(vm, "/etc/passwd", O_RDONLY), 3);
    file = vm->linux_state->descriptors[3].file;
    file->shares_position = true;
    assert_int_equal(lseek(file->fd, 7, SEEK_SET), 7);
    assert_int_equal(open_it(vm, "/proc/self/fdinfo/3", O_RDONLY), 4);
    assert_true(CALL(vm, read, 4, OUT, 100) > 0);
    assert_memory_equal(guest(vm, OUT), "pos:\t7\n", 7);
}

/* The real ones are seen where a directory that can be read holds them. */
static void test_real_files_win(void **state)
{
    const char *directories[] = {"/etc", NULL};
    struct ferry_vm *vm = linux_vm_create(directories, -1);
    char *got = guest(vm, OUT), real[200] = {0};
    int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_true(read(fd, real, 199) > 0);
    close(fd);
    assert_int_equal(open_it(vm, "/etc/passwd", O_RDONLY), 3);
    assert_true(CALL(vm, read, 3, OUT, 199) > 0);
    assert_string_equal(got, real);
    linux_vm_destroy(vm);
}

static void test_list_of_descriptors(void **state)
{
    struct ferry_vm *vm = *state;
    char names[500] = "";
    int64_t bytes;

    assert_int_equal(CALL(vm, dup2, 0, 1000), 1000);
    assert_int_equal(CALL(vm, close, 1), 0);
    assert_int_equal(open_it(vm, "/dev/fd", O_RDONLY | O_DIRECTORY), 1);
    while ((bytes = CALL(vm, getdents64, 1, OUT, 60)) > 0) { /* two entries at a time */
        for (int64_t at = 0; at < bytes;) {
            struct dirent64 *entry = guest(vm, OUT + (uint64_t)at);

            snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s ", entry->d_name);
            at += entry->d_reclen;
        }
    }
    assert_int_equal(bytes, 0);
    assert_string_equal(names, ". .. 0 1 2 1000 ");
    assert_int_equal(CALL(vm, lseek, 1, 0, SEEK_SET), 0);
    assert_int_equal(CALL(vm, getdents64, 1, OUT, 10), -EINVAL);
    assert_int_equal(CALL(vm, getdents64, 1, NOWHERE, 100), -EFAULT);
    assert_int_equal(CALL(vm, read, 1, OUT, 10), -EISDIR);
    assert_int_equal(CALL(vm, openat, 1, guest_string(vm, SCRATCH, "0"), O_RDONLY), 3);
}

static void assert_link(struct ferry_vm *vm, const char *name, const char *text)
{
    memset(guest(vm, OUT), 0, 100);
    assert_int_equal(CALL(vm, readlink, guest_string(vm, SCRATCH, name), OUT, 100), strlen(text));
    assert_string_equal(guest(vm, OUT), text);
}

static void test_links_of_descriptors(void **state)
{
    struct ferry_vm *vm = *state;
    struct stat *stat = guest(vm, OUT);

    assert_link(vm, "/dev/stdin", "/proc/self/fd/0");
    assert_link(vm, "/dev/fd", "/proc/self/fd");
    assert_link(vm, "/proc/self/fd/0", "pipe:[1]");
    assert_int_equal(open_it(vm, "/dev/null", O_RDWR), 3);
    assert_link(vm, "/dev/fd/3", "/dev/null");
    assert_link(vm, "/proc/self/exe", "/a/program-with-a-long-name");
    assert_int_equal(CALL(vm, readlink, guest_string(vm, SCRATCH, "/dev/fd/9"), OUT, 100), -ENOENT);
    assert_int_equal(CALL(vm, lstat, guest_string(vm, SCRATCH, "/proc/self/fd/0"), OUT), 0);
    assert_true(S_ISLNK(stat->st_mode));
    assert_int_equal(CALL(vm, stat, SCRATCH, OUT), 0);
    assert_true(S_ISFIFO(stat->st_mode));
    assert_int_not_equal(stat->st_dev, 0);
    assert_int_not_equal(stat->st_mtime, 0);
}

/* Each opening has flags of its own; duplicates share them. */
static void test_opening_a_stream_again(void **state)
{
    struct ferry_vm *vm = *state;

    assert_int_equal(open_it(vm, "/dev/stdin", O_RDONLY | O_NONBLOCK), 3);
    assert_int_equal(CALL(vm, fcntl, 0, F_GETFL), O_RDONLY);
    assert_int_equal(CALL(vm, read, 3, OUT, 9), -EAGAIN);
    assert_int_equal(CALL(vm, fcntl, 3, F_SETFL, 0), 0);
    assert_int_equal(CALL(vm, fcntl, 0, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(CALL(vm, fcntl, 3, F_GETFL) & O_NONBLOCK, 0);
    assert_int_equal(CALL(vm, close, 0), 0);
    assert_false(vm->input_closed);
    vm->input = "x";
    assert_int_equal(CALL(vm, read, 3, OUT, 9), 1);
    assert_int_equal(CALL(vm, close, 3), 0);
    assert_true(vm->input_closed);
    assert_int_equal(open_it(vm, "/dev/stdout", O_RDWR), 0);
    assert_int_equal(CALL(vm, write, 0, SCRATCH, 1), 1);
    assert_int_equal(CALL(vm, read, 0, OUT, 1), -EBADF);
    assert_int_equal(open_it(vm, "/dev/stdout", O_RDONLY), -EACCES);
    assert_int_equal(open_it(vm, "/dev/stdout", O_WRONLY | O_NOFOLLOW), -ELOOP);
    assert_int_equal(open_it(vm, "/dev/stdout", O_WRONLY | O_DIRECTORY), -ENOTDIR);
    assert_int_equal(open_it(vm, "/dev/stdout", O_PATH), 3);
    assert_int_equal(CALL(vm, write, 3, SCRATCH, 1), -EBADF);
}

static void test_writes_that_do_not_wait(void **state)
{
    struct ferry_vm *vm = *state;

    assert_int_equal(CALL(vm, fcntl, 1, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(CALL(vm, write, 1, SCRATCH, 100), -EAGAIN);
    vm->output_room = 30;
    assert_int_equal(CALL(vm, write, 1, SCRATCH, 100), 30);
    vm->output_room = 0;
    vm->output_broken = true;
    assert_int_equal(CALL(vm, write, 1, SCRATCH, 100), -EPIPE);
}

static void test_locks_and_sizes(void **state)
{
    struct ferry_vm *vm = *state;
    struct flock *lock = guest(vm, OUT);
    struct statfs *fs = guest(vm, OUT);

    *lock = (struct flock){.l_type = F_RDLCK};
    assert_int_equal(CALL(vm, fcntl, 0, F_GETLK, OUT), 0);
    assert_int_equal(lock->l_type, F_UNLCK);
    lock->l_type = F_WRLCK;
    assert_int_equal(CALL(vm, fcntl, 1, F_SETLKW, OUT), 0);
    assert_int_equal(CALL(vm, fcntl, 0, F_SETLK, OUT), -EBADF);
    lock->l_type = 9;
    assert_int_equal(CALL(vm, fcntl, 0, F_OFD_SETLK, OUT), -EINVAL);
    assert_int_equal(CALL(vm, fcntl, 0, F_SETLK, NOWHERE), -EFAULT);
    *lock = (struct flock){.l_type = F_RDLCK, .l_start = 10, .l_len = -10};
    assert_int_equal(CALL(vm, fcntl, 0, F_SETLK, OUT), 0);
    lock->l_len = -11;
    assert_int_equal(CALL(vm, fcntl, 0, F_SETLK, OUT), -EINVAL);
    *lock = (struct flock){.l_type = F_RDLCK, .l_start = INT64_MAX, .l_len = 1};
    assert_int_equal(CALL(vm, fcntl, 0, F_GETLK, OUT), 0);
    *lock = (struct flock){.l_type = F_RDLCK, .l_start = INT64_MAX, .l_len = 2};
    assert_int_equal(CALL(vm, fcntl, 0, F_GETLK, OUT), -EOVERFLOW);
    *lock = (struct flock){.l_type = F_RDLCK, .l_pid = 1};
    assert_int_equal(CALL(vm, fcntl, 0, F_OFD_SETLK, OUT), -EINVAL);
    assert_int_equal(CALL(vm, flock, 1, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(CALL(vm, flock, 1, 16), -EINVAL);
    assert_int_equal(CALL(vm, flock, 9, LOCK_EX), -EBADF);
    assert_int_equal(CALL(vm, fcntl, 0, F_GETPIPE_SZ), 65536);
    assert_int_equal(CALL(vm, fcntl, 0, F_SETPIPE_SZ, 70000), 131072);
    assert_int_equal(CALL(vm, fcntl, 0, F_GETPIPE_SZ), 131072);
    assert_int_equal(CALL(vm, fcntl, 0, F_SETPIPE_SZ, 2 << 20), -EPERM);
    assert_int_equal(CALL(vm, fstatfs, 1, OUT), 0);
    assert_int_equal(fs->f_type, PIPEFS_MAGIC);
    assert_int_equal(CALL(vm, statfs, guest_string(vm, SCRATCH, "/"), OUT), 0);
    assert_int_equal(CALL(vm, statfs, guest_string(vm, SCRATCH, "/none"), OUT), -ENOENT);
    assert_int_equal(open_it(vm, "/etc/passwd", O_RDONLY), 3);
    assert_int_equal(CALL(vm, fcntl, 3, F_GETPIPE_SZ), -EBADF);
    assert_int_equal(CALL(vm, fchmod, 3, 0600), -EROFS);
    assert_int_equal(CALL(vm, fchmod, 0, 0600), 0);
    assert_int_equal(CALL(vm, fchown, 1, (uint32_t)-1, (uint32_t)-1), 0);
    assert_int_equal(CALL(vm, fchown, 1, 0, 0), -EPERM);
}

/* What was closed for the VM is closed in it. */
static void test_closed_at_the_start(void **state)
{
    struct ferry_vm *vm = *state;
    struct linux_config config = {.stderr_fd = -1, .closed = 1 | 4};

    linux_destroy(vm->linux_state);
    assert_int_equal(linux_create(vm, &config, &vm->linux_state), 0);
    assert_true(vm->input_closed);
    assert_false(vm->output_closed);
    assert_int_equal(CALL(vm, read, 0, OUT, 1), -EBADF);
    assert_int_equal(CALL(vm, write, 2, OUT, 1), -EBADF);
    assert_int_equal(CALL(vm, write, 1, SCRATCH, 1), 1);
    assert_int_equal(open_it(vm, "/dev/null", O_RDONLY), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, linux_setup, linux_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_devices),
        TEST(test_made_files),
        TEST(test_made_files_stay_as_they_are),
        TEST(test_shared_positions_are_told),
        cmocka_unit_test(test_real_files_win),
        TEST(test_list_of_descriptors),
        TEST(test_links_of_descriptors),
        TEST(test_opening_a_stream_again),
        TEST(test_writes_that_do_not_wait),
        TEST(test_locks_and_sizes),
        TEST(test_closed_at_the_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
