/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest runs: KVM_RUN, and looking up what each exit means. */

#include "vm/guest_run.h"

#include <errno.h>

#include "ipc/drain.h"
#include "kvm/vcpu.h"
#include "lib/clock.h"
#include "linux/vm_linux.h"
#include "vm/guest_kind.h"
#include "vm/kernel.h"
#include "vm/report.h"
#include "vm/syscall.h"
#include "vm/turn.h"

/* How often a refused access with no visible reason is tried again: a page
 * may have come home between the access and the look at the books. */
#define REFUSED_RETRIES 8

/* Accesses that were refused with no visible reason since the last exit. */
struct refusals {
    unsigned count;
    uint64_t changes; /* of the program's memory, until the last of them */
};

/* Whether there may be one more. One that another thread's change of the program's memory explains
 * does not count: such changes may go on for as long as the program wants. */
static bool may_retry(const struct ferry_vm *vm, struct refusals *refusals)
{
    if (refusals->changes != vm->guest->space.changes)
        refusals->count = 0;
    refusals->changes = vm->guest->space.changes;
    return ++refusals->count < REFUSED_RETRIES;
}

/* NULL: an exit that no guest of this kind should make. */
static const struct guest_exit *find_exit(const struct guest_kind *kind, const struct vcpu *vcpu)
{
    uint32_t reason = vcpu_exit_reason(vcpu);
    uint64_t at = vcpu_exit_at(vcpu);

    for (size_t i = 0; i < kind->exit_count; i++) {
        const struct guest_exit *exit = &kind->exits[i];
        if (exit->reason == reason && at - exit->at < exit->bytes)
            return exit;
    }
    return NULL;
}

/* KVM could not run the guest further, whatever its kind. */
static bool serve_failure(struct ferry_vm *vm, const struct vcpu *vcpu)
{
    uint32_t reason = vcpu_exit_reason(vcpu);

    if (reason == KVM_EXIT_FAIL_ENTRY)
        report_entry(vm, vcpu_entry_failure(vcpu));
    else if (reason == KVM_EXIT_INTERNAL_ERROR)
        report_internal(vm, "internal error", vcpu_internal_error(vcpu));
    else
        report_internal(vm, "exit", reason);
    return false;
}

/* A doorbell is an immediate exit; so is a plain write that was sent at its
 * own exit because delivery is immediate. All others are natural (claims 5, 6). */
static void count_exit(struct ferry_vm *vm, enum exit_count count, enum exit_cause cause,
                       uint64_t sent_before)
{
    uint64_t sent = atomic_load_explicit(&vm->endpoint->messages_sent, memory_order_relaxed);
    bool doorbell = count == EXIT_IMMEDIATE;
    bool write = count == EXIT_IMMEDIATE_IF_SENT && sent != sent_before &&
                 vm->endpoint->delivery == FERRY_DELIVER_IMMEDIATE;

    atomic_fetch_add_explicit(doorbell || write ? &vm->runner.exits_immediate
                                                : &vm->runner.exits_natural,
                              1, memory_order_relaxed);
    atomic_fetch_add_explicit(&vm->exits[cause], 1, memory_order_relaxed);
}

/* Serves an exit after KVM_RUN returned. True: the guest goes on. */
static bool serve_exit(struct ferry_vm *vm, struct vcpu *vcpu)
{
    const struct guest_exit *exit = find_exit(vm->kind, vcpu);
    uint64_t sent = atomic_load_explicit(&vm->endpoint->messages_sent, memory_order_relaxed);

    /* All queued messages are processed at this exit, whatever its cause. */
    drain_out(vm->endpoint);
    bool on = exit ? exit->serve(vm, vcpu) : serve_failure(vm, vcpu);
    count_exit(vm, exit ? exit->count : EXIT_NATURAL, exit ? exit->cause : CAUSE_OTHER, sent);
    return on;
}

static enum exit_cause cause_of_error(int error)
{
    return error == -EINTR ? CAUSE_KICK : error == -EFAULT ? CAUSE_REFUSED : CAUSE_OTHER;
}

/* The host's page table refused an access. True: the guest goes on. */
static bool serve_refusal(struct ferry_vm *vm, struct vcpu *vcpu, struct refusals *refusals)
{
    enum refusal refusal = vm->kind->refused(vm, vcpu);

    if (refusal == REFUSAL_UNSEEN && may_retry(vm, refusals))
        return true;
    refusals->count = 0; /* the next one is another, if there is one */
    return refusal == REFUSAL_UNSEEN ? vm->kind->refused_for_good(vm, vcpu)
                                     : refusal == REFUSAL_SERVED;
}

/* KVM_RUN failed. True: the guest goes on. KVM makes a thread for each VM when it first runs;
 * where the host allows no further thread, every try gives EAGAIN. */
static bool serve_error(struct ferry_vm *vm, struct vcpu *vcpu, int error,
                        struct refusals *refusals)
{
    uint64_t sent = atomic_load_explicit(&vm->endpoint->messages_sent, memory_order_relaxed);

    count_exit(vm, EXIT_NATURAL, cause_of_error(error), sent);
    drain_out(vm->endpoint);
    if (error == -EINTR || (error == -EAGAIN && ++refusals->count < REFUSED_RETRIES)) {
        vcpu_take_kick();
        return vm->kind->interrupted(vm, vcpu);
    }
    if (error != -EFAULT) {
        report_error(vm, error);
        return false;
    }
    if (vcpu->call_is_left)
        return syscall_serve(vm, vcpu);
    return serve_refusal(vm, vcpu, refusals);
}

/* The guest runs on this CPU until it makes an exit. What another CPU does meanwhile was not
 * processed by then, so only the first one that enters counts as an entry of the guest. */
static int stay(struct ferry_vm *vm, struct vcpu *vcpu)
{
    struct runner *runner = &vm->runner;

    if (atomic_load(&runner->in_guest) == 0)
        atomic_store_explicit(&runner->entered_ns, clock_now(), memory_order_relaxed);
    atomic_fetch_add(&runner->in_guest, 1);
    atomic_store(&vcpu->in_guest, true);
    if (!atomic_load(&runner->watched)) /* in this order: see ticker.h */
        ticker_report(&vm->engine->ticker, runner);
    poller_guest_runs(&vm->engine->poller);
    guest_clock_refresh(&vm->engine->clock);
    vcpu->call_is_left = false; /* whoever ran here before */
    int result = vm_kernel_enter(vm, vcpu);
    vcpu->is_away = true;
    vm_give_way(vm, vcpu);
    if (result == 0)
        result = vcpu_run(vcpu);
    atomic_store(&vcpu->in_guest, false);
    vm_serve(vm, vcpu);
    atomic_fetch_sub(&runner->in_guest, 1);
    vcpu->is_away = false;
    vm_kernel_left(vm, vcpu, result);
    return result;
}

void guest_run(struct ferry_vm *vm, struct vcpu *vcpu)
{
    struct refusals refusals = {0};
    bool on = true;

    while (on && !vm->stop && !vm_must_leave(vm, vcpu)) {
        int result = stay(vm, vcpu);
        if (vm_must_leave(vm, vcpu))
            break;
        if (result < 0) {
            on = serve_error(vm, vcpu, result, &refusals);
        } else {
            refusals.count = 0;
            on = serve_exit(vm, vcpu);
        }
        if (on && vm->process->memory_is_used_up) {
            report_memory(vm);
            on = false;
        }
        if (on && vcpu->runs)
            vm_stand_still(vm);
    }
    if (vm->stop && !vm->process->ending && (on || vm->process->exit.how == 0))
        report_stop(vm);
}
