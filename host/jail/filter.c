/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns installing the filter of system calls. */
#include "jail/filter.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "jail/calls.h"

/* "jail_filter.h" is made by the build. */
static const struct sock_filter made[] = {
#include "jail_filter.h"
};

#define COUNT (sizeof(made) / sizeof(made[0]))

/* Puts the number of our process in. False: the filter does not ask for it, so it is not ours. */
static bool own(struct sock_filter filter[COUNT])
{
    unsigned found = 0;

    memcpy(filter, made, sizeof(made));
    for (size_t i = 0; i < COUNT; i++) {
        if (filter[i].code == (BPF_JMP | BPF_JEQ | BPF_K) && filter[i].k == JAIL_OWN_PID) {
            filter[i].k = (uint32_t)getpid();
            found++;
        }
    }
    return found > 0;
}

/* Flags: the speculation that the kernel would forbid with a filter (before Linux 5.16) slows us down,
 * and what it protects from is a process that reads its own memory; guests have their own setting. */
int filter_install(void)
{
    struct sock_filter filter[COUNT];
    const struct sock_fprog program = {.len = COUNT, .filter = filter};
    long result;

    if (!own(filter))
        return -EINVAL;
    result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                     SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program);
    if (result > 0)
        return -EBUSY; /* the number of a thread that has a filter of its own */
    return result < 0 ? -errno : 0;
}
