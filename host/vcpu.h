/* SPDX-License-Identifier: BSD-2-Clause */
/* The virtual CPU: KVM_RUN and what each exit means. */
#ifndef FERRY_HOST_VCPU_H
#define FERRY_HOST_VCPU_H

#include <stdint.h>

#include "boot.h"
#include "vm.h"

/* The signal that interrupts KVM_RUN; blocked in every thread of the library. */
int vcpu_kick_signal(void);

/* Makes the CPU and its first state. */
int vcpu_create(struct ferry_vm *vm, uint64_t rip, uint64_t rsp, struct ferry_error *err);
/* Closes it and its VM, as far as they were made. */
void vcpu_destroy(struct ferry_vm *vm);

/* Ticks of the guest's time-stamp counter in so many nanoseconds; 0: not known. */
uint64_t vcpu_ticks(const struct ferry_vm *vm, uint64_t nanoseconds);

/* Runs the program until it ends; fills vm->exit. On the VM's own thread, which has
 * vm->serving; the guest runs without. */
void vcpu_run(struct ferry_vm *vm);

/* Back from a stub to the program, at `next` (its error word means nothing), whatever privilege
 * level the CPU entered the stub with. */
void vcpu_resume(struct ferry_vm *vm, uint64_t rax, const struct boot_frame *next);

/* Serves a system call of the program, which goes on at `next`.
 * True: it does go on. */
bool vcpu_serve_linux(struct ferry_vm *vm, struct linux_call *call, const struct boot_frame *next);

/* Exit code and text of a VM that was told to stop. */
void vcpu_report_stop(struct ferry_vm *vm);

#endif
