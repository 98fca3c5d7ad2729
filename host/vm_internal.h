/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files vm*.c share. */
#ifndef FERRY_HOST_VM_INTERNAL_H
#define FERRY_HOST_VM_INTERNAL_H

#include "vm.h"

/* Takes the VM's share of the process's descriptors and mappings. Comes before it uses any. */
int vm_join_budgets(struct ferry_vm *vm, const struct ferry_vm_config *config,
                    struct ferry_error *err);

/* The system area, the window and the space of the program, of limit_bytes at most. On an error
 * ferry_vm_destroy frees what was made. */
int vm_create_memory(struct ferry_vm *vm, uint64_t limit_bytes);

/* Makes all who are in ferry_vm_wait return, and waits until they have. Its thread has ended. */
void vm_let_waiters_go(struct ferry_vm *vm);

#endif
