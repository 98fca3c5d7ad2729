/* SPDX-License-Identifier: BSD-2-Clause */
/* One virtual machine: the functions that any thread may call. */
#include "vm/vm.h"

#include <stddef.h>

#include "lib/clock.h"

static struct ferry_vm *vm_of(struct runner *runner)
{
    return (struct ferry_vm *)(void *)((char *)runner - offsetof(struct ferry_vm, runner));
}

static void time_over(struct runner *runner)
{
    vm_stop(vm_of(runner), STOP_TIMEOUT);
}

static void kick(struct runner *runner)
{
    vm_kick(vm_of(runner));
}

void vm_init(struct ferry_vm *vm, struct ferry_engine *engine)
{
    vm->engine = engine;
    vm->kind = &guest_program;
    vm->kvm.fd = -1;
    for (unsigned i = 0; i < VM_VCPUS; i++)
        vm->vcpus[i].fd = -1;
    vm->runner.time_over = time_over;
    vm->runner.kick = kick;
    pthread_mutex_init(&vm->lock, NULL);
    pthread_mutex_init(&vm->runner.serving, NULL);
    pthread_mutex_init(&vm->window_lock, NULL);
    clock_cond_init(&vm->ended_changed);
}

void vm_fini(struct ferry_vm *vm)
{
    pthread_cond_destroy(&vm->ended_changed);
    pthread_mutex_destroy(&vm->runner.serving);
    pthread_mutex_destroy(&vm->window_lock);
    pthread_mutex_destroy(&vm->lock);
}

bool vm_is_quiet(struct ferry_vm *vm)
{
    pthread_mutex_lock(&vm->lock);
    bool quiet = !vm->started || vm->ended;
    pthread_mutex_unlock(&vm->lock);
    return quiet;
}

bool vm_is_started(struct ferry_vm *vm)
{
    pthread_mutex_lock(&vm->lock);
    bool started = vm->started;
    pthread_mutex_unlock(&vm->lock);
    return started;
}

void vm_kick(struct ferry_vm *vm)
{
    pthread_mutex_lock(&vm->lock);
    for (unsigned i = 0; vm->started && !vm->ended && i < VM_VCPUS; i++)
        vcpu_kick(&vm->vcpus[i]);
    pthread_mutex_unlock(&vm->lock);
}

void vm_stop(struct ferry_vm *vm, int reason)
{
    int none = 0;

    if (!atomic_compare_exchange_strong(&vm->stop, &none, reason))
        return;
    vm->endpoint->stopping = true;
    endpoint_wake(vm->endpoint);
    vm_kick(vm);
}

void vm_let_waiters_go(struct ferry_vm *vm)
{
    pthread_mutex_lock(&vm->lock);
    vm->destroyed = true;
    pthread_cond_broadcast(&vm->ended_changed);
    while (vm->waiting)
        pthread_cond_wait(&vm->ended_changed, &vm->lock);
    pthread_mutex_unlock(&vm->lock);
}
