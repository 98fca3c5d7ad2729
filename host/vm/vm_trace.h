/* SPDX-License-Identifier: BSD-2-Clause */
/* Those who watch the program of a VM. */
#ifndef FERRY_HOST_VM_TRACE_H
#define FERRY_HOST_VM_TRACE_H

struct ferry_vm;

/* Tells them how the program ended. Its threads have ended; vm->exit says how. */
void vm_trace_end(struct ferry_vm *vm);

#endif
