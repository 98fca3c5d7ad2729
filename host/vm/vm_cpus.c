/* SPDX-License-Identifier: BSD-2-Clause */
/* The processors of a VM: made on demand, and their threads of the host. */
#include "vm/vm_cpus.h"
#include "vm/budgets.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/clock.h"
#include "lib/thread.h"
#include "linux/vm_linux.h"
#include "vm/guest_run.h"
#include "vm/report.h"
#include "vm/turn.h"
#include "vm/vm_memory.h"

/* --- threads of the host ---------------------------------------------------------- */

/* What the thread of a further CPU is given. */
struct cpu_start {
    struct ferry_vm *vm;
    struct vcpu *vcpu;
};

/* Tells the others that the program ends. The first who calls it has filled in vm->process->exit. */
static void end_all(struct ferry_vm *vm)
{
    lock_assert_held(&vm->runner.serving);
    if (vm->process->ending)
        return;
    vm->process->ending = true;
    endpoint_wake(vm->endpoint);
    vm_kick(vm);
}

void vm_lost_write(struct ferry_vm *vm, const char *name, int error)
{
    if (vm->process->ending || vm->stop)
        return; /* nobody would have looked at it */
    report_lost(vm, name, error);
    end_all(vm);
}

/* False: the program ends. */
static bool await_thread(struct ferry_vm *vm, struct vcpu *vcpu)
{
    while (!vcpu->runs && !vm->process->ending)
        vm_doze(vm, vcpu, atomic_load(&vcpu->wakes), CLOCK_NEVER);
    return !vm->process->ending;
}

/* The thread of this CPU ends, as another begins a new program. Nobody has served its last exit, and
 * the next thread's registers must not be those of an instruction that is half done. */
static void leave_alone(struct ferry_vm *vm, struct vcpu *vcpu)
{
    vcpu_end_instruction(vcpu); /* or it made no such exit */
    if (vcpu->runs)
        linux_drop_thread(vm->process->personality, vcpu->runs);
    vcpu->runs = NULL;
    vm_rouse(vm, vm->process->only);
}

void vm_run_threads(struct ferry_vm *vm, struct vcpu *vcpu)
{
    while (await_thread(vm, vcpu)) {
        guest_run(vm, vcpu);
        if (!vm->stop && !vm->process->ending && vm->process->only && vm->process->only != vcpu)
            leave_alone(vm, vcpu);
        else if (vcpu->runs || vm->stop) /* else only this thread has ended */
            end_all(vm);
    }
}

static bool is_alone(const struct ferry_vm *vm, const struct vcpu *vcpu)
{
    for (unsigned i = 0; i < vm->guest->vcpu_count; i++)
        if (vm->guest->vcpus[i] != vcpu && vm->guest->vcpus[i]->runs)
            return false;
    return true;
}

int vm_end_others(struct ferry_vm *vm, struct vcpu *vcpu)
{
    lock_assert_held(&vm->runner.serving);
    if (vm_must_leave(vm, vcpu) || vm->stop)
        return -EINTR;
    if (is_alone(vm, vcpu))
        return 0;
    vm->process->only = vcpu;
    endpoint_wake(vm->endpoint);
    vm_kick(vm);
    while (!vm->process->ending && !is_alone(vm, vcpu))
        vm_doze(vm, vcpu, atomic_load(&vcpu->wakes), CLOCK_NEVER);
    vm->process->only = NULL;
    return vm->process->ending ? -EINTR : 0;
}

static void *cpu_thread(void *arg)
{
    struct cpu_start *start = arg;
    struct ferry_vm *vm = start->vm;
    struct vcpu *vcpu = start->vcpu;

    free(start);
    vcpu_begin(vcpu);
    vm_serve(vm, vcpu);
    vm_run_threads(vm, vcpu);
    vm_give_way(vm, vcpu);
    vcpu_end(vcpu);
    return NULL;
}

/* From here on it is one of the VM's. The lock is held, so that a thread that kicks a CPU finds the
 * CPU's thread. */
