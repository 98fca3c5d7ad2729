/* SPDX-License-Identifier: BSD-2-Clause */
/* Faults of the program: which signal Linux sends for each, and why, in words. */
#ifndef FERRY_HOST_FAULT_H
#define FERRY_HOST_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#include "kvm/boot.h"
#include "vm/report.h"
#include "vm/vm.h"

/* The program took exception `vector`, whose frame this is. */
void fault_of_exception(struct ferry_vm *vm, const struct vcpu *vcpu, int vector,
                        const struct boot_frame *frame, struct fault *fault);

/* Whether the access of a page fault is one that the program may make by now: another thread changed
 * the program's memory after the access, or the processor still knew the rights from before. It is to
 * be tried again, as on Linux. False if that was in vain. */
bool fault_is_stale(struct ferry_vm *vm, struct vcpu *vcpu, const struct boot_frame *frame);

/* KVM_RUN failed with EFAULT: the host's page table refused an access. False: no address can be
 * found that the program had no right to. Units that the ledger gives it and that were closed are
 * open again, so the access may be tried again. True: the registers are those of now. */
bool fault_of_refused(struct ferry_vm *vm, struct vcpu *vcpu, struct fault *fault);

/* The page fault was the first touch of memory that is charged by touch, and the access may be tried
 * again. `error`: of the frame. */
bool fault_touches(struct ferry_vm *vm, struct guest_addr addr, uint64_t error);
/* The host refused an access, and nobody knows which: touches what lies around the addresses in the
 * registers. True: something was charged, and the access may be tried again. */
bool fault_touches_around(struct ferry_vm *vm, const struct vcpu *vcpu);

/* The host refused an access again and again, and nobody knows which. If the program has live memory, it
 * is that a page of it is not there: the address is the best guess. False: it has none. */
bool fault_of_live(struct ferry_vm *vm, const struct vcpu *vcpu, const char *why,
                   struct fault *fault);

/* Any other fault; `why` is copied. */
struct fault fault_plain(int signo, int code, int vector, const struct boot_frame *frame,
                         const char *why);

/* Runs the program's handler, or ends the program. True: it goes on. The registers are those at the
 * fault. */
bool fault_serve(struct ferry_vm *vm, struct vcpu *vcpu, const struct fault *fault);

#endif
