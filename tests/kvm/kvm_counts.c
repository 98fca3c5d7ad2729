/* SPDX-License-Identifier: BSD-2-Clause */
/* KVM's own figures about a VM. */
#include "kvm_counts.h"

#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kvm_fixture.h"

#define DESCRIPTORS_MAX 1024

static bool is_called(int fd, const char *name)
{
    char path[64], target[64] = "";

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return readlink(path, target, sizeof target - 1) > 0 && strcmp(target, name) == 0;
}

static bool is_known(const struct kvm_source *sources, int count, int fd)
{
    for (int i = 0; i < count; i++)
        if (sources[i].vm == fd || sources[i].vcpu == fd)
            return true;
    return false;
}

/* -1: there is none of this name that is not known. */
static int next_called(const struct kvm_source *sources, int count, const char *name)
{
    for (int fd = 0; fd < DESCRIPTORS_MAX; fd++)
        if (is_called(fd, name) && !is_known(sources, count, fd))
            return fd;
    return -1;
}

void kvm_source_open(struct kvm_source *sources, int count)
{
    struct kvm_source *source = &sources[count];

    source->vm = next_called(sources, count, "anon_inode:kvm-vm");
    source->vcpu = next_called(sources, count, "anon_inode:kvm-vcpu:0");
    assert_true(source->vm >= 0 && source->vcpu >= 0);
    source->vm_stats = ioctl(source->vm, KVM_GET_STATS_FD, 0);
    source->vcpu_stats = ioctl(source->vcpu, KVM_GET_STATS_FD, 0);
}

void kvm_source_close(struct kvm_source *source)
{
    if (source->vm_stats >= 0)
        close(source->vm_stats);
    if (source->vcpu_stats >= 0)
        close(source->vcpu_stats);
}

/* One figure by its name. */
static bool read_one(int fd, const char *name, uint64_t *out)
{
    struct kvm_stats_header header;
    bool found = false;

    if (fd < 0 || pread(fd, &header, sizeof header, 0) != sizeof header)
        return false;
    size_t bytes = sizeof(struct kvm_stats_desc) + header.name_size;
    struct kvm_stats_desc *desc = malloc(bytes);
    for (uint32_t i = 0; desc && !found && i < header.num_desc; i++)
        found = pread(fd, desc, bytes, (off_t)(header.desc_offset + i * bytes)) == (ssize_t)bytes &&
                strcmp(desc->name, name) == 0;
    found = found &&
            pread(fd, out, sizeof *out, (off_t)(header.data_offset + desc->offset)) == sizeof *out;
    free(desc);
    return found;
}

bool kvm_source_read(const struct kvm_source *source, struct kvm_counts *out)
{
    uint64_t all, interrupts;

    if (!read_one(source->vcpu_stats, "exits", &all) ||
        !read_one(source->vcpu_stats, "irq_exits", &interrupts) ||
        !read_one(source->vcpu_stats, "pf_taken", &out->faults) ||
        !read_one(source->vm_stats, "remote_tlb_flush_requests", &out->shoot_downs))
        return false;
    out->exits = all - interrupts - out->faults;
    return true;
}

bool kvm_counts_are_exact(void)
{
    return getenv("FERRY_LAB") != NULL;
}
