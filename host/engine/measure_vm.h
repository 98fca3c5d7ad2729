/* SPDX-License-Identifier: BSD-2-Clause */
/* A VM to measure with: it touches one word and exits, for ever. */
#ifndef FERRY_HOST_MEASURE_VM_H
#define FERRY_HOST_MEASURE_VM_H

#include <stdbool.h>

#include "kvm/vcpu.h"
#include "pool/page_table.h"

struct measure_vm {
    struct kvm_vm kvm;
    struct vcpu vcpu;
    char *system; /* the system area, and after it a page for the program */
};

/* The window is shown at FERRY_WINDOW_BASE. May fail half-way: destroy it then, too. */
int measure_vm_create(struct measure_vm *measure, const struct kvm *kvm,
                      const struct window *window);
void measure_vm_destroy(struct measure_vm *measure);

/* From the next run on it writes to the first byte of the window, or to a page of its own. */
void measure_vm_aim(struct measure_vm *measure, bool window);

/* One touch and one exit. False: KVM failed. */
bool measure_vm_run(struct measure_vm *measure);

#endif
