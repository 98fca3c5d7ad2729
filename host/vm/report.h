/* SPDX-License-Identifier: BSD-2-Clause */
/* The report for people about how a program ended. */
#ifndef FERRY_HOST_REPORT_H
#define FERRY_HOST_REPORT_H

#include <stdbool.h>

#include "linux/linux.h"
#include "vm/vm.h"

/* A fault of the program: as Linux tells it to a handler, and in words. */
struct fault {
    struct linux_fault info;
    uint64_t rip;
    bool address_known; /* info.addr is what was accessed */
    char why[240];
};

/* The name of a signal, as strace gives it also to those of real time, which have none. */
struct signal_name {
    char text[24];
};
struct signal_name signal_name(int signo);

/* The program ends by a fault. */
void report_fault(struct ferry_vm *vm, const struct fault *fault);

/* It touched more memory than it may have. */
void report_memory(struct ferry_vm *vm);

/* The host refused, with that errno, what it had written to the file of this name before. */
void report_lost(struct ferry_vm *vm, const char *name, int error);

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
