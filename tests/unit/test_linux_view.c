/* SPDX-License-Identifier: BSD-2-Clause */
/* The personality: which files a program sees that nobody gave to it, and which it never sees. */
#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../until.h"
#include "linux/host_file.h"
#include "linux/mounts.h"

static int64_t open_name(struct ferry_vm *vm, const char *name)
{
    int64_t fd = CALL(vm, open, guest_string(vm, SCRATCH, name), O_RDONLY);

    if (fd >= 0)
        assert_int_equal(CALL(vm, close, (uint64_t)fd), 0);
    return fd < 0 ? fd : 0;
}

/* The start of a file that must be there. */
static const char *content(struct ferry_vm *vm, const char *name)
{
    char *got = guest(vm, SCRATCH + PAGE);
    int64_t fd = CALL(vm, open, guest_string(vm, SCRATCH, name), O_RDONLY);

    if (fd < 0)
        fail_msg("%s: %ld", name, (long)fd);
    memset(got, 0, 100);
    assert_true(CALL(vm, read, (uint64_t)fd, SCRATCH + PAGE, 99) >= 0);
    assert_int_equal(CALL(vm, close, (uint64_t)fd), 0);
    return got;
}

static void test_lists(void **state)
{
    static const struct {
        const char *path;
        enum shown system, bare;
    } rows[] = {
        {"/", SHOWN_PARTLY, SHOWN_PARTLY},
        {"/usr", SHOWN, SHOWN_PARTLY},
        {"/usr/bin/gzip", SHOWN, HIDDEN},
        {"/usr/lib/x/y", SHOWN, SHOWN},
        {"/usr/library", SHOWN, HIDDEN},
        {"/lib64/ld-linux-x86-64.so.2", SHOWN, SHOWN},
        {"/usrx", HIDDEN, HIDDEN},
        {"/opt/x", HIDDEN, HIDDEN},
        {"/etc", SHOWN_PARTLY, SHOWN_PARTLY},
        {"/etc/shadow", HIDDEN, HIDDEN},
        {"/etc/shadow-", HIDDEN, HIDDEN},
        {"/etc/machine-id", HIDDEN, HIDDEN},
        {"/etc/ssh/ssh_host_rsa_key", HIDDEN, HIDDEN},
        {"/etc/ssl", SHOWN_PARTLY, HIDDEN},
        {"/etc/ssl/private", HIDDEN, HIDDEN},
        {"/etc/ssl/certs/x.pem", SHOWN, HIDDEN},
        {"/etc/ld.so.cache", SHOWN, SHOWN},
        {"/etc/ld.so.preload", HIDDEN, HIDDEN},
        {"/etc/python3.11/x", SHOWN, HIDDEN},
        {"/etc/fedora-release", SHOWN, HIDDEN},
        {"/etc/fedora-release/x", SHOWN, HIDDEN},
        {"/etc/x/y-release", HIDDEN, HIDDEN},
        {"/var", SHOWN_PARTLY, HIDDEN},
        {"/var/log", HIDDEN, HIDDEN},
        {"/home", HIDDEN, HIDDEN},
        {"/root/.ssh", HIDDEN, HIDDEN},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (shown(shown_of_system, rows[i].path) != rows[i].system)
            fail_msg("%s in the system's list", rows[i].path);
        if (shown(shown_bare, rows[i].path) != rows[i].bare)
            fail_msg("%s in the bare list", rows[i].path);
    }
    assert_true(shown_is_library("libc.so.6"));
    assert_true(shown_is_library("libz.so"));
    assert_true(shown_is_library("/usr/lib/libz.so"));
    assert_true(shown_is_library("/etc/ld-musl-x86_64.path"));
    assert_true(shown_is_library("/etc/ld.so.conf.d/libc.conf"));
    assert_false(shown_is_library("/usr/lib/x.so.d/secret"));
    assert_false(shown_is_library("a.sock"));
    assert_false(shown_is_library("os.py"));
}

