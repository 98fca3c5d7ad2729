/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the numbers of 32-bit system calls. A 64-bit program may make them, by `int 0x80`; the calls
 * are served that mean the same with the same arguments. Structures with pointers or times in them
 * are laid out differently there, so calls that take them are not offered.
 */
#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "linux/calls.h"
#include "linux/state.h"

#define LSEEK_32 19
#define MMAP2_32 192

/* By the 32-bit number; one more than the 64-bit number, so that 0 says none. */
#define SAME(number, name) [(number)] = (SYS_##name + 1)
static const uint16_t calls[] = {
    SAME(1, exit),
    SAME(3, read),
    SAME(4, write),
    SAME(5, open),
    SAME(6, close),
    SAME(8, creat),
    SAME(10, unlink),
    SAME(12, chdir),
    SAME(LSEEK_32, lseek),
    SAME(20, getpid),
    SAME(24, getuid),
    SAME(33, access),
    SAME(37, kill),
    SAME(41, dup),
    SAME(45, brk),
    SAME(47, getgid),
    SAME(49, geteuid),
    SAME(50, getegid),
    SAME(60, umask),
    SAME(63, dup2),
    SAME(64, getppid),
    SAME(65, getpgrp),
    SAME(91, munmap),
    SAME(118, fsync),
    SAME(122, uname),
    SAME(125, mprotect),
    SAME(132, getpgid),
    SAME(133, fchdir),
    SAME(144, msync),
    SAME(147, getsid),
    SAME(150, mlock),
    SAME(151, munlock),
    SAME(158, sched_yield),
    SAME(163, mremap),
    SAME(168, poll),
    SAME(172, prctl),
    SAME(183, getcwd),
    SAME(MMAP2_32, mmap),
    SAME(199, getuid),
    SAME(200, getgid),
    SAME(201, geteuid),
    SAME(202, getegid),
    SAME(219, madvise),
    SAME(224, gettid),
    SAME(238, tkill),
    SAME(252, exit_group),
    SAME(258, set_tid_address),
    SAME(270, tgkill),
    SAME(295, openat),
    SAME(305, readlinkat),
    SAME(307, faccessat),
    SAME(318, getcpu),
    SAME(330, dup3),
    SAME(355, getrandom),
};

int int80_translate(struct linux_call *call)
{
    size_t count = sizeof(calls) / sizeof(calls[0]);

    if (call->number >= count || !calls[call->number])
        return -ENOSYS;
    if (call->number == LSEEK_32)
        call->arg[1] = (uint64_t)(int32_t)call->arg[1];
    if (call->number == MMAP2_32) {
        call->arg[5] *= FERRY_PAGE_BYTES;
        call->arg[3] |= MAP_32BIT; /* the result must be one that 32 bits can hold */
    }
    call->number = calls[call->number] - 1u;
    return 0;
}
