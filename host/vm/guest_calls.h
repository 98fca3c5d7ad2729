/* SPDX-License-Identifier: BSD-2-Clause */
/* The calls of ferry/abi/call.h, which the guest library makes. */
#ifndef FERRY_HOST_GUEST_CALLS_H
#define FERRY_HOST_GUEST_CALLS_H

#include <stdbool.h>

#include "vm/vm.h"

/* Serves the call that the CPU's registers name; the program goes on. Blocks in FERRY_CALL_WAIT, at
 * most until the VM is told to stop. */
bool guest_calls_serve(struct ferry_vm *vm, struct vcpu *vcpu);

/* A signal interrupted the call: the guest makes it once more, with its time limit from the start. The
 * registers are those of now. */
void guest_calls_again(struct ferry_vm *vm, struct vcpu *vcpu);

#endif