/* What everybody's secrets are called. */
static void assert_no_secrets(struct ferry_vm *vm)
{
    static const char *const names[] = {
        "/etc/shadow",
        "/etc/gshadow",
        "/etc/../etc/shadow",
        "/bin/../etc/shadow",
        "/usr/lib/../../etc//./shadow",
        "/proc/self/fd/../../../etc/shadow",
        "/etc/ssl/private",
        "/etc/machine-id",
        "/root",
        "/home",
        "/tmp",
        "/var/log",
        "/proc/1/environ",
        "/proc/1/root/etc/shadow",
        "/proc/self/root/etc/shadow",
        "/proc/self/cwd/etc/shadow",
        "/proc/self/mem",
        "/proc/kcore",
        "/proc/sysrq-trigger",
        "/dev/mem",
        "/dev/kmsg",
        "/dev/sda",
        "/dev/tty0",
        "/dev/shm",
        "/sys/kernel/debug",
        "/sys/class/net",
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        int64_t result = open_name(vm, names[i]);

        if (result != -ENOENT)
            fail_msg("%s: %ld", names[i], (long)result);
    }
}

static void test_system(void **state)
{
    struct ferry_vm *vm = linux_vm_create_as((struct linux_config){.stderr_fd = -1});

    (void)state;
    assert_no_secrets(vm);
    assert_memory_equal(content(vm, "/usr/bin/env"),
                        "\x7f"
                        "ELF",
                        4);
    assert_memory_equal(content(vm, "/bin/env"),
                        "\x7f"
                        "ELF",
                        4);
    assert_memory_equal(content(vm, "/lib64/ld-linux-x86-64.so.2"),
                        "\x7f"
                        "ELF",
                        4);
    /* The host has other ones. */
    assert_string_equal(content(vm, "/etc/group"), "root:x:0:\nnogroup:x:65534:\n");
    assert_int_equal(CALL(vm, open, guest_string(vm, SCRATCH, "/usr/x"), O_CREAT | O_WRONLY),
                     -EROFS);
    assert_int_equal(CALL(vm, access, guest_string(vm, SCRATCH, "/usr/bin/env"), X_OK), 0);
    assert_int_equal(CALL(vm, chdir, guest_string(vm, SCRATCH, "/etc/ssl")), 0);
    assert_int_equal(open_name(vm, "private"), -ENOENT);
    linux_vm_destroy(vm);
}

static void test_bare(void **state)
{
    struct ferry_vm *vm =
        linux_vm_create_as((struct linux_config){.stderr_fd = -1, .view = FERRY_VIEW_BARE});

    (void)state;
    assert_no_secrets(vm);
    assert_memory_equal(content(vm, "/lib64/ld-linux-x86-64.so.2"),
                        "\x7f"
                        "ELF",
                        4);
    assert_int_equal(open_name(vm, "/etc/ld.so.cache"), 0);
    assert_int_equal(open_name(vm, "/usr/bin/env"), -ENOENT);
    assert_int_equal(open_name(vm, "/bin/env"), -ENOENT);
    assert_int_equal(open_name(vm, "/usr/lib/os-release"), -ENOENT);
    assert_int_equal(open_name(vm, "/usr/share"), -ENOENT);
    linux_vm_destroy(vm);
}

static bool lists(struct ferry_vm *vm, const char *directory, const char *name)
{
    int64_t fd = CALL(vm, open, guest_string(vm, SCRATCH, directory), O_RDONLY | O_DIRECTORY);
    bool found = false;
    int64_t bytes;

    if (fd < 0)
        fail_msg("%s: %ld", directory, (long)fd);
    while ((bytes = CALL(vm, getdents64, (uint64_t)fd, SCRATCH + PAGE, 200)) > 0) {
        for (int64_t at = 0; at < bytes;) {
            const struct dirent64 *entry = guest(vm, SCRATCH + PAGE + (uint64_t)at);

            found |= strcmp(entry->d_name, name) == 0;
            at += entry->d_reclen;
        }
    }
    assert_int_equal(bytes, 0);
    assert_int_equal(CALL(vm, close, (uint64_t)fd), 0);
    return found;
}

