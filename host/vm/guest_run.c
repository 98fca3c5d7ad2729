/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest runs: KVM_RUN and what each exit means. */

#include "vm/guest_run.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

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
static bool serve_port(struct ferry_vm *vm)
{
    struct kvm_regs *regs = &vm->vcpu.run->s.regs.regs;

    switch (vm->vcpu.run->io.port) {
    case FERRY_PORT_DOORBELL:
        return true;
    case FERRY_PORT_CALL:
        regs->rax = (uint64_t)guest_calls_serve(vm, regs);
        vm->vcpu.run->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
        return true;
    case FERRY_PORT_SYSCALL:
        return syscall_serve(vm);
    case FERRY_PORT_EXCEPTION:
        return trap_serve(vm);
    default:
        report_crash(vm, SIGSEGV, "used a port");
        return false;
    }
}

/* A doorbell is an immediate exit; so is a plain write that was sent at its
 * own exit because delivery is immediate. All others are natural (claims 5, 6). */
static void count_exit(struct ferry_vm *vm, bool io, uint64_t sent_before)
{
    uint64_t sent = atomic_load_explicit(&vm->endpoint->messages_sent, memory_order_relaxed);
    bool doorbell = io && vm->vcpu.run->io.port == FERRY_PORT_DOORBELL;
    bool write = io && vm->vcpu.run->io.port == FERRY_PORT_SYSCALL && sent != sent_before &&
                 vm->endpoint->delivery == FERRY_DELIVER_IMMEDIATE;

    atomic_fetch_add_explicit(doorbell || write ? &vm->runner.exits_immediate
                                                : &vm->runner.exits_natural,
                              1, memory_order_relaxed);
}

/* Takes the kick signal that ended KVM_RUN off the thread's list. */
static void take_kick(void)
{
    const struct timespec none = {0};
    sigset_t kick;

    sigemptyset(&kick);
    sigaddset(&kick, vcpu_kick_signal());
    while (sigtimedwait(&kick, NULL, &none) > 0)
        ;
}

/* KVM may take an access that the host refused for one to a device. It cannot be tried
 * again, so it is the end also where no reason is to be seen any more. */
static void report_mmio(struct ferry_vm *vm)
{
    if (!report_refused(vm))
        report_crash(vm, SIGSEGV, "touched memory that the host refused");
}

/* KVM_RUN returned: true, the program goes on. */
static bool serve_exit(struct ferry_vm *vm)
{
    uint64_t sent = atomic_load_explicit(&vm->endpoint->messages_sent, memory_order_relaxed);
    bool io = vm->vcpu.run->exit_reason == KVM_EXIT_IO;
    bool on = false;

    /* Everything that was queued is processed at this exit, whatever its cause. */
    drain_out(vm->endpoint);
    if (io)
        on = serve_port(vm);
    else if (vm->vcpu.run->exit_reason == KVM_EXIT_SHUTDOWN)
        report_crash(vm, SIGSEGV, "triple fault");
    else if (vm->vcpu.run->exit_reason == KVM_EXIT_MMIO)
        report_mmio(vm);
    else if (vm->vcpu.run->exit_reason == KVM_EXIT_FAIL_ENTRY)
        report_entry(vm);
    else if (vm->vcpu.run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
        report_internal(vm, "internal error", vm->vcpu.run->internal.suberror);
    else
        report_internal(vm, "exit", vm->vcpu.run->exit_reason);
    count_exit(vm, io, sent);
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
static bool serve_error(struct ferry_vm *vm, int error, unsigned *refused)
{
    atomic_fetch_add_explicit(&vm->runner.exits_natural, 1, memory_order_relaxed);
    drain_out(vm->endpoint);
    if (error == EINTR || (error == EAGAIN && ++*refused < REFUSED_RETRIES)) {
        take_kick();
        return !vm->cpu_watched || look_at_cpu(vm);
    }
    if (error != EFAULT) {
        report_error(vm, error);
        return false;
    }
    if (report_refused(vm))
        return false;
    if (++*refused < REFUSED_RETRIES)
        return true;
    report_crash(vm, SIGSEGV, "touched memory that the host refused");
    return false;
}

void guest_run(struct ferry_vm *vm)
{
    unsigned refused = 0;
    bool on = true;

    while (on && !vm->stop) {
        atomic_store_explicit(&vm->runner.entered_ns, clock_now(), memory_order_relaxed);
        atomic_store(&vm->runner.in_guest, true);
        if (!atomic_load(&vm->runner.watched)) /* in this order: see ticker.h */
            ticker_report(&vm->engine->ticker, &vm->runner);
        poller_guest_runs(&vm->engine->poller);
        pthread_mutex_unlock(&vm->runner.serving);
        int result = ioctl(vm->vcpu.fd, KVM_RUN, 0);
        int error = errno;
        pthread_mutex_lock(&vm->runner.serving);
        atomic_store(&vm->runner.in_guest, false);
        vm->vcpu.run->kvm_dirty_regs = 0;
        if (result < 0) {
            on = serve_error(vm, error, &refused);
        } else {
            refused = 0;
            on = serve_exit(vm);
        }
    }
    if (vm->stop && (on || vm->exit.how == 0))
        report_stop(vm);
}
