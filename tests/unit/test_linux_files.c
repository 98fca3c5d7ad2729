/* SPDX-License-Identifier: BSD-2-Clause */
/* The personality: names, read-only directories, and that nothing leads out of them. */
#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * T/open/           the read-only directory
 *   file            "content"
 *   dir/inner       "inner"
 *   dir/up          -> ../file
 *   loop            -> loop
 *   out             -> ../secret
 *   absolute        -> T/open/file
 *   way-out         -> ..
 *   far             -> T
 *   shadow          -> /etc/shadow
 *   fifo
 *   .../odd name    a directory whose name begins with dots
 *   ly/file         what "openly/file" would be if only beginnings were compared
 * T/secret          "secret"
 * T/openly/file     beside it, with a name that begins alike
 * T/link            -> open
 */
static void make_tree(const struct tree *tree)
{
    tree_put_directory(tree, "open");
    tree_put_directory(tree, "openly");
    tree_put_directory(tree, "open/dir");
    tree_put_directory(tree, "open/...");
    tree_put_directory(tree, "open/ly");
    tree_put_file(tree, "open/file", "content");
    tree_put_file(tree, "open/dir/inner", "inner");
    tree_put_file(tree, "open/.../odd name", "odd");
    tree_put_file(tree, "open/ly/file", "ly");
    tree_put_file(tree, "secret", "secret");
    tree_put_file(tree, "openly/file", "secret");
    tree_put_link(tree, "open/dir/up", "../file");
    tree_put_link(tree, "open/loop", "loop");
    tree_put_link(tree, "open/out", "../secret");
    tree_put_link(tree, "open/way-out", "..");
    tree_put_link(tree, "open/far", tree->top);
    tree_put_link(tree, "open/shadow", "/etc/shadow");
    tree_put_link(tree, "open/absolute", tree_at(tree, "open/file"));
    tree_put_link(tree, "link", "open");
    assert_int_equal(mkfifo(tree_at(tree, "open/fifo"), 0644), 0);
}

static int setup(void **state)
{
    struct tree *tree;

    tree_setup(state);
    tree = *state;
    make_tree(tree);
    tree->vm = linux_vm_create((const char *const[]){tree_at(tree, "open"), NULL}, -1);
    return 0;
}

/* A name below the temporary directory, in program memory. */
static uint64_t name(struct tree *tree, const char *rest)
{
    return guest_string(tree->vm, SCRATCH, tree_at(tree, rest));
}

static int64_t open_name(struct tree *tree, const char *rest, int flags)
{
    return CALL(tree->vm, openat, (uint64_t)AT_FDCWD, name(tree, rest), (uint64_t)flags);
}

/* Opens, reads, closes. */
static void assert_content(struct tree *tree, int64_t fd, const char *expected)
{
    char *got = guest(tree->vm, SCRATCH + PAGE);

    assert_true(fd >= 3);
    memset(got, 0, 100);
    assert_int_equal(CALL(tree->vm, read, (uint64_t)fd, SCRATCH + PAGE, 100), strlen(expected));
    assert_string_equal(got, expected);
    assert_int_equal(CALL(tree->vm, close, (uint64_t)fd), 0);
}

static void test_open_and_read(void **state)
{
    struct tree *tree = *state;

    assert_content(tree, open_name(tree, "open/file", O_RDONLY), "content");
    assert_content(tree, open_name(tree, "open//./dir///inner", O_RDONLY | O_CLOEXEC), "inner");
    assert_content(tree, open_name(tree, "open/dir/../file", O_RDONLY), "content");
    assert_content(tree, open_name(tree, "open/../open/file", O_RDONLY), "content");
    assert_content(tree, open_name(tree, "open/dir/up", O_RDONLY), "content");
    assert_content(tree, open_name(tree, "open/.../odd name", O_RDONLY), "odd");
    /* Links are followed in what the program sees, wherever they lead. */
    assert_content(tree, open_name(tree, "open/absolute", O_RDONLY), "content");
    assert_content(tree, open_name(tree, "open/way-out/open/file", O_RDONLY), "content");
    assert_content(tree, open_name(tree, "open/far/open/dir/up", O_RDONLY), "content");
    assert_content(tree, open_name(tree, "open/far/open/far/open/dir/../file", O_RDONLY),
                   "content");
    assert_content(tree, CALL(tree->vm, open, name(tree, "open/file"), O_RDONLY), "content");
}