static int start_thread(struct ferry_vm *vm, struct vcpu *vcpu)
{
    struct cpu_start *start = malloc(sizeof *start);

    if (!start)
        return -ENOMEM;
    *start = (struct cpu_start){vm, vcpu};
    lock_take(&vm->lock);
    int result = thread_start(&vcpu->thread, NULL, cpu_thread, start);
    if (result == 0) {
        struct guest *guest = vm->guest;
        bool is_new = guest->vcpu_count == guest->vcpus_made;

        guest->vcpus[guest->vcpu_count] = vcpu;
        guest->vcpus_made += is_new;
        guest->vcpu_count++; /* from here on others look at it without the lock, too */
    }
    lock_drop(&vm->lock);
    if (result < 0)
        free(start);
    return result;
}

static int make_cpu(struct ferry_vm *vm, struct vcpu **out)
{
    const struct guest_addr none = {0};
    struct vcpu *vcpu = calloc(1, sizeof *vcpu);

    if (!vcpu)
        return -ENOMEM;
    vcpu->fd = -1;
    vcpu->process = vm->process;
    boot_cpu(vm->guest->system, vm->guest->kvm.vcpus);
    int result = vcpu_create(vcpu, &vm->engine->kvm, &vm->guest->kvm, none, none, NULL);
    if (result == 0)
        result = start_thread(vm, vcpu);
    if (result < 0) {
        vcpu_destroy(vcpu);
        free(vcpu);
        return result;
    }
    *out = vcpu;
    return 0;
}

/* A CPU whose thread has ended, or a new one. */
static int find_cpu(struct ferry_vm *vm, struct vcpu **out)
{
    for (unsigned i = 0; i < vm->guest->vcpu_count; i++)
        if (!vm->guest->vcpus[i]->runs) {
            *out = vm->guest->vcpus[i];
            return 0;
        }
    if (vm->guest->vcpu_count < vm->guest->vcpus_made) {
        /* Of a run before: its thread of the host has ended, too. */
        *out = vm->guest->vcpus[vm->guest->vcpu_count];
        vcpu_begin_again(*out);
        return start_thread(vm, *out) < 0 ? -EAGAIN : 0;
    }
    /* A number is used up also where a CPU could not be made in full. */
    if (vm->guest->kvm.vcpus >= vm->most_threads || !vm_cpu_take(vm))
        return -EAGAIN;
    int result = make_cpu(vm, out);
    if (result < 0)
        vm_cpu_give_back(vm);
    return result;
}

int vm_new_cpu(struct ferry_vm *vm, struct vcpu *caller, struct vcpu **out)
{
    lock_assert_held(&vm->runner.serving);
    if (vm->process->ending || vm->stop)
        return -EINTR;
    if (find_cpu(vm, out) < 0 || vcpu_copy_vectors(*out, caller) < 0)
        return -EAGAIN;
    return 0;
}

void vm_start_cpu(struct ferry_vm *vm, struct vcpu *cpu, struct vcpu *caller,
                  struct linux_thread *thread, uint64_t stack, uint64_t fs)
{
    vcpu_go_on_as(cpu, caller, stack);
    vcpu_set_fs(cpu, fs);
    cpu->before_ns = vcpu_cpu_ns(cpu);
    cpu->calls_again = false;
    cpu->runs = thread;
    vm_rouse(vm, cpu);
}

/* Another thread does so when it is served next; one that sleeps is, before it enters the guest. */
void vm_keep_to(struct ferry_vm *vm, const struct linux_thread *thread, const cpu_set_t *host)
{
    lock_assert_held(&vm->runner.serving);
    for (unsigned i = 0; i < vm->guest->vcpu_count; i++) {
        struct vcpu *vcpu = vm->guest->vcpus[i];

        if (vcpu->runs != thread)
            continue;
        vcpu->keeps_to = *host;
        vcpu->moves = true;
        if (vcpu == vm->served)
            vm_move(vcpu);
        else if (vcpu->is_away)
            vcpu_kick(vcpu);
    }
}

void vm_join_others(struct ferry_vm *vm)
{
    struct guest *guest = vm->guest;

    lock_take(&vm->lock);
    unsigned count = guest->vcpu_count;
    guest->vcpu_count = 1; /* the others are not kicked any more */
    lock_drop(&vm->lock);
    vm_give_way(vm, &guest->first_cpu);
    for (unsigned i = 1; i < count; i++)
        pthread_join(guest->vcpus[i]->thread, NULL);
    vm_serve(vm, &guest->first_cpu);
    vm->process->ending = false; /* the waits for what is left to send are real ones */
}
