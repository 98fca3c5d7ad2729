/* SPDX-License-Identifier: BSD-2-Clause */
/* /dev/kvm, and the questions that are asked of it once for all VMs. */
#include "kvm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kvm/kvm_cpuid.h"
#include "lib/error.h"

/* x87, SSE, AVX and AVX-512. Not AMX: its state is large and needs a
 * permission of the host process. */
#define XCR0_OFFERED 0xe7ull

/* What is always there: the state of x87 and SSE, and the header. */
#define XSAVE_HEAD_BYTES 576
#define XSAVE_MOST_BYTES sizeof(struct kvm_xsave)

static int open_error(struct ferry_error *err, int code)
{
    switch (code) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
        return error_set(err, -code,
                         "no /dev/kvm: KVM is not loaded or this machine does not offer it; "
                         "for what to type here, see: ferry doctor");
    case EACCES:
    case EPERM:
        return error_set(err, -code,
                         "no right to open /dev/kvm: this user must be able to read and write it; "
                         "for what to type here, see: ferry doctor");
    default:
        return error_set(err, -code, "cannot open /dev/kvm: %s", strerror(code));
    }
}

static int untold(struct ferry_error *err, const char *what, int code)
{
    return error_set(err, -code, "KVM does not tell its %s: %s", what, strerror(code));
}

static int check_version(int kvm_fd, struct ferry_error *err)
{
    static const struct {
        int number;
        const char *name;
    } needed[] = {
        {KVM_CAP_USER_MEMORY, "user memory"},
        {KVM_CAP_SYNC_REGS, "synchronized registers"},
        {KVM_CAP_EXT_CPUID, "CPUID"},
        {KVM_CAP_SYNC_MMU, "following changes of page tables"},
    };

    int version = ioctl(kvm_fd, KVM_GET_API_VERSION, 0);

    if (version < 0 && errno != ENOTTY) /* else it is another device */
        return untold(err, "version", errno);
    if (version != KVM_API_VERSION)
        return error_set(err, -ENODEV,
                         "/dev/kvm is not a KVM device of API version %d; look at: ls -l /dev/kvm",
                         KVM_API_VERSION);
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        int has = ioctl(kvm_fd, KVM_CHECK_EXTENSION, needed[i].number);

        if (has < 0)
            return untold(err, "extensions", errno);
        if (has == 0)
            return error_set(err, -ENOTSUP, "this KVM lacks: %s; a newer kernel has it",
                             needed[i].name);
    }
    return 0;
}

/* The processor features that guests may see: all that KVM offers, less those that need more than
 * Ferry sets up. */
static void filter_cpuid(struct kvm *kvm)
{
    for (uint32_t i = 0; i < kvm->cpuid->nent; i++) {
        struct kvm_cpuid_entry2 *entry = &kvm->cpuid->entries[i];
        if (entry->function == 1) {
            /* MONITOR, VMX, x2APIC, TSC deadline */
            entry->ecx &= ~(1u << 3 | 1u << 5 | 1u << 21 | 1u << 24);
        } else if (entry->function == 7 && entry->index == 0) {
            entry->ebx &= ~(1u << 0);                        /* FSGSBASE: CR4 does not allow it */
            entry->ecx &= ~(1u << 3 | 1u << 4 | 1u << 5);    /* PKU, OSPKE, WAITPKG */
            entry->edx &= ~(1u << 22 | 1u << 24 | 1u << 25); /* AMX */
        } else if (entry->function == 0xa) {
            entry->eax = 0; /* no performance counters */
        } else if (entry->function == 0x80000001) {
            entry->ecx &= ~(1u << 2); /* SVM */
        } else if (entry->function == 0xd && entry->index == 0) {
            entry->eax &= (uint32_t)XCR0_OFFERED;
            entry->edx = 0;
            kvm->xcr0 = entry->eax;
        } else if (entry->function == 0xd && entry->index == 1) {
            entry->eax &= ~(1u << 3 | 1u << 4); /* XSAVES, XFD */
        }
    }
}

/* The length of the state that XCR0 names: each part above SSE has an entry with its place. */
static uint32_t xsave_bytes(const struct kvm *kvm)
{
    uint32_t bytes = XSAVE_HEAD_BYTES;

    for (uint32_t i = 0; i < kvm->cpuid->nent; i++) {
        const struct kvm_cpuid_entry2 *entry = &kvm->cpuid->entries[i];
        uint32_t part = entry->index;
        if (entry->function == 0xd && part >= 2 && part < 63 && kvm->xcr0 >> part & 1 &&
            entry->ebx + entry->eax > bytes && entry->ebx + entry->eax <= XSAVE_MOST_BYTES)
            bytes = entry->ebx + entry->eax;
    }
    return bytes;
}

/* What every processor has that can run VMs. */
#define ADDRESS_BITS_LEAST 36

/* How many bits a guest-physical address has. KVM's tables may reach less far than the processor's
 * addresses; newer kernels say how far. */
static unsigned address_bits(const struct kvm *kvm)
{
    unsigned all = 0, guest = 0;

    for (uint32_t i = 0; i < kvm->cpuid->nent; i++) {
        const struct kvm_cpuid_entry2 *entry = &kvm->cpuid->entries[i];
        if (entry->function != 0x80000008)
            continue;
        all = entry->eax & 0xff;
        guest = entry->eax >> 16 & 0xff;
    }
    if (guest && guest < all)
        all = guest;
    return all < ADDRESS_BITS_LEAST ? ADDRESS_BITS_LEAST : all > 52 ? 52 : all;
}

static int read_cpuid(struct kvm *kvm, const char *kept_path, struct ferry_error *err)
{
    struct cpuid_table *table = malloc(sizeof *table);

    if (!table)
        return error_set(err, -ENOMEM, "no memory for CPUID");
    kvm->cpuid = &table->head;
    int result = cpuid_read(kvm->fd, kept_path, table);
    if (result < 0)
        return error_set(err, result, "KVM does not tell its CPUID: %s", strerror(-result));
    filter_cpuid(kvm);
    kvm->xsave_bytes = xsave_bytes(kvm);
    kvm->address_bits = address_bits(kvm);
    return 0;
}

int kvm_open(struct kvm *kvm, const char *kept_path, struct ferry_error *err)
{
    kvm->fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm->fd < 0)
        return open_error(err, errno);
    int result = check_version(kvm->fd, err);
    if (result < 0)
        return result;
    kvm->vcpu_mmap_bytes = ioctl(kvm->fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (kvm->vcpu_mmap_bytes < 0)
        return untold(err, "shared page", errno);
    if (kvm->vcpu_mmap_bytes < (int)sizeof(struct kvm_run))
        return error_set(err, -ENODEV, "KVM tells no size for its shared page");
    return read_cpuid(kvm, kept_path, err);
}

void kvm_close(struct kvm *kvm)
{
    free(kvm->cpuid);
    if (kvm->fd >= 0)
        close(kvm->fd);
}