static void test_what_is_not_opened(void **state)
{
    static const struct {
        const char *name;
        int flags;
        int64_t result;
    } table[] = {
        {"open/none", O_RDONLY, -ENOENT},
        {"open/file/x", O_RDONLY, -ENOTDIR},
        {"open/file/", O_RDONLY, -ENOTDIR},
        {"open/file/.", O_RDONLY, -ENOTDIR},
        {"open/file", O_RDONLY | O_DIRECTORY, -ENOTDIR},
        {"open/dir/up", O_RDONLY | O_NOFOLLOW, -ELOOP},
        {"open/loop", O_RDONLY, -ELOOP},
        {"open/fifo", O_RDONLY, -EACCES},
        /* nothing leads out */
        {"secret", O_RDONLY, -ENOENT},
        {"openly/file", O_RDONLY, -ENOENT},
        {"open/../secret", O_RDONLY, -ENOENT},
        {"open/dir/../../secret", O_RDONLY, -ENOENT},
        {"open/out", O_RDONLY, -ENOENT},
        {"open/way-out/secret", O_RDONLY, -ENOENT},
        {"open/shadow", O_RDONLY, -ENOENT},
        {"link/file", O_RDONLY, -ENOENT},
        /* nothing is written */
        {"open/file", O_WRONLY, -EROFS},
        {"open/file", O_RDWR, -EROFS},
        {"open/file", O_RDONLY | O_TRUNC, -EROFS},
        {"open/new", O_WRONLY | O_CREAT, -EROFS},
        {"open", O_RDWR | O_TMPFILE, -EROFS},
        {"secret", O_WRONLY, -EACCES},
        {"new", O_WRONLY | O_CREAT | O_TRUNC, -EACCES},
        {".", O_WRONLY, -EISDIR},
    };
    struct tree *tree = *state;

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        int64_t result = open_name(tree, table[i].name, table[i].flags);

        if (result != table[i].result)
            fail_msg("%s, flags %#x: %ld", table[i].name, (unsigned)table[i].flags, (long)result);
    }
    assert_int_equal(CALL(tree->vm, creat, name(tree, "new"), 0644), -EACCES);
    assert_int_equal(CALL(tree->vm, unlink, name(tree, "open/file")), -EROFS);
    assert_int_equal(CALL(tree->vm, open, guest_string(tree->vm, SCRATCH, "/etc/shadow"), 0),
                     -ENOENT);
    assert_content(tree, open_name(tree, "open/file", O_RDONLY), "content");
}

