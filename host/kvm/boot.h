/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The system area of a VM: control structure, receive buffers, and what the
 * CPU needs to run a program at CPL3: descriptor tables, the stubs, the page
 * tables. Written before the first instruction; the guest can write only the pages
 * of the control structure that are its own.
 */
#ifndef FERRY_HOST_BOOT_H
#define FERRY_HOST_BOOT_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include <ferry/abi/control.h>

#include "kvm/guest_tables.h"

#define SYSTEM_TABLES_BYTES  (2ull << 20) /* control structure, stubs and page tables */
#define SYSTEM_RECEIVE_BYTES ((uint64_t)FERRY_TOKENS * FERRY_COPY_BYTES)
#define SYSTEM_BYTES         (SYSTEM_TABLES_BYTES + SYSTEM_RECEIVE_BYTES)
#define SYSTEM_RECEIVE       (FERRY_SYSTEM_BASE + SYSTEM_TABLES_BYTES)

#define BOOT_CPUS_MAX 1024

/* Fills the area at `host`, which is zero, and starts the page tables; maps the area and the window's
 * window_bytes; prepares the first of at most so many CPUs. -ENOMEM: the tables do not fit. */
int boot_system(void *host, uint64_t window_bytes, uint32_t cpus, struct guest_tables *tables);

/* Prepares what a further CPU has of its own in the area. CPUs have numbers from 0 on. */
void boot_cpu(void *host, uint32_t cpu);

/* Lets the guest read the first page of the control structure, which boot_system leaves out. */
int boot_show_info(struct guest_tables *tables);

/* Registers of a CPU about to run at `entry` with its stack at `stack`, at CPL3. */
void boot_sregs(struct kvm_sregs *sregs, uint32_t cpu);
void boot_user_segments(struct kvm_sregs *sregs);
void boot_regs(struct kvm_regs *regs, struct guest_addr entry, struct guest_addr stack);

/* The model-specific registers that make `syscall` enter the stub. */
#define BOOT_MSRS 3
void boot_msrs(struct kvm_msr_entry msrs[BOOT_MSRS]);
/* The one of them that says where `syscall` arrives; and where the stub for it is. */
struct kvm_msr_entry boot_entry_msr(struct guest_addr entry);
struct guest_addr boot_syscall_stub(void);
/* A `syscall` beside it, for a look at the level at which it arrives. No program can write there. */
struct guest_addr boot_syscall_probe(void);
#define BOOT_SYSCALL_BYTES 2

/* RFLAGS for user code: the bits of `flags` that the program may choose, with interrupts and port
 * access on. */
uint64_t boot_user_flags(uint64_t flags);

#define BOOT_PAGE_FAULT 14

/* The exception whose stub is at rip: 0 to 31, or -1. */
int boot_vector(struct guest_addr rip);

/* Whether rip is in a stub. */
bool boot_in_stub(uint64_t rip);

/* The frame that the CPU pushed when it took an exception. */
struct boot_frame {
    uint64_t error, rip, rflags, rsp;
    bool at_cpl0; /* it was in the guest kernel */
};
/* Reads the frame of exception `vector` that this CPU put at `rsp` in the area at `host`. False: its
 * stack is not there. */
bool boot_exception_frame(const void *host, uint32_t cpu, struct guest_addr rsp, int vector,
                          struct boot_frame *frame);

#endif
