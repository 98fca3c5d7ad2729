/* SPDX-License-Identifier: BSD-2-Clause */
/* Three VMs without links, as several tests of the core start from. */
#ifndef FERRY_TESTS_CORE_TRIO_H
#define FERRY_TESTS_CORE_TRIO_H

#include "core_fixture.h"

extern struct ferry_engine *engine;
extern struct ferry_vm *vm_a, *vm_b, *vm_c;
extern struct endpoint *a, *b, *c;

void trio_setup(void);
int trio_teardown(void **state);

/* LEND or MOVE of whole units; the status. */
int send_units(enum ferry_mode mode, struct endpoint *from, struct endpoint *to,
               struct units units);

#endif
