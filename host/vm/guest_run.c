/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest runs: KVM_RUN and what each exit means. */

#include "vm/guest_run.h"

#include <errno.h>
#include <signal.h>

#include "ipc/drain.h"
#include "kvm/vcpu.h"
#include "lib/clock.h"
#include "vm/guest_calls.h"
#include "vm/report.h"
#include "vm/syscall.h"
#include "vm/trap.h"

/* How often a refused access with no visible reason is tried again: a page
 * may have come home between the access and the look at the books. */
#define REFUSED_RETRIES 8

/* True: the program goes on. */
static bool serve_port(struct ferry_vm *vm, struct vcpu *vcpu)
{
    switch (vcpu_exit_port(vcpu)) {
    case FERRY_PORT_DOORBELL:
        return true;
    case FERRY_PORT_CALL:
        vcpu_set_rax(vcpu, (uint64_t)guest_calls_serve(vm, vcpu_regs(vcpu)));
        return true;
    case FERRY_PORT_SYSCALL:
        return syscall_serve(vm, vcpu);
    case FERRY_PORT_EXCEPTION:
        return trap_serve(vm, vcpu);
    default:
        report_crash(vm, vcpu, SIGSEGV, "used a port");
        return false;
    }
}

/* A doorbell is an immediate exit; so is a plain write that was sent at its
 * own exit because delivery is immediate. All others are natural (claims 5, 6). */
static void count_exit(struct ferry_vm *vm, const struct vcpu *vcpu, bool io, uint64_t sent_before)
{
    uint64_t sent = atomic_load_explicit(&vm->endpoint->messages_sent, memory_order_relaxed);
    bool doorbell = io && vcpu_exit_port(vcpu) == FERRY_PORT_DOORBELL;
    bool write = io && vcpu_exit_port(vcpu) == FERRY_PORT_SYSCALL && sent != sent_before &&
                 vm->endpoint->delivery == FERRY_DELIVER_IMMEDIATE;

    atomic_fetch_add_explicit(doorbell || write ? &vm->runner.exits_immediate
                                                : &vm->runner.exits_natural,
                              1, memory_order_relaxed);
}

/* KVM may take an access that the host refused for one to a device. It cannot be tried
 * again, so it is the end also where no reason is to be seen any more. */
static void report_mmio(struct ferry_vm *vm, struct vcpu *vcpu)
{
    if (!report_refused(vm, vcpu))
        report_crash(vm, vcpu, SIGSEGV, "touched memory that the host refused");
}

/* KVM_RUN returned: true, the program goes on. */
static bool serve_exit(struct ferry_vm *vm, struct vcpu *vcpu)
{
    uint64_t sent = atomic_load_explicit(&vm->endpoint->messages_sent, memory_order_relaxed);
    uint32_t reason = vcpu_exit_reason(vcpu);
    bool io = reason == KVM_EXIT_IO;
    bool on = false;

    /* Everything that was queued is processed at this exit, whatever its cause. */
    drain_out(vm->endpoint);
    if (io)
        on = serve_port(vm, vcpu);
    else if (reason == KVM_EXIT_SHUTDOWN)
        report_crash(vm, vcpu, SIGSEGV, "triple fault");
    else if (reason == KVM_EXIT_MMIO)
        report_mmio(vm, vcpu);
    else if (reason == KVM_EXIT_FAIL_ENTRY)
        report_entry(vm, vcpu_entry_failure(vcpu));
    else if (reason == KVM_EXIT_INTERNAL_ERROR)
        report_internal(vm, "internal error", vcpu_internal_error(vcpu));
    else
        report_internal(vm, "exit", reason);
    count_exit(vm, vcpu, io, sent);
    return on;
}

/* A guest that was interrupted may have used up its processor time. */
static bool look_at_cpu(struct ferry_vm *vm)
{
    int status = 0;
    enum linux_next next = linux_interrupted(vm->personality, &status);

    return syscall_goes_on(vm, next, status);
}

/* KVM_RUN failed. True: the program goes on. KVM makes a thread for each VM when it first runs;
 * where the host allows no further thread, every try gives EAGAIN. */
static bool serve_error(struct ferry_vm *vm, struct vcpu *vcpu, int error, unsigned *refused)
{
    atomic_fetch_add_explicit(&vm->runner.exits_natural, 1, memory_order_relaxed);
    drain_out(vm->endpoint);
    if (error == -EINTR || (error == -EAGAIN && ++*refused < REFUSED_RETRIES)) {
        vcpu_take_kick();
        return !vm->cpu_watched || look_at_cpu(vm);
    }
    if (error != -EFAULT) {
        report_error(vm, error);
        return false;
    }
    if (report_refused(vm, vcpu))
        return false;
    if (++*refused < REFUSED_RETRIES)
        return true;
    report_crash(vm, vcpu, SIGSEGV, "touched memory that the host refused");
    return false;
}

void guest_run(struct ferry_vm *vm, struct vcpu *vcpu)
{
    unsigned refused = 0;
    bool on = true;

    while (on && !vm->stop) {
        atomic_store_explicit(&vm->runner.entered_ns, clock_now(), memory_order_relaxed);
        atomic_fetch_add(&vm->runner.in_guest, 1);
        if (!atomic_load(&vm->runner.watched)) /* in this order: see ticker.h */
            ticker_report(&vm->engine->ticker, &vm->runner);
        poller_guest_runs(&vm->engine->poller);
        pthread_mutex_unlock(&vm->runner.serving);
        int result = vcpu_run(vcpu);
        pthread_mutex_lock(&vm->runner.serving);
        atomic_fetch_sub(&vm->runner.in_guest, 1);
        if (result < 0) {
            on = serve_error(vm, vcpu, result, &refused);
        } else {
            refused = 0;
            on = serve_exit(vm, vcpu);
        }
    }
    if (vm->stop && (on || vm->exit.how == 0))
        report_stop(vm);
}
