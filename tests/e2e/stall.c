/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loaded into the command before its libraries: it makes a VM for ever. A byte on descriptor
 * STALL_FD says that it has begun to.
 */
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int ioctl(int fd, unsigned long request, ...)
{
    va_list args;

    va_start(args, request);
    void *arg = va_arg(args, void *);
    va_end(args);
    while (request == KVM_CREATE_VM) {
        const char *told = getenv("STALL_FD");

        if (!told || write(atoi(told), "x", 1) != 1)
            _exit(1);
        pause();
    }
    return (int)syscall(SYS_ioctl, fd, request, arg);
}
