/* SPDX-License-Identifier: BSD-2-Clause */
/* A directory of a test's own: made, filled and removed. */
#include "tree.h"

#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

bool tree_make(struct tree *tree, const char *parent)
{
    char scratch[PATH_MAX];

    snprintf(scratch, sizeof(scratch), "%s/ferry-test-XXXXXX", parent);
    if (!mkdtemp(scratch))
        return false;
    assert_non_null(realpath(scratch, tree->top));
    return true;
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
    (void)stat;
    (void)type;
    (void)ftw;
    return remove(path);
}

void tree_remove(const struct tree *tree)
{
    assert_int_equal(nftw(tree->top, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

int tree_setup(void **state)
{
    struct tree *tree = calloc(1, sizeof(*tree));

    assert_non_null(tree);
    assert_true(tree_make(tree, "/tmp"));
    *state = tree;
    return 0;
}

int tree_teardown(void **state)
{
    struct tree *tree = *state;

    if (tree->vm)
        linux_vm_destroy(tree->vm);
    tree_remove(tree);
    free(tree);
    return 0;
}

const char *tree_at(const struct tree *tree, const char *name)
{
    static char paths[4][2 * PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof(paths[0]), "%s%s%s", *name == '/' ? "" : tree->top,
             *name == '/' ? "" : "/", name);
    return path;
}

void tree_put_directory(const struct tree *tree, const char *name)
{
    assert_int_equal(mkdir(tree_at(tree, name), 0755), 0);
}

void tree_put_file(const struct tree *tree, const char *name, const char *text)
{
    FILE *file = fopen(tree_at(tree, name), "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

void tree_put_link(const struct tree *tree, const char *name, const char *target)
{
    assert_int_equal(symlink(target, tree_at(tree, name)), 0);
}
