/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where things are in a guest. Guest-virtual and guest-physical addresses are
 * the same number everywhere, so one checker serves both and a pointer needs
 * no translation. Freestanding: included by host, guest and tests.
 */
#ifndef FERRY_ABI_LAYOUT_H
#define FERRY_ABI_LAYOUT_H

#define FERRY_PAGE_BYTES   4096ull
#define FERRY_EXTENT_BYTES (2ull << 20)

/* The program: image, heap, mappings, stack. Nothing below LOW is ever
 * mapped, so an access near a null pointer faults. */
#define FERRY_PROGRAM_LOW  0x10000ull
#define FERRY_PROGRAM_HIGH 0x800000000ull /* 32 GiB */

/* Control structure and the VMM's own tables. */
#define FERRY_SYSTEM_BASE 0x900000000ull /* 36 GiB */

/* The page of clocks (clock.h), and right after it the vDSO, which AT_SYSINFO_EHDR names. */
#define FERRY_CLOCK_ADDR 0x920000000ull
#define FERRY_VDSO_ADDR  (FERRY_CLOCK_ADDR + FERRY_PAGE_BYTES)
#define FERRY_VDSO_BYTES 0x2000ull

/* The guest kernel (kernel.h), in the system area. */
#define FERRY_KERNEL_BASE 0x900030000ull
/* Where the guest kernel finds files of the host. */
#define FERRY_FILES_BASE 0x940000000ull /* 37 GiB */

/* Direct rings (direct.h), one after the other; the peer's entry has the address of its ring. */
#define FERRY_DIRECT_BASE   0xc00000000ull /* 48 GiB */
#define FERRY_DIRECT_STRIDE 0x20000ull

/* A second part of the program, which a VM has only where its processor's addresses reach so far. */
#define FERRY_PROGRAM_FAR_LOW  0x5000000000ull  /* 320 GiB */
#define FERRY_PROGRAM_FAR_HIGH 0x20000000000ull /* 2 TiB */

/* The window over the pool: the same address in every VM, so that a pointer
 * inside a message means the same to its sender and its receiver. */
#define FERRY_WINDOW_BASE      0x1000000000ull /* 64 GiB */
#define FERRY_WINDOW_MAX_BYTES (256ull << 30)

/* Ports. A store to one of these by `out` makes an exit at once. */
#define FERRY_PORT_DOORBELL  0xf0 /* look at my out ring now */
#define FERRY_PORT_CALL      0xf1 /* a call of call.h, arguments in registers */
#define FERRY_PORT_SYSCALL   0xf2 /* from the stub that `syscall` enters */
#define FERRY_PORT_EXCEPTION 0xf3 /* from the stub that exceptions enter */
#define FERRY_PORT_WROTE     0xf4 /* from the guest kernel: who waits for output is to be told */

/* The auxiliary-vector entry that holds the address of the control structure;
 * absent when the program runs as an ordinary process. */
#define FERRY_AT_CONTROL 0x46455259ul

/* The same layout for C and C++. */
#ifdef __cplusplus
#define FERRY_STATIC_ASSERT(condition, text) static_assert(condition, text)
#else
#define FERRY_STATIC_ASSERT(condition, text) _Static_assert(condition, text)
#endif
#define FERRY_ALIGNED(bytes) __attribute__((aligned(bytes)))

#endif
