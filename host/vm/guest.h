/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest: KVM's VM, with the memory and the CPUs in which a process of a program runs. */
#ifndef FERRY_HOST_GUEST_H
#define FERRY_HOST_GUEST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "kvm/guest_tables.h"
#include "kvm/kvm_vm.h"
#include "kvm/vcpu.h"
#include "program/space.h"

enum kernel_state { KERNEL_NONE, KERNEL_AT_CPL3, KERNEL_AT_CPL0, KERNEL_REFUSED };

struct guest {
    struct ferry_vm *vm;
    struct kvm_vm kvm;
    /* One for each thread of its program; made when threads begin (vm_cpus.c). KVM cannot take one
     * away, so one whose thread has ended runs a later one. */
    struct vcpu *vcpus[BOOT_CPUS_MAX];
    struct vcpu first_cpu;
    /* Changes on the thread that serves the VM, under the VM's lock; that many CPUs are there. */
    atomic_uint vcpu_count;
    atomic_uint vcpus_made; /* the same, but it stays as it is when their threads end */
    char *system;           /* host view of the system area */
    struct guest_tables tables;
    struct space space;
    uint32_t space_mappings, cpu_mappings; /* of the VM's budget of mappings */
    bool has_far;                          /* counted in the engine's far_parts */
    enum kernel_state kernel;              /* of the guest kernel; under runner.serving */
    char *files_place;  /* host view of what it finds at FERRY_FILES_BASE; or NULL, */
    bool files_refused; /* and the host refused it */
};

#endif
