/* SPDX-License-Identifier: BSD-2-Clause */
/* The personality: what is said of what a program was refused. */
#include "linux_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void check(struct ferry_vm *vm, const char *expected)
{
    const char *text = linux_refused(vm->linux_state);

    if (!expected)
        assert_null(text);
    else if (!text || strcmp(text, expected) != 0)
        fail_msg("'%s' in place of '%s'", text ? text : "nothing", expected);
}

static void open_for(struct ferry_vm *vm, const char *name, int flags)
{
    assert_true(
        CALL(vm, openat, (uint64_t)AT_FDCWD, guest_string(vm, SCRATCH, name), (uint64_t)flags) < 0);
}

static void test_nothing(void **state)
{
    struct ferry_vm *vm = *state;

    check(vm, NULL);
    assert_int_equal(
        CALL(vm, openat, (uint64_t)AT_FDCWD, guest_string(vm, SCRATCH, "/dev/null"), O_RDONLY), 3);
    assert_int_equal(CALL(vm, read, 99, SCRATCH, 1), -EBADF);
    assert_int_equal(CALL(vm, openat, (uint64_t)AT_FDCWD, NOWHERE, O_RDONLY), -EFAULT);
    check(vm, NULL);
}

static void test_files(void **state)
{
    static const struct {
        const char *name;
        int flags;
        const char *text;
    } rows[] = {
        {"/etc/fstab", O_RDONLY, "'/etc/fstab': --ro /etc allows it"},
        {"/etc//x/../fstab", O_RDONLY, "'/etc/fstab': --ro /etc allows it"},
        {"/a b/c$d/e", O_RDONLY, "'/a b/c$d/e': --ro '/a b/c$d' allows it"},
        {"/a\x1b[2J'\n/b", O_RDONLY, "'/a?[2J?\?/b': --ro '/a?[2J?\?' allows it"},
        {"/\xc2\x9b/b", O_RDONLY, "'/?\?/b': --ro '/?\?' allows it"},
        {"/file", O_RDONLY, "'/file': --ro / allows it"},
        {"/srv", O_RDONLY | O_DIRECTORY, "'/srv': --ro /srv allows it"},
        {"words", O_RDONLY, "'words': --ro . allows it"},
        {"./a/words", O_RDONLY, "'./a/words': --ro . allows it"},
        {".words", O_RDONLY, "'.words': --ro . allows it"},
        {"../words", O_RDONLY, "'../words': --ro .. allows it"},
        {"../../a/words", O_RDONLY, "'../../a/words': --ro ../.. allows it"},
        {"/tmp/x", O_WRONLY | O_CREAT, "to write '/tmp/x': --rw /tmp allows it"},
        {"/tmp/x", O_RDONLY | O_CREAT, "to write '/tmp/x': --rw /tmp allows it"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        open_for(*state, rows[i].name, rows[i].flags);
        check(*state, rows[i].text);
    }
}

/* The name is cut, so what its directory is called is not known. */
static void test_long_name(void **state)
{
    char name[1000] = "/";

    memset(name + 1, 'x', sizeof(name) - 2);
    name[250] = name[500] = name[750] = '/';
    open_for(*state, name, O_RDONLY);
    const char *text = linux_refused(((struct ferry_vm *)*state)->linux_state);
    assert_non_null(text);
    assert_true(strlen(text) < 300);
    assert_non_null(strstr(text, "xxx...': --ro of its directory allows it"));
}

static void test_looking_is_asking_too(void **state)
{
    struct ferry_vm *vm = *state;
    uint64_t name = guest_string(vm, SCRATCH, "/srv/x");

    assert_int_equal(CALL(vm, stat, name, SCRATCH + PAGE), -ENOENT);
    check(vm, "'/srv/x': --ro /srv allows it");
    guest_string(vm, SCRATCH, "/home");
    assert_int_equal(CALL(vm, access, name, R_OK), -ENOENT);
    check(vm, "'/home': --ro /home allows it");
    guest_string(vm, SCRATCH, "/usr/share");
    assert_int_equal(CALL(vm, chdir, name), -ENOENT);
    check(vm, "'/usr/share': --ro /usr allows it");
}

/* What programs look for and do without does not take the place of what they need. */
static void test_probes(void **state)
{
    open_for(*state, "/etc/localtime", O_RDONLY);
    open_for(*state, "/usr/lib/locale/C.utf8/LC_CTYPE", O_RDONLY);
    check(*state, NULL);
    open_for(*state, "/proc/modules", O_RDONLY);
    check(*state, "'/proc/modules', which a VM does not have");
    open_for(*state, "/procedure/x", O_RDONLY);
    check(*state, "'/procedure/x': --ro /procedure allows it");
    open_for(*state, "/proc/modules", O_RDONLY);
    check(*state, "'/procedure/x': --ro /procedure allows it");
}

static void test_calls(void **state)
{
    struct ferry_vm *vm = *state;
    const char *thread = "another thread: it has as many as --threads allows, or the host";
    uint64_t flags = CLONE_THREAD | CLONE_VM | CLONE_SIGHAND | CLONE_FS | CLONE_FILES;

    assert_int_equal(CALL(vm, clone, flags), -EAGAIN);
    check(vm, thread);
    assert_int_equal(CALL(vm, fork), -EAGAIN);
    check(vm, "another process: it has as many as --procs allows, or as much memory as --mem "
              "allows, or the "
              "host");
    memcpy(guest(vm, SCRATCH), &flags, sizeof(flags));
    memset(guest(vm, SCRATCH + sizeof(flags)), 0, 80);
    assert_int_equal(CALL(vm, clone3, SCRATCH, 88), -EAGAIN);
    check(vm, thread);
    assert_int_equal(CALL(vm, clone, CLONE_VM), -ENOSYS);
    check(vm, "a process that shares more with others than its files");
    assert_int_equal(CALL(vm, execve, guest_string(vm, SCRATCH, "/opt/tool"), 0, 0), -ENOENT);
    check(vm, "'/opt/tool': --ro /opt allows it");
    assert_int_equal(CALL(vm, socket, 2, 1, 0), -EAFNOSUPPORT);
    check(vm, "a socket: a VM has no network, and no option gives it one");
    assert_int_equal(CALL(vm, mkdir, guest_string(vm, SCRATCH, "/a/b"), 0755), -EACCES);
    check(vm, "to write '/a/b': --rw /a allows it");
    assert_int_equal(CALL(vm, unlink, guest_string(vm, SCRATCH, "/x")), -ENOENT);
    check(vm, "to write '/a/b': --rw /a allows it");
    assert_int_equal(CALL(vm, io_uring_setup, 1, SCRATCH), -ENOSYS);
    check(vm, "the system call io_uring_setup, which a VM does not have");
    assert_int_equal(linux_call(vm, 1ull << 40, (uint64_t[6]){0}), -ENOSYS);
    check(vm, "the system call unknown, which a VM does not have");
}

static void test_memory(void **state)
{
    struct ferry_vm *vm = *state;
    uint64_t rw = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS;
    int64_t heap = CALL(vm, brk, 0);

    check(vm, NULL);
    assert_int_equal(CALL(vm, brk, (uint64_t)heap + 128 * MIB), heap);
    check(vm, "131072 KiB more of memory: a --mem larger than 64 MiB allows it");
    assert_int_equal(CALL(vm, mmap, 0, 100 * MIB, rw, flags, ~0ull, 0), -ENOMEM);
    check(vm, "102400 KiB more of memory: a --mem larger than 64 MiB allows it");
    assert_int_equal(CALL(vm, mmap, 0, 80 * MIB, rw, flags, ~0ull, 0), -ENOMEM);
    assert_int_equal(CALL(vm, mmap, 0, PAGE, rw, flags | MAP_HUGETLB, ~0ull, 0), -ENOMEM);
    check(vm, "81920 KiB more of memory: a --mem larger than 64 MiB allows it");
}

/* A read-only directory of the host, and ferry's own directory in it. */
static void test_below_read_only(void **state)
{
    char top[] = "/tmp/ferry-test-XXXXXX", name[64], text[256];
    const char *const directories[] = {top, NULL};

    (void)state;
    assert_non_null(mkdtemp(top));
    snprintf(name, sizeof(name), "%s/out", top);
    assert_int_equal(symlink("/etc/fstab", name), 0);
    assert_int_equal(chdir(top), 0);
    assert_int_equal(mkfifo("fifo", 0644), 0);
    struct ferry_vm *vm = linux_vm_create(directories, -1);

    open_for(vm, "missing", O_RDONLY);
    check(vm, NULL);
    open_for(vm, "out", O_RDONLY);
    check(vm, "'/etc/fstab': --ro /etc allows it"); /* what it leads to */
    open_for(vm, "fifo", O_RDONLY);
    snprintf(text, sizeof(text), "'%s/fifo': no regular file, or none that you may read", top);
    check(vm, text);
    open_for(vm, "new", O_WRONLY | O_CREAT);
    snprintf(text, sizeof(text), "to write '%s/new': --rw %s allows it", top, top);
    check(vm, text);
    open_for(vm, "../other", O_RDONLY);
    check(vm, "'/tmp/other': --ro /tmp allows it");
    linux_vm_destroy(vm);
    assert_int_equal(unlink("fifo"), 0);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(unlink(name), 0);
    assert_int_equal(rmdir(top), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing, linux_setup, linux_teardown),
        cmocka_unit_test_setup_teardown(test_files, linux_setup, linux_teardown),
        cmocka_unit_test_setup_teardown(test_long_name, linux_setup, linux_teardown),
        cmocka_unit_test_setup_teardown(test_looking_is_asking_too, linux_setup, linux_teardown),
        cmocka_unit_test_setup_teardown(test_probes, linux_setup, linux_teardown),
        cmocka_unit_test_setup_teardown(test_calls, linux_setup, linux_teardown),
        cmocka_unit_test_setup_teardown(test_memory, linux_setup, linux_teardown),
        cmocka_unit_test(test_below_read_only),
    };

    return cmocka_run_group_tests_name("linux refused", tests, NULL, NULL);
}
