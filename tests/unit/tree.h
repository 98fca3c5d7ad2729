/* SPDX-License-Identifier: BSD-2-Clause */
/* A directory of a test's own, which is removed with all that is in it when the test ends. */
#ifndef FERRY_TESTS_TREE_H
#define FERRY_TESTS_TREE_H

#include <limits.h>
#include <stdbool.h>

#include "linux_fixture.h"

struct tree {
    char top[PATH_MAX];  /* without links in it */
    struct ferry_vm *vm; /* that the test made for itself; NULL: none */
};

/* For cmocka: an empty directory in /tmp; at the end the VM goes, too. */
int tree_setup(void **state);
int tree_teardown(void **state);

/* A directory that "parent" is to hold; false: nobody may make one there. */
bool tree_make(struct tree *tree, const char *parent);
void tree_remove(const struct tree *tree);

/* The path of a name below the top; one that begins with "/" is a path already. Four are good at
 * once. For the main thread. */
const char *tree_at(const struct tree *tree, const char *name);

void tree_put_directory(const struct tree *tree, const char *name);
void tree_put_file(const struct tree *tree, const char *name, const char *text);
void tree_put_link(const struct tree *tree, const char *name, const char *target);

#endif
