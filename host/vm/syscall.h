/* SPDX-License-Identifier: BSD-2-Clause */
/* System calls of the program: from its registers to the personality, and back. */
#ifndef FERRY_HOST_SYSCALL_H
#define FERRY_HOST_SYSCALL_H

#include <stdbool.h>

#include "kvm/boot.h"
#include "linux/linux.h"
#include "vm/vm.h"

/* Serves the system call that the registers tell. True: the program goes on, after its
 * `syscall`. */
bool syscall_serve(struct ferry_vm *vm, struct vcpu *vcpu);

/* Serves a system call of the program, which goes on at `next`.
 * True: it does go on. */
bool syscall_serve_call(struct ferry_vm *vm, struct vcpu *vcpu, struct linux_call *call,
                        const struct boot_frame *next);

/* Does to the program what the personality decided. True: the program goes on. */
bool syscall_goes_on(struct ferry_vm *vm, struct vcpu *vcpu, enum linux_next next, int status);

#endif
