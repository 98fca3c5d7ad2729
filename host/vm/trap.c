/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns what Linux does for a program that takes an exception, short of a signal: `int 0x80`, the
 * system call of 32-bit programs, which 64-bit ones may use too, and calls into the vsyscall page,
 * where old libraries find the time. It also shows a guest the identity of its peers when it looks.
 * Any other exception becomes the signal that Linux would send (fault.c).
 *
 * None of these has a gate or a page in the guest: a KVM that emulates ignores a gate for `int n`,
 * and the vsyscall page lies in the upper half of the addresses. So this file looks at the
 * instruction that was refused.
 */

#include "vm/trap.h"

#include <signal.h>
#include <sys/syscall.h>

#include "kvm/boot.h"
#include "linux/vm_linux.h"
#include "program/instruction.h"
#include "vm/fault.h"
#include "vm/identity.h"
#include "vm/kernel.h"
#include "vm/report.h"
#include "vm/syscall.h"

enum { INVALID_INSTRUCTION = 6, GENERAL_PROTECTION = 13 };

#define SYSCALL_INTERRUPT 0x80
/* Three entry points, 1 KiB apart. */
#define VSYSCALL_PAGE  0xffffffffff600000ull
#define VSYSCALL_STEPS 0xc00ull

/* The program takes a signal for it, or ends. */
static bool serve_exception(struct ferry_vm *vm, struct vcpu *vcpu, const struct boot_frame *frame,
                            int vector)
{
    struct fault fault;

    fault_of_exception(vm, vcpu, vector, frame, &fault);
    vcpu_resume(vcpu, vcpu_regs(vcpu)->rax, frame);
    return fault_serve(vm, vcpu, &fault);
}

/* The same for what the processor of this KVM may treat otherwise than that of Linux. */
static bool serve_as(struct ferry_vm *vm, struct vcpu *vcpu, const struct boot_frame *frame,
                     int signo, int vector, const char *why)
{
    int code = signo == SIGILL ? ILL_ILLOPN : SI_KERNEL;
    struct fault fault = fault_plain(signo, code, vector, frame, why);

    if (signo == SIGILL)
        fault.info.addr = frame->rip;
    vcpu_resume(vcpu, vcpu_regs(vcpu)->rax, frame);
    return fault_serve(vm, vcpu, &fault);
}

/* The system call that the entry point at `addr` stands for, or -1. */
static int vsyscall_at(uint64_t addr)
{
    static const int calls[] = {SYS_gettimeofday, SYS_time, SYS_getcpu};
    uint64_t step = (addr & VSYSCALL_STEPS) >> 10;

    return (addr & ~VSYSCALL_STEPS) == VSYSCALL_PAGE && step < 3 ? calls[step] : -1;
}

/* Makes the call at this entry point for the program, as the kernel does. True: the program goes
 * on. */
static bool serve_vsyscall(struct ferry_vm *vm, struct vcpu *vcpu, const struct boot_frame *frame,
                           int number)
{
    const struct kvm_regs *regs = vcpu_regs(vcpu);
    struct boot_frame caller = *frame;
    struct linux_call call = {.number = (uint64_t)number, .arg = {regs->rdi, regs->rsi}};

    if (vm_copy_in(vm, &caller.rip, guest_addr(frame->rsp), sizeof caller.rip) < 0) {
        return serve_as(vm, vcpu, frame, SIGSEGV, BOOT_PAGE_FAULT,
                        "called the vsyscall page without a stack");
    }
    caller.rsp += sizeof caller.rip;
    return syscall_serve_call(vm, vcpu, &call, &caller);
}

static bool serve_interrupt(struct ferry_vm *vm, struct vcpu *vcpu, const struct boot_frame *frame,
                            unsigned length)
{
    const struct kvm_regs *regs = vcpu_regs(vcpu);
    struct linux_call call = {
        .number = (uint32_t)regs->rax,
        .arg = {(uint32_t)regs->rbx, (uint32_t)regs->rcx, (uint32_t)regs->rdx, (uint32_t)regs->rsi,
                (uint32_t)regs->rdi, (uint32_t)regs->rbp},
        .from_int80 = true,
    };
    struct boot_frame next = *frame;

    next.rip += length;
    return syscall_serve_call(vm, vcpu, &call, &next);
}

/* Effects of privileged instructions and of `int n` differ from one KVM to another. */
static bool serve_refused(struct ferry_vm *vm, struct vcpu *vcpu, const struct boot_frame *frame,
                          int vector)
{
    uint8_t code[15], interrupt = 0, bytes = 0;
    size_t length = vm_copy_in_some(vm, code, guest_addr(frame->rip), sizeof code);

    switch (instruction_refused(code, length, &interrupt, &bytes)) {
    case INSTRUCTION_INTERRUPT:
        if (interrupt == SYSCALL_INTERRUPT)
            return serve_interrupt(vm, vcpu, frame, bytes);
        return serve_as(vm, vcpu, frame, SIGSEGV, GENERAL_PROTECTION,
                        "made an interrupt that programs must not make");
    case INSTRUCTION_MONITOR:
        return serve_as(vm, vcpu, frame, SIGILL, INVALID_INSTRUCTION,
                        "invalid instruction (monitor or mwait)");
    case INSTRUCTION_OTHER:
    default:
        return serve_exception(vm, vcpu, frame, vector);
    }
}

bool trap_serve(struct ferry_vm *vm, struct vcpu *vcpu)
{
    const struct kvm_regs *regs = vcpu_regs(vcpu);
    int vector = boot_vector(guest_addr(regs->rip)), call;
    struct boot_frame frame;

    if (vector < 0 || !boot_exception_frame(vm->guest->system, vcpu->number, guest_addr(regs->rsp),
                                            vector, &frame)) {
        report_crash(vm, vcpu, SIGSEGV, "exception with no frame");
        return false;
    }
    if (vm_kernel_trapped(vm, vcpu, &frame))
        return !vcpu->call_is_left || syscall_serve(vm, vcpu);
    call = vsyscall_at(frame.rip);
    if (vector == BOOT_PAGE_FAULT && call >= 0)
        return serve_vsyscall(vm, vcpu, &frame, call);
    /* The first touch of memory, the guest's first look at the identity of its peers, or a right that
     * the access has now: it is tried again. */
    if (vector == BOOT_PAGE_FAULT &&
        (fault_touches(vm, vcpu_fault_address(vcpu), frame.error) ||
         identity_show(vm, vcpu_fault_address(vcpu)) || fault_is_stale(vm, vcpu, &frame))) {
        vcpu_resume(vcpu, regs->rax, &frame);
        return true;
    }
    if (vector == INVALID_INSTRUCTION || vector == GENERAL_PROTECTION)
        return serve_refused(vm, vcpu, &frame, vector);
    return serve_exception(vm, vcpu, &frame, vector);
}
