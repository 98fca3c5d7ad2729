/* SPDX-License-Identifier: BSD-2-Clause */
/* Two VMs with a stream between them, and bytes to send over it. */
#ifndef FERRY_TESTS_CORE_PAIR_H
#define FERRY_TESTS_CORE_PAIR_H

#include "core_fixture.h"

#define EXTENT FERRY_EXTENT_BYTES

extern struct ferry_engine *engine;
extern struct ferry_vm *vm_a, *vm_b;
extern struct endpoint *a, *b;
extern struct ferry_link *link_ab;
extern char *sent, *got; /* 8 extents each; got one byte more */

int pair_setup(void **state);
int pair_teardown(void **state);

#endif
