/* SPDX-License-Identifier: BSD-2-Clause */
/* Exceptions of a program that Linux would serve, or treat as something other than a crash. */
#ifndef FERRY_HOST_TRAP_H
#define FERRY_HOST_TRAP_H

#include <stdbool.h>

#include "vm/vm.h"

/* The guest is in the stub of an exception. True: the program goes on. False: it has ended, and
 * vm->exit says how. */
bool trap_serve(struct ferry_vm *vm, struct vcpu *vcpu);

#endif
