/* SPDX-License-Identifier: BSD-2-Clause */
/* The CPUID table that KVM offers to guests. */
#include "kvm/kvm_cpuid.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "lib/kept_file.h"

#define FORMAT     1
#define BOOT_BYTES 36

/* The head of the file; the table follows. */
struct kept_head {
    char what[8];
    uint32_t format, entries;
    /* The conditions under which the answer holds. What KVM offers changes with the kernel, its
     * module or the processor's microcode; none of these changes without one of the values
     * below. */
    char boot[BOOT_BYTES + 4];
    uint64_t device, inode;
    int64_t changed_ns;
    uint64_t sum; /* of the table, so that a damaged file is seen */
};

struct kept {
    struct kept_head head;
    struct kvm_cpuid_entry2 entries[CPUID_ENTRIES];
};

static uint64_t sum_of(const void *data, size_t bytes)
{
    const unsigned char *byte = data;
    uint64_t sum = 0xcbf29ce484222325; /* FNV-1a */

    for (size_t i = 0; i < bytes; i++)
        sum = (sum ^ byte[i]) * 0x100000001b3;
    return sum;
}

/* False: there is no way to tell how long an answer holds. */
static bool fill_head(int kvm_fd, struct kept_head *head)
{
    struct stat st;

    memset(head, 0, sizeof *head);
    memcpy(head->what, "fycpuid", 8);
    head->format = FORMAT;
    FILE *boot = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (!boot)
        return false;
    bool whole = fread(head->boot, 1, BOOT_BYTES, boot) == BOOT_BYTES;
    fclose(boot);
    if (!whole || fstat(kvm_fd, &st) < 0)
        return false;
    head->device = st.st_dev;
    head->inode = st.st_ino;
    head->changed_ns = (int64_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec;
    return true;
}

static bool load(const char *path, struct kept_head *wanted, struct cpuid_table *out)
{
    struct kept kept;
    ssize_t got = kept_file_read(path, &kept, sizeof kept);

    if (got < (ssize_t)sizeof kept.head || kept.head.entries == 0 ||
        kept.head.entries > CPUID_ENTRIES)
        return false;
    size_t bytes = kept.head.entries * sizeof kept.entries[0];
    wanted->entries = kept.head.entries;
    wanted->sum = sum_of(kept.entries, bytes);
    if ((size_t)got != sizeof kept.head + bytes ||
        memcmp(&kept.head, wanted, sizeof kept.head) != 0)
        return false;
    out->head.nent = kept.head.entries;
    memcpy(out->entries, kept.entries, bytes);
    return true;
}

static void store(const char *path, const struct kept_head *head, const struct cpuid_table *table)
{
    size_t bytes = table->head.nent * sizeof table->entries[0];
    struct kept kept = {.head = *head};

    kept.head.entries = table->head.nent;
    kept.head.sum = sum_of(table->entries, bytes);
    memcpy(kept.entries, table->entries, bytes);
    /* Without the file it is asked again next time. */
    (void)kept_file_write(path, &kept, sizeof kept.head + bytes);
}

int cpuid_read(int kvm_fd, const char *kept_path, struct cpuid_table *out)
{
    char path[KEPT_PATH_BYTES];
    struct kept_head head;
    bool keep = kept_path &&
                snprintf(path, sizeof path, "%s.cpuid", kept_path) < (int)sizeof path &&
                fill_head(kvm_fd, &head);

    memset(&out->head, 0, sizeof out->head);
    if (keep && load(path, &head, out))
        return 0;
    out->head.nent = CPUID_ENTRIES;
    if (ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, &out->head) < 0)
        return -errno;
    if (keep && out->head.nent <= CPUID_ENTRIES)
        store(path, &head, out);
    return 0;
}
