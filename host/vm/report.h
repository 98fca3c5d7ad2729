/* SPDX-License-Identifier: BSD-2-Clause */
/* The report for people about how a program ended. */
#ifndef FERRY_HOST_REPORT_H
#define FERRY_HOST_REPORT_H

#include <stdbool.h>

#include "vm/vm.h"

/* The program took exception `vector` in the guest. */
void report_exception(struct ferry_vm *vm, const struct vcpu *vcpu, int vector);

/* KVM_RUN failed with EFAULT: the host's page table refused an access. False: no address can be
 * found that the program had no right to. Units that the ledger gives it and that were closed are
 * open again, so the access may be tried again. */
bool report_refused(struct ferry_vm *vm, const struct vcpu *vcpu);

/* A crash at `rip`, which is known. */
void report_crash_at(struct ferry_vm *vm, int signo, uint64_t rip, const char *why);

/* A crash about which only `why` is known. */
void report_crash(struct ferry_vm *vm, const struct vcpu *vcpu, int signo, const char *why);

/* The program has ended: if it failed, adds what it was refused before. */
void report_refusal(struct ferry_vm *vm);

/* Whether it had more output than anybody would read. To be called once all of it was tried. */
void report_output(struct ferry_vm *vm);

/* Exit code and text of a VM that was told to stop. */
void report_stop(struct ferry_vm *vm);
/* The program ended by a signal, or by itself. */
void report_signal(struct ferry_vm *vm, int signo);
void report_exit(struct ferry_vm *vm, int status);

/* KVM could not run the guest further: an exit it should not make (`what`), an entry that the
 * processor refused (its maker's manual tells what the number means), or an error of KVM_RUN, a
 * negative errno. */
void report_internal(struct ferry_vm *vm, const char *what, unsigned code);
void report_entry(struct ferry_vm *vm, uint64_t reason);
void report_error(struct ferry_vm *vm, int error);

#endif
