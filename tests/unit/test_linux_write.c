/* SPDX-License-Identifier: BSD-2-Clause */
/* The personality: files, names and links that a program makes, changes and removes where it may write,
 * on the host and in memory, and that nothing else is changed. Most cases are tried in both. How much
 * files may hold and who locks them is in test_linux_contents.c. */
#include "write_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "linux/state.h"
#include "linux/writable.h"

static void check_host(struct tree *tree, const char *name, const char *text)
{
    char got[64] = "";
    FILE *file = fopen(tree_at(tree, name), "r");

    assert_non_null(file);
    got[fread(got, 1, sizeof(got) - 1, file)] = 0;
    assert_string_equal(got, text);
    assert_int_equal(fclose(file), 0);
}

static int64_t link_to(struct tree *tree, const char *from, const char *to)
{
    return CALL(tree->vm, link, name(tree, from), other(tree, to));
}

static int64_t symlink_to(struct tree *tree, const char *target, const char *from)
{
    uint64_t text = guest_string(tree->vm, OTHER, target);

    return CALL(tree->vm, symlink, text, name(tree, from));
}

static mode_t mode_of(struct tree *tree, const char *text)
{
    struct stat stat;

    assert_int_equal(CALL(tree->vm, lstat, name(tree, text), BUFFER), 0);
    memcpy(&stat, guest(tree->vm, BUFFER), sizeof(stat));
    assert_int_equal(stat.st_uid, LINUX_USER);
    return stat.st_mode;
}

/* ---- what works in both kinds of directories ------------------------------ */

static void in(struct tree *tree, const char *directory, const char *leaf, char out[64])
{
    (void)tree;
    snprintf(out, 64, "%s/%s", directory, leaf);
}

static void try_contents(struct tree *tree, const char *directory)
{
    struct ferry_vm *vm = tree->vm;
    char file[64];
    uint64_t fd;

    in(tree, directory, "file", file);
    make(tree, file, "one");
    assert_int_equal(open_name(tree, file, O_CREAT | O_EXCL | O_WRONLY), -EEXIST);
    fd = (uint64_t)open_name(tree, file, O_RDWR | O_APPEND);
    assert_int_equal(write_text(tree, (int64_t)fd, "two"), 3);
    assert_int_equal(CALL(vm, lseek, fd, 0, SEEK_CUR), 6);
    check(tree, file, "onetwo");
    /* As on Linux: with O_APPEND the offset is not looked at. */
    guest_string(vm, BUFFER, "!");
    assert_int_equal(CALL(vm, pwrite64, fd, BUFFER, 1, 0), 1);
    check(tree, file, "onetwo!");
    assert_int_equal(CALL(vm, fcntl, fd, F_SETFL, 0), 0);
    guest_string(vm, BUFFER, "!");
    assert_int_equal(CALL(vm, pwrite64, fd, BUFFER, 1, 0), 1);
    assert_int_equal(CALL(vm, lseek, fd, 0, SEEK_CUR), 6);
    check(tree, file, "!netwo!");
    assert_int_equal(CALL(vm, ftruncate, fd, 2), 0);
    check(tree, file, "!n");
    assert_int_equal(CALL(vm, fallocate, fd, 0, 0, 4), 0);
    assert_int_equal(CALL(vm, fsync, fd), 0);
    assert_int_equal(CALL(vm, fdatasync, fd), 0);
    assert_int_equal(CALL(vm, lseek, fd, 0, SEEK_END), 4);
    assert_int_equal(CALL(vm, truncate, name(tree, file), 1), 0);
    check(tree, file, "!");
    assert_int_equal(CALL(vm, close, fd), 0);
    fd = (uint64_t)open_name(tree, file, O_WRONLY | O_TRUNC);
    assert_int_equal(CALL(vm, read, fd, BUFFER, 1), -EBADF);
    assert_int_equal(CALL(vm, close, fd), 0);
    check(tree, file, "");
}