static void test_names_are_fetched_with_care(void **state)
{
    struct tree *tree = *state;
    struct ferry_vm *vm = tree->vm;
    const char *file = tree_at(tree, "open/file");
    uint64_t at;

    assert_int_equal(CALL(vm, open, NOWHERE, O_RDONLY), -EFAULT);
    assert_int_equal(CALL(vm, open, 0, O_RDONLY), -EFAULT);
    assert_int_equal(CALL(vm, open, UINT64_MAX, O_RDONLY), -EFAULT);
    assert_int_equal(CALL(vm, open, guest_string(vm, SCRATCH, ""), O_RDONLY), -ENOENT);
    /* Up to the last byte there is, across a page boundary; then one byte more. */
    at = SCRATCH_END - strlen(file) - 1;
    assert_content(tree, CALL(vm, open, guest_string(vm, at, file), O_RDONLY), "content");
    *(char *)guest(vm, SCRATCH_END - 1) = 'x';
    assert_int_equal(CALL(vm, open, at, O_RDONLY), -EFAULT);
    at = SCRATCH + 2 * PAGE - 5;
    assert_content(tree, CALL(vm, open, guest_string(vm, at, file), O_RDONLY), "content");
    memset(guest(vm, SCRATCH), '/', 2 * PAGE);
    assert_int_equal(CALL(vm, open, SCRATCH, O_RDONLY), -ENAMETOOLONG);
    memset(guest(vm, SCRATCH), 'a', PAGE - 1);
    for (uint64_t i = 100; i < PAGE - 1; i += 100)
        ((char *)guest(vm, SCRATCH))[i] = '/';
    ((char *)guest(vm, SCRATCH))[PAGE - 1] = 0;
    assert_int_equal(CALL(vm, open, SCRATCH, O_RDONLY), -ENAMETOOLONG); /* with the "/" before it */
    /* One name, though short enough for a path. */
    memset(guest(vm, SCRATCH), 'n', 256);
    memset((char *)guest(vm, SCRATCH) + 256, 0, 1);
    assert_int_equal(CALL(vm, open, SCRATCH, O_RDONLY), -ENAMETOOLONG);
    memset((char *)guest(vm, SCRATCH) + 255, 0, 1);
    assert_int_equal(CALL(vm, open, SCRATCH, O_RDONLY), -ENOENT);
}

static void test_positions(void **state)
{
    struct tree *tree = *state;
    struct ferry_vm *vm = tree->vm;
    uint64_t fd = (uint64_t)open_name(tree, "open/file", O_RDONLY);
    char *got = guest(vm, SCRATCH + PAGE);

    assert_int_equal(CALL(vm, lseek, fd, 3, SEEK_SET), 3);
    assert_int_equal(CALL(vm, read, fd, SCRATCH + PAGE, 2), 2);
    assert_memory_equal(got, "te", 3);
    assert_int_equal(CALL(vm, lseek, fd, -(uint64_t)1, SEEK_END), 6);
    assert_int_equal(CALL(vm, lseek, fd, -(uint64_t)1, SEEK_SET), -EINVAL);
    assert_int_equal(CALL(vm, lseek, fd, 0, 9), -EINVAL);
    assert_int_equal(CALL(vm, pread64, fd, SCRATCH + PAGE, 3, 0), 3);
    assert_memory_equal(got, "con", 3);
    assert_int_equal(CALL(vm, pread64, fd, SCRATCH + PAGE, 3, UINT64_MAX), -EINVAL);
    assert_int_equal(CALL(vm, pread64, fd, SCRATCH + PAGE, 1ull << 47, 0), -EFAULT);
    assert_int_equal(CALL(vm, pread64, fd, UINT64_MAX, 0, 0), -EFAULT);
    assert_int_equal(CALL(vm, pread64, fd, SCRATCH + PAGE, 0, 0), 0);
    assert_int_equal(CALL(vm, pread64, fd, NOWHERE, 3, 0), -EFAULT);
    assert_int_equal(CALL(vm, lseek, fd, 0, SEEK_CUR), 6);
    assert_int_equal(CALL(vm, lseek, fd, INT64_MAX, SEEK_CUR), -EINVAL);
    assert_int_equal(CALL(vm, ioctl, fd, 0x541b, SCRATCH), 0); /* FIONREAD */
    assert_int_equal(*(int *)guest(vm, SCRATCH), 1);
    assert_int_equal(CALL(vm, write, fd, SCRATCH, 1), -EBADF);
    assert_int_equal(CALL(vm, fadvise64, fd, 0, 0, 2), 0);
    assert_int_equal(CALL(vm, read, fd, READ_ONLY, 1), -EFAULT);
}

