/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sees each single access of this thread to some pages: they are closed, each access faults and
 * is then made alone, by single step. What an enemy on another CPU could do between two
 * accesses, a test does here at exactly that moment. No system call may touch the pages meanwhile.
 */
#ifndef FERRY_TESTS_WATCH_H
#define FERRY_TESTS_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Called before each access, with the pages open: it may change what will be read. */
typedef void (*watch_fn)(uintptr_t at, bool write);

/* Whole pages. One watch at a time. */
void watch_begin(void *pages, size_t bytes, watch_fn seen);
void watch_end(void);

#endif
