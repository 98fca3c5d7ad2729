/* SPDX-License-Identifier: BSD-2-Clause */
/* One virtual machine: the functions that any thread may call. */
#include "vm/vm.h"

#include <stddef.h>

#include "lib/clock.h"
#include "linux/vm_linux.h"

static struct ferry_vm *vm_of(struct runner *runner)
{
    return (struct ferry_vm *)(void *)((char *)runner - offsetof(struct ferry_vm, runner));
}

static void time_over(struct runner *runner)
{
    vm_stop(vm_of(runner), STOP_TIMEOUT);
}

/* All messages are taken at an exit of any CPU. One that is about to leave the guest makes one. */
static void alarm_rings(struct runner *runner)
{
    vm_interrupt(vm_of(runner));
}

static uint64_t cpu_look(struct runner *runner)
{
    return vm_look_at_cpu(vm_of(runner));
}

static void kick(struct runner *runner)
{
    struct ferry_vm *vm = vm_of(runner);
    struct vcpu *inside = NULL;

    lock_take(&vm->lock);
    for (struct guest *guest = vm->guests; guest && vm->started && !vm->ended; guest = guest->next)
        for (unsigned i = 0; !inside && i < guest->vcpu_count; i++)
            if (atomic_load(&guest->vcpus[i]->in_guest))
                inside = guest->vcpus[i];
    if (inside)
        vcpu_kick(inside);
    lock_drop(&vm->lock);
}

void vm_init(struct ferry_vm *vm, struct ferry_engine *engine)
{
    vm->engine = engine;
    vm->kind = &guest_program;
    vm->process = &vm->first;
    vm->guest = vm->guests = vm->first.guest = &vm->own;
    guest_init(&vm->own, vm, &vm->first);
    vm->runner.time_over = time_over;
    vm->runner.alarm = alarm_rings;
    vm->runner.kick = kick;
    vm->cpu_watch_ns = UINT64_MAX;
    vm->runner.cpu_look = cpu_look;
    lock_init(&vm->lock, LOCK_VM);
    lock_init(&vm->runner.serving, LOCK_SERVING);
    lock_init(&vm->window_lock, LOCK_LEAF);
    clock_cond_init(&vm->ended_changed);
}

void vm_fini(struct ferry_vm *vm)
{
    pthread_cond_destroy(&vm->ended_changed);
    lock_fini(&vm->runner.serving);
    lock_fini(&vm->window_lock);
    lock_fini(&vm->lock);
}

bool vm_is_quiet(struct ferry_vm *vm)
{
    lock_take(&vm->lock);
    bool quiet = !vm->started || vm->ended;
    lock_drop(&vm->lock);
    return quiet;
}

bool vm_is_started(struct ferry_vm *vm)
{
    lock_take(&vm->lock);
    bool started = vm->started;
    lock_drop(&vm->lock);
    return started;
}

static void kick_guest(struct guest *guest)
{
    for (unsigned i = 0; i < guest->vcpu_count; i++) {
        vcpu_kick(guest->vcpus[i]);
        atomic_fetch_add(&guest->vcpus[i]->wakes, 1);
        clock_futex_wake(&guest->vcpus[i]->wakes);
    }
}

void vm_kick(struct ferry_vm *vm)
{
    lock_take(&vm->lock);
    for (struct guest *guest = vm->guests; guest && vm->started && !vm->ended; guest = guest->next)
        kick_guest(guest);
    lock_drop(&vm->lock);
}

void vm_stop(struct ferry_vm *vm, int reason)
{
    int none = 0;

    lock_take(&vm->lock); /* both at once, as a reset takes both back */
    bool first = atomic_compare_exchange_strong(&vm->stop, &none, reason);
    if (first)
        vm->endpoint->stopping = true;
    lock_drop(&vm->lock);
    if (!first)
        return;
    endpoint_wake(vm->endpoint);
    vm_kick(vm);
}

void vm_let_waiters_go(struct ferry_vm *vm)
{
    lock_take(&vm->lock);
    vm->destroyed = true;
    pthread_cond_broadcast(&vm->ended_changed);
    while (vm->waiting)
        lock_wait(&vm->ended_changed, &vm->lock);
    lock_drop(&vm->lock);
}
