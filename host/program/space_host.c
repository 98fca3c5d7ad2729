/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the calls of the host's kernel that change the mappings behind the program's address space:
 * they are counted. */
#include <errno.h>
#include <sys/mman.h>

#include "program/space_internal.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14; older C libraries lack the name */
#endif

static void count_call(struct space *space)
{
    atomic_fetch_add_explicit(&space->host_calls, 1, memory_order_relaxed);
}

int space_host_prot(unsigned prot)
{
    return (prot & SPACE_READ ? PROT_READ : 0) | (prot & SPACE_WRITE ? PROT_WRITE : 0);
}

int space_host_map(struct space *space, uint64_t start, uint64_t bytes, int prot, int how, int fd,
                   uint64_t offset)
{
    void *got;

    count_call(space);
    got = mmap(space_host(space, start), bytes, prot, how | MAP_NORESERVE | MAP_FIXED, fd,
               (off_t)offset);
    return got == MAP_FAILED ? -errno : 0;
}

/* Host memory that is reserved and nothing else. It is not accounted for, so
 * the host has no reason to refuse and leave a hole. */
int space_host_reserve(struct space *space, uint64_t start, uint64_t bytes)
{
    return space_host_map(space, start, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
               ? -ENOMEM
               : 0;
}

int space_host_protect(struct space *space, uint64_t start, uint64_t bytes, int prot)
{
    count_call(space);
    return mprotect(space_host(space, start), bytes, prot) ? -errno : 0;
}

int space_host_advise(struct space *space, uint64_t start, uint64_t bytes, int advice)
{
    count_call(space);
    return madvise(space_host(space, start), bytes, advice) ? -errno : 0;
}

int space_host_move(struct space *space, uint64_t from, uint64_t bytes, uint64_t to)
{
    const int how = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP;

    count_call(space);
    return mremap(space_host(space, from), bytes, bytes, how, space_host(space, to)) == MAP_FAILED
               ? -errno
               : 0;
}

void space_populate(struct space *space, struct guest_addr start, uint64_t bytes)
{
    space_host_advise(space, start.value, bytes, MADV_POPULATE_WRITE);
}

void space_host_shut(struct space *space, uint64_t start, uint64_t end)
{
    space_host_protect(space, start, end - start, PROT_NONE);
    space_host_advise(space, start, end - start, MADV_DONTNEED);
}
