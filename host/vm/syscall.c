/* SPDX-License-Identifier: BSD-2-Clause */
/* System calls of the program: from its registers to the personality, and back. */
#include "vm/syscall.h"

#include "linux/vm_linux.h"
#include "vm/kernel.h"
#include "vm/report.h"
#include "vm/snapshot.h"
#include "vm/turn.h"

uint64_t vm_fs(struct vcpu *cpu)
{
    return vcpu_fs(cpu);
}

uint64_t vm_gs(struct vcpu *cpu)
{
    return vcpu_gs(cpu);
}

uint64_t vm_stack_pointer(struct vcpu *cpu)
{
    return vcpu_regs(cpu)->rsp;
}

const struct kvm_regs *vm_regs(struct vcpu *cpu)
{
    return vcpu_regs(cpu);
}

void vm_set_regs(struct vcpu *cpu, const struct kvm_regs *regs)
{
    struct kvm_regs safe = *regs;

    safe.rflags = boot_user_flags(regs->rflags);
    vcpu_set_regs(cpu, &safe);
}

void vm_set_result(struct vcpu *cpu, uint64_t value)
{
    vcpu_set_rax(cpu, value);
}

_Static_assert(VM_VECTORS_MOST == VCPU_XSAVE_MOST, "they are the same bytes");

uint64_t vm_vectors_parts(struct vcpu *cpu)
{
    return cpu->xcr0;
}

uint32_t vm_vectors_bytes(struct vcpu *cpu)
{
    return cpu->xsave_bytes;
}

int vm_vectors(struct vcpu *cpu, void *area)
{
    return vcpu_vectors(cpu, area);
}

int vm_set_vectors(struct vcpu *cpu, const void *area)
{
    return vcpu_set_vectors(cpu, area);
}

void vm_set_fs(struct vcpu *cpu, uint64_t base)
{
    vcpu_set_fs(cpu, base);
}

void vm_set_gs(struct vcpu *cpu, uint64_t base)
{
    vcpu_set_gs(cpu, base);
}

bool syscall_goes_on(struct ferry_vm *vm, struct vcpu *vcpu, enum linux_next next, int status)
{
    if (next == LINUX_ENDED)
        vcpu->runs = NULL; /* first, as nobody may end a second time what is gone */
    if (vm_must_leave(vm, vcpu))
        return false; /* another thread ended the program during a wait of this one */
    switch (next) {
    case LINUX_RESUME:
        return true;
    case LINUX_EXIT:
        report_exit(vm, status);
        return false;
    case LINUX_SIGNAL:
        report_signal(vm, status);
        return false;
    case LINUX_ENDED:
        return false;
    case LINUX_STOPPED:
    default:
        return false; /* vm->stop says why */
    }
}

bool syscall_serve_call(struct ferry_vm *vm, struct vcpu *vcpu, struct linux_call *call,
                        const struct boot_frame *next)
{
    call->cpu = vcpu;
    call->thread = vcpu->runs;
    /* First, so that the personality sees and changes the registers of the program. */
    vcpu_resume(vcpu, vcpu_regs(vcpu)->rax, next);
    snapshot_before_call(vm, vcpu, call);
    enum linux_next how = linux_serve(vm->process->personality, call);

    return syscall_goes_on(vm, vcpu, how, call->status);
}

bool syscall_serve(struct ferry_vm *vm, struct vcpu *vcpu)
{
    const struct kvm_regs *regs = vcpu_regs(vcpu);
    const struct boot_frame next = {.rip = regs->rcx, .rsp = regs->rsp, .rflags = regs->r11};
    struct linux_call call = {
        .number = regs->rax,
        .arg = {regs->rdi, regs->rsi, regs->rdx, regs->r10, regs->r8, regs->r9},
    };

    if (!vcpu->call_is_left)
        vm_kernel_consider(vm, vcpu);
    vcpu->call_is_left = false;
    return syscall_serve_call(vm, vcpu, &call, &next);
}
