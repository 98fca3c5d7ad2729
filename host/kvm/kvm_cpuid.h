/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The CPUID table that KVM offers to guests. KVM asks the processor for all of it each time. Where
 * the processor is itself virtual, each of the 75 leaves is an exit, and the answer takes as long
 * as making a VM. So it is kept in a file, if the embedder has one for such data.
 */
#ifndef FERRY_HOST_KVM_CPUID_H
#define FERRY_HOST_KVM_CPUID_H

#include <linux/kvm.h>

#define CPUID_ENTRIES 256

/* Space for CPUID_ENTRIES, and how many there are. */
struct cpuid_table {
    struct kvm_cpuid2 head;
    struct kvm_cpuid_entry2 entries[CPUID_ENTRIES];
};

/* From the file beside `kept_path` (NULL: there is none) if it was written since this system
 * started and this /dev/kvm was made, else from KVM. 0 or a negative errno. */
int cpuid_read(int kvm_fd, const char *kept_path, struct cpuid_table *out);

#endif
