/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest that is a program: what each of its exits means. */
#include <linux/kvm.h>
#include <signal.h>

#include <ferry/abi/layout.h>

#include "linux/vm_linux.h"
#include "vm/fault.h"
#include "vm/guest_calls.h"
#include "vm/guest_kind.h"
#include "vm/kernel.h"
#include "vm/report.h"
#include "vm/syscall.h"
#include "vm/trap.h"
#include "vm/vm.h"

/* A doorbell. Messages are taken before any exit is served, so nothing is left to do. */
static bool serve_doorbell(struct ferry_vm *vm, struct vcpu *vcpu)
{
    (void)vm;
    (void)vcpu;
    return true;
}

/* The guest kernel wrote what a receiver waits for, and the call has ended. */
static bool serve_wrote(struct ferry_vm *vm, struct vcpu *vcpu)
{
    const struct kvm_regs *regs = vcpu_regs(vcpu);
    const struct boot_frame next = {.rip = regs->rcx, .rsp = regs->rsp, .rflags = regs->r11};

    vcpu_resume(vcpu, regs->rax, &next);
    endpoint_pull_stream(vm->endpoint);
    return true;
}

static bool serve_other_port(struct ferry_vm *vm, struct vcpu *vcpu)
{
    report_crash(vm, vcpu, SIGSEGV, "used a port");
    return false;
}

static bool serve_triple_fault(struct ferry_vm *vm, struct vcpu *vcpu)
{
    report_crash(vm, vcpu, SIGSEGV, "triple fault");
    return false;
}

static const char refused_text[] = "touched memory that the host refused";

static bool refused_for_good(struct ferry_vm *vm, struct vcpu *vcpu)
{
    struct fault fault;

    if (fault_touches_around(vm, vcpu))
        return true;
    if (fault_of_live(vm, vcpu, refused_text, &fault))
        return fault_serve(vm, vcpu, &fault);
    report_crash(vm, vcpu, SIGSEGV, refused_text);
    return false;
}

static enum refusal refused(struct ferry_vm *vm, struct vcpu *vcpu)
{
    struct fault fault;

    if (!fault_of_refused(vm, vcpu, &fault))
        return REFUSAL_UNSEEN;
    return fault_serve(vm, vcpu, &fault) ? REFUSAL_SERVED : REFUSAL_ENDS;
}

/* Makes the access for the guest if it is the first touch of memory that is charged by touch. */
static bool touches_by_mmio(struct ferry_vm *vm, struct vcpu *vcpu)
{
    struct guest_addr addr = guest_addr(vcpu_exit_at(vcpu));
    uint32_t bytes;
    bool write;
    void *data = vcpu_mmio(vcpu, &bytes, &write);

    if (!space_is_by_touch(&vm->guest->space, addr))
        return false;
    return (write ? vm_copy_out(vm, addr, data, bytes) : vm_copy_in(vm, data, addr, bytes)) == 0;
}

/* KVM may treat an access that the host refused as one to a device. It cannot be tried again, so it
 * ends the program even if no reason can be found any more. */
static bool serve_mmio(struct ferry_vm *vm, struct vcpu *vcpu)
{
    struct fault fault;

    /* First: a copy of the guest kernel does not go on once its CPU has left. */
    if (vm_kernel_mmio(vm, vcpu))
        return !vcpu->call_is_left || syscall_serve(vm, vcpu);
    if (touches_by_mmio(vm, vcpu))
        return true;
    if (fault_of_refused(vm, vcpu, &fault))
        report_fault(vm, &fault);
    else
        report_crash(vm, vcpu, SIGSEGV, refused_text);
    return false;
}

/* A guest that was interrupted may have used up its processor time, or a signal may wait for it. In
 * a stub, the exit that follows at once takes the signal. */
static bool interrupted(struct ferry_vm *vm, struct vcpu *vcpu)
{
    enum linux_next next = LINUX_RESUME;
    bool again = vcpu->calls_again; /* even if another thread took the signal meanwhile */
    int status = 0;

    vcpu->calls_again = false;
    if (atomic_exchange(&vm->cpu_reached, false))
        next = linux_interrupted(vm->process->personality, vcpu->runs, &status);
    if (next == LINUX_RESUME && vcpu->runs &&
        (again || linux_has_signal(vm->process->personality, vcpu->runs)) &&
        vcpu_refresh(vcpu) == 0 && vcpu_in_program(vcpu)) {
        if (again)
            guest_calls_again(vm, vcpu);
        next = linux_deliver(vm->process->personality, vcpu->runs, vcpu, &status);
    }
    return syscall_goes_on(vm, vcpu, next, status);
}

static const struct guest_exit exits[] = {
    {EXIT_PORT(FERRY_PORT_SYSCALL), syscall_serve, EXIT_IMMEDIATE_IF_SENT, CAUSE_SYSCALL},
    {EXIT_PORT(FERRY_PORT_CALL), guest_calls_serve, EXIT_NATURAL, CAUSE_CALL},
    {EXIT_PORT(FERRY_PORT_DOORBELL), serve_doorbell, EXIT_IMMEDIATE, CAUSE_DOORBELL},
    {EXIT_PORT(FERRY_PORT_EXCEPTION), trap_serve, EXIT_NATURAL, CAUSE_EXCEPTION},
    {EXIT_PORT(FERRY_PORT_WROTE), serve_wrote, EXIT_NATURAL, CAUSE_SYSCALL},
    {EXIT_ANY(KVM_EXIT_IO), serve_other_port, EXIT_NATURAL, CAUSE_OTHER},
    {EXIT_ANY(KVM_EXIT_SHUTDOWN), serve_triple_fault, EXIT_NATURAL, CAUSE_OTHER},
    {EXIT_ANY(KVM_EXIT_MMIO), serve_mmio, EXIT_NATURAL, CAUSE_MMIO},
};

const struct guest_kind guest_program = {
    .exits = exits,
    .exit_count = sizeof exits / sizeof *exits,
    .interrupted = interrupted,
    .refused = refused,
    .refused_for_good = refused_for_good,
};
