/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtual CPU that is made up, for tests that need a moment no real guest can be held at. A test
 * says step by step how KVM_RUN ends and what happened in the guest before. For programs linked with
 * -Wl,--wrap of ioctl and, where a guest runs, of image_symbolize and linux_code_at.
 */
#ifndef FERRY_TESTS_VCPU_FIXTURE_H
#define FERRY_TESTS_VCPU_FIXTURE_H

#include "core_fixture.h"

#include <linux/kvm.h>

/* Two VMs with a link; a runs, by the struct kvm_run of its first CPU. */
extern struct ferry_vm *vm_a, *vm_b;
extern struct endpoint *a, *b;
extern struct kvm_run *run;

/* One stay in the guest: what the guest does, and then the exit, or the errno with which KVM_RUN
 * fails. */
typedef int (*stay)(void);
extern const stay *stays; /* what KVM_RUN does next */

/* This KVM makes a virtual CPU and sets one model-specific register. */
extern bool made_up;

/* This one keeps its registers in struct kvm_run. */
extern bool keeps_registers;

/* Where `syscall` enters by the last register that was set alone. */
extern uint64_t syscall_entry;

int vcpu_setup(void **state);
int vcpu_teardown(void **state);

/* Runs the guest of a until it ends; the last stay must be an end. */
void run_guest(const stay *how);

/* --- ends of a stay --- */

int leave_by_port(uint16_t port); /* it writes one byte */
int is_stopped(void);             /* from outside */
int is_kicked(void);

#define TEST(name) cmocka_unit_test_setup_teardown(name, vcpu_setup, vcpu_teardown)

#endif
