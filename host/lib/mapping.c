/* SPDX-License-Identifier: BSD-2-Clause */
/* Host mappings at 2 MiB-aligned addresses. */
#include "lib/mapping.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>

#include <ferry/abi/layout.h>

#include "lib/bits.h"

static bool is_aligned(const void *address)
{
    return ((uintptr_t)address & (FERRY_EXTENT_BYTES - 1)) == 0;
}

void *mapping_aligned(uint64_t bytes, int prot, int flags, int fd)
{
    /* Newer kernels align a mapping of whole huge pages by themselves. Then nothing has to be
     * unmapped, which matters: KVM looks at each unmapping once for each VM of the process. */
    void *whole = mmap(NULL, bytes, prot, flags, fd, 0);
    if (whole == MAP_FAILED)
        return NULL;
    if (is_aligned(whole))
        return whole;
    munmap(whole, bytes);

    /* Reserve one alignment more than needed, then give the ends back. */
    uint64_t reserved = bytes + FERRY_EXTENT_BYTES;
    char *area =
        mmap(NULL, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (area == MAP_FAILED)
        return NULL;

    uintptr_t start = align_up((uintptr_t)area, FERRY_EXTENT_BYTES);
    uint64_t before = start - (uintptr_t)area;
    if (before)
        munmap(area, before);
    if (reserved - before > bytes)
        munmap((char *)start + bytes, reserved - before - bytes);
    void *mapped = mmap((void *)start, bytes, prot, flags | MAP_FIXED, fd, 0);
    if (mapped == MAP_FAILED) {
        munmap((void *)start, bytes);
        return NULL;
    }
    return mapped;
}