static void test_stat(void **state)
{
    struct tree *tree = *state;
    struct ferry_vm *vm = tree->vm;
    struct stat *stat = guest(vm, SCRATCH + PAGE);
    struct statx *statx = guest(vm, SCRATCH + PAGE);
    uint64_t out = SCRATCH + PAGE, fd, link;

    assert_int_equal(CALL(vm, stat, name(tree, "open/dir/up"), out), 0);
    assert_true(S_ISREG(stat->st_mode));
    assert_int_equal(stat->st_size, 7);
    assert_int_equal(CALL(vm, lstat, name(tree, "open/dir/up"), out), 0);
    assert_true(S_ISLNK(stat->st_mode));
    assert_int_equal(CALL(vm, lstat, name(tree, "open/out"), out), 0);
    assert_true(S_ISLNK(stat->st_mode));
    assert_int_equal(CALL(vm, stat, name(tree, "open/out"), out), -ENOENT);
    assert_int_equal(CALL(vm, stat, name(tree, "secret"), out), -ENOENT);
    assert_int_equal(CALL(vm, stat, name(tree, "open"), out), 0);
    assert_true(S_ISDIR(stat->st_mode));
    /* Directories on the way are there, as realpath() needs them. */
    assert_int_equal(CALL(vm, stat, name(tree, "."), out), 0);
    assert_true(S_ISDIR(stat->st_mode));
    assert_int_equal(CALL(vm, stat, guest_string(vm, SCRATCH, "/"), out), 0);
    assert_int_equal(CALL(vm, readlink, name(tree, "."), out, 100), -EINVAL);
    assert_int_equal(CALL(vm, stat, name(tree, "open/file"), READ_ONLY), -EFAULT);

    assert_int_equal(CALL(vm, statx, (uint64_t)AT_FDCWD, name(tree, "open/file"), 0, 0xfff, out),
                     0);
    assert_int_equal(statx->stx_size, 7);
    assert_true(S_ISREG(statx->stx_mode));
    fd = (uint64_t)open_name(tree, "open/file", O_RDONLY);
    assert_int_equal(CALL(vm, fstat, fd, out), 0);
    assert_int_equal(stat->st_size, 7);
    guest_string(vm, SCRATCH, "");
    assert_int_equal(CALL(vm, statx, fd, SCRATCH, AT_EMPTY_PATH, 0xfff, out), 0);
    assert_int_equal(statx->stx_size, 7);
    assert_int_equal(CALL(vm, newfstatat, fd, SCRATCH, out, 0), -ENOENT);
    link = name(tree, "open/dir/up");
    assert_int_equal(CALL(vm, newfstatat, (uint64_t)AT_FDCWD, link, out, AT_SYMLINK_NOFOLLOW), 0);
    assert_true(S_ISLNK(stat->st_mode));
    assert_int_equal(CALL(vm, newfstatat, (uint64_t)AT_FDCWD, link, out, 0), 0);
    assert_int_equal(CALL(vm, newfstatat, (uint64_t)AT_FDCWD, link, out, 0x10000), -EINVAL);
    assert_true(S_ISREG(stat->st_mode));
}

static void test_access(void **state)
{
    struct tree *tree = *state;
    struct ferry_vm *vm = tree->vm;
    uint64_t here = (uint64_t)AT_FDCWD;

    assert_int_equal(CALL(vm, access, name(tree, "open/file"), F_OK), 0);
    assert_int_equal(CALL(vm, access, name(tree, "open/file"), R_OK), 0);
    assert_int_equal(CALL(vm, access, name(tree, "open/file"), X_OK), -EACCES);
    assert_int_equal(CALL(vm, access, name(tree, "open/file"), W_OK), -EROFS);
    assert_int_equal(CALL(vm, access, name(tree, "secret"), F_OK), -ENOENT);
    assert_int_equal(CALL(vm, access, name(tree, "."), X_OK), 0);
    assert_int_equal(CALL(vm, access, name(tree, "."), R_OK), 0);
    assert_int_equal(CALL(vm, access, name(tree, "open/file"), 8), -EINVAL);
    /* The older call has no flags: the register does not count. */
    assert_int_equal(CALL(vm, faccessat, here, name(tree, "open/loop"), F_OK, AT_SYMLINK_NOFOLLOW),
                     -ELOOP);
    assert_int_equal(CALL(vm, faccessat2, here, name(tree, "open/loop"), F_OK, AT_SYMLINK_NOFOLLOW),
                     0);
}

