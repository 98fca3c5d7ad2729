/* SPDX-License-Identifier: BSD-2-Clause */
/* The figures of one VM. */
#include "kvm/kvm_stats.h"
#include "lib/sized.h"
#include "vm/vm.h"

/* What is told of its CPUs. KVM tells nothing of one that is in the guest before it leaves, for which
 * nobody must wait. */
static void look_at_cpus(struct ferry_vm *vm, struct ferry_vm_stats *stats)
{
    lock_take(&vm->lock);
    for (; stats->cpus < BOOT_CPUS_MAX && vm->own.vcpus[stats->cpus]; stats->cpus++)
        if (!vm->started || vm->ended || vm->rests)
            stats->guest_faults += kvm_stat(vm->own.vcpus[stats->cpus]->fd, "pf_taken");
    lock_drop(&vm->lock);
}

int ferry_vm_stats_sized(struct ferry_vm *vm, struct ferry_vm_stats *out, size_t out_bytes)
{
    int result = sized_check(out_bytes, FIRST_VM_STATS);
    if (result < 0)
        return result;
    struct ferry_vm_stats stats = {
        .exits_immediate = atomic_load(&vm->runner.exits_immediate),
        .exits_natural = atomic_load(&vm->runner.exits_natural),
        .messages_sent = atomic_load(&vm->endpoint->messages_sent),
        .messages_received = atomic_load(&vm->endpoint->messages_received),
        .exits_syscall = atomic_load(&vm->exits[CAUSE_SYSCALL]),
        .exits_call = atomic_load(&vm->exits[CAUSE_CALL]),
        .exits_doorbell = atomic_load(&vm->exits[CAUSE_DOORBELL]),
        .exits_exception = atomic_load(&vm->exits[CAUSE_EXCEPTION]),
        .exits_mmio = atomic_load(&vm->exits[CAUSE_MMIO]),
        .exits_refused = atomic_load(&vm->exits[CAUSE_REFUSED]),
        .exits_kick = atomic_load(&vm->exits[CAUSE_KICK]),
        .exits_other = atomic_load(&vm->exits[CAUSE_OTHER]),
        .memory_slots = atomic_load(&vm->own.kvm.slots),
        .mapping_calls = atomic_load(&vm->own.space.host_calls),
    };
    if (out_bytes > FIRST_VM_STATS) /* else nobody would see what they cost */
        look_at_cpus(vm, &stats);
    sized_give(out, out_bytes, &stats, sizeof stats);
    return 0;
}
