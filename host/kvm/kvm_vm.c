/* SPDX-License-Identifier: BSD-2-Clause */
/* A VM of KVM's, without a processor. */
#include "kvm/kvm_vm.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

int kvm_vm_create(struct kvm_vm *vm, const struct kvm *kvm)
{
    *vm = (struct kvm_vm){0};
    /* A signal that is handled while KVM takes the locks of our memory interrupts it. */
    do
        vm->fd = ioctl(kvm->fd, KVM_CREATE_VM, 0);
    while (vm->fd < 0 && errno == EINTR);
    return vm->fd < 0 ? -errno : 0;
}

void kvm_vm_destroy(struct kvm_vm *vm)
{
    if (vm->fd >= 0)
        close(vm->fd);
}

int kvm_vm_number_slot(struct kvm_vm *vm, struct guest_addr gpa, uint64_t bytes, void *host)
{
    struct kvm_userspace_memory_region region = {.slot = atomic_fetch_add(&vm->slots, 1),
                                                 .guest_phys_addr = gpa.value,
                                                 .memory_size = bytes,
                                                 .userspace_addr = (uint64_t)host};

    if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region) == 0)
        return (int)region.slot;
    int result = -errno;
    unsigned after = region.slot + 1;
    /* The number is free again, unless another thread took the next one meanwhile. */
    atomic_compare_exchange_strong(&vm->slots, &after, region.slot);
    return result;
}

int kvm_vm_add_slot(struct kvm_vm *vm, struct guest_addr gpa, uint64_t bytes, void *host)
{
    int result = kvm_vm_number_slot(vm, gpa, bytes, host);

    return result < 0 ? result : 0;
}

void kvm_vm_remove_slot(struct kvm_vm *vm, int slot)
{
    struct kvm_userspace_memory_region region = {.slot = (uint32_t)slot};
    unsigned after = region.slot + 1;

    if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region) == 0)
        atomic_compare_exchange_strong(&vm->slots, &after, region.slot);
}