static void test_readlink(void **state)
{
    struct tree *tree = *state;
    struct ferry_vm *vm = tree->vm;
    uint64_t out = SCRATCH + PAGE;

    assert_int_equal(CALL(vm, readlink, name(tree, "open/dir/up"), out, 100), 7);
    assert_memory_equal(guest(vm, out), "../file", 8);
    memset(guest(vm, out), 0, 100);
    assert_int_equal(CALL(vm, readlinkat, (uint64_t)AT_FDCWD, name(tree, "open/dir/up"), out, 2),
                     2);
    assert_memory_equal(guest(vm, out), "..", 3);
    assert_int_equal(CALL(vm, readlink, name(tree, "open/file"), out, 100), -EINVAL);
    assert_int_equal(CALL(vm, readlink, name(tree, "link"), out, 100), -ENOENT);
    assert_int_equal(CALL(vm, readlink, name(tree, "open/dir/up"), out, 0), -EINVAL);
    assert_int_equal(CALL(vm, readlink, name(tree, "open/dir/up"), NOWHERE, 9), -EFAULT);
}

/* F_GETFL tells how it was opened, but for what took effect only then. */
static void test_status(void **state)
{
    static const int flags[][2] = {
        {O_DIRECTORY | O_CLOEXEC | O_NONBLOCK, O_DIRECTORY | O_NONBLOCK | 0100000},
        {O_NOFOLLOW | O_NOATIME | O_NOCTTY, O_NOFOLLOW | O_NOATIME | 0100000},
        {O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, O_PATH | O_DIRECTORY | O_NOFOLLOW},
    };
    struct tree *tree = *state;

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        uint64_t fd = (uint64_t)open_name(tree, "open/dir", flags[i][0]);

        assert_int_equal(CALL(tree->vm, fcntl, fd, F_GETFL), flags[i][1]);
        assert_int_equal(CALL(tree->vm, close, fd), 0);
    }
}

static void test_directories(void **state)
{
    struct tree *tree = *state;
    struct ferry_vm *vm = tree->vm;
    uint64_t out = SCRATCH + PAGE, fd = (uint64_t)open_name(tree, "open/dir", O_DIRECTORY);
    int64_t bytes;
    bool found = false;

    assert_int_equal(fd, 3);
    bytes = CALL(vm, getdents64, fd, out, 4096);
    assert_true(bytes > 0);
    for (int64_t at = 0; at < bytes;) {
        struct dirent64 *entry = guest(vm, out + (uint64_t)at);

        found |= !strcmp(entry->d_name, "inner");
        at += entry->d_reclen;
    }
    assert_true(found);
    assert_int_equal(CALL(vm, getdents64, fd, out, 4096), 0);
    assert_int_equal(CALL(vm, getdents64, 0, out, 4096), -ENOTDIR);
    /* Where some file systems end a directory. */
    assert_int_equal(CALL(vm, lseek, fd, INT64_MAX, SEEK_SET), INT64_MAX);
    assert_int_equal(CALL(vm, read, fd, out, 10), -EINVAL);
    assert_int_equal(CALL(vm, lseek, fd, 0, SEEK_SET), 0);
    assert_int_equal(CALL(vm, read, fd, out, 10), -EISDIR);
    assert_int_equal(CALL(vm, mmap, 0, PAGE, 1, 2, fd, 0), -ENODEV);

    guest_string(vm, SCRATCH, "inner");
    assert_content(tree, CALL(vm, openat, fd, SCRATCH, O_RDONLY), "inner");
    guest_string(vm, SCRATCH, "../file");
    assert_content(tree, CALL(vm, openat, fd, SCRATCH, O_RDONLY), "content");
    guest_string(vm, SCRATCH, "../../secret");
    assert_int_equal(CALL(vm, openat, fd, SCRATCH, O_RDONLY), -ENOENT);
    assert_int_equal(CALL(vm, openat, 0, SCRATCH, O_RDONLY), -ENOTDIR);
    assert_int_equal(CALL(vm, openat, 50, SCRATCH, O_RDONLY), -EBADF);
}

