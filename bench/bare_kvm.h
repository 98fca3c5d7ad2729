/* SPDX-License-Identifier: BSD-2-Clause */
/* A VM by KVM's own ioctls, without Ferry: what a VM costs at least. */
#ifndef FERRY_BENCH_BARE_KVM_H
#define FERRY_BENCH_BARE_KVM_H

#include <stddef.h>

struct kvm_cpuid2;
struct kvm_run;

/* The device, and what processors of its VMs are. */
struct bare_kvm {
    int fd;
    struct kvm_cpuid2 *cpuid;
};

#define BARE_VM_BYTES (64ull << 20) /* memory of one VM: one slot */

struct bare_vm {
    int fd, vcpu;
    struct kvm_run *run;
    size_t run_bytes;
    void *memory;
};

/* 0 or a negative errno; closed in any case. */
int bare_kvm_open(struct bare_kvm *kvm);
void bare_kvm_close(struct bare_kvm *kvm);

/* One vCPU, one slot, registers set; freed in any case. */
int bare_vm_make(struct bare_vm *bare, const struct bare_kvm *kvm);
/* Until its first exit, at privilege level 3 in long mode, as Ferry's programs are. */
int bare_vm_run(struct bare_vm *bare);
void bare_vm_free(struct bare_vm *bare);

#endif
