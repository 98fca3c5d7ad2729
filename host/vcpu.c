/* SPDX-License-Identifier: BSD-2-Clause */
/* The virtual CPU: KVM_RUN and what each exit means. */

#include "vcpu.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "boot.h"
#include "clock.h"
#include "drain.h"
#include "engine.h"
#include "error.h"
#include "guest_calls.h"
#include "queue.h"
#include "report.h"
#include "rlimits.h"
#include "trap.h"
#include "vm_linux.h"

/* How often a refused access with no visible reason is tried again: a page
 * may have come home between the access and the look at the books. */
#define REFUSED_RETRIES 8

int vcpu_kick_signal(void)
{
    return SIGRTMIN;
}

/* --- making it ----------------------------------------------------------- */

/* Lets the kick signal through while the guest runs, and only then: it is
 * blocked otherwise, so one that comes early is not lost but ends the next
 * KVM_RUN at once. */
static int set_signal_mask(int vcpu_fd)
{
    _Alignas(8) char space[sizeof(struct kvm_signal_mask) + sizeof(uint64_t)];
    struct kvm_signal_mask *mask = (struct kvm_signal_mask *)space;
    uint64_t blocked = ~(1ull << (vcpu_kick_signal() - 1));

    mask->len = sizeof blocked;
    memcpy(mask->sigset, &blocked, sizeof blocked);
    return ioctl(vcpu_fd, KVM_SET_SIGNAL_MASK, mask) < 0 ? -errno : 0;
}

/* KVM sets them one after the other, and says at how many it stopped. */
static int set_msrs(struct ferry_vm *vm, struct ferry_error *err)
{
    _Alignas(8) char space[sizeof(struct kvm_msrs) + BOOT_MSRS * sizeof(struct kvm_msr_entry)];
    struct kvm_msrs *msrs = (struct kvm_msrs *)space;

    *msrs = (struct kvm_msrs){.nmsrs = BOOT_MSRS};
    boot_msrs(msrs->entries);
    int set = ioctl(vm->vcpu_fd, KVM_SET_MSRS, msrs);
    if (set < 0)
        return -errno;
    if (set < BOOT_MSRS)
        return error_set(err, -EIO, "this KVM does not set model-specific register 0x%x",
                         msrs->entries[set].index);
    return 0;
}

static int set_state(struct ferry_vm *vm, uint64_t rip, uint64_t rsp, struct ferry_error *err)
{
    struct kvm_xcrs xcrs = {.nr_xcrs = 1, .xcrs[0].value = vm->engine->xcr0};
    struct kvm_sregs sregs;
    struct kvm_regs regs;

    boot_regs(&regs, rip, rsp);
    /* CPUID first: newer kernels refuse it once the special registers are set. */
    if (ioctl(vm->vcpu_fd, KVM_SET_CPUID2, vm->engine->cpuid) < 0 ||
        ioctl(vm->vcpu_fd, KVM_GET_SREGS, &sregs) < 0)
        return -errno;
    boot_sregs(&sregs);
    if (ioctl(vm->vcpu_fd, KVM_SET_SREGS, &sregs) < 0 ||
        ioctl(vm->vcpu_fd, KVM_SET_REGS, &regs) < 0)
        return -errno;
    int result = set_msrs(vm, err);
    if (result < 0)
        return result;
    if (vm->engine->xcr0 && ioctl(vm->vcpu_fd, KVM_SET_XCRS, &xcrs) < 0)
        return -errno;
    return set_signal_mask(vm->vcpu_fd);
}

static int create(struct ferry_vm *vm, uint64_t rip, uint64_t rsp, struct ferry_error *err)
{
    vm->vcpu_fd = ioctl(vm->vm_fd, KVM_CREATE_VCPU, 0);
    if (vm->vcpu_fd < 0)
        return -errno;
    struct kvm_run *run = mmap(NULL, (size_t)vm->engine->vcpu_mmap_bytes, PROT_READ | PROT_WRITE,
                               MAP_SHARED, vm->vcpu_fd, 0);
    if (run == MAP_FAILED)
        return -errno;
    vm->run = run;
    /* Segments too: CS tells at which privilege level `syscall` arrived. */
    vm->run->kvm_valid_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
    return set_state(vm, rip, rsp, err);
}

int vcpu_create(struct ferry_vm *vm, uint64_t rip, uint64_t rsp, struct ferry_error *err)
{
    struct ferry_error why = {""};
    int result = create(vm, rip, rsp, &why);

    return result < 0 ? error_set(err, result, "cannot make a virtual CPU: %s",
                                  why.text[0] ? why.text : strerror(-result))
                      : 0;
}

void vcpu_destroy(struct ferry_vm *vm)
{
    if (vm->run)
        munmap(vm->run, (size_t)vm->engine->vcpu_mmap_bytes);
    if (vm->vcpu_fd >= 0)
        close(vm->vcpu_fd);
    if (vm->vm_fd >= 0)
        close(vm->vm_fd);
}

