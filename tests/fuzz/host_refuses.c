/* SPDX-License-Identifier: BSD-2-Clause */
/* One of the calls that change mappings fails. */
#include "host_refuses.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>

static unsigned fails_in;
static bool failed;

int __real_mprotect(void *addr, size_t bytes, int rights);
int __wrap_mprotect(void *addr, size_t bytes, int rights);
void *__real_mmap64(void *addr, size_t bytes, int rights, int how, int fd, off_t offset);
void *__wrap_mmap64(void *addr, size_t bytes, int rights, int how, int fd, off_t offset);
void *__real_mremap(void *addr, size_t bytes, size_t more, int how, ...);
void *__wrap_mremap(void *addr, size_t bytes, size_t more, int how, ...);

void host_refuse(unsigned nth)
{
    fails_in = nth;
    failed = false;
}

bool host_refused(void)
{
    return failed;
}

static bool refuses(void)
{
    if (!fails_in || --fails_in)
        return false;
    failed = true;
    errno = ENOMEM;
    return true;
}

int __wrap_mprotect(void *addr, size_t bytes, int rights)
{
    return refuses() ? -1 : __real_mprotect(addr, bytes, rights);
}

void *__wrap_mmap64(void *addr, size_t bytes, int rights, int how, int fd, off_t offset)
{
    return refuses() ? MAP_FAILED : __real_mmap64(addr, bytes, rights, how, fd, offset);
}

void *__wrap_mremap(void *addr, size_t bytes, size_t more, int how, ...)
{
    va_list rest;

    va_start(rest, how);
    void *to = how & (MREMAP_FIXED | MREMAP_DONTUNMAP) ? va_arg(rest, void *) : NULL;
    va_end(rest);
    return refuses() ? MAP_FAILED : __real_mremap(addr, bytes, more, how, to);
}