static void test_working_directory(void **state)
{
    struct tree *tree = *state;
    struct ferry_vm *vm = tree->vm;
    uint64_t fd;

    assert_int_equal(CALL(vm, getcwd, SCRATCH, 100), 2);
    assert_string_equal(guest(vm, SCRATCH), "/");
    assert_int_equal(CALL(vm, getcwd, SCRATCH, 1), -ERANGE);
    assert_int_equal(CALL(vm, chdir, name(tree, "open/dir")), 0);
    assert_int_equal(CALL(vm, getcwd, SCRATCH, 4096), strlen(tree_at(tree, "open/dir")) + 1);
    assert_content(tree, CALL(vm, open, guest_string(vm, SCRATCH, "inner"), 0), "inner");
    assert_content(tree, CALL(vm, open, guest_string(vm, SCRATCH, "./../file"), 0), "content");
    assert_int_equal(CALL(vm, chdir, name(tree, "open/file")), -ENOTDIR);
    assert_int_equal(CALL(vm, chdir, name(tree, "open/way-out")), 0);
    assert_int_equal(CALL(vm, getcwd, SCRATCH, 4096), strlen(tree->top) + 1);
    assert_int_equal(CALL(vm, chdir, name(tree, "openly")), -ENOENT);
    assert_int_equal(CALL(vm, chdir, guest_string(vm, SCRATCH, "/dev/null")), -ENOTDIR);
    assert_int_equal(CALL(vm, chdir, name(tree, ".")), 0);
    assert_int_equal(CALL(vm, open, guest_string(vm, SCRATCH, "secret"), 0), -ENOENT);
    fd = (uint64_t)open_name(tree, "open", O_RDONLY);
    assert_int_equal(CALL(vm, fchdir, fd), 0);
    assert_content(tree, CALL(vm, open, guest_string(vm, SCRATCH, "file"), 0), "content");
    assert_int_equal(CALL(vm, fchdir, 0), -ENOTDIR);
}