static void test_lists_of_names(void **state)
{
    struct ferry_vm *vm = linux_vm_create_as((struct linux_config){.stderr_fd = -1});
    struct stat *stat = guest(vm, SCRATCH + PAGE);
    uint64_t inode;

    (void)state;
    assert_true(lists(vm, "/", "usr"));
    assert_true(lists(vm, "/", "proc"));
    assert_true(lists(vm, "/etc", "passwd"));
    assert_true(lists(vm, "/etc/ssl", "certs"));
    assert_true(lists(vm, "/proc", "cpuinfo"));
    assert_true(lists(vm, "/proc/self", "fd"));
    assert_true(lists(vm, "/dev", "null"));
    /* All of them are there on the host. */
    assert_false(lists(vm, "/", "root"));
    assert_false(lists(vm, "/", "home"));
    assert_false(lists(vm, "/etc", "shadow"));
    assert_false(lists(vm, "/etc", "fstab"));
    assert_false(lists(vm, "/etc/ssl", "private"));
    assert_false(lists(vm, "/proc", "1"));
    /* Programs tell directories apart by their numbers. */
    assert_int_equal(CALL(vm, stat, guest_string(vm, SCRATCH, "/proc"), SCRATCH + PAGE), 0);
    inode = stat->st_ino;
    assert_int_equal(CALL(vm, stat, guest_string(vm, SCRATCH, "/sys"), SCRATCH + PAGE), 0);
    assert_int_not_equal(stat->st_ino, inode);
    assert_int_equal(CALL(vm, open, guest_string(vm, SCRATCH, "/proc"), O_RDONLY), 3);
    assert_int_equal(CALL(vm, fstat, 3, SCRATCH + PAGE), 0);
    assert_int_equal(stat->st_ino, inode);
    assert_int_equal(CALL(vm, fchdir, 3), 0);
    assert_memory_equal(content(vm, "self/comm"), "program-with-a-", 15);
    linux_vm_destroy(vm);
}

static void test_what_the_vm_is(void **state)
{
    struct ferry_vm *vm = linux_vm_create(NULL, -1);
    uint64_t out = SCRATCH + PAGE;
    char text[100];

    (void)state;
    snprintf(text, sizeof(text), "MemTotal:       %8llu kB\n", (unsigned long long)MEMORY / 1024);
    assert_memory_equal(content(vm, "/proc/meminfo"), text, strlen(text));
    assert_memory_equal(content(vm, "/proc/cpuinfo"), "processor\t: 0\nvendor_id\t: ", 26);
    assert_string_equal(content(vm, "/proc/self/cgroup"), "0::/\n");
    assert_memory_equal(content(vm, "/proc/self/cmdline"), "program\0an argument", 20);
    assert_memory_equal(content(vm, "/proc/2/stat"), "2 (program-with-a-) R 1 2 2 ", 28);
    assert_non_null(strstr(content(vm, "/proc/thread-self/status"), "Umask:\t0022\n"));
    snprintf(text, sizeof(text), "%08llx-%08llx rw-p ", (unsigned long long)SCRATCH,
             (unsigned long long)SCRATCH_END);
    assert_non_null(strstr(content(vm, "/proc/self/maps"), text));
    assert_int_equal(CALL(vm, mmap, SCRATCH - 2 * PAGE, PAGE, PROT_READ,
                          MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, UINT64_MAX, 0),
                     SCRATCH - 2 * PAGE);
    assert_memory_equal(strchr(content(vm, "/proc/self/maps"), ' '), " r--s ", 6);
    assert_string_equal(content(vm, "/proc/sys/kernel/osrelease"), "6.1.0\n");
    assert_int_equal(open_name(vm, "/dev/tty"), -ENXIO);
    assert_int_equal(CALL(vm, readlink, guest_string(vm, SCRATCH, "/proc/self/cwd"), out, 9), 1);
    assert_int_equal(CALL(vm, chdir, guest_string(vm, SCRATCH, "/proc/self/root/proc")), 0);
    assert_int_equal(CALL(vm, readlink, guest_string(vm, SCRATCH, "self/cwd"), out, 9), 5);
    assert_int_equal(CALL(vm, open, guest_string(vm, SCRATCH, "/proc/stat"), O_WRONLY), -EACCES);
    linux_vm_destroy(vm);
}

