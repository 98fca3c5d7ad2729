/* SPDX-License-Identifier: BSD-2-Clause */
/* Structs of ferry.h that the caller and the library may know at different lengths. */
#ifndef FERRY_HOST_SIZED_H
#define FERRY_HOST_SIZED_H

#include <ferry/ferry.h>

/* The sizes of release 0.1.0. They never change: no caller has shorter structs. A new member goes
 * to the end, and begins where the struct of the release before ended, padding included. */
enum {
    FIRST_ENGINE_CONFIG = 56,
    FIRST_LEDGER = 48,
    FIRST_ENGINE_INFO = 56,
    FIRST_VM_CONFIG = 96,
    FIRST_VM_EXIT = 552,
    FIRST_VM_STATS = 32,
    FIRST_LINK_CONFIG = 16,
    FIRST_LINK_STATS = 144,
    FIRST_IDENTITY = 72,
    FIRST_MESSAGE = 88,
    FIRST_MACHINE = 64,
    FIRST_JAIL_CONFIG = 32,
};

/* Whether the caller's struct has a possible size. -EINVAL: less than the first release's; -E2BIG:
 * more than a page, which no struct is. */
int sized_check(size_t bytes, size_t first_bytes);

/* Copies the caller's struct, once. Members that the caller does not know become 0; -E2BIG: members
 * that the library does not know are not 0. Else as sized_check. */
int sized_take(void *own, size_t own_bytes, size_t first_bytes, const void *theirs, size_t bytes);

/* Fills the caller's struct, of a size that was checked. Members that the library does not know
 * become 0. */
void sized_give(void *theirs, size_t bytes, const void *own, size_t own_bytes);

/* Says what is wrong with a struct of this name, and returns `code`, which sized_take gave. */
int sized_explain(struct ferry_error *err, int code, const char *name);

#endif
