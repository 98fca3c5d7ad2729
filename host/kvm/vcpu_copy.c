/* SPDX-License-Identifier: BSD-2-Clause */
/* The state of a CPU, for another one to go on with or to be had again. */
#include <errno.h>
#include <sys/ioctl.h>

#include "kvm/vcpu.h"

int vcpu_copy_vectors(const struct vcpu *to, const struct vcpu *from)
{
    struct kvm_xsave state;

    if (ioctl(from->fd, KVM_GET_XSAVE, &state) < 0 || ioctl(to->fd, KVM_SET_XSAVE, &state) < 0)
        return -errno;
    return 0;
}

void vcpu_go_on_as(struct vcpu *to, const struct vcpu *from, uint64_t stack)
{
    const struct kvm_sregs *source = &from->run->s.regs.sregs;
    struct kvm_sregs *sregs = &to->run->s.regs.sregs;

    to->run->s.regs.regs = from->run->s.regs.regs;
    to->run->s.regs.regs.rax = 0;
    if (stack)
        to->run->s.regs.regs.rsp = stack;
    boot_user_segments(sregs);
    sregs->ds = source->ds;
    sregs->es = source->es;
    sregs->fs = source->fs;
    sregs->gs = source->gs;
    to->has_gs = from->has_gs;
    if (!to->has_gs) /* it may be that of the guest kernel, which each CPU has for itself */
        sregs->gs.base = 0;
    to->run->kvm_dirty_regs |= KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
}

int vcpu_keep(struct vcpu *vcpu, struct vcpu_kept *out)
{
    int result = vcpu_end_instruction(vcpu);

    if (result < 0)
        return result;
    out->regs = vcpu->run->s.regs.regs;
    out->sregs = vcpu->run->s.regs.sregs;
    out->has_gs = vcpu->has_gs;
    return vcpu_vectors(vcpu, &out->vectors);
}

/* An exception that KVM was about to deliver when the CPU was stopped is for the program that ran then. */
static int drop_events(const struct vcpu *vcpu)
{
    struct kvm_vcpu_events events;

    if (ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events) < 0)
        return -errno;
    events.exception.injected = events.exception.pending = 0;
    events.interrupt.injected = events.nmi.injected = events.nmi.pending = 0;
    return ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events) < 0 ? -errno : 0;
}

int vcpu_go_back(struct vcpu *vcpu, const struct vcpu_kept *kept)
{
    int result = vcpu_end_instruction(vcpu);

    if (!result)
        result = drop_events(vcpu);
    if (!result)
        result = vcpu_set_vectors(vcpu, &kept->vectors);
    if (result)
        return result;
    vcpu->run->s.regs.regs = kept->regs;
    vcpu->run->s.regs.sregs = kept->sregs;
    vcpu->run->kvm_dirty_regs |= KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
    vcpu->has_gs = kept->has_gs;
    vcpu->calls_again = vcpu->call_is_left = vcpu->finishes = false;
    return 0;
}
