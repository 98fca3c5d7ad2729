/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest kernel (abi/kernel.h) as KVM's side sees it: putting it into a VM, and what a CPU was
 * doing that was stopped in it.
 */
#ifndef FERRY_HOST_KERNEL_H
#define FERRY_HOST_KERNEL_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include <ferry/abi/kernel.h>

#include "kvm/guest_tables.h"

/* Puts it into the system area at `system`. `at_cpl3`: `syscall` stays there, so the program may
 * access what the guest kernel works with; else only CPL0 may. -ENOMEM: out of page tables. */
int kernel_install(void *system, struct guest_tables *tables, bool at_cpl3);

/* Where `syscall` has to arrive, and what GS has to point to on this CPU, below
 * FERRY_KERNEL_CPUS_MAX. */
struct guest_addr kernel_entry(bool at_cpl3);
struct guest_addr kernel_gs(uint32_t cpu);

/* The pages by which it and the VMM talk, in the system area. */
struct ferry_kernel_shown *kernel_shown(void *system);
struct ferry_kernel_words *kernel_words(void *system);

/* What a CPU that was stopped at `rip` was doing. */
enum kernel_place {
    KERNEL_OUTSIDE, /* it is in the program or a stub */
    KERNEL_LIVE,    /* a call begins; the registers are still the program's */
    KERNEL_SAVED,   /* the call has had no effect yet; the registers were saved */
    KERNEL_DONE,    /* it has had its effect */
};
enum kernel_place kernel_place(uint64_t rip, uint64_t rflags);

/* Sets *regs, those of the CPU now, to the registers with which the program made the call, as an
 * exit by the stub would find them; of KERNEL_DONE with the result. The guest may have written any
 * values. */
void kernel_registers(const void *system, uint32_t cpu, enum kernel_place place,
                      struct kvm_regs *regs);

#endif
