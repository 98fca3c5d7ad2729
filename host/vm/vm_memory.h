/* SPDX-License-Identifier: BSD-2-Clause */
/* The memory of a VM, and what it takes of the process's mappings and descriptors. */
#ifndef FERRY_HOST_VM_MEMORY_H
#define FERRY_HOST_VM_MEMORY_H

#include "vm/vm.h"

/* Takes the VM's share of the process's descriptors and mappings. Comes before it uses any. */
int vm_join_budgets(struct ferry_vm *vm, const struct ferry_vm_config *config,
                    struct ferry_error *err);

/* The system area, the window and the space of the program, of limit_bytes at most. On an error
 * ferry_vm_destroy frees what was made. */
int vm_create_memory(struct ferry_vm *vm, uint64_t limit_bytes);

#endif
