/* SPDX-License-Identifier: BSD-2-Clause */
/* Programs in the tree of another system (--root). */
#ifndef FERRY_CLI_TREE_H
#define FERRY_CLI_TREE_H

/* As words_find_program, but "/" is `root`, and so are its links and directories of programs. *file
 * is a path of this machine. */
int tree_find_program(const char *root, const char *program, char **file);

#endif
