/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening the program of a VM, and putting another one in its place. */
#ifndef FERRY_HOST_VM_EXEC_H
#define FERRY_HOST_VM_EXEC_H

#include <stdint.h>

#include "program/program.h"

struct ferry_vm;

/* As program_open. What else the program needs is opened in its view. */
int vm_open_program(struct ferry_vm *vm, const char *name, const struct image_source *source,
                    char *const *argv, uint64_t limit_bytes, struct program *out,
                    struct ferry_error *err);

#endif