uint64_t vcpu_ticks(const struct ferry_vm *vm, uint64_t nanoseconds)
{
    int khz = ioctl(vm->vcpu_fd, KVM_GET_TSC_KHZ, 0);

    return khz > 0 ? nanoseconds * (uint64_t)khz / 1000000 : 0;
}

/* --- what the personality may ask ----------------------------------------- */

/* By the synchronized registers only: resume may write them back, and would
 * undo what was set by other means. */
uint64_t vm_fs(struct ferry_vm *vm)
{
    return vm->run->s.regs.sregs.fs.base;
}

uint64_t vm_gs(struct ferry_vm *vm)
{
    return vm->run->s.regs.sregs.gs.base;
}

uint64_t vm_stack_pointer(struct ferry_vm *vm)
{
    return vm->run->s.regs.regs.rsp;
}

void vm_set_fs(struct ferry_vm *vm, uint64_t base)
{
    vm->run->s.regs.sregs.fs.base = base;
    vm->run->kvm_dirty_regs |= KVM_SYNC_X86_SREGS;
}

void vm_set_gs(struct ferry_vm *vm, uint64_t base)
{
    vm->run->s.regs.sregs.gs.base = base;
    vm->run->kvm_dirty_regs |= KVM_SYNC_X86_SREGS;
}

/* --- exits ------------------------------------------------------------------ */

static void finish(struct ferry_vm *vm, enum ferry_ended how, int status, int signo)
{
    struct ferry_link *out = vm->endpoint->stream_out;

    vm->exit.how = how;
    vm->exit.status = status;
    vm->exit.signo = signo;
    vm->exit.output_unread = out && queue_unread(out);
}

void vcpu_report_stop(struct ferry_vm *vm)
{
    int stop = vm->stop;

    if (stop == STOP_TIMEOUT) {
        finish(vm, FERRY_ENDED_TIMEOUT, STATUS_TIMEOUT, 0);
        snprintf(vm->exit.text, sizeof vm->exit.text,
                 "stopped: still running after its time limit of %g s",
                 (double)vm->timeout_ns / 1e9);
    } else {
        finish(vm, FERRY_ENDED_STOPPED, 128 + stop, stop);
        snprintf(vm->exit.text, sizeof vm->exit.text, "stopped by SIG%s",
                 sigabbrev_np(stop) ? sigabbrev_np(stop) : "?");
    }
}

static void finish_signal(struct ferry_vm *vm, int signo)
{
    finish(vm, FERRY_ENDED_SIGNAL, 128 + signo, signo);
    if (signo == SIGPIPE && vm->exit.output_unread)
        snprintf(vm->exit.text, sizeof vm->exit.text,
                 "ended by SIGPIPE: what it writes is read no more");
    else
        snprintf(vm->exit.text, sizeof vm->exit.text, "ended by SIG%s",
                 sigabbrev_np(signo) ? sigabbrev_np(signo) : "?");
}

void vcpu_resume(struct ferry_vm *vm, uint64_t rax, const struct boot_frame *next)
{
    struct kvm_regs *regs = &vm->run->s.regs.regs;

    regs->rax = rax;
    regs->rip = next->rip;
    regs->rsp = next->rsp;
    regs->rflags = boot_user_flags(next->rflags);
    vm->run->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
    if ((vm->run->s.regs.sregs.cs.selector & 3) != 3) {
        boot_user_segments(&vm->run->s.regs.sregs);
        vm->run->kvm_dirty_regs |= KVM_SYNC_X86_SREGS;
    }
}

/* Does what the personality says of the program. True: the program goes on. */
static bool goes_on(struct ferry_vm *vm, enum linux_next next, int status)
{
    switch (next) {
    case LINUX_RESUME:
        return true;
    case LINUX_EXIT:
        finish(vm, FERRY_ENDED_EXIT, status & 0xff, 0);
        snprintf(vm->exit.text, sizeof vm->exit.text, "exit status %d", status & 0xff);
        return false;
    case LINUX_SIGNAL:
        finish_signal(vm, status);
        return false;
    case LINUX_STOPPED:
    default:
        return false; /* vm->stop says why */
    }
}

bool vcpu_serve_linux(struct ferry_vm *vm, struct linux_call *call, const struct boot_frame *next)
{
    enum linux_next how = linux_serve(vm->personality, call);

    if (how == LINUX_RESUME)
        vcpu_resume(vm, (uint64_t)call->result, next);
    return goes_on(vm, how, call->status);
}

