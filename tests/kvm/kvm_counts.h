/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KVM's own figures about a VM (KVM_GET_STATS_FD). The VM's descriptors are those of this process,
 * as libferry lives in it; the public interface need not give them out.
 */
#ifndef FERRY_TESTS_KVM_COUNTS_H
#define FERRY_TESTS_KVM_COUNTS_H

#include <stdbool.h>
#include <stdint.h>

struct kvm_counts {
    uint64_t faults;      /* the guest's page faults that KVM had to do with */
    uint64_t exits;       /* all but those and what the machine's own interrupts cause */
    uint64_t shoot_downs; /* KVM took something out of the VM's page table and asked for its TLB to
                             be flushed; whether an interrupt was needed for it is chance */
};

struct kvm_source {
    int vm, vcpu;             /* libferry's descriptors */
    int vm_stats, vcpu_stats; /* -1: this KVM has no statistics */
};

/* Finds the next VM of this process: one that is none of the `count` before it. */
void kvm_source_open(struct kvm_source *sources, int count);
void kvm_source_close(struct kvm_source *source);
/* False: there are no such figures. */
bool kvm_source_read(const struct kvm_source *source, struct kvm_counts *out);

/* Whether they must be as expected: in the lab. On other machines what KVM counts depends on the
 * processor too, on shadow paging, on interrupts that the lab does not have. */
bool kvm_counts_are_exact(void);

#endif
