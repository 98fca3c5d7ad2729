/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest kernel of a VM (abi/kernel.h): its start, what is published to it, and calls that it did
 * not end. With the VM's turn, on the thread of the CPU.
 */
#ifndef FERRY_HOST_VM_KERNEL_H
#define FERRY_HOST_VM_KERNEL_H

#include <ferry/abi/kernel.h>

#include "kvm/boot.h"
#include "vm/vm.h"

/* What is reserved for files and rooms: as long as memory that the kernel aligns. */
#define KERNEL_PLACE_BYTES (FERRY_FILES_BYTES + FERRY_EXTENT_BYTES)

/* A system call left the VM: if the program makes many of those that the guest kernel can serve, it is
 * started. */
void vm_kernel_consider(struct ferry_vm *vm, struct vcpu *vcpu);

/* The CPU is about to enter the guest: streams are published. 0, or a negative errno: it must not. */
int vm_kernel_enter(struct ferry_vm *vm, struct vcpu *vcpu);

/* It has left, by an exit or (result < 0) not. What the guest kernel did is counted. A call in which
 * it was interrupted has not begun, or has ended; one for which an access was refused is left to
 * syscall_serve: vcpu->call_is_left. */
void vm_kernel_left(struct ferry_vm *vm, struct vcpu *vcpu, int result);

/* An exception in the guest kernel: whether it was one. The call is as in vm_kernel_left. */
bool vm_kernel_trapped(struct ferry_vm *vm, struct vcpu *vcpu, const struct boot_frame *frame);
/* The same for an access that KVM takes for one to a device. */
bool vm_kernel_mmio(struct ferry_vm *vm, struct vcpu *vcpu);

#endif
