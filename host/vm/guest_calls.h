/* SPDX-License-Identifier: BSD-2-Clause */
/* The calls of ferry/abi/call.h, which the guest library makes. */
#ifndef FERRY_HOST_GUEST_CALLS_H
#define FERRY_HOST_GUEST_CALLS_H

#include <stdint.h>

#include "vm/vm.h"

/* Serves the call that the registers name, and returns its result or a negative errno. Blocks in
 * FERRY_CALL_WAIT, until the VM is told to stop at the latest. On the VM's thread. */
int64_t guest_calls_serve(struct ferry_vm *vm, const struct kvm_regs *regs);

#endif
