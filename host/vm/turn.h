/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Turns: the threads of a program run in parallel, and in the VMM one at a time is served: the one
 * that holds runner.serving. Each function is for the thread of that CPU.
 */
#ifndef FERRY_HOST_TURN_H
#define FERRY_HOST_TURN_H

#include "ipc/endpoint.h"
#include "vm/vm.h"

/* Takes the turn; and lets others have it. */
void vm_serve(struct ferry_vm *vm, struct vcpu *vcpu);
void vm_give_way(struct ferry_vm *vm, struct vcpu *vcpu);
/* The calling thread, which is that of the CPU, goes to the processors that it was told to keep to. */
void vm_move(struct vcpu *vcpu);

/* Whether the program's thread on this CPU has to end, as all do or all others. With the turn. */
static inline bool vm_must_leave(const struct ferry_vm *vm, const struct vcpu *vcpu)
{
    return vm->process->ending ||
           (vm->process->only && vm->process->only != vcpu && !vcpu->finishes);
}

/* Whether nobody but the thread that is served could have the turn. */
static inline bool vm_has_one_thread(const struct ferry_vm *vm)
{
    return vm->own.vcpu_count == 1 && atomic_load(&vm->further) == 0;
}

/* The hooks of waits on the VM's endpoint. */
extern const struct endpoint_waits vm_waits;

/* Lets others have the turn until vcpu->wakes is no longer `seen`, or the deadline: -ETIMEDOUT. May
 * return earlier. */
int vm_doze(struct ferry_vm *vm, struct vcpu *vcpu, uint32_t seen, uint64_t deadline);

#endif
