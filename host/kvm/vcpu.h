/* SPDX-License-Identifier: BSD-2-Clause */
/* A virtual CPU of KVM's. */
#ifndef FERRY_HOST_VCPU_H
#define FERRY_HOST_VCPU_H

#include <stddef.h>
#include <stdint.h>

#include <ferry/ferry.h>

#include "kvm/kvm.h"
#include "kvm/kvm_vm.h"

struct vcpu {
    int fd;              /* -1: it was not made */
    struct kvm_run *run; /* shared with KVM: exits, and the registers */
    size_t run_bytes;
};

/* The signal that interrupts KVM_RUN; blocked in every thread of the library. */
int vcpu_kick_signal(void);

/* Makes the CPU of a VM and its first state. On an error, too, vcpu_destroy must follow; before it
 * `fd` is -1. */
int vcpu_create(struct vcpu *vcpu, const struct kvm *kvm, const struct kvm_vm *vm, uint64_t rip,
                uint64_t rsp, struct ferry_error *err);
void vcpu_destroy(struct vcpu *vcpu);

/* Ticks of the guest's time-stamp counter in so many nanoseconds; 0: not known. */
uint64_t vcpu_ticks(const struct vcpu *vcpu, uint64_t nanoseconds);

#endif
