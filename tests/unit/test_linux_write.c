/* SPDX-License-Identifier: BSD-2-Clause */
/* The personality: files that a program may write, of the host and in memory, and that nothing else
 * is changed. Most cases are tried in both. */
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "linux/state.h"
#include "linux/writable.h"

#define LIMIT (MIB)

/*
 * T/rw/            --rw, with a limit of 1 MiB
 *   setuid         a file that lends its owner's rights
 *   way-out        -> ..
 *   shadow         -> ../secret
 *   sub/ro/        --ro, below --rw
 * T/ro/file        --ro
 * T/secret         "secret"
 */
static void check_host(struct tree *tree, const char *name, const char *text)
{
    char got[64] = "";
    FILE *file = fopen(tree_at(tree, name), "r");

    assert_non_null(file);
    got[fread(got, 1, sizeof(got) - 1, file)] = 0;
    assert_string_equal(got, text);
    assert_int_equal(fclose(file), 0);
}

static void make_tree(const struct tree *tree)
{
    tree_put_directory(tree, "rw");
    tree_put_directory(tree, "ro");
    tree_put_directory(tree, "rw/sub");
    tree_put_directory(tree, "rw/sub/ro");
    tree_put_file(tree, "secret", "secret");
    tree_put_file(tree, "ro/file", "read");
    tree_put_file(tree, "rw/sub/ro/file", "read");
    tree_put_file(tree, "rw/setuid", "setuid");
    assert_int_equal(chmod(tree_at(tree, "rw/setuid"), 04755), 0);
    tree_put_link(tree, "rw/way-out", "..");
    tree_put_link(tree, "rw/shadow", "../secret");
}

static int setup(void **state)
{
    struct tree *tree;

    tree_setup(state);
    tree = *state;
    make_tree(tree);
    tree->vm = linux_vm_create_as((struct linux_config){
        .read_only_dirs =
            (const char *const[]){tree_at(tree, "ro"), tree_at(tree, "rw/sub/ro"), NULL},
        .read_write_dirs = (const char *const[]){tree_at(tree, "rw"), NULL},
        .write_limit_bytes = LIMIT,
        .private_dirs = (const char *const[]){"/private", NULL},
        .view = FERRY_VIEW_NONE,
        .stderr_fd = -1});
    return 0;
}

/* Where names are put in program memory; two are needed at once. */
#define NAME   SCRATCH
#define OTHER  (SCRATCH + 2 * PAGE)
#define BUFFER (SCRATCH + 4 * PAGE)

static uint64_t name(struct tree *tree, const char *text)
{
    return guest_string(tree->vm, NAME, tree_at(tree, text));
}

static uint64_t other(struct tree *tree, const char *text)
{
    return guest_string(tree->vm, OTHER, tree_at(tree, text));
}

static int64_t open_name(struct tree *tree, const char *text, int flags)
{
    return CALL(tree->vm, open, name(tree, text), (uint64_t)flags, 0644);
}

static int64_t write_text(struct tree *tree, int64_t fd, const char *text)
{
    return CALL(tree->vm, write, (uint64_t)fd, guest_string(tree->vm, BUFFER, text), strlen(text));
}

static void make(struct tree *tree, const char *text, const char *content)
{
    int64_t fd = open_name(tree, text, O_CREAT | O_EXCL | O_WRONLY);

    assert_true(fd >= 0);
    assert_int_equal(write_text(tree, fd, content), strlen(content));
    assert_int_equal(CALL(tree->vm, close, (uint64_t)fd), 0);
}

static void check(struct tree *tree, const char *text, const char *content)
{
    int64_t fd = open_name(tree, text, O_RDONLY), got;

    assert_true(fd >= 0);
    got = CALL(tree->vm, read, (uint64_t)fd, BUFFER, PAGE);
    assert_int_equal(got, strlen(content));
    assert_memory_equal(guest(tree->vm, BUFFER), content, strlen(content));
    assert_int_equal(CALL(tree->vm, close, (uint64_t)fd), 0);
}

static int64_t rename_to(struct tree *tree, const char *from, const char *to, uint64_t flags)
{
    return CALL(tree->vm, renameat2, (uint64_t)AT_FDCWD, name(tree, from), (uint64_t)AT_FDCWD,
                other(tree, to), flags);
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_memory, setup, tree_teardown),
        cmocka_unit_test_setup_teardown(test, setup, tree_teardown)};
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
        cmocka_unit_test_setup_teardown(test_a_path_is_no_more, setup, tree_teardown),
        cmocka_unit_test_setup_teardown(test_nothing_is_read_of_a_directory, setup, tree_teardown),
        cmocka_unit_test_setup_teardown(test_host, setup, tree_teardown),
        cmocka_unit_test_setup_teardown(test_memory, setup, tree_teardown),
        cmocka_unit_test_setup_teardown(test_nothing_else_changes, setup, tree_teardown),
        cmocka_unit_test_setup_teardown(test_links_stay_inside, setup, tree_teardown),
        cmocka_unit_test_setup_teardown(test_removed_files_are_left_open, setup, tree_teardown),
        cmocka_unit_test_setup_teardown(test_limit, setup, tree_teardown),
        cmocka_unit_test_setup_teardown(test_limit_of_calls_at_once, setup, tree_teardown),
        cmocka_unit_test_setup_teardown(test_memory_limit, setup, tree_teardown),
        cmocka_unit_test_setup_teardown(test_memory_of_stores, setup, tree_teardown),
        cmocka_unit_test_setup_teardown(test_a_private_mapping_follows_the_file, setup,
                                        tree_teardown),
        cmocka_unit_test_setup_teardown(test_stores_count_after_all_ends, setup, tree_teardown),
        cmocka_unit_test_setup_teardown(test_file_size_limit, setup, tree_teardown),
        cmocka_unit_test_setup_teardown(test_no_turn_between_look_and_take, setup, tree_teardown),
        cmocka_unit_test_setup_teardown(test_records, setup, tree_teardown),
        cmocka_unit_test_setup_teardown(test_flock, setup, tree_teardown),
        cmocka_unit_test_setup_teardown(test_records_are_bounded, setup, tree_teardown),
        cmocka_unit_test_setup_teardown(test_no_record_outlives_its_file, setup, tree_teardown),
        cmocka_unit_test_setup_teardown(test_copies, setup, tree_teardown),
        cmocka_unit_test_setup_teardown(test_directories_that_move, setup, tree_teardown),
        cmocka_unit_test_setup_teardown(test_memory_is_made_when_needed, setup, tree_teardown),
        cmocka_unit_test_setup_teardown(test_memory_goes_during_a_write, setup, tree_teardown),
        cmocka_unit_test(test_without_rights),
        cmocka_unit_test(test_as_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