/* How many lines of the file begin so. */
static unsigned count_lines(struct ferry_vm *vm, const char *name, const char *start)
{
    char *text = guest(vm, SCRATCH + PAGE);
    uint64_t room = SCRATCH_END - SCRATCH - PAGE - 1;
    int64_t fd = CALL(vm, open, guest_string(vm, SCRATCH, name), O_RDONLY);
    unsigned count = 0;

    assert_true(fd >= 0);
    memset(text, 0, room + 1);
    assert_true(CALL(vm, read, (uint64_t)fd, SCRATCH + PAGE, room) > 0);
    assert_int_equal(CALL(vm, close, (uint64_t)fd), 0);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        count += strncmp(line, start, strlen(start)) == 0;
    }
    return count;
}

static void assert_processors(struct ferry_vm *vm, unsigned count)
{
    static const char *const lists[] = {"possible", "present", "online"};
    uint32_t *cpu = guest(vm, SCRATCH);
    uint64_t *set = guest(vm, SCRATCH);
    char list[40], name[80];
    int64_t bytes;
    unsigned bits = 0;

    snprintf(list, sizeof(list), count > 1 ? "0-%u\n" : "0\n", count - 1);
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        snprintf(name, sizeof(name), "/sys/devices/system/cpu/%s", lists[i]);
        assert_string_equal(content(vm, name), list);
    }
    snprintf(list, sizeof(list), "%x\n", (1u << count) - 1);
    assert_string_equal(content(vm, "/sys/devices/system/node/node0/cpumap"), list);
    snprintf(list, sizeof(list), count > 1 ? "0-%u\n" : "0\n", count - 1);
    assert_int_equal(count_lines(vm, "/proc/cpuinfo", "processor\t: "), count);
    assert_int_equal(count_lines(vm, "/proc/stat", "cpu"), count + 1);
    snprintf(name, sizeof(name), "Cpus_allowed_list:\t%s", list);
    assert_int_equal(count_lines(vm, "/proc/self/status", name), 1);
    bytes = CALL(vm, sched_getaffinity, 0, 128, SCRATCH);
    assert_true(bytes > 0);
    for (int64_t i = 0; i < bytes / 8; i++)
        bits += (unsigned)__builtin_popcountll(set[i]);
    assert_int_equal(bits, count);
    assert_int_equal(CALL(vm, getcpu, SCRATCH, 0), 0);
    assert_true(*cpu < count);
}

static void test_processors(void **state)
{
    struct ferry_vm *vm = linux_vm_create(NULL, -1);
    cpu_set_t here, one;
    int last = CPU_SETSIZE - 1;

    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof(here), &here), 0);
    assert_processors(vm, (unsigned)CPU_COUNT(&here));
    linux_vm_destroy(vm);
    vm = linux_vm_create_as((struct linux_config){.stderr_fd = -1, .threads = 1});
    assert_processors(vm, 1);
    assert_int_equal(count_lines(vm, "/proc/self/status", "Cpus_allowed:\t1\n"), 1);
    linux_vm_destroy(vm);
    /* It has another number in the VM. */
    while (!CPU_ISSET(last, &here))
        last--;
    CPU_ZERO(&one);
    CPU_SET(last, &one);
    assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
    vm = linux_vm_create(NULL, -1);
    assert_int_equal(sched_setaffinity(0, sizeof(here), &here), 0);
    assert_processors(vm, 1);
    linux_vm_destroy(vm);
}

/* ---- a tree of one's own ------------------------------------------------- */

