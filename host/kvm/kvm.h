/* SPDX-License-Identifier: BSD-2-Clause */
/* /dev/kvm, and the questions that are asked of it once for all VMs. */
#ifndef FERRY_HOST_KVM_H
#define FERRY_HOST_KVM_H

#include <linux/kvm.h>
#include <stdint.h>

#include <ferry/ferry.h>

struct kvm {
    int fd; /* -1: it is not open */
    int vcpu_mmap_bytes;
    struct kvm_cpuid2 *cpuid; /* the processor features that guests may see */
    unsigned address_bits;    /* how many a guest-physical address has */
    uint64_t xcr0;
    uint32_t xsave_bytes; /* of the state that xcr0 names, as XSAVE lays it out */
};

/* Opens /dev/kvm, checks what Ferry needs, prepares CPUID and XCR0 for guests. `kept_path`: see
 * cpuid_read. The caller sets `fd` to -1 first. After an error, too, kvm_close must follow. */
int kvm_open(struct kvm *kvm, const char *kept_path, struct ferry_error *err);
void kvm_close(struct kvm *kvm);

#endif
