/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the processor time of a VM: that of the threads of the host that run its CPUs, in the guest
 * and outside, and of those that help them. The ticker looks at it when the earliest moment has come
 * at which a limit can be reached: all processors would have to work for this VM until then. So it
 * looks seldom while a limit is far, and no thread of the VM has to look at clocks. A limit is
 * noticed late by a step for each of the processors at most, and by what the ticker has to wait for a
 * processor. To look takes no lock: there are as many clocks to ask as threads, and threads that ask
 * all the time would keep the ticker from interrupting them.
 */
#include "engine/ticker.h"
#include "lib/clock.h"
#include "linux/vm_linux.h"
#include "vm/vm.h"

/* The ticker looks no more often than after a step. It is longer where there are many clocks to ask,
 * so that asking them, some 0.5 us each, takes the ticker less than a tenth of its time. */
#define STEP_NS   2000000ull
#define THREAD_NS 10000ull

uint64_t vm_cpu_ns(struct ferry_vm *vm)
{
    uint64_t used =
        atomic_load(&vm->helpers_ns) + atomic_load(&vm->ended_ns) + guest_cpu_ns(&vm->own);

    if (!atomic_load(&vm->further))
        return used;
    lock_take(&vm->lock);
    for (const struct guest *guest = vm->guests; guest; guest = guest->next)
        if (guest != &vm->own)
            used += guest_cpu_ns(guest);
    lock_drop(&vm->lock);
    return used;
}

void vm_took_cpu(struct ferry_vm *vm, uint64_t nanoseconds)
{
    atomic_fetch_add(&vm->helpers_ns, nanoseconds);
}

/* Who helps, helps the first process, as far as is known. */
uint64_t vm_process_cpu_ns(struct ferry_vm *vm, const struct linux_state *state)
{
    uint64_t used = state == vm->first.personality ? atomic_load(&vm->helpers_ns) : 0;

    lock_assert_held(&vm->runner.serving);
    for (const struct guest *guest = vm->guests; guest; guest = guest->next)
        if (guest->first_cpu.process->personality == state)
            used += guest_cpu_ns(guest);
    return state == vm->first.personality ? used - vm->first_before_ns : used;
}

static uint64_t thread_cpu_ns(const struct guest *guest, const struct linux_thread *thread)
{
    for (unsigned i = 0; i < guest->vcpu_count; i++)
        if (guest->vcpus[i]->runs == thread)
            return vcpu_cpu_ns(guest->vcpus[i]) - guest->vcpus[i]->before_ns;
    return 0;
}

uint64_t vm_thread_cpu_ns(struct ferry_vm *vm, const struct linux_thread *thread)
{
    uint64_t used = 0;

    lock_assert_held(&vm->runner.serving);
    for (const struct guest *guest = vm->guests; guest && !used; guest = guest->next)
        used = thread_cpu_ns(guest, thread);
    return used;
}

/* The moment before which so much cannot be used. */
static uint64_t moment_for(const struct ferry_vm *vm, uint64_t nanoseconds)
{
    uint64_t wait = nanoseconds / vm->engine->processors;
    uint64_t step = STEP_NS + vm->own.vcpu_count * THREAD_NS;

    return clock_deadline(wait > step ? wait : step);
}

uint64_t vm_look_at_cpu(struct ferry_vm *vm)
{
    unsigned long long watch = atomic_load(&vm->cpu_watch_ns);
    uint64_t used = vm_cpu_ns(vm);
    uint64_t limit = vm->cpu_limit_ns ? vm->cpu_before_ns + vm->cpu_limit_ns : UINT64_MAX;

    if (used >= limit) {
        vm_stop(vm, STOP_CPU);
        return 0;
    }
    if (used >= watch && atomic_compare_exchange_strong(&vm->cpu_watch_ns, &watch, UINT64_MAX)) {
        atomic_store(&vm->cpu_reached, true);
        vm_kick(vm);
        watch = UINT64_MAX;
    }
    if (watch < limit)
        limit = watch;
    return limit == UINT64_MAX ? 0 : moment_for(vm, limit > used ? limit - used : 0);
}

void vm_watch_cpu(struct ferry_vm *vm, uint64_t nanoseconds)
{
    uint64_t used;

    if (atomic_exchange(&vm->cpu_watch_ns, nanoseconds) == nanoseconds || nanoseconds == UINT64_MAX)
        return;
    used = vm_cpu_ns(vm);
    ticker_watch_cpu(&vm->engine->ticker, &vm->runner,
                     moment_for(vm, nanoseconds > used ? nanoseconds - used : 0));
}

void vm_begin_cpu(struct ferry_vm *vm)
{
    if (vm->cpu_limit_ns)
        vm->runner.cpu_ns = moment_for(vm, vm->cpu_limit_ns);
}
