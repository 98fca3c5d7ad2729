/* SPDX-License-Identifier: BSD-2-Clause */
/* A VM to measure with: the smallest that KVM runs in the same way as a program of Ferry. */
#include "engine/measure_vm.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "kvm/boot.h"
#include "kvm/guest_tables.h"
#include "lib/mapping.h"

/* Code and a word of its own to touch, on one page. */
#define SCRATCH (FERRY_PROGRAM_LOW + FERRY_PAGE_BYTES / 2)

static int build(struct measure_vm *vm, const struct kvm *kvm, const struct window *window)
{
    static const uint8_t code[] = {
        0x88, 0x03,                /* again: mov %al, (%rbx) */
        0xe6, FERRY_PORT_DOORBELL, /* out %al, $port */
        0xeb, 0xfa,                /* jmp again */
    };
    const struct guest_addr low = guest_addr(FERRY_PROGRAM_LOW);
    char *page = vm->system + SYSTEM_BYTES;
    struct guest_tables tables;

    memcpy(page, code, sizeof code);
    int result = kvm_vm_create(&vm->kvm, kvm);
    if (result == 0)
        result = kvm_vm_add_slot(&vm->kvm, guest_addr(FERRY_SYSTEM_BASE), SYSTEM_BYTES, vm->system);
    if (result == 0)
        result = kvm_vm_add_slot(&vm->kvm, low, FERRY_PAGE_BYTES, page);
    if (result == 0)
        result =
            kvm_vm_add_slot(&vm->kvm, guest_addr(FERRY_WINDOW_BASE), window->bytes, window->base);
    if (result == 0)
        result = boot_system(vm->system, window->bytes, 1, &tables);
    if (result == 0)
        result =
            guest_tables_map(&tables, low, FERRY_PAGE_BYTES, GUEST_USER | GUEST_WRITE | GUEST_EXEC);
    return result < 0 ? result : vcpu_create(&vm->vcpu, kvm, &vm->kvm, low, low, NULL);
}

int measure_vm_create(struct measure_vm *vm, const struct kvm *kvm, const struct window *window)
{
    *vm = (struct measure_vm){.kvm.fd = -1, .vcpu.fd = -1};
    if (kvm->fd < 0)
        return -ENODEV;
    vm->system = mapping_aligned(SYSTEM_BYTES + FERRY_EXTENT_BYTES, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    if (!vm->system)
        return -errno;
    madvise(vm->system, SYSTEM_BYTES + FERRY_EXTENT_BYTES, MADV_NOHUGEPAGE);
    int result = build(vm, kvm, window);
    if (result < 0)
        return result;
    struct kvm_regs regs;
    boot_regs(&regs, guest_addr(FERRY_PROGRAM_LOW), guest_addr(FERRY_PROGRAM_LOW));
    /* The first run fetches all registers; from then on those that change are written back. */
    vcpu_set_regs(&vm->vcpu, &regs);
    measure_vm_aim(vm, false);
    return 0;
}

void measure_vm_destroy(struct measure_vm *vm)
{
    vcpu_destroy(&vm->vcpu);
    kvm_vm_destroy(&vm->kvm);
    if (vm->system)
        munmap(vm->system, SYSTEM_BYTES + FERRY_EXTENT_BYTES);
}

void measure_vm_aim(struct measure_vm *vm, bool window)
{
    struct kvm_regs regs = *vcpu_regs(&vm->vcpu);

    regs.rbx = window ? FERRY_WINDOW_BASE : SCRATCH;
    vcpu_set_regs(&vm->vcpu, &regs);
}

bool measure_vm_run(struct measure_vm *vm)
{
    return vcpu_run(&vm->vcpu) == 0 && vcpu_exit_reason(&vm->vcpu) == KVM_EXIT_IO;
}
