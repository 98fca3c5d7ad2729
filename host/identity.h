/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shows a guest who its peers are. The page of the control structure that tells it is there
 * when the guest looks, and not before: a digest costs a reading of the whole program, and a
 * program that knows nothing of Ferry never looks.
 */
#ifndef FERRY_HOST_IDENTITY_H
#define FERRY_HOST_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

struct ferry_vm;
struct image;

/* Entry `place` of the guest's table is a peer that runs this image; NULL: the host. Its digest
 * is put there when the guest looks, also if the peer is gone by then. */
void identity_set_peer(struct ferry_vm *vm, uint32_t place, struct image *image);

/* With the VM. */
void identity_forget(struct ferry_vm *vm);

/* Before the guest runs, its links made: shows the page now if it has no digests in it. Not also
 * if all of them are known already: how many exits a program makes must not depend on what ran before. */
void identity_begin(struct ferry_vm *vm);

/* On the VM's thread: the guest faulted at addr. True: that was its first look at the page, and
 * it goes on, the page being there; or the VM is being stopped. */
bool identity_show(struct ferry_vm *vm, uint64_t addr);

#endif
