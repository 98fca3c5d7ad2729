/* SPDX-License-Identifier: BSD-2-Clause */
/* A KVM VM without its processors: its memory slots. */
#ifndef FERRY_HOST_KVM_VM_H
#define FERRY_HOST_KVM_VM_H

#include <stdatomic.h>
#include <stdint.h>

#include "kvm/kvm.h"
#include "lib/address.h"

struct kvm_vm {
    int fd;            /* -1: it was not made */
    atomic_uint slots; /* numbers that were given to slots */
    uint32_t vcpus;    /* so many were made */
};

int kvm_vm_create(struct kvm_vm *vm, const struct kvm *kvm);
void kvm_vm_destroy(struct kvm_vm *vm);

/* Shows the guest [host, host + bytes) at `gpa`, in a slot of its own. 0 or a negative errno. Any thread. */
int kvm_vm_add_slot(struct kvm_vm *vm, struct guest_addr gpa, uint64_t bytes, void *host);
/* The same for a slot that may be taken away again: its number. */
int kvm_vm_number_slot(struct kvm_vm *vm, struct guest_addr gpa, uint64_t bytes, void *host);
/* Takes it away. The number is used again if it was the last. */
void kvm_vm_remove_slot(struct kvm_vm *vm, int slot);

#endif
