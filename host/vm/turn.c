/* SPDX-License-Identifier: BSD-2-Clause */
/* The turns of a VM's threads in the VMM, and waits, during which others have theirs. */
#include "vm/turn.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>

#include "ipc/drain.h"
#include "lib/clock.h"
#include "linux/linux.h"
#include "linux/vm_linux.h"
#include "vm/vm_memory.h"

/* Where the host forbids it the thread stays where it was, which nobody but the clock can tell. By its
 * number 0: in the jail nobody moves a thread but itself, as a filter knows no other number of ours. */
void vm_move(struct vcpu *vcpu)
{
    vcpu->moves = false;
    (void)sched_setaffinity(0, sizeof(vcpu->keeps_to), &vcpu->keeps_to);
}

void vm_serve(struct ferry_vm *vm, struct vcpu *vcpu)
{
    lock_take(&vm->runner.serving);
    vm->served = vcpu;
    vm_look_at(vm, vcpu->process);
    if (vcpu->moves)
        vm_move(vcpu);
    if (vcpu->runs)
        linux_now_serves(vm->process->personality, vcpu->runs);
}

/* Those that were roused are woken only now: they would find that it is not their turn. */
void vm_give_way(struct ferry_vm *vm, struct vcpu *vcpu)
{
    lock_drop(&vm->runner.serving);
    for (unsigned i = 0; i < vcpu->roused_count; i++)
        clock_futex_wake(&vcpu->roused[i]->wakes);
    vcpu->roused_count = 0;
}

void vm_rouse(struct ferry_vm *vm, struct vcpu *vcpu)
{
    lock_assert_held(&vm->runner.serving);
    struct vcpu *served = vm->served;

    atomic_fetch_add(&vcpu->wakes, 1);
    if (served->roused_count < VCPU_ROUSED)
        served->roused[served->roused_count++] = vcpu;
    else
        clock_futex_wake(&vcpu->wakes);
}

static bool signal_ends_wait(struct ferry_vm *vm, const struct vcpu *vcpu)
{
    return vcpu->runs && linux_ends_wait(vm->process->personality, vcpu->runs);
}

/* It may have written what the receiver waits for, and now waits for something else. */
int vm_suspend(struct ferry_vm *vm, struct vcpu *vcpu, uint64_t deadline)
{
    uint32_t seen = atomic_load(&vcpu->wakes);

    if (vm_must_leave(vm, vcpu) || vm->stop || signal_ends_wait(vm, vcpu))
        return -EINTR;
    runner_send_gathered(&vm->runner);
    int result = vm_doze(vm, vcpu, seen, deadline);
    bool ends = vm_must_leave(vm, vcpu) || vm->stop || signal_ends_wait(vm, vcpu);
    return ends ? -EINTR : result;
}

/* While the VM is made nobody serves it, and nobody else could have a turn: opening its loader may
 * wait for a file system. */
static bool begin_wait(struct ferry_vm *vm, void **who)
{
    *who = vm->served;
    if (!vm->served)
        return true;
    lock_assert_held(&vm->runner.serving);
    if (vm_must_leave(vm, vm->served) || signal_ends_wait(vm, vm->served))
        return false;
    vm_give_way(vm, vm->served);
    return true;
}

/* Whatever the thread waits for, it is woken when there is room for a message that is parked, and nobody
 * else may be there to send it: what it waits for may be the answer. */
static bool begin_wait_on_endpoint(struct ferry_vm *vm, void **who)
{
    if (vm->served && vm->endpoint->out_parked)
        drain_out(vm->endpoint);
    return begin_wait(vm, who);
}

static bool end_wait(struct ferry_vm *vm, void *who)
{
    if (who)
        vm_serve(vm, who);
    return !vm_must_leave(vm, who) && !(who && signal_ends_wait(vm, who));
}

void vm_poll(struct ferry_vm *vm, struct pollfd *entry, int timeout_ms)
{
    void *who;

    if (!begin_wait(vm, &who))
        return;
    poll(entry, 1, timeout_ms);
    end_wait(vm, who);
}

/* Who makes it go on interrupts all threads. */
void vm_stand_still(struct ferry_vm *vm)
{
    struct vcpu *vcpu = vm->served;

    for (;;) {
        uint32_t seen = atomic_load(&vcpu->wakes);

        if (vm->stop || vm_must_leave(vm, vcpu) ||
            !linux_stands_still(vm->process->personality, vcpu->runs))
            return;
        runner_send_gathered(&vm->runner);
        if (vm->endpoint->out_parked)
            drain_out(vm->endpoint);
        vm_doze(vm, vcpu, seen, CLOCK_NEVER);
    }
}

void vm_pause(struct ferry_vm *vm, int signo)
{
    void *who;

    if (!begin_wait(vm, &who))
        return;
    vm->pause(vm->pause_arg, signo);
    end_wait(vm, who);
}

struct vcpu *vm_step_aside(struct ferry_vm *vm, const void *to)
{
    struct vcpu *served = vm->served;
    struct guest_addr addr;

    if (!served || vm_has_one_thread(vm))
        return NULL;
    if (to && !space_guest(&vm->guest->space, to, &addr))
        return NULL;
    vm_give_way(vm, served);
    return served;
}

void vm_step_back(struct ferry_vm *vm, struct vcpu *aside)
{
    if (aside)
        vm_serve(vm, aside);
}

/* Of the first process: no other has a guest kernel. */
static bool kicks(struct ferry_vm *vm, uint32_t cpu)
{
    lock_assert_held(&vm->runner.serving);
    for (unsigned i = 0; i < vm->own.vcpu_count; i++) {
        const struct vcpu *vcpu = vm->own.vcpus[i];

        if (vcpu->number != cpu || !vcpu->is_away)
            continue;
        vcpu_kick(vcpu);
        return true;
    }
    return false;
}

const struct endpoint_waits vm_waits = {
    .begin = begin_wait_on_endpoint, .end = end_wait, .kicks = kicks, .keeps = vm_keeps};

int vm_doze(struct ferry_vm *vm, struct vcpu *vcpu, uint32_t seen, uint64_t deadline)
{
    vm_give_way(vm, vcpu);
    int result = clock_futex_wait(&vcpu->wakes, seen, deadline);
    vm_serve(vm, vcpu);
    return result;
}
