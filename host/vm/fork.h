/* SPDX-License-Identifier: BSD-2-Clause */
/* Processes of a VM beside the first: each has a guest of its own. */
#ifndef FERRY_HOST_FORK_H
#define FERRY_HOST_FORK_H

#include "vm/vm.h"

/* Waits until all of them have ended. On the thread of the first one's first CPU, with the turn. */
void fork_await_all(struct ferry_vm *vm);

#endif