/* True: the program goes on, after its `syscall`. */
static bool serve_syscall(struct ferry_vm *vm)
{
    const struct kvm_regs *regs = &vm->run->s.regs.regs;
    const struct boot_frame next = {.rip = regs->rcx, .rsp = regs->rsp, .rflags = regs->r11};
    struct linux_call call = {
        .number = regs->rax,
        .arg = {regs->rdi, regs->rsi, regs->rdx, regs->r10, regs->r8, regs->r9},
    };

    return vcpu_serve_linux(vm, &call, &next);
}

/* True: the program goes on. */
static bool serve_port(struct ferry_vm *vm)
{
    struct kvm_regs *regs = &vm->run->s.regs.regs;

    switch (vm->run->io.port) {
    case FERRY_PORT_DOORBELL:
        return true;
    case FERRY_PORT_CALL:
        regs->rax = (uint64_t)guest_calls_serve(vm, regs);
        vm->run->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
        return true;
    case FERRY_PORT_SYSCALL:
        return serve_syscall(vm);
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
    bool doorbell = io && vm->run->io.port == FERRY_PORT_DOORBELL;
    bool write = io && vm->run->io.port == FERRY_PORT_SYSCALL && sent != sent_before &&
                 vm->endpoint->delivery == FERRY_DELIVER_IMMEDIATE;

    atomic_fetch_add_explicit(doorbell || write ? &vm->exits_immediate : &vm->exits_natural, 1,
                              memory_order_relaxed);
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

static void report_internal(struct ferry_vm *vm, const char *what, unsigned code)
{
    finish(vm, FERRY_ENDED_FAULT, STATUS_FAULT, 0);
    snprintf(vm->exit.text, sizeof vm->exit.text, "KVM could not run it further: %s %u", what,
             code);
}

/* The processor would not enter the guest; its maker's manual tells what the number means. */
static void report_entry(struct ferry_vm *vm)
{
    finish(vm, FERRY_ENDED_FAULT, STATUS_FAULT, 0);
    snprintf(vm->exit.text, sizeof vm->exit.text,
             "KVM could not run it further: the processor refused to enter it, hardware reason "
             "0x%llx",
             vm->run->fail_entry.hardware_entry_failure_reason);
}

static void report_error(struct ferry_vm *vm, int error)
{
    finish(vm, FERRY_ENDED_FAULT, STATUS_FAULT, 0);
    snprintf(vm->exit.text, sizeof vm->exit.text, "KVM could not run it further: %s",
             strerror(error));
    rlimits_advise(vm->exit.text, sizeof vm->exit.text, -error);
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
    bool io = vm->run->exit_reason == KVM_EXIT_IO;
    bool on = false;

    /* Everything that was queued is processed at this exit, whatever its cause. */
    drain_out(vm->endpoint);
    if (io)
        on = serve_port(vm);
    else if (vm->run->exit_reason == KVM_EXIT_SHUTDOWN)
        report_crash(vm, SIGSEGV, "triple fault");
    else if (vm->run->exit_reason == KVM_EXIT_MMIO)
        report_mmio(vm);
    else if (vm->run->exit_reason == KVM_EXIT_FAIL_ENTRY)
        report_entry(vm);
    else if (vm->run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
        report_internal(vm, "internal error", vm->run->internal.suberror);
    else
        report_internal(vm, "exit", vm->run->exit_reason);
    count_exit(vm, io, sent);
    return on;
}

/* A guest that was interrupted may have used up its processor time. */
static bool look_at_cpu(struct ferry_vm *vm)
{
    int status = 0;
    enum linux_next next = linux_interrupted(vm->personality, &status);

    return goes_on(vm, next, status);
}

/* KVM_RUN failed. True: the program goes on. KVM makes a thread for each VM when it first runs;
 * where the host allows no further thread, every try gives EAGAIN. */
static bool serve_error(struct ferry_vm *vm, int error, unsigned *refused)
{
    atomic_fetch_add_explicit(&vm->exits_natural, 1, memory_order_relaxed);
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

void vcpu_run(struct ferry_vm *vm)
{
    unsigned refused = 0;
    bool on = true;

    while (on && !vm->stop) {
        atomic_store_explicit(&vm->entered_ns, clock_now(), memory_order_relaxed);
        atomic_store(&vm->in_guest, true);
        if (!atomic_load(&vm->watched)) /* in this order: see ticker.h */
            ticker_report(&vm->engine->ticker, vm);
        poller_guest_runs(&vm->engine->poller);
        pthread_mutex_unlock(&vm->serving);
        int result = ioctl(vm->vcpu_fd, KVM_RUN, 0);
        int error = errno;
        pthread_mutex_lock(&vm->serving);
        atomic_store(&vm->in_guest, false);
        vm->run->kvm_dirty_regs = 0;
        if (result < 0) {
            on = serve_error(vm, error, &refused);
        } else {
            refused = 0;
            on = serve_exit(vm);
        }
    }
    if (vm->stop && (on || vm->exit.how == 0))
        vcpu_report_stop(vm);
}
