/* SPDX-License-Identifier: BSD-2-Clause */
/* Directories that a program may write, of the host and in memory, beside some that it may not; and
 * calls on what is in them by its name below the top of the test's tree. */
#ifndef FERRY_TESTS_WRITE_FIXTURE_H
#define FERRY_TESTS_WRITE_FIXTURE_H

#include "tree.h"

#define LIMIT (MIB)

/*
 * For cmocka: *state is a struct tree, with a VM.
 *
 * T/rw/            --rw, with a limit of 1 MiB
 *   setuid         a file that lends its owner's rights
 *   way-out        -> ..
 *   shadow         -> ../secret
 *   sub/ro/        --ro, below --rw
 * T/ro/file        --ro
 * T/secret         "secret"
 * /private         in memory
 */
int write_setup(void **state);

#define TEST(name) cmocka_unit_test_setup_teardown(name, write_setup, tree_teardown)

/* Where names are put in program memory; two are needed at once. */
#define NAME   SCRATCH
#define OTHER  (SCRATCH + 2 * PAGE)
#define BUFFER (SCRATCH + 4 * PAGE)

/* Puts the path there, and returns the address. */
uint64_t name(struct tree *tree, const char *text);
uint64_t other(struct tree *tree, const char *text);

/* Results of system calls. */
int64_t open_name(struct tree *tree, const char *text, int flags);
int64_t write_text(struct tree *tree, int64_t fd, const char *text);
int64_t rename_to(struct tree *tree, const char *from, const char *to, uint64_t flags);

/* Makes a file with these contents; asserts that it has them. */
void make(struct tree *tree, const char *text, const char *content);
void check(struct tree *tree, const char *text, const char *content);

#endif
