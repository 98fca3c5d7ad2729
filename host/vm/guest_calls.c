/* SPDX-License-Identifier: BSD-2-Clause */
/* The calls of ferry/abi/call.h. */

#include "vm/guest_calls.h"

#include <errno.h>
#include <string.h>

#include <ferry/abi/call.h>

#include "engine/engine.h"
#include "ipc/direct.h"
#include "ipc/drain.h"
#include "ipc/endpoint_wait.h"
#include "ipc/queue.h"
#include "ipc/units.h"
#include "lib/clock.h"
#include "linux/vm_linux.h"
#include "vm/snapshot.h"

/* A result that no guest sees: the call is made again after the handler of a signal. */
#define INTERRUPTED (-512)

typedef int64_t (*guest_call)(struct ferry_vm *vm, const uint64_t arg[]);

static uint64_t events_now(struct ferry_vm *vm, uint64_t want)
{
    struct endpoint *endpoint = vm->endpoint;
    uint64_t events = 0;

    endpoint_lock(endpoint);
    if (endpoint->in_head != endpoint->in_tail)
        events |= FERRY_EVENT_IN;
    if (endpoint->home_head != endpoint->home_tail)
        events |= FERRY_EVENT_HOME;
    endpoint_unlock(endpoint);
    if (direct_waiting(endpoint))
        events |= FERRY_EVENT_IN;
    if (!drain_pending(endpoint))
        events |= FERRY_EVENT_OUT;
    return events & want;
}

static int64_t call_wait(struct ferry_vm *vm, const uint64_t arg[])
{
    struct endpoint *endpoint = vm->endpoint;
    const uint64_t want = arg[0], timeout_ns = arg[1];
    int result = 0;

    if (want & ~(uint64_t)FERRY_EVENTS)
        return -EINVAL;
    for (uint32_t i = 0; want & FERRY_EVENT_IN && i < endpoint->in_count; i++)
        queue_want(endpoint->in[i]);
    uint64_t events = events_now(vm, want), deadline = clock_deadline(timeout_ns);
    while (!events && timeout_ns && result == 0) {
        uint32_t seen = endpoint_prepare(endpoint);
        if (want & FERRY_EVENT_IN)
            direct_await(endpoint);
        drain_out(vm->endpoint);
        events = events_now(vm, want);
        if (!events && linux_has_signal(vm->process->personality, vm->served->runs))
            result = INTERRUPTED;
        else if (!events)
            result = endpoint_block(endpoint, seen, deadline);
        endpoint_finish(endpoint);
        drain_out(vm->endpoint);
        events = events_now(vm, want);
        if (!events && result == 0 && clock_now() >= deadline)
            result = -ETIMEDOUT; /* also if it was woken again and again for nothing */
    }
    return !events && result == INTERRUPTED ? INTERRUPTED : (int64_t)events;
}

static int64_t call_alloc(struct ferry_vm *vm, const uint64_t arg[])
{
    const uint64_t count = arg[0], page = arg[1];
    struct units units;

    if (page > 1 || count == 0)
        return -EINVAL;
    int result = units_alloc(vm->endpoint, count, page, &units);
    if (result == -ENOMEM && !vm->said_out_of_pool) {
        vm->said_out_of_pool = true;
        engine_log(
            vm->engine, FERRY_LOG_WARNING,
            "out of pool: VM '%s' asked for %llu more %s; free some, or make the pool larger",
            vm->endpoint->name, (unsigned long long)count, page ? "pages" : "extents");
    }
    if (result < 0)
        return result;
    return (int64_t)endpoint_addr(vm->endpoint,
                                  pool_offset(&vm->engine->exchange.pool, units.first))
        .value;
}

static int64_t call_free(struct ferry_vm *vm, const uint64_t arg[])
{
    struct units units;
    int result =
        units_at(vm->endpoint, endpoint_offset(vm->endpoint, guest_addr(arg[0])), arg[1], &units);

    return result < 0 ? result : units_free(vm->endpoint, units);
}

static int64_t call_ready(struct ferry_vm *vm, const uint64_t arg[])
{
    (void)arg;
    return snapshot_ready(vm, vm->served);
}

static const guest_call calls[] = {
    [FERRY_CALL_WAIT] = call_wait,
    [FERRY_CALL_ALLOC] = call_alloc,
    [FERRY_CALL_FREE] = call_free,
    [FERRY_CALL_READY] = call_ready,
};

bool guest_calls_serve(struct ferry_vm *vm, struct vcpu *vcpu)
{
    const struct kvm_regs *regs = vcpu_regs(vcpu);
    const uint64_t arg[3] = {regs->rdi, regs->rsi, regs->rdx}, number = regs->rax;
    guest_call call = number < sizeof calls / sizeof *calls ? calls[number] : NULL;

    /* Messages are the first process's. */
    int64_t result = call && vm->process == &vm->first ? call(vm, arg) : -ENOSYS;

    if (result != INTERRUPTED) {
        vcpu_set_rax(vcpu, (uint64_t)result);
        return true;
    }
    vcpu->calls_again = true;
    vcpu_kick(vcpu); /* itself: the exit that follows at once takes the signal */
    return true;
}

void guest_calls_again(struct ferry_vm *vm, struct vcpu *vcpu)
{
    static const uint8_t out[] = {0xe6, FERRY_PORT_CALL};
    struct kvm_regs regs = *vcpu_regs(vcpu);
    uint8_t code[sizeof out];

    if (vm_copy_in(vm, code, guest_addr(regs.rip), sizeof code) == 0 &&
        memcmp(code, out, sizeof out) == 0)
        return; /* this KVM shows the instruction as not executed yet */
    regs.rip -= sizeof out;
    vcpu_set_regs(vcpu, &regs);
}