static void test_other_system(void **state)
{
    struct tree *tree = *state;
    struct ferry_vm *vm;

    tree_put_directory(tree, "usr");
    tree_put_directory(tree, "usr/bin");
    assert_int_equal(mkdir(tree_at(tree, "etc"), 0700), 0);
    tree_put_file(tree, "usr/bin/tool", "the tool");
    tree_put_file(tree, "etc/passwd", "its users");
    tree_put_link(tree, "bin", "usr/bin");
    tree_put_link(tree, "usr/bin/absolute", "/bin/tool");
    tree_put_link(tree, "usr/bin/far", "../../../../../../../bin/absolute");
    tree_put_link(tree, "usr/bin/shadow", "/etc/shadow");
    tree_put_link(tree, "usr/bin/host", tree->top);
    tree_put_link(tree, "etc/mtab", "../proc/self/fd");
    vm = linux_vm_create_as((struct linux_config){.stderr_fd = -1, .root_dir = tree->top});
    assert_string_equal(content(vm, "/bin/tool"), "the tool");
    assert_string_equal(content(vm, "/bin/far"), "the tool");
    assert_string_equal(content(vm, "/../../bin/../bin/tool"), "the tool");
    assert_string_equal(content(vm, "/etc/passwd"), "its users");
    assert_int_equal(open_name(vm, "/etc/mtab"), 0);
    assert_int_equal(open_name(vm, "/usr/bin/shadow"), -ENOENT);
    assert_int_equal(open_name(vm, "/usr/bin/host"), -ENOENT);
    assert_int_equal(open_name(vm, "/usr/bin/env"), -ENOENT);
    assert_no_secrets(vm);
    linux_vm_destroy(vm);
}

/* A program sees its own file, wherever it is, and may stand beside it. */
static void test_program(void **state)
{
    struct tree *tree = *state;
    struct ferry_vm *vm;
    char cwd[PATH_MAX];

    tree_put_file(tree, "script", "#!/bin/sh");
    tree_put_file(tree, "other", "not to be seen");
    tree_put_link(tree, "link", "script");
    assert_non_null(getcwd(cwd, sizeof(cwd)));
    assert_int_equal(chdir(tree->top), 0);
    vm = linux_vm_create_as((struct linux_config){.stderr_fd = -1, .program = "./link"});
    assert_int_equal(chdir(cwd), 0);
    assert_string_equal(content(vm, "./link"), "#!/bin/sh");
    assert_string_equal(content(vm, tree_at(tree, "script")), "#!/bin/sh");
    assert_int_equal(open_name(vm, "other"), -ENOENT);
    assert_int_equal(open_name(vm, "./script/x"), -ENOTDIR);
    linux_vm_destroy(vm);
}

static void test_links_are_bounded(void **state)
{
    struct tree *tree = *state;
    const char *directories[] = {tree->top, NULL};
    char name[16], target[2 * PATH_MAX];
    struct ferry_vm *vm;

    tree_put_file(tree, "0", "the end");
    for (int i = 1; i <= 41; i++) {
        snprintf(name, sizeof(name), "%d", i);
        /* in turn relative and absolute */
        snprintf(target, sizeof(target), "%s%s%d", i % 2 ? tree->top : "", i % 2 ? "/" : "", i - 1);
        tree_put_link(tree, name, target);
    }
    vm = linux_vm_create(directories, -1);
    assert_string_equal(content(vm, tree_at(tree, "40")), "the end");
    assert_int_equal(open_name(vm, tree_at(tree, "41")), -ELOOP);
    linux_vm_destroy(vm);
}

/* ---- a host that changes ------------------------------------------------- */

struct swap {
    const struct tree *tree;
    atomic_bool stop;
};

/* "here" is in turn a directory and a link out. */
static void *swap(void *arg)
{
    struct swap *swap = arg;
    char here[2 * PATH_MAX], there[2 * PATH_MAX];

    snprintf(here, sizeof(here), "%s/open/here", swap->tree->top);
    snprintf(there, sizeof(there), "%s/open/there", swap->tree->top);
    while (!atomic_load(&swap->stop))
        assert_int_equal(renameat2(AT_FDCWD, here, AT_FDCWD, there, RENAME_EXCHANGE), 0);
    return NULL;
}

