/* SPDX-License-Identifier: BSD-2-Clause */
/* The memory of a VM. */
#ifndef FERRY_HOST_VM_MEMORY_H
#define FERRY_HOST_VM_MEMORY_H

#include "vm/vm.h"

/* Makes the guest of the first process, with limit_bytes of memory at most, and the window. On an
 * error ferry_vm_destroy frees what was made. */
int vm_create_memory(struct ferry_vm *vm, uint64_t limit_bytes, struct ferry_error *err);

/* As vm_memory, for the payload of a message: in the memory of the first process. */
struct reach vm_message_memory(struct ferry_vm *vm, struct guest_addr addr, uint64_t bytes,
                               bool write);

/* Whether the program may still read, or write, memory that vm_memory gave: for use after a wait.
 * True for memory of the VMM's own. */
bool vm_keeps(struct ferry_vm *vm, const void *at, uint64_t bytes, bool write);

/* As endpoint_at_hand_fn. Any thread that serves the VM. */
bool vm_at_hand(struct ferry_vm *vm, struct guest_addr addr, uint64_t bytes);

#endif
