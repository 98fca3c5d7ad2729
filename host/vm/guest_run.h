/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest runs: KVM_RUN, and looking up what each exit means. */
#ifndef FERRY_HOST_GUEST_RUN_H
#define FERRY_HOST_GUEST_RUN_H

#include "vm/vm.h"

/* Runs the guest on this CPU until the program's thread ends, or all of the program: then vm->exit is
 * filled in, by the thread for which it ended. On the CPU's own thread, which holds `serving` except
 * while the guest runs and while it waits. */
void guest_run(struct ferry_vm *vm, struct vcpu *vcpu);

#endif
