/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Processes that a program forks. Each runs in a guest of its own: its memory is a copy, in another VM of
 * KVM. All are served under the one lock of the VM, so what the personality keeps for several of them
 * needs no other. Messages are the first process's: the others have no window and no control structure.
 */
#include "vm/fork.h"
#include "vm/budgets.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/clock.h"
#include "lib/thread.h"
#include "linux/vm_linux.h"
#include "vm/guest_make.h"
#include "vm/turn.h"
#include "vm/vm_cpus.h"
#include "vm/vm_memory.h"

/* A process beside the first. */
struct child {
    struct process process;
    struct guest guest;
    struct child *next; /* of those whose thread has nothing left to do but to end */
};

/* --- ending -------------------------------------------------------------------- */

static void join_ended(struct ferry_vm *vm)
{
    lock_assert_held(&vm->runner.serving);
    while (vm->ended_children) {
        struct child *child = vm->ended_children;

        vm->ended_children = child->next;
        pthread_join(child->guest.first_cpu.thread, NULL); /* it needs no turn any more */
        free(child);
    }
}

static void leave_list(struct ferry_vm *vm, struct guest *guest)
{
    struct guest **at = &vm->guests;

    lock_take(&vm->lock);
    while (*at != guest)
        at = &(*at)->next;
    *at = guest->next;
    lock_drop(&vm->lock);
}

/* All but what the thread needs for its end. */
static void take_apart(struct ferry_vm *vm, struct child *child)
{
    atomic_fetch_add(&vm->ended_ns, guest_cpu_ns(&child->guest));
    if (child->process.program.images)
        space_recharge(&child->guest.space,
                       program_unshared_bytes(&child->process.program) + child->process.kept_bytes,
                       0);
    guest_end(&child->guest);
    guest_fini(&child->guest);
    vm_give_back_budgets(&child->guest);
    program_close(&child->process.program);
    free(child->process.marks.marks);
}

static void *child_thread(void *arg)
{
    struct child *child = arg;
    struct vcpu *vcpu = &child->guest.first_cpu;
    struct ferry_vm *vm = child->guest.vm;

    vcpu_begin(vcpu);
    vm_serve(vm, vcpu);
    vm_run_threads(vm, vcpu);
    vm_join_others(vm);
    linux_process_ends(child->process.personality, &child->process.exit);
    leave_list(vm, &child->guest);
    vcpu_end(vcpu);
    take_apart(vm, child);
    child->next = vm->ended_children;
    vm->ended_children = child;
    atomic_fetch_sub(&vm->further, 1);
    vm_look_at(vm, &vm->first);
    vm_rouse(vm, &vm->own.first_cpu);
    vm_interrupt(vm);
    vm->served = NULL;
    vm_give_way(vm, vcpu);
    return NULL;
}

void fork_await_all(struct ferry_vm *vm)
{
    struct vcpu *vcpu = &vm->own.first_cpu;

    while (atomic_load(&vm->further))
        vm_doze(vm, vcpu, atomic_load(&vcpu->wakes), CLOCK_NEVER);
    join_ended(vm);
}

void vm_look_at_process(struct ferry_vm *vm, const struct linux_state *state)
{
    for (struct guest *guest = vm->guests; guest; guest = guest->next)
        if (guest->first_cpu.process->personality == state)
            vm_look_at(vm, guest->first_cpu.process);
}

void vm_return_memory(struct ferry_vm *vm)
{
    space_copy_back(&vm->process->forked_in->space, &vm->guest->space, &vm->process->marks);
}

/* --- beginning ------------------------------------------------------------------- */

static int copy_guest(struct guest *to, struct guest *from)
{
    int result = guest_create(to, from->space.limit_bytes, NULL);

    if (result)
        return result;
    space_share_limit(&to->space, &from->space);
    return space_copy(&to->space, &from->space);
}

static int copy_process(struct ferry_vm *vm, struct child *child, struct vcpu *caller)
{
    const struct guest_addr none = {0};
    struct vcpu *vcpu = &child->guest.first_cpu;
    int result = copy_guest(&child->guest, vm->guest);

    if (!result)
        result = program_share(&child->process.program, &vm->process->program, &child->guest.space);
    if (!result)
        result = vcpu_create(vcpu, &vm->engine->kvm, &child->guest.kvm, none, none, NULL);
    if (!result)
        result = vcpu_copy_vectors(vcpu, caller);
    return result;
}

/* As on Linux it begins even where its number cannot be written. */
static void write_id(struct ferry_vm *vm, struct child *child, const struct vm_fork *fork)
{
    struct process *process = vm->process;

    if (!fork->id_addr)
        return;
    vm_look_at(vm, &child->process);
    vm_copy_out(vm, guest_addr(fork->id_addr), &fork->id, sizeof fork->id);
    vm_look_at(vm, process);
}

static int start(struct ferry_vm *vm, struct child *child)
{
    lock_take(&vm->lock);
    int result = thread_start(&child->guest.first_cpu.thread, NULL, child_thread, child);

    if (!result) {
        child->guest.next = vm->guests;
        vm->guests = &child->guest;
        atomic_fetch_add(&vm->further, 1);
    }
    lock_drop(&vm->lock);
    return result;
}

/* Its other CPUs leave the guest, and stay out as long as the turn is ours: else what they store
 * meanwhile could be in the copy in part, or be lost where memory is replaced. */
static void hold_others(const struct guest *guest, const struct vcpu *caller)
{
    for (unsigned i = 0; i < guest->vcpu_count; i++) {
        struct vcpu *vcpu = guest->vcpus[i];

        if (vcpu == caller || !atomic_load(&vcpu->in_guest))
            continue;
        vcpu_kick(vcpu);
        while (atomic_load(&vcpu->in_guest))
            sched_yield();
    }
}

int vm_fork(struct ferry_vm *vm, const struct vm_fork *fork)
{
    lock_assert_held(&vm->runner.serving);
    join_ended(vm);
    if (vm_must_leave(vm, fork->caller) || vm->stop)
        return -EINTR;
    if (atomic_load(&vm->further) + fork->left >= vm->most_processes - 1)
        return -EAGAIN;
    struct child *child = calloc(1, sizeof *child);
    if (!child)
        return -ENOMEM;
    struct vcpu *vcpu = &child->guest.first_cpu;
    child->process.guest = &child->guest;
    child->process.forked_in = vm->guest;
    child->process.personality = fork->state;
    child->process.stack_bytes = vm->process->stack_bytes;
    guest_init(&child->guest, vm, &child->process);
    hold_others(vm->guest, fork->caller);
    int result = vm_take_budgets(&child->guest) ? copy_process(vm, child, fork->caller) : -EAGAIN;
    if (!result && fork->parent_waits)
        result = space_mark(&child->guest.space, &child->process.marks);
    if (!result) {
        vcpu_go_on_as(vcpu, fork->caller, fork->stack);
        vcpu_set_fs(vcpu, fork->fs);
        vcpu->runs = fork->thread;
        write_id(vm, child, fork);
        result = start(vm, child);
    }
    if (result) {
        take_apart(vm, child);
        free(child);
    }
    return result;
}
