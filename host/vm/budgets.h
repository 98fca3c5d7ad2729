/* SPDX-License-Identifier: BSD-2-Clause */
/* A VM's budgets of this process's mappings and descriptors. */
#ifndef FERRY_HOST_BUDGETS_H
#define FERRY_HOST_BUDGETS_H

#include "vm/vm.h"

/* Takes the VM's share of the process's mappings and descriptors; `files` of the latter are for what its
 * program sees. To be called before it uses any. */
int vm_join_budgets(struct ferry_vm *vm, uint32_t files, struct ferry_error *err);
/* Gives back all shares. Nothing happens if it has none. */
void vm_leave_budgets(struct ferry_vm *vm);

/* Takes that many of this process's mappings, beside those of memory; and gives them back. */
bool vm_mappings_take(struct ferry_vm *vm, uint32_t count);
void vm_mappings_give_back(struct ferry_vm *vm, uint32_t count);
/* The hooks of a guest's space. */
bool vm_allow_mappings(struct guest *guest, uint64_t mappings);
bool vm_allow_far(struct guest *guest);
/* Takes what one more guest needs of this process's descriptors and mappings. */
bool vm_take_budgets(struct guest *guest);
/* The guest, which is not the first one's, has no memory any more. */
void vm_give_back_budgets(struct guest *guest);
/* Takes what one more CPU needs of this process's descriptors and mappings; and gives it back. */
bool vm_cpu_take(struct ferry_vm *vm);
void vm_cpu_give_back(struct ferry_vm *vm);

#endif
