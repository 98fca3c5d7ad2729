/* SPDX-License-Identifier: BSD-2-Clause */
/* Steps of making a VM, whatever it begins with. Each explains its errors. */
#ifndef FERRY_HOST_VM_CREATE_H
#define FERRY_HOST_VM_CREATE_H

#include "vm/vm.h"

/* Its end of messages; it is called after the program if the config has no name. */
int vm_create_endpoint(struct ferry_vm *vm, const struct ferry_vm_config *config,
                       const char *program, struct ferry_error *err);
/* What its guest reads about itself. It has its memory. */
void vm_write_control(struct ferry_vm *vm);
/* Its first CPU, which runs the first thread of its program. */
int vm_create_cpu(struct ferry_vm *vm, struct guest_addr entry, struct guest_addr stack,
                  struct ferry_error *err);

/* vm_copy.c: all of a VM that is a copy. */
int vm_build_copy(struct ferry_vm *vm, const struct ferry_vm_config *config,
                  struct ferry_error *err);

#endif
