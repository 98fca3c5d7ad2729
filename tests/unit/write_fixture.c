/* SPDX-License-Identifier: BSD-2-Clause */
/* Directories that a program may write, and short calls on what is in them. */
#include "write_fixture.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

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

int write_setup(void **state)
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

uint64_t name(struct tree *tree, const char *text)
{
    return guest_string(tree->vm, NAME, tree_at(tree, text));
}

uint64_t other(struct tree *tree, const char *text)
{
    return guest_string(tree->vm, OTHER, tree_at(tree, text));
}

int64_t open_name(struct tree *tree, const char *text, int flags)
{
    return CALL(tree->vm, open, name(tree, text), (uint64_t)flags, 0644);
}

int64_t write_text(struct tree *tree, int64_t fd, const char *text)
{
    return CALL(tree->vm, write, (uint64_t)fd, guest_string(tree->vm, BUFFER, text), strlen(text));
}

void make(struct tree *tree, const char *text, const char *content)
{
    int64_t fd = open_name(tree, text, O_CREAT | O_EXCL | O_WRONLY);

    assert_true(fd >= 0);
    assert_int_equal(write_text(tree, fd, content), strlen(content));
    assert_int_equal(CALL(tree->vm, close, (uint64_t)fd), 0);
}

void check(struct tree *tree, const char *text, const char *content)
{
    int64_t fd = open_name(tree, text, O_RDONLY), got;

    assert_true(fd >= 0);
    got = CALL(tree->vm, read, (uint64_t)fd, BUFFER, PAGE);
    assert_int_equal(got, strlen(content));
    assert_memory_equal(guest(tree->vm, BUFFER), content, strlen(content));
    assert_int_equal(CALL(tree->vm, close, (uint64_t)fd), 0);
}

int64_t rename_to(struct tree *tree, const char *from, const char *to, uint64_t flags)
{
    return CALL(tree->vm, renameat2, (uint64_t)AT_FDCWD, name(tree, from), (uint64_t)AT_FDCWD,
                other(tree, to), flags);
}
