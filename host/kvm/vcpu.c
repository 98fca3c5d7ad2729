/* SPDX-License-Identifier: BSD-2-Clause */
/* A virtual CPU: making it and its first state. */
#include "kvm/vcpu.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvm/boot.h"
#include "lib/error.h"

int vcpu_kick_signal(void)
{
    return SIGRTMIN;
}

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
static int set_msrs(struct vcpu *vcpu, struct ferry_error *err)
{
    _Alignas(8) char space[sizeof(struct kvm_msrs) + BOOT_MSRS * sizeof(struct kvm_msr_entry)];
    struct kvm_msrs *msrs = (struct kvm_msrs *)space;

    *msrs = (struct kvm_msrs){.nmsrs = BOOT_MSRS};
    boot_msrs(msrs->entries);
    int set = ioctl(vcpu->fd, KVM_SET_MSRS, msrs);
    if (set < 0)
        return -errno;
    if (set < BOOT_MSRS)
        return error_set(err, -EIO, "this KVM does not set model-specific register 0x%x",
                         msrs->entries[set].index);
    return 0;
}

static int set_state(struct vcpu *vcpu, const struct kvm *kvm, uint64_t rip, uint64_t rsp,
                     struct ferry_error *err)
{
    struct kvm_xcrs xcrs = {.nr_xcrs = 1, .xcrs[0].value = kvm->xcr0};
    struct kvm_sregs sregs;
    struct kvm_regs regs;

    boot_regs(&regs, rip, rsp);
    /* CPUID first: newer kernels refuse it once the special registers are set. */
    if (ioctl(vcpu->fd, KVM_SET_CPUID2, kvm->cpuid) < 0 ||
        ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
        return -errno;
    boot_sregs(&sregs);
    if (ioctl(vcpu->fd, KVM_SET_SREGS, &sregs) < 0 || ioctl(vcpu->fd, KVM_SET_REGS, &regs) < 0)
        return -errno;
    int result = set_msrs(vcpu, err);
    if (result < 0)
        return result;
    if (kvm->xcr0 && ioctl(vcpu->fd, KVM_SET_XCRS, &xcrs) < 0)
        return -errno;
    return set_signal_mask(vcpu->fd);
}

static int create(struct vcpu *vcpu, const struct kvm *kvm, const struct kvm_vm *vm, uint64_t rip,
                  uint64_t rsp, struct ferry_error *err)
{
    vcpu->fd = ioctl(vm->fd, KVM_CREATE_VCPU, 0);
    if (vcpu->fd < 0)
        return -errno;
    vcpu->run_bytes = (size_t)kvm->vcpu_mmap_bytes;
    struct kvm_run *run =
        mmap(NULL, vcpu->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
    if (run == MAP_FAILED)
        return -errno;
    vcpu->run = run;
    /* Segments too: CS tells at which privilege level `syscall` arrived. */
    vcpu->run->kvm_valid_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
    return set_state(vcpu, kvm, rip, rsp, err);
}

int vcpu_create(struct vcpu *vcpu, const struct kvm *kvm, const struct kvm_vm *vm, uint64_t rip,
                uint64_t rsp, struct ferry_error *err)
{
    struct ferry_error why = {""};
    int result = create(vcpu, kvm, vm, rip, rsp, &why);

    return result < 0 ? error_set(err, result, "cannot make a virtual CPU: %s",
                                  why.text[0] ? why.text : strerror(-result))
                      : 0;
}

void vcpu_destroy(struct vcpu *vcpu)
{
    if (vcpu->run)
        munmap(vcpu->run, vcpu->run_bytes);
    if (vcpu->fd >= 0)
        close(vcpu->fd);
}

uint64_t vcpu_ticks(const struct vcpu *vcpu, uint64_t nanoseconds)
{
    int khz = ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0);

    return khz > 0 ? nanoseconds * (uint64_t)khz / 1000000 : 0;
}
