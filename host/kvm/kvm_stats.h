/* SPDX-License-Identifier: BSD-2-Clause */
/* KVM's own figures about a VM or a virtual CPU. */
#ifndef FERRY_HOST_KVM_STATS_H
#define FERRY_HOST_KVM_STATS_H

#include <stdint.h>

/* The figure of this name about a VM or CPU by its descriptor; 0 also where KVM does not tell, or no
 * descriptor is left to ask with. Any thread. */
uint64_t kvm_stat(int fd, const char *name);

#endif