static void test_names_that_change(void **state)
{
    struct tree *tree = *state;
    char open_dir[2 * PATH_MAX];
    const char *directories[] = {open_dir, NULL};
    struct swap swapped = {.tree = tree};
    unsigned seen = 0, absent = 0;
    time_t begun = time(NULL);
    pthread_t thread;
    struct ferry_vm *vm;

    snprintf(open_dir, sizeof(open_dir), "%s/open", tree->top);
    assert_int_equal(mkdir(open_dir, 0755), 0);
    tree_put_directory(tree, "open/here");
    tree_put_directory(tree, "secret");
    tree_put_file(tree, "open/here/file", "public");
    tree_put_file(tree, "secret/file", "secret");
    tree_put_link(tree, "open/there", "../secret");
    vm = linux_vm_create(directories, -1);
    assert_int_equal(pthread_create(&thread, NULL, swap, &swapped), 0);
    while (race_goes_on(begun, seen >= 200 && absent >= 200, seen && absent)) {
        const char *name = tree_at(tree, "open/here/file");
        int64_t fd = CALL(vm, open, guest_string(vm, SCRATCH, name), O_RDONLY);

        if (fd < 0) {
            assert_int_equal(fd, -ENOENT);
            absent++;
            continue;
        }
        assert_int_equal(CALL(vm, read, (uint64_t)fd, SCRATCH + PAGE, 100), 6);
        assert_memory_equal(guest(vm, SCRATCH + PAGE), "public", 6);
        assert_int_equal(CALL(vm, close, (uint64_t)fd), 0);
        seen++;
    }
    atomic_store(&swapped.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(seen && absent);
    linux_vm_destroy(vm);
}

/* ---- modes that change ---------------------------------------------------- */

/* A file that is closed to others when it is about to be opened; NULL: none. */
static const char *closed_before_open;

int64_t __real_host_file_call(struct linux_state *state, bool local, struct host_call *call);
int64_t __wrap_host_file_call(struct linux_state *state, bool local, struct host_call *call);

int64_t __wrap_host_file_call(struct linux_state *state, bool local, struct host_call *call)
{
    if (closed_before_open && call->op == HOST_OPEN)
        assert_int_equal(chmod(closed_before_open, 0600), 0);
    return __real_host_file_call(state, local, call);
}

/* A directory in the system, which only root can make; false: the test is skipped. */
static bool make_in_system(struct tree *tree)
{
    if (!tree_make(tree, "/usr/local")) {
        skip();
        return false;
    }
    assert_int_equal(chmod(tree->top, 0755), 0);
    return true;
}

static void test_closed_while_it_is_opened(void **state)
{
    char path[2 * PATH_MAX];
    struct tree tree;
    struct ferry_vm *vm;

    (void)state;
    if (!make_in_system(&tree))
        return;
    tree_put_file(&tree, "file", "secret");
    snprintf(path, sizeof(path), "%s/file", tree.top);
    vm = linux_vm_create_as((struct linux_config){.stderr_fd = -1});
    assert_string_equal(content(vm, path), "secret");
    closed_before_open = path;
    assert_int_equal(open_name(vm, path), -EACCES);
    closed_before_open = NULL;
    linux_vm_destroy(vm);
    tree_remove(&tree);
}

/* "here" is in turn one that others may read, and one that they may not. */
static void assert_never_secret(const struct tree *tree, const char *name)
{
    struct swap swapped = {.tree = tree};
    unsigned seen = 0, refused = 0;
    time_t begun = time(NULL);
    pthread_t thread;
    struct ferry_vm *vm = linux_vm_create_as((struct linux_config){.stderr_fd = -1});

    assert_int_equal(pthread_create(&thread, NULL, swap, &swapped), 0);
    while (race_goes_on(begun, seen >= 200 && refused >= 200, seen && refused)) {
        int64_t fd = CALL(vm, open, guest_string(vm, SCRATCH, tree_at(tree, name)), O_RDONLY);

        if (fd < 0) {
            assert_true(fd == -EACCES || fd == -ENOENT);
            refused++;
            continue;
        }
        assert_int_equal(CALL(vm, read, (uint64_t)fd, SCRATCH + PAGE, 100), 6);
        assert_memory_equal(guest(vm, SCRATCH + PAGE), "public", 6);
        assert_int_equal(CALL(vm, close, (uint64_t)fd), 0);
        seen++;
    }
    atomic_store(&swapped.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(seen && refused);
    linux_vm_destroy(vm);
}

static void test_secrets_that_change_places(void **state)
{
    struct tree tree;

    (void)state;
    if (!make_in_system(&tree))
        return;
    tree_put_directory(&tree, "open");
    tree_put_file(&tree, "open/here", "public");
    tree_put_file(&tree, "open/there", "secret");
    assert_int_equal(chmod(tree_at(&tree, "open/there"), 0600), 0);
    assert_never_secret(&tree, "open/here");
    /* A link to it. */
    tree_put_file(&tree, "open/here", "public");
    assert_int_equal(chmod(tree_at(&tree, "open/here"), 0644), 0);
    assert_int_equal(remove(tree_at(&tree, "open/there")), 0);
    tree_put_file(&tree, "secret", "secret");
    assert_int_equal(chmod(tree_at(&tree, "secret"), 0600), 0);
    tree_put_link(&tree, "open/there", "../secret");
    assert_never_secret(&tree, "open/here");
    /* A directory that only its mode protects. */
    assert_int_equal(remove(tree_at(&tree, "open/here")), 0);
    assert_int_equal(remove(tree_at(&tree, "open/there")), 0);
    tree_put_directory(&tree, "open/here");
    tree_put_directory(&tree, "open/there");
    tree_put_file(&tree, "open/here/file", "public");
    tree_put_file(&tree, "open/there/file", "secret");
    assert_int_equal(chmod(tree_at(&tree, "open/there"), 0700), 0);
    assert_never_secret(&tree, "open/here/file");
    tree_remove(&tree);
}

/* Of the system only what others may read: planted where others could otherwise look, as root. */
static void test_others(void **state)
{
    static const char *const names[] = {"closed", "closed/file", "private", "public"};
    struct tree tree;
    struct ferry_vm *vm;

    (void)state;
    if (!make_in_system(&tree))
        return;
    tree_put_directory(&tree, "closed");
    for (size_t i = 1; i < 4; i++)
        tree_put_file(&tree, names[i], names[i]);
    assert_int_equal(chmod(tree_at(&tree, "private"), 0640), 0);
    assert_int_equal(chmod(tree_at(&tree, "public"), 0644), 0);
    tree_put_link(&tree, "link", "private");
    vm = linux_vm_create_as((struct linux_config){.stderr_fd = -1});
    assert_string_equal(content(vm, tree_at(&tree, "public")), "public");
    assert_string_equal(content(vm, tree_at(&tree, "closed/file")), "closed/file");
    assert_int_equal(chmod(tree_at(&tree, "closed"), 0750), 0);
    assert_int_equal(open_name(vm, tree_at(&tree, "private")), -EACCES);
    assert_int_equal(open_name(vm, tree_at(&tree, "link")), -EACCES);
    assert_int_equal(open_name(vm, tree_at(&tree, "closed")), -EACCES);
    assert_int_equal(open_name(vm, tree_at(&tree, "closed/file")), -EACCES);
    assert_int_equal(open_name(vm, tree_at(&tree, "closed/../public")), -EACCES);
    assert_int_equal(CALL(vm, access, guest_string(vm, SCRATCH, tree_at(&tree, "private")), R_OK),
                     -EACCES);
    /* Not by way of a descriptor that may not read either. */
    assert_int_equal(CALL(vm, open, guest_string(vm, SCRATCH, tree_at(&tree, "private")), O_PATH),
                     3);
    assert_int_equal(open_name(vm, "/proc/self/fd/3"), -EACCES);
    assert_int_equal(CALL(vm, read, 3, SCRATCH + PAGE, 10), -EBADF);
    assert_int_equal(CALL(vm, mmap, 0, PAGE, 1, 2, 3, 0), -EBADF);
    linux_vm_destroy(vm);
    tree_remove(&tree);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, tree_setup, tree_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_system),
        cmocka_unit_test(test_bare),
        cmocka_unit_test(test_lists_of_names),
        cmocka_unit_test(test_what_the_vm_is),
        cmocka_unit_test(test_processors),
        TEST(test_other_system),
        TEST(test_program),
        TEST(test_links_are_bounded),
        TEST(test_names_that_change),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_closed_while_it_is_opened),
        cmocka_unit_test(test_secrets_that_change_places),
    };

    return cmocka_run_group_tests_name("linux view", tests, NULL, NULL);
}
