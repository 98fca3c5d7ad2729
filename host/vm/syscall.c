/* SPDX-License-Identifier: BSD-2-Clause */
/* System calls of the program: from its registers to the personality, and back. */
#include "vm/syscall.h"

#include "linux/vm_linux.h"
#include "vm/report.h"

/* By the synchronized registers only: resume may write them back, and would
 * undo what was set by other means. */
uint64_t vm_fs(struct ferry_vm *vm)
{
    return vm->vcpu.run->s.regs.sregs.fs.base;
}

uint64_t vm_gs(struct ferry_vm *vm)
{
    return vm->vcpu.run->s.regs.sregs.gs.base;
}

uint64_t vm_stack_pointer(struct ferry_vm *vm)
{
    return vm->vcpu.run->s.regs.regs.rsp;
}

void vm_set_fs(struct ferry_vm *vm, uint64_t base)
{
    vm->vcpu.run->s.regs.sregs.fs.base = base;
    vm->vcpu.run->kvm_dirty_regs |= KVM_SYNC_X86_SREGS;
}

void vm_set_gs(struct ferry_vm *vm, uint64_t base)
{
    vm->vcpu.run->s.regs.sregs.gs.base = base;
    vm->vcpu.run->kvm_dirty_regs |= KVM_SYNC_X86_SREGS;
}

void syscall_resume(struct ferry_vm *vm, uint64_t rax, const struct boot_frame *next)
{
    struct kvm_regs *regs = &vm->vcpu.run->s.regs.regs;

    regs->rax = rax;
    regs->rip = next->rip;
    regs->rsp = next->rsp;
    regs->rflags = boot_user_flags(next->rflags);
    vm->vcpu.run->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
    if ((vm->vcpu.run->s.regs.sregs.cs.selector & 3) != 3) {
        boot_user_segments(&vm->vcpu.run->s.regs.sregs);
        vm->vcpu.run->kvm_dirty_regs |= KVM_SYNC_X86_SREGS;
    }
}

bool syscall_goes_on(struct ferry_vm *vm, enum linux_next next, int status)
{
    switch (next) {
    case LINUX_RESUME:
        return true;
    case LINUX_EXIT:
        report_exit(vm, status);
        return false;
    case LINUX_SIGNAL:
        report_signal(vm, status);
        return false;
    case LINUX_STOPPED:
    default:
        return false; /* vm->stop says why */
    }
}

bool syscall_serve_call(struct ferry_vm *vm, struct linux_call *call, const struct boot_frame *next)
{
    enum linux_next how = linux_serve(vm->personality, call);

    if (how == LINUX_RESUME)
        syscall_resume(vm, (uint64_t)call->result, next);
    return syscall_goes_on(vm, how, call->status);
}

bool syscall_serve(struct ferry_vm *vm)
{
    const struct kvm_regs *regs = &vm->vcpu.run->s.regs.regs;
    const struct boot_frame next = {.rip = regs->rcx, .rsp = regs->rsp, .rflags = regs->r11};
    struct linux_call call = {
        .number = regs->rax,
        .arg = {regs->rdi, regs->rsi, regs->rdx, regs->r10, regs->r8, regs->r9},
    };

    return syscall_serve_call(vm, &call, &next);
}
