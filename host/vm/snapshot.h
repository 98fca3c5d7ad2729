/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The snapshot of a VM: its program at the point at which it was ready, to be had again any number of
 * times. The thread of the VM's first CPU does all that is about it, so nothing of the VM is in motion
 * meanwhile.
 */
#ifndef FERRY_HOST_SNAPSHOT_H
#define FERRY_HOST_SNAPSHOT_H

#include "vm/vm.h"

struct snapshot;

/* The program says that it is ready, by the call of this CPU: if somebody waits for that, a snapshot is
 * taken, and whoever waits is told. The result is that of the call: the number of the copy that runs, or
 * 0. */
int64_t snapshot_ready(struct ferry_vm *vm, struct vcpu *vcpu);

/* The same before a system call of that CPU, if the program asks for its standard input by it. */
void snapshot_before_call(struct ferry_vm *vm, struct vcpu *vcpu, const struct linux_call *call);

/* On the thread of a VM that is a copy, before its program runs: it has what the other VM's snapshot has.
 * 0 or a negative errno; -EINVAL: there is no snapshot; -EBUSY: and why, in words. */
int snapshot_begin(struct ferry_vm *vm);
const char *snapshot_why_not_begun(const struct ferry_vm *vm);

/* The program has ended. If there is no snapshot: false. Else the VM rests until it is to begin anew,
 * which is done, or (false) is to end. Without the turn. */
bool snapshot_rest(struct ferry_vm *vm);

/* The VM is about to be freed: it rests no more. */
void snapshot_leave(struct ferry_vm *vm);
/* It has no thread any more. */
void snapshot_free(struct ferry_vm *vm);

#endif
