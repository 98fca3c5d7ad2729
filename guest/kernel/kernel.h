/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the files of the guest kernel. */
#ifndef FERRY_GUEST_KERNEL_H
#define FERRY_GUEST_KERNEL_H

#include <stdbool.h>

#include <ferry/abi/kernel.h>

/* Serves the call whose registers are in *cpu, up to its commit. False: it is left to the VMM. */
bool kernel_serve(struct ferry_kernel_cpu *cpu);

#endif
