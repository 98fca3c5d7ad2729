/* SPDX-License-Identifier: BSD-2-Clause */
/* The processors of a VM. Each thread of the program has one, with a thread of the host. */
#ifndef FERRY_HOST_VM_CPUS_H
#define FERRY_HOST_VM_CPUS_H

#include "vm/vm.h"

/* Runs the program's threads that this CPU is given, one after the other, until the program ends. */
void vm_run_threads(struct ferry_vm *vm, struct vcpu *vcpu);

/* Ends all threads of the program but the one on this CPU, which is being served; they are served for
 * that meanwhile. -EINTR: the VM ends. */
int vm_end_others(struct ferry_vm *vm, struct vcpu *vcpu);

/* Waits until all CPUs but the first have no host thread any more. The program has ended. */
void vm_join_others(struct ferry_vm *vm);

#endif
