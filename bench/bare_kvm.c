/* SPDX-License-Identifier: BSD-2-Clause */
/* A VM by KVM's own ioctls. */
#include "bare_kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define CPUID_MOST 256

/* Where things are in its memory. */
enum { PML4 = 0x1000, PDPT = 0x2000, PD = 0x3000, CODE = 0x4000 };

/* Present, writable, for user code too. */
#define ENTRY     7u
#define LARGE     0x80u /* a page of 2 MiB */
#define IOPL_USER 0x3002u

/* A program at privilege level 3 in long mode, as Ferry's are: out %al, $0xf0; jmp back. */
static void bare_fill(char *memory)
{
    static const uint8_t code[] = {0xe6, 0xf0, 0xeb, 0xfc};
    const uint64_t pml4 = PDPT | ENTRY, pdpt = PD | ENTRY, pd = ENTRY | LARGE;

    memcpy(memory + PML4, &pml4, sizeof pml4);
    memcpy(memory + PDPT, &pdpt, sizeof pdpt);
    memcpy(memory + PD, &pd, sizeof pd);
    memcpy(memory + CODE, code, sizeof code);
}

static int bare_state(struct bare_vm *bare, const struct kvm_cpuid2 *cpuid)
{
    const struct kvm_segment data = {
        .limit = ~0u, .selector = 0x1b, .type = 3, .present = 1, .dpl = 3, .db = 1, .s = 1, .g = 1};
    struct kvm_segment code = data;
    const struct kvm_regs regs = {.rip = CODE, .rsp = CODE, .rflags = IOPL_USER};
    struct kvm_sregs sregs;

    code.selector = 0x23;
    code.type = 11;
    code.db = 0;
    code.l = 1;
    if (ioctl(bare->vcpu, KVM_SET_CPUID2, cpuid) < 0 ||
        ioctl(bare->vcpu, KVM_GET_SREGS, &sregs) < 0)
        return -errno;
    sregs.cs = code;
    sregs.ss = sregs.ds = sregs.es = sregs.fs = sregs.gs = data;
    sregs.cr0 = 0x80010033; /* PG, WP, NE, ET, MP, PE */
    sregs.cr3 = PML4;
    sregs.cr4 = 0x620;  /* OSXMMEXCPT, OSFXSR, PAE */
    sregs.efer = 0xd01; /* NXE, LMA, LME, SCE */
    if (ioctl(bare->vcpu, KVM_SET_SREGS, &sregs) < 0 || ioctl(bare->vcpu, KVM_SET_REGS, &regs) < 0)
        return -errno;
    return 0;
}

int bare_kvm_open(struct bare_kvm *kvm)
{
    kvm->cpuid = calloc(1, sizeof *kvm->cpuid + CPUID_MOST * sizeof *kvm->cpuid->entries);
    kvm->fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (!kvm->cpuid)
        return -ENOMEM;
    kvm->cpuid->nent = CPUID_MOST;
    return kvm->fd < 0 || ioctl(kvm->fd, KVM_GET_SUPPORTED_CPUID, kvm->cpuid) < 0 ? -errno : 0;
}

void bare_kvm_close(struct bare_kvm *kvm)
{
    free(kvm->cpuid);
    if (kvm->fd >= 0)
        close(kvm->fd);
}

int bare_vm_make(struct bare_vm *bare, const struct bare_kvm *kvm)
{
    struct kvm_userspace_memory_region region = {.memory_size = BARE_VM_BYTES};

    *bare = (struct bare_vm){.fd = -1, .vcpu = -1, .run = MAP_FAILED};
    bare->memory = mmap(NULL, BARE_VM_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (bare->memory == MAP_FAILED)
        return -errno;
    bare_fill(bare->memory);
    region.userspace_addr = (uint64_t)bare->memory;
    bare->fd = ioctl(kvm->fd, KVM_CREATE_VM, 0);
    if (bare->fd < 0 || ioctl(bare->fd, KVM_SET_USER_MEMORY_REGION, &region) < 0)
        return -errno;
    bare->vcpu = ioctl(bare->fd, KVM_CREATE_VCPU, 0);
    if (bare->vcpu < 0)
        return -errno;
    bare->run_bytes = (size_t)ioctl(kvm->fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    bare->run = mmap(NULL, bare->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, bare->vcpu, 0);
    if (bare->run == MAP_FAILED)
        return -errno;
    return bare_state(bare, kvm->cpuid);
}

int bare_vm_run(struct bare_vm *bare)
{
    if (ioctl(bare->vcpu, KVM_RUN, 0) < 0)
        return -errno;
    return bare->run->exit_reason == KVM_EXIT_IO ? 0 : -EIO;
}

void bare_vm_free(struct bare_vm *bare)
{
    if (bare->run != MAP_FAILED)
        munmap(bare->run, bare->run_bytes);
    if (bare->vcpu >= 0)
        close(bare->vcpu);
    if (bare->fd >= 0)
        close(bare->fd);
    if (bare->memory != MAP_FAILED)
        munmap(bare->memory, BARE_VM_BYTES);
}
