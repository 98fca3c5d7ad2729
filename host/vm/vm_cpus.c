/* SPDX-License-Identifier: BSD-2-Clause */
/* The processors of a VM: made on demand, and their threads of the host. */
#include "vm/vm_cpus.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/clock.h"
#include "lib/thread.h"
#include "vm/guest_run.h"
#include "vm/turn.h"

/* --- threads of the host ---------------------------------------------------------- */

/* Tells the others that the program ends. The first who calls it has filled in vm->exit. */
static void end_all(struct ferry_vm *vm)
{
    lock_assert_held(&vm->runner.serving);
    if (vm->ending)
        return;
    vm->ending = true;
    endpoint_wake(vm->endpoint);
    vm_kick(vm);
}

/* False: the program ends. */
static bool await_thread(struct ferry_vm *vm, struct vcpu *vcpu)
{
    while (!vcpu->runs && !vm->ending)
        vm_doze(vm, vcpu, atomic_load(&vcpu->wakes), CLOCK_NEVER);
    return !vm->ending;
}

void vm_run_threads(struct ferry_vm *vm, struct vcpu *vcpu)
{
    while (await_thread(vm, vcpu)) {
        guest_run(vm, vcpu);
        if (vcpu->runs || vm->stop) /* else only this thread has ended */
            end_all(vm);
    }
}

void vm_join_others(struct ferry_vm *vm)
{
    lock_take(&vm->lock);
    unsigned count = vm->vcpu_count;
    vm->vcpu_count = 1; /* the others are not kicked any more */
    lock_drop(&vm->lock);
    vm_give_way(vm, &vm->first_cpu);
    for (unsigned i = 1; i < count; i++)
        pthread_join(vm->vcpus[i]->thread, NULL);
    vm_serve(vm, &vm->first_cpu);
    vm->ending = false; /* the waits for what is left to send are real ones */
}

void vm_destroy_cpus(struct ferry_vm *vm)
{
    for (unsigned i = 0; i < BOOT_CPUS_MAX && vm->vcpus[i]; i++) {
        vcpu_destroy(vm->vcpus[i]);
        if (i > 0)
            free(vm->vcpus[i]);
    }
}