static void try_names(struct tree *tree, const char *directory)
{
    struct ferry_vm *vm = tree->vm;
    char a[64], b[64], sub[64], inner[64];

    in(tree, directory, "a", a);
    in(tree, directory, "b", b);
    in(tree, directory, "d/", sub);
    in(tree, directory, "d/inner", inner);
    make(tree, a, "a");
    assert_int_equal(CALL(vm, mkdir, name(tree, sub), 0755), 0);
    assert_int_equal(CALL(vm, mkdir, name(tree, sub), 0755), -EEXIST);
    assert_int_equal(rename_to(tree, a, inner, 0), 0);
    check(tree, inner, "a");
    assert_int_equal(open_name(tree, a, O_RDONLY), -ENOENT);
    assert_int_equal(CALL(vm, rmdir, name(tree, sub)), -ENOTEMPTY);
    assert_int_equal(CALL(vm, unlink, name(tree, sub)), -EISDIR);
    make(tree, a, "new");
    assert_int_equal(rename_to(tree, a, inner, RENAME_NOREPLACE), -EEXIST);
    assert_int_equal(rename_to(tree, a, inner, RENAME_EXCHANGE), 0);
    check(tree, a, "a");
    check(tree, inner, "new");
    assert_int_equal(link_to(tree, inner, b), 0);
    assert_int_equal(CALL(vm, unlink, name(tree, inner)), 0);
    check(tree, b, "new");
    assert_int_equal(symlink_to(tree, "../b", inner), 0);
    check(tree, inner, "new");
    assert_int_equal(CALL(vm, unlink, name(tree, inner)), 0);
    assert_int_equal(CALL(vm, rmdir, name(tree, sub)), 0);
    assert_int_equal(CALL(vm, unlink, name(tree, sub)), -ENOENT);
    assert_int_equal(CALL(vm, unlink, name(tree, a)), 0);
    assert_int_equal(CALL(vm, unlink, name(tree, b)), 0);
}

