/* SPDX-License-Identifier: BSD-2-Clause */
/* A VM to measure with: the least that KVM runs as it runs a program of Ferry's. */
#include "measure_vm.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "boot.h"
#include "engine.h"
#include "mapping.h"
#include "vcpu.h"

/* Code and a word of its own to touch, on one page. */
#define SCRATCH (FERRY_PROGRAM_LOW + FERRY_PAGE_BYTES / 2)

static int add_slot(struct ferry_vm *vm, uint64_t gpa, uint64_t bytes, void *host)
{
    struct kvm_userspace_memory_region region = {.slot = vm->slots++,
                                                 .guest_phys_addr = gpa,
                                                 .memory_size = bytes,
                                                 .userspace_addr = (uint64_t)host};

    return ioctl(vm->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) < 0 ? -errno : 0;
}

static int build(struct ferry_vm *vm, const struct window *window)
{
    static const uint8_t code[] = {
        0x88, 0x03,                /* again: mov %al, (%rbx) */
        0xe6, FERRY_PORT_DOORBELL, /* out %al, $port */
        0xeb, 0xfa,                /* jmp again */
    };
    char *page = vm->system + SYSTEM_BYTES;

    memcpy(page, code, sizeof code);
    vm->vm_fd = ioctl(vm->engine->kvm_fd, KVM_CREATE_VM, 0);
    if (vm->vm_fd < 0)
        return -errno;
    int result = add_slot(vm, FERRY_SYSTEM_BASE, SYSTEM_BYTES, vm->system);
    if (result == 0)
        result = add_slot(vm, FERRY_PROGRAM_LOW, FERRY_PAGE_BYTES, page);
    if (result == 0)
        result = add_slot(vm, FERRY_WINDOW_BASE, window->bytes, window->base);
    if (result == 0)
        result = boot_system(vm->system, window->bytes, &vm->tables);
    if (result == 0)
        result =
            guest_tables_map(&vm->tables, FERRY_PROGRAM_LOW, FERRY_PROGRAM_LOW + FERRY_PAGE_BYTES,
                             GUEST_USER | GUEST_WRITE | GUEST_EXEC);
    return result < 0 ? result : vcpu_create(vm, FERRY_PROGRAM_LOW, FERRY_PROGRAM_LOW, NULL);
}

int measure_vm_create(struct measure_vm *measure, struct ferry_engine *engine,
                      const struct window *window)
{
    struct ferry_vm *vm = &measure->vm;

    *vm = (struct ferry_vm){.engine = engine, .vm_fd = -1, .vcpu_fd = -1};
    if (engine->kvm_fd < 0)
        return -ENODEV;
    vm->system = mapping_aligned(SYSTEM_BYTES + FERRY_EXTENT_BYTES, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    if (!vm->system)
        return -errno;
    madvise(vm->system, SYSTEM_BYTES + FERRY_EXTENT_BYTES, MADV_NOHUGEPAGE);
    int result = build(vm, window);
    if (result < 0)
        return result;
    /* The first run fetches all registers; from then on those that change are written back. */
    vm->run->s.regs.regs = (struct kvm_regs){0}; /* NOLINT: mapped by vcpu_create */
    boot_regs(&vm->run->s.regs.regs, FERRY_PROGRAM_LOW, FERRY_PROGRAM_LOW);
    measure_vm_aim(measure, false);
    return 0;
}

void measure_vm_destroy(struct measure_vm *measure)
{
    struct ferry_vm *vm = &measure->vm;

    vcpu_destroy(vm);
    if (vm->system)
        munmap(vm->system, SYSTEM_BYTES + FERRY_EXTENT_BYTES);
}

void measure_vm_aim(struct measure_vm *measure, bool window)
{
    measure->vm.run->s.regs.regs.rbx = window ? FERRY_WINDOW_BASE : SCRATCH;
    measure->vm.run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
}

bool measure_vm_run(struct measure_vm *measure)
{
    struct ferry_vm *vm = &measure->vm;
    int result = ioctl(vm->vcpu_fd, KVM_RUN, 0);

    vm->run->kvm_dirty_regs = 0;
    return result == 0 && vm->run->exit_reason == KVM_EXIT_IO;
}
