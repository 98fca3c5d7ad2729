/* SPDX-License-Identifier: BSD-2-Clause */
/* The memory of a VM, and its budgets of the process's mappings and descriptors. */
#ifndef FERRY_HOST_VM_MEMORY_H
#define FERRY_HOST_VM_MEMORY_H

#include "vm/vm.h"

/* Takes the VM's share of the process's descriptors and mappings. To be called before it uses
 * any. */
int vm_join_budgets(struct ferry_vm *vm, const struct ferry_vm_config *config,
                    struct ferry_error *err);
/* Gives back all shares. Nothing happens if it has none. */
void vm_leave_budgets(struct ferry_vm *vm);

/* Makes the system area, the window and the space of the program, of limit_bytes at most. On an
 * error ferry_vm_destroy frees what was made. */
int vm_create_memory(struct ferry_vm *vm, uint64_t limit_bytes);

/* Whether the program may still read, or write, memory that vm_memory gave: for use after a wait.
 * True for memory of the VMM's own. */
bool vm_keeps(struct ferry_vm *vm, const void *at, uint64_t bytes, bool write);

/* As endpoint_at_hand_fn. Any thread that serves the VM. */
bool vm_at_hand(struct ferry_vm *vm, struct guest_addr addr, uint64_t bytes);

/* Takes that many of this process's mappings, beside those of memory; and gives them back. */
bool vm_mappings_take(struct ferry_vm *vm, uint32_t count);
void vm_mappings_give_back(struct ferry_vm *vm, uint32_t count);
/* Takes what one more CPU needs of this process's descriptors and mappings; and gives it back. */
bool vm_cpu_take(struct ferry_vm *vm);
void vm_cpu_give_back(struct ferry_vm *vm);

#endif
