/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/capabilities.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

void capabilities_bound(uint64_t keep)
{
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
        if (!(keep >> cap & 1))
            prctl(PR_CAPBSET_DROP, cap);
}

int capabilities_keep(uint64_t keep)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct halves[_LINUX_CAPABILITY_U32S_3];
    uint32_t kept[] = {(uint32_t)keep, (uint32_t)(keep >> 32)};

    if (syscall(SYS_capget, &header, halves) < 0)
        return -errno;
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); /* before Linux 4.3 there are none */
    for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        halves[i].permitted &= kept[i];
        halves[i].effective &= kept[i];
        halves[i].inheritable = 0;
    }
    return syscall(SYS_capset, &header, halves) < 0 ? -errno : 0;
}

bool capabilities_any(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct halves[_LINUX_CAPABILITY_U32S_3];

    return syscall(SYS_capget, &header, halves) == 0 &&
           (halves[0].permitted || halves[1].permitted);
}
