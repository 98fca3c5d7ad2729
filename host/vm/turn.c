/* SPDX-License-Identifier: BSD-2-Clause */
/* The turns of a VM's threads in the VMM, and waits, during which others have theirs. */
#include "vm/turn.h"

#include "lib/clock.h"
#include "linux/linux.h"
#include "vm/vm_memory.h"

void vm_serve(struct ferry_vm *vm, struct vcpu *vcpu)
{
    lock_take(&vm->runner.serving);
    vm->served = vcpu;
    if (vcpu->runs)
        linux_now_serves(vm->personality, vcpu->runs);
}

void vm_give_way(struct ferry_vm *vm, struct vcpu *vcpu)
{
    (void)vcpu;
    lock_drop(&vm->runner.serving);
}

static bool signal_ends_wait(struct ferry_vm *vm, const struct vcpu *vcpu)
{
    return vcpu->runs && linux_ends_wait(vm->personality, vcpu->runs);
}

/* While the VM is made nobody serves it, and nobody else could have a turn: opening its loader may
 * wait for a file system. */
static bool begin_wait(struct ferry_vm *vm, void **who)
{
    *who = vm->served;
    if (!vm->served)
        return true;
    lock_assert_held(&vm->runner.serving);
    if (vm->ending || signal_ends_wait(vm, vm->served))
        return false;
    vm_give_way(vm, vm->served);
    return true;
}

static bool end_wait(struct ferry_vm *vm, void *who)
{
    if (who)
        vm_serve(vm, who);
    return !vm->ending && !(who && signal_ends_wait(vm, who));
}

const struct endpoint_waits vm_waits = {.begin = begin_wait, .end = end_wait, .keeps = vm_keeps};

int vm_doze(struct ferry_vm *vm, struct vcpu *vcpu, uint32_t seen, uint64_t deadline)
{
    vm_give_way(vm, vcpu);
    int result = clock_futex_wait(&vcpu->wakes, seen, deadline);
    vm_serve(vm, vcpu);
    return result;
}
