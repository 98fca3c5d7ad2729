/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shows a guest who its peers are. The page of the control structure that tells
 * it appears when the guest looks, and not before: for a digest the whole program file is read, and
 * a program that knows nothing of Ferry never looks.
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

/* When the VM is destroyed. */
void identity_forget(struct ferry_vm *vm);

/* Before the guest runs and after its links were made: shows the page at once if no peer has a
 * digest. Digests that are known already make no difference: how many exits a program makes must not
 * depend on what ran before. */
void identity_begin(struct ferry_vm *vm);

/* On the VM's thread: the guest faulted at addr. True: that was its first look at the page, which is
 * there now, so the guest goes on; or the VM is being stopped. */
bool identity_show(struct ferry_vm *vm, uint64_t addr);

#endif