/* A link to nothing leads to the file that is made; a file without a name gets one. */
static void try_creation(struct tree *tree, const char *directory)
{
    struct ferry_vm *vm = tree->vm;
    char link[64], target[64], named[64];
    char proc[32];
    int64_t fd;

    in(tree, directory, "dangling", link);
    in(tree, directory, "target", target);
    in(tree, directory, "named", named);
    assert_int_equal(symlink_to(tree, "target", link), 0);
    assert_int_equal(open_name(tree, link, O_CREAT | O_EXCL | O_WRONLY), -EEXIST);
    assert_int_equal(open_name(tree, link, O_CREAT | O_NOFOLLOW | O_WRONLY), -ELOOP);
    fd = open_name(tree, link, O_CREAT | O_WRONLY);
    assert_int_equal(write_text(tree, fd, "through"), 7);
    check(tree, target, "through");
    fd = open_name(tree, directory, O_TMPFILE | O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(write_text(tree, fd, "nameless"), 8);
    snprintf(proc, sizeof(proc), "/proc/self/fd/%d", (int)fd);
    guest_string(vm, NAME, proc);
    assert_int_equal(CALL(vm, linkat, (uint64_t)AT_FDCWD, NAME, (uint64_t)AT_FDCWD,
                          other(tree, named), AT_SYMLINK_FOLLOW),
                     0);
    check(tree, named, "nameless");
    /* No devices, pipes or sockets. */
    in(tree, directory, "node", named);
    assert_int_equal(CALL(vm, mknod, name(tree, named), S_IFCHR | 0666, 0x103), -EPERM);
    assert_int_equal(CALL(vm, mknod, name(tree, named), S_IFIFO | 0666, 0), -EPERM);
    assert_int_equal(CALL(vm, mknod, name(tree, named), S_IFREG | 0666, 0), 0);
    check(tree, named, "");
}

static void try_attributes(struct tree *tree, const char *directory)
{
    struct ferry_vm *vm = tree->vm;
    const struct timespec times[2] = {{1, 2}, {3, 4}};
    char file[64], sub[64];
    struct stat stat;
    mode_t ours = umask(077); /* whatever it is, that of the program holds */
    uint64_t fd;

    in(tree, directory, "mode", file);
    in(tree, directory, "modes", sub);
    assert_int_equal(CALL(vm, umask, 02), 022);
    fd = (uint64_t)CALL(vm, open, name(tree, file), O_CREAT | O_RDWR, 06666);
    assert_int_equal(CALL(vm, mkdir, name(tree, sub), 0777), 0);
    umask(ours);
    assert_int_equal(mode_of(tree, file), S_IFREG | 0664);
    assert_int_equal(mode_of(tree, sub), S_IFDIR | 0775);
    assert_int_equal(CALL(vm, chmod, name(tree, file), 0700), 0);
    assert_int_equal(mode_of(tree, file), S_IFREG | 0700);
    assert_int_equal(CALL(vm, fchmod, fd, 04755), -EPERM);
    assert_int_equal(CALL(vm, chmod, name(tree, file), 02755), -EPERM);
    assert_int_equal(mode_of(tree, file), S_IFREG | 0700);
    assert_int_equal(CALL(vm, fchown, fd, LINUX_USER, ~0u), 0);
    assert_int_equal(CALL(vm, chown, name(tree, file), 0, 0), -EPERM);
    memcpy(guest(vm, BUFFER), times, sizeof(times));
    assert_int_equal(CALL(vm, utimensat, fd, 0, BUFFER, 0), 0);
    assert_int_equal(CALL(vm, fstat, fd, BUFFER), 0);
    memcpy(&stat, guest(vm, BUFFER), sizeof(stat));
    assert_memory_equal(&stat.st_mtim, &times[1], sizeof(times[1]));
    assert_int_equal(CALL(vm, access, name(tree, file), W_OK), 0);
    assert_int_equal(CALL(vm, getxattr, name(tree, file), NAME, BUFFER, 10), -EOPNOTSUPP);
}

static void test_host(void **state)
{
    try_contents(*state, "rw");
    check_host(*state, "rw/file", "");
    try_names(*state, "rw");
    try_creation(*state, "rw");
    check_host(*state, "rw/target", "through");
    try_attributes(*state, "rw");
}

static void test_memory(void **state)
{
    try_contents(*state, "/private");
    try_names(*state, "/private");
    try_creation(*state, "/private");
    try_attributes(*state, "/private");
}

/* ---- what must not happen -------------------------------------------------- */

static void test_nothing_else_changes(void **state)
{
    struct tree *tree = *state;
    struct ferry_vm *vm = tree->vm;

    assert_int_equal(open_name(tree, "ro/file", O_WRONLY), -EROFS);
    assert_int_equal(open_name(tree, "ro/new", O_CREAT | O_WRONLY), -EROFS);
    assert_int_equal(open_name(tree, "rw/sub/ro/file", O_WRONLY), -EROFS);
    assert_int_equal(open_name(tree, "rw/way-out/secret", O_RDWR), -EACCES);
    assert_int_equal(open_name(tree, "rw/way-out/new", O_CREAT | O_RDWR), -EACCES);
    assert_int_equal(open_name(tree, "rw/shadow", O_WRONLY | O_TRUNC), -EACCES);
    assert_int_equal(open_name(tree, "rw/../secret", O_WRONLY | O_TRUNC), -EACCES);
    assert_int_equal(CALL(vm, truncate, name(tree, "rw/shadow"), 0), -ENOENT);
    assert_int_equal(CALL(vm, chmod, name(tree, "rw/shadow"), 0777), -ENOENT);
    assert_int_equal(CALL(vm, unlink, name(tree, "rw/sub/ro/file")), -EROFS);
    assert_int_equal(CALL(vm, unlink, name(tree, "ro/file")), -EROFS);
    assert_int_equal(CALL(vm, unlink, name(tree, "secret")), -ENOENT);
    assert_int_equal(CALL(vm, mkdir, name(tree, "dir"), 0755), -EACCES);
    /* A mount stays where it is. */
    assert_int_equal(CALL(vm, rmdir, name(tree, "rw")), -EBUSY);
    assert_int_equal(CALL(vm, rmdir, name(tree, "rw/sub")), -EBUSY);
    assert_int_equal(rename_to(tree, "rw/sub", "rw/moved", 0), -EBUSY);
    assert_int_equal(rename_to(tree, "rw/sub/ro", "rw/moved", 0), -EROFS);
    /* What is read-only gets no name where it could be written. */
    assert_int_equal(link_to(tree, "ro/file", "rw/linked"), -EXDEV);
    assert_int_equal(link_to(tree, "rw/sub/ro/file", "rw/linked"), -EXDEV);
    assert_int_equal(rename_to(tree, "ro/file", "rw/moved", 0), -EROFS);
    /* What runs with its owner's rights keeps its contents. */
    assert_int_equal(open_name(tree, "rw/setuid", O_WRONLY), -EPERM);
    assert_int_equal(open_name(tree, "rw/setuid", O_RDONLY | O_TRUNC), -EPERM);
    check_host(tree, "rw/setuid", "setuid");
    check_host(tree, "secret", "secret");
    check_host(tree, "ro/file", "read");
    check_host(tree, "rw/sub/ro/file", "read");
    assert_int_equal(access(tree_at(tree, "new"), F_OK), -1);
}

/* Who follows a link later, on the host, is not led out of the directory. */
static void test_links_stay_inside(void **state)
{
    struct tree *tree = *state;
    char own[PATH_MAX + 16];
    static const char *const out[] = {
        "/etc/passwd", "..", "../secret", "sub/../../secret", "./../secret", "/", "",
    };

    for (size_t i = 0; i + 1 < sizeof(out) / sizeof(out[0]); i++)
        assert_int_equal(symlink_to(tree, out[i], "rw/link"), -EPERM);
    snprintf(own, sizeof(own), "%s/rw/sub", tree->top);
    assert_int_equal(symlink_to(tree, own, "rw/link"), 0);
    snprintf(own, sizeof(own), "%s/rw/../secret", tree->top);
    assert_int_equal(symlink_to(tree, own, "rw/link2"), -EPERM);
    /* Nor by moving it, or what it is in, up. */
    assert_int_equal(CALL(tree->vm, mkdir, name(tree, "rw/a"), 0755), 0);
    assert_int_equal(CALL(tree->vm, mkdir, name(tree, "rw/a/b"), 0755), 0);
    assert_int_equal(symlink_to(tree, "../../secret", "rw/a/b/l"), 0);
    assert_int_equal(symlink_to(tree, "../../../secret", "rw/a/b/l2"), -EPERM);
    assert_int_equal(rename_to(tree, "rw/a/b/l", "rw/a/l", 0), -EPERM);
    assert_int_equal(link_to(tree, "rw/a/b/l", "rw/a/l"), -EPERM);
    assert_int_equal(rename_to(tree, "rw/a/b", "rw/b", 0), -EXDEV);
    assert_int_equal(symlink_to(tree, "/etc/passwd", "/private/link"), 0);
}

/* Open directories and the working directory go along. */
static void test_directories_that_move(void **state)
{
    struct tree *tree = *state;
    struct ferry_vm *vm = tree->vm;
    uint64_t fd;

    assert_int_equal(CALL(vm, mkdir, name(tree, "rw/old"), 0755), 0);
    fd = (uint64_t)open_name(tree, "rw/old", O_RDONLY | O_DIRECTORY);
    assert_int_equal(CALL(vm, chdir, name(tree, "rw/old")), 0);
    assert_int_equal(rename_to(tree, "rw/old", "rw/now", 0), 0);
    guest_string(vm, NAME, "file");
    assert_true(CALL(vm, openat, fd, NAME, O_CREAT | O_WRONLY, 0644) >= 0);
    check_host(tree, "rw/now/file", "");
    assert_true(CALL(vm, open, NAME, O_RDONLY) >= 0);
}

/* Neither the top directory nor the file system is left when the VM ends. */
static void test_memory_is_made_when_needed(void **state)
{
    struct tree *tree = *state;
    const struct linux_state *personality = tree->vm->linux_state;

    assert_int_equal(personality->common->view.memory_top, -1);
    assert_int_equal(open_name(tree, "rw/x", O_CREAT | O_WRONLY) < 0, 0);
    assert_int_equal(personality->common->view.memory_top, -1);
    make(tree, "/private/x", "x");
    assert_true(personality->common->view.memory_top >= 0);
}

/* ---- ways to make directories in memory -------------------------------------- */

#define NOBODY 65534

static bool write_to(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        close(fd);
    return done;
}

/* A user who may make no file system, in a name space in which nobody may make another. */
static bool become_powerless(void)
{
    char map[32];

    snprintf(map, sizeof(map), "0 %u 1", geteuid());
    return !unshare(CLONE_NEWUSER) && write_to("/proc/self/uid_map", map) &&
           write_to("/proc/sys/user/max_user_namespaces", "0");
}

static void test_in_shm(void **state)
{
    struct tree *tree = *state;

    make(tree, "/private/x", "x");
    assert_true(tree->vm->linux_state->common->view.memory->lifeline >= 0);
    test_memory(state);
}

/* In a child, whose exit status is the number of failures. */
static void run_as(bool (*become)(void), CMUnitTestFunction test)
{
    const struct CMUnitTest tests[] = {TEST(test_memory), TEST(test)};
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (!pid && dup2(STDERR_FILENO, STDOUT_FILENO) < 0) /* a list of tests of its own */
        _exit(1);
    if (!pid)
        _exit(become() ? cmocka_run_group_tests(tests, NULL, NULL) : 77);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_without_rights(void **state)
{
    (void)state;
    run_as(become_powerless, test_in_shm);
}

static bool become_nobody(void)
{
    return !geteuid() && !setresgid(NOBODY, NOBODY, NOBODY) && !setresuid(NOBODY, NOBODY, NOBODY) &&
           /* It must be able to read its own /proc, as any user's process is. */
           !prctl(PR_SET_DUMPABLE, 1);
}

static void test_as_nobody(void **state)
{
    (void)state;
    run_as(become_nobody, test_host);
}

/* The first to be closed at the end is looked for among those that are open; a sanitizer sees it. */
static void test_removed_files_are_left_open(void **state)
{
    struct tree *tree = *state;

    for (int i = 0; i < 3; i++) {
        assert_true(open_name(tree, "rw/left", O_WRONLY | O_CREAT) >= 0);
        assert_int_equal(CALL(tree->vm, unlink, name(tree, "rw/left")), 0);
    }
}

/* A descriptor that only stands for a name makes nothing and is never ready. */
static void test_a_path_is_no_more(void **state)
{
    struct tree *tree = *state;
    struct pollfd entry = {.events = POLLIN | POLLOUT};

    assert_int_equal(open_name(tree, "rw/none", O_PATH | O_CREAT | O_TRUNC), -ENOENT);
    assert_int_not_equal(access(tree_at(tree, "rw/none"), F_OK), 0);
    assert_int_equal(open_name(tree, "rw/way-out", O_PATH | O_NOFOLLOW | O_DIRECTORY), -ENOTDIR);
    entry.fd = (int)open_name(tree, "rw/sub", O_PATH);
    assert_true(entry.fd >= 0);
    memcpy(guest(tree->vm, BUFFER), &entry, sizeof(entry));
    assert_int_equal(CALL(tree->vm, poll, BUFFER, 1, 0), 1);
    memcpy(&entry, guest(tree->vm, BUFFER), sizeof(entry));
    assert_int_equal(entry.revents, POLLNVAL);
}

static void test_nothing_is_read_of_a_directory(void **state)
{
    struct tree *tree = *state;
    int64_t fd = open_name(tree, "rw/sub", O_RDONLY);

    assert_true(fd >= 0);
    assert_int_equal(CALL(tree->vm, read, (uint64_t)fd, BUFFER, 0), -EISDIR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_path_is_no_more),
        TEST(test_nothing_is_read_of_a_directory),
        TEST(test_host),
        TEST(test_memory),
        TEST(test_nothing_else_changes),
        TEST(test_links_stay_inside),
        TEST(test_removed_files_are_left_open),
        TEST(test_directories_that_move),
        TEST(test_memory_is_made_when_needed),
        cmocka_unit_test(test_without_rights),
        cmocka_unit_test(test_as_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
