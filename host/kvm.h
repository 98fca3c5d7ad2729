/* SPDX-License-Identifier: BSD-2-Clause */
/* /dev/kvm and what is asked of it once for all VMs. */
#ifndef FERRY_HOST_KVM_H
#define FERRY_HOST_KVM_H

#include <ferry/ferry.h>

struct ferry_engine;

/* Opens /dev/kvm, checks what Ferry needs, prepares CPUID and XCR0 for guests. */
int kvm_open(struct ferry_engine *engine, struct ferry_error *err);
void kvm_close(struct ferry_engine *engine);

#endif