static void test_special_names(void **state)
{
    struct tree *tree = *state;
    struct ferry_vm *vm = tree->vm;
    struct stat *stat = guest(vm, SCRATCH + PAGE);

    guest_string(vm, SCRATCH, "/dev/null");
    assert_int_equal(CALL(vm, open, SCRATCH, O_RDWR | O_CREAT), 3);
    assert_int_equal(CALL(vm, read, 3, SCRATCH + PAGE, 10), 0);
    assert_int_equal(CALL(vm, write, 3, NOWHERE, 10), 10);
    /* A length that looks like an error is none, nor the end of the VM. */
    assert_int_equal(CALL(vm, pwrite64, 3, NOWHERE, (uint64_t)-EINTR, 0), -EFAULT);
    assert_int_equal(CALL(vm, pwrite64, 3, NOWHERE, 1ull << 40, 0), 0x7ffff000);
    assert_int_equal(vm->next, LINUX_RESUME);
    assert_int_equal(CALL(vm, stat, SCRATCH, SCRATCH + PAGE), 0);
    assert_true(S_ISCHR(stat->st_mode));
    assert_int_equal(CALL(vm, access, SCRATCH, R_OK | W_OK), 0);

    assert_int_equal(CALL(vm, open, guest_string(vm, SCRATCH, "/dev/stdin"), O_RDONLY), 4);
    vm->input = "x";
    assert_int_equal(CALL(vm, read, 4, SCRATCH + PAGE, 10), 1);
    assert_int_equal(CALL(vm, open, SCRATCH, O_WRONLY), -EACCES);
    assert_int_equal(CALL(vm, open, guest_string(vm, SCRATCH, "/proc/self/fd/1"), O_WRONLY), 5);
    assert_int_equal(CALL(vm, write, 5, SCRATCH, 1), 1);
    assert_int_equal(CALL(vm, open, guest_string(vm, SCRATCH, "/dev/stdout"), O_WRONLY), 6);
    assert_int_equal(CALL(vm, close, 1), 0);
    assert_int_equal(CALL(vm, open, SCRATCH, O_WRONLY), -ENOENT);
    assert_int_equal(CALL(vm, close, 5), 0);
    assert_false(vm->output_closed);
    assert_int_equal(CALL(vm, close, 6), 0);
    assert_true(vm->output_closed);
    assert_int_equal(CALL(vm, open, guest_string(vm, SCRATCH, "/dev/fd/300"), O_RDONLY), -ENOENT);
    assert_int_equal(CALL(vm, open, guest_string(vm, SCRATCH, "/dev/fd/0x"), O_RDONLY), -ENOENT);
    assert_int_equal(CALL(vm, open, guest_string(vm, SCRATCH, "/dev/tty"), O_RDONLY), -ENXIO);
}

static void test_host_files_are_bounded(void **state)
{
    struct tree *tree = *state;

    for (int i = 0; i < 64; i++)
        assert_int_equal(open_name(tree, "open/file", O_RDONLY), 3 + i);
    assert_int_equal(open_name(tree, "open/file", O_RDONLY), -EMFILE);
    assert_int_equal(CALL(tree->vm, dup, 3), 67);
    assert_int_equal(CALL(tree->vm, close, 10), 0);
    assert_int_equal(open_name(tree, "open/file", O_RDONLY), 10);
}

/* Given by a name with a link in it: known by that name and by the real one. */
static void test_directory_behind_a_link(void **state)
{
    struct tree *tree = *state;
    char given[PATH_MAX + 16];
    const char *directories[] = {given, NULL};

    snprintf(given, sizeof(given), "%s/./link/", tree->top);
    linux_vm_destroy(tree->vm);
    tree->vm = linux_vm_create(directories, -1);
    assert_content(tree, open_name(tree, "link/file", O_RDONLY), "content");
    assert_content(tree, open_name(tree, "open/file", O_RDONLY), "content");
    assert_int_equal(open_name(tree, "secret", O_RDONLY), -ENOENT);
}

/* Even a generous operator does not give away the host's processes. */
static void test_root_directory(void **state)
{
    const char *directories[] = {"/", NULL};
    struct tree *tree = *state;
    struct ferry_vm *vm;

    linux_vm_destroy(tree->vm);
    vm = tree->vm = linux_vm_create(directories, -1);
    assert_content(tree, open_name(tree, "secret", O_RDONLY), "secret");
    assert_content(tree, open_name(tree, "open/way-out/secret", O_RDONLY), "secret");
    assert_int_equal(CALL(vm, open, guest_string(vm, SCRATCH, "/proc/self/mem"), 0), -ENOENT);
    assert_int_equal(CALL(vm, open, guest_string(vm, SCRATCH, "/proc"), 0), 3);
    assert_int_equal(CALL(vm, open, guest_string(vm, SCRATCH, "/proc/1/environ"), 0), -ENOENT);
    assert_int_equal(CALL(vm, open, guest_string(vm, SCRATCH, "/dev/kmsg"), 0), -ENOENT);
    assert_int_equal(CALL(vm, open, guest_string(vm, SCRATCH, "/"), 0), 4);
}

/* Its files are asked for by a process of their own, as those of any file system that is not known
 * to answer. */
