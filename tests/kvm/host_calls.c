/* SPDX-License-Identifier: BSD-2-Clause */
/* The system calls that libferry makes, counted. */
#include "host_calls.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_ullong memory, ioctls;

struct host_calls host_calls_made(void)
{
    return (struct host_calls){.memory = atomic_load(&memory), .ioctls = atomic_load(&ioctls)};
}

int mprotect(void *addr, size_t bytes, int prot)
{
    atomic_fetch_add(&memory, 1);
    return (int)syscall(SYS_mprotect, addr, bytes, prot);
}

int madvise(void *addr, size_t bytes, int advice)
{
    atomic_fetch_add(&memory, 1);
    return (int)syscall(SYS_madvise, addr, bytes, advice);
}

void *mmap(void *addr, size_t bytes, int prot, int flags, int fd, off_t offset)
{
    atomic_fetch_add(&memory, 1);
    return (void *)syscall(SYS_mmap, addr, bytes, prot, flags, fd, offset);
}

int munmap(void *addr, size_t bytes)
{
    atomic_fetch_add(&memory, 1);
    return (int)syscall(SYS_munmap, addr, bytes);
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;

    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    atomic_fetch_add(&ioctls, 1);
    return (int)syscall(SYS_ioctl, fd, request, argument);
}
