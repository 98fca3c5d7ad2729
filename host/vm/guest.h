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

struct process;

struct guest {
    struct ferry_vm *vm;
    struct guest *next; /* of the VM */
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

/* Initialises zeroed memory; the guest's CPUs run threads of that process. */
static inline void guest_init(struct guest *guest, struct ferry_vm *vm, struct process *process)
{
    guest->vm = vm;
    guest->kvm.fd = -1;
    guest->vcpus[0] = &guest->first_cpu;
    guest->vcpu_count = guest->vcpus_made = 1;
    guest->first_cpu.fd = -1;
    guest->first_cpu.process = process;
}

/* Processor time that its CPUs took, of which each remains until the guest is freed. */
static inline uint64_t guest_cpu_ns(const struct guest *guest)
{
    uint64_t used = 0;

    for (unsigned i = 0; i < guest->vcpus_made; i++)
        used += vcpu_cpu_ns(guest->vcpus[i]);
    return used;
}

#endif