static void test_files_that_may_not_answer(void **state)
{
    const char *directories[] = {"/sys", NULL},
               *file = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
    struct tree *tree = *state;
    struct ferry_vm *vm;
    struct stat *stat;
    char text[100] = {0};
    uint64_t fd, out = SCRATCH + PAGE;
    int64_t bytes;
    int host = open(file, O_RDONLY | O_CLOEXEC);

    assert_true(read(host, text, sizeof(text) - 1) > 0);
    close(host);
    linux_vm_destroy(tree->vm);
    vm = tree->vm = linux_vm_create(directories, -1);
    fd = (uint64_t)CALL(vm, open, guest_string(vm, SCRATCH, file), O_RDONLY);
    assert_int_equal(fd, 3);
    assert_true(vm->wakes > 0);
    bytes = CALL(vm, read, fd, out, 1);
    assert_int_equal(bytes, 1);
    bytes += CALL(vm, read, fd, out + 1, 99);
    assert_int_equal(bytes, strlen(text));
    assert_memory_equal(guest(vm, out), text, strlen(text));
    assert_int_equal(CALL(vm, read, fd, out, 99), 0);
    assert_int_equal(CALL(vm, lseek, fd, 1, SEEK_SET), 1);
    assert_int_equal(CALL(vm, read, fd, out, 99), strlen(text) - 1);
    assert_int_equal(CALL(vm, pread64, fd, out, 99, 2), strlen(text) - 2);
    stat = guest(vm, out);
    assert_int_equal(CALL(vm, fstat, fd, out), 0);
    assert_true(S_ISREG(stat->st_mode));
    assert_int_equal(CALL(vm, stat, guest_string(vm, SCRATCH, "/sys/none"), out), -ENOENT);
    assert_int_equal(CALL(vm, access, guest_string(vm, SCRATCH, "/sys/devices"), R_OK), 0);

    fd = (uint64_t)CALL(vm, open, guest_string(vm, SCRATCH, "/sys/devices/system/cpu"), 0);
    for (int i = 0; i < 2; i++) { /* to its end, and once more from the start */
        int64_t all = 0;

        while ((bytes = CALL(vm, getdents64, fd, out, 512)) > 0)
            all += bytes;
        assert_int_equal(bytes, 0);
        assert_true(all > 512);
        assert_int_equal(CALL(vm, lseek, fd, 0, SEEK_SET), 0);
    }
    /* Told to stop, it waits no longer. */
    vm->stop = true;
    CALL(vm, open, guest_string(vm, SCRATCH, file), O_RDONLY);
    assert_int_equal(vm->next, LINUX_STOPPED);
}

static void test_bad_directories(void **state)
{
    static const struct {
        const char *name;
        int err;
    } table[] = {{"open/none", -ENOENT}, {"open/file", -ENOTDIR}};
    struct tree *tree = *state;

    for (size_t i = 0; i < 2; i++) {
        char given[PATH_MAX + 16];
        const char *directories[] = {tree_at(tree, "open"), given, NULL};
        struct linux_config config = {.read_only_dirs = directories, .stderr_fd = -1};
        struct linux_state *unused;

        snprintf(given, sizeof(given), "%s/%s", tree->top, table[i].name);
        assert_int_equal(linux_create(tree->vm, &config, &unused), table[i].err);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, tree_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_open_and_read),
        TEST(test_what_is_not_opened),
        TEST(test_names_are_fetched_with_care),
        TEST(test_positions),
        TEST(test_stat),
        TEST(test_access),
        TEST(test_readlink),
        TEST(test_status),
        TEST(test_directories),
        TEST(test_working_directory),
        TEST(test_special_names),
        TEST(test_host_files_are_bounded),
        TEST(test_directory_behind_a_link),
        TEST(test_root_directory),
        TEST(test_files_that_may_not_answer),
        TEST(test_bad_directories),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
