/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the tests of host/linux/private_empty.c: whatever a program left in a directory in memory is removed,
 * and then costs nothing. Its rights hold back nobody but root's programs; so all of it is done as nobody, too.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "linux/state.h"
#include "linux/writable.h"
#include "write_fixture.h"

#define NOBODY 65534
#define DEPTH  3000

/* The program has looked at the directory: it is there, and empty. */
static void look(struct tree *tree)
{
    int64_t fd = open_name(tree, "/private", O_RDONLY | O_DIRECTORY);

    assert_true(fd >= 0);
    assert_int_equal(CALL(tree->vm, getdents64, (uint64_t)fd, BUFFER, PAGE), 48); /* "." and ".." */
    assert_int_equal(CALL(tree->vm, close, (uint64_t)fd), 0);
}

static unsigned count_below(int top)
{
    DIR *dir = fdopendir(openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    unsigned count = 0;

    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count - 2;
}

/* The directory as the host has it. */
static int private_fd(const struct tree *tree)
{
    const struct view *view = &tree->vm->linux_state->common->view;

    for (size_t i = 0; i < view->count; i++)
        if (view->mounts[i].kind == MOUNT_PRIVATE)
            return view->mounts[i].fd;
    return -1;
}

/* Several rounds of that: each is as the first. */
static void try(struct tree *tree, void (*fill)(struct tree *tree))
{
    struct linux_state *state = tree->vm->linux_state;
    struct view *view = &state->common->view;
    struct writable *memory = view->memory;

    look(tree);
    private_empty(state);
    const int files = tree->vm->files, top = view->memory_top, kernel = memory->kernel;
    const uint64_t counted = memory->used_bytes, used = tree->vm->space.used_bytes;
    for (int round = 0; round < 3; round++) {
        look(tree);
        assert_false(private_has_files(state));
        fill(tree);
        assert_true(private_has_files(state));
        writable_recount(state, memory);
        assert_true(memory->used_bytes > counted);
        private_empty(state);
        assert_false(private_has_files(state));
        /* It is the same one, and not another that was begun as this could not be emptied. */
        assert_int_equal(view->memory_top, top);
        assert_int_equal(memory->kernel, kernel);
        assert_int_equal(count_below(top), 0);
        assert_int_equal(memory->used_bytes, counted);
        assert_int_equal(tree->vm->space.used_bytes, used);
        assert_int_equal(tree->vm->files, files);
        private_empty(state); /* once more changes nothing */
        assert_int_equal(memory->used_bytes, counted);
    }
    look(tree);
}

static void fill_files(struct tree *tree)
{
    struct ferry_vm *vm = tree->vm;

    make(tree, "/private/file", "text");
    assert_int_equal(CALL(vm, link, name(tree, "/private/file"), other(tree, "/private/hard")), 0);
    assert_int_equal(CALL(vm, symlink, guest_string(vm, NAME, "file"), other(tree, "/private/to")),
                     0);
    assert_int_equal(CALL(vm, symlink, guest_string(vm, NAME, ".."), other(tree, "/private/out")),
                     0);
    assert_int_equal(CALL(vm, symlink, guest_string(vm, NAME, "no"), other(tree, "/private/none")),
                     0);
    assert_int_equal(mkfifoat(private_fd(tree), "fifo", 0600), 0);
    assert_int_equal(CALL(vm, mkdir, name(tree, "/private/a"), 0755), 0);
    assert_int_equal(CALL(vm, mkdir, name(tree, "/private/a/b"), 0755), 0);
    make(tree, "/private/a/b/file", "text");
    assert_int_equal(CALL(vm, link, name(tree, "/private/file"), other(tree, "/private/a/hard")),
                     0);
    assert_int_equal(
        CALL(vm, symlink, guest_string(vm, NAME, "/private"), other(tree, "/private/a/up")), 0);
}

static void files_and_links(void **state)
{
    try(*state, fill_files);
}

/* By relative names, as a program would: no path is as long. */
static void fill_deep(struct tree *tree)
{
    int at = dup(private_fd(tree));

    for (int depth = 0; depth < DEPTH; depth++) {
        assert_int_equal(mkdirat(at, "d", 0700), 0);
        int next = openat(at, "d", O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        close(at);
        at = next;
    }
    close(at);
}

static void deep_nesting(void **state)
{
    try(*state, fill_deep);
}

/* Directories whose owner took all rights from them and from what is in them, so from the innermost on. */
static void fill_closed(struct tree *tree)
{
    static const char *const names[] = {"/private/a", "/private/a/b", "/private/a/b/c"};
    struct ferry_vm *vm = tree->vm;

    for (int i = 0; i < 3; i++)
        assert_int_equal(CALL(vm, mkdir, name(tree, names[i]), 0700), 0);
    make(tree, "/private/a/b/c/file", "text");
    assert_int_equal(CALL(vm, chmod, name(tree, "/private/a/b/c/file"), 0), 0);
    for (int i = 2; i >= 0; i--)
        assert_int_equal(CALL(vm, chmod, name(tree, names[i]), 0), 0);
    assert_int_equal(CALL(vm, mkdir, name(tree, "/private/empty"), 0), 0);
    assert_int_equal(CALL(vm, mkdir, name(tree, "/private/read-only"), 0700), 0);
    make(tree, "/private/read-only/file", "text");
    assert_int_equal(CALL(vm, chmod, name(tree, "/private/read-only"), 0555), 0);
}

static void directories_that_cannot_be_read(void **state)
{
    try(*state, fill_closed);
}

/* It may be there already. */
static void put_directory(int at, const char *text)
{
    if (mkdirat(at, text, 0700))
        assert_int_equal(errno, EEXIST);
}

/* Every byte that a name may have, and names that are used while a directory is emptied. */
static void fill_odd(struct tree *tree)
{
    static const char *const odd[] = {"up 1", "up 2", "up 10", "0",  "1",
                                      "...",  " ",    "-rf",   "\n", "*"};
    char text[300];
    int at = private_fd(tree);

    for (int i = 1; i < 256; i++)
        if (i != '/' && i != '.') {
            snprintf(text, sizeof(text), "%c", i);
            put_directory(at, text);
            snprintf(text, sizeof(text), "%c/%c%c", i, i, i);
            put_directory(at, text);
        }
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        put_directory(at, odd[i]);
        for (size_t j = 0; j < sizeof(odd) / sizeof(odd[0]); j++) {
            snprintf(text, sizeof(text), "%s/%s", odd[i], odd[j]);
            put_directory(at, text);
            snprintf(text, sizeof(text), "%s/%s/up 1", odd[i], odd[j]);
            put_directory(at, text);
        }
    }
    memset(text, 'n', 255); /* as long as a name may be */
    text[255] = 0;
    put_directory(at, text);
    strcpy(text + 255, "/d");
    put_directory(at, text);
}

static void odd_names(void **state)
{
    try(*state, fill_odd);
}

/* More than a list of names holds at a time. */
static void fill_wide(struct tree *tree)
{
    int at = private_fd(tree);
    char text[32];

    put_directory(at, "d");
    for (int i = 0; i < 3000; i++) {
        snprintf(text, sizeof(text), "%s%d", i % 3 ? "d/" : "", i);
        put_directory(at, text);
        strcat(text, "/inner");
        if (i % 5 == 0)
            put_directory(at, text);
    }
}

static void many_names(void **state)
{
    try(*state, fill_wide);
}

/* The directory itself may be closed, too. */
static void fill_closed_top(struct tree *tree)
{
    make(tree, "/private/file", "text");
    assert_int_equal(CALL(tree->vm, chmod, name(tree, "/private"), 0), 0);
}

static void a_directory_that_is_closed_itself(void **state)
{
    try(*state, fill_closed_top);
}

/* Where the host does not let it be emptied, the next run has another one. */
static void what_cannot_be_emptied_is_left(void **state)
{
    struct tree *tree = *state;
    struct linux_state *linux_state = tree->vm->linux_state;
    struct view *view = &linux_state->common->view;
    const int files = tree->vm->files;
    const uint64_t used = tree->vm->space.used_bytes;

    for (int i = 0; i < 3; i++) {
        look(tree);
        make(tree, "/private/file", "text");
        close(view->memory_top);
        view->memory_top = open("/proc/self/fdinfo", O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_true(view->memory_top >= 0);
        private_empty(linux_state);
        assert_int_equal(view->memory_top, -1);
        assert_int_equal(view->memory->kernel, -1);
        assert_int_equal(view->memory->used_bytes, 0);
        assert_int_equal(tree->vm->space.used_bytes, used);
        assert_int_equal(tree->vm->files, files);
        assert_false(private_has_files(linux_state));
    }
    look(tree);
}

#define ALL                                                                           \
    TEST(files_and_links), TEST(deep_nesting), TEST(directories_that_cannot_be_read), \
        TEST(odd_names), TEST(many_names), TEST(a_directory_that_is_closed_itself)

/* In a child, whose exit status is the number of failures. */
static void as_nobody(void **state)
{
    const struct CMUnitTest tests[] = {ALL};
    int status;
    pid_t pid = fork();

    (void)state;
    assert_true(pid >= 0);
    if (!pid) {
        if (geteuid() || setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY) ||
            /* It must be able to read its own /proc, as any user's process is. */
            prctl(PR_SET_DUMPABLE, 1))
            _exit(77);
        if (dup2(STDERR_FILENO, STDOUT_FILENO) < 0) /* a list of tests of its own */
            _exit(1);
        _exit(cmocka_run_group_tests_name("nobody", tests, NULL, NULL));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALL,
        TEST(what_cannot_be_emptied_is_left),
        cmocka_unit_test(as_nobody),
    };

    return cmocka_run_group_tests_name("private_empty", tests, NULL, NULL);
}
