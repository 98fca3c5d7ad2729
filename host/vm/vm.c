/* SPDX-License-Identifier: BSD-2-Clause */
/* One virtual machine: what of it all threads may ask and do. */
#include "vm/vm.h"

#include <signal.h>
#include <stddef.h>

#include "lib/clock.h"

static void time_over(struct runner *runner)
{
    char *vm = (char *)runner - offsetof(struct ferry_vm, runner);

    vm_stop((struct ferry_vm *)(void *)vm, STOP_TIMEOUT);
}

void vm_init(struct ferry_vm *vm, struct ferry_engine *engine)
{
    vm->engine = engine;
    vm->kvm.fd = vm->vcpu.fd = -1;
    vm->runner.time_over = time_over;
    pthread_mutex_init(&vm->lock, NULL);
    pthread_mutex_init(&vm->runner.serving, NULL);
    clock_cond_init(&vm->ended_changed);
}

void vm_fini(struct ferry_vm *vm)
{
    pthread_cond_destroy(&vm->ended_changed);
    pthread_mutex_destroy(&vm->runner.serving);
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

void vm_stop(struct ferry_vm *vm, int reason)
{
    int none = 0;

    if (!atomic_compare_exchange_strong(&vm->stop, &none, reason))
        return;
    vm->endpoint->stopping = true;
    endpoint_wake(vm->endpoint);
    pthread_mutex_lock(&vm->lock);
    /* Also if the guest does not run: it may be about to. The signal stays pending
     * in the thread until KVM_RUN sees it. */
    if (vm->started && !vm->ended)
        pthread_kill(vm->thread, vcpu_kick_signal());
    pthread_mutex_unlock(&vm->lock);
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
