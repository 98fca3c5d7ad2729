/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shows a guest the identity of its peers. The page of the control structure that holds it appears
 * when the guest looks at it, and not before: a digest takes reading the whole program file, and a
 * program that knows nothing of Ferry never looks.
 */
#ifndef FERRY_HOST_IDENTITY_H
#define FERRY_HOST_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/address.h"

struct ferry_vm;
struct image;

/* Entry `index` of the guest's table is a peer that runs this image; NULL: the host. The digest is
 * written into the entry when the guest looks, even if the peer is gone by then. */
void identity_set_peer(struct ferry_vm *vm, uint32_t index, struct image *image);

/* When the VM is destroyed. */
void identity_forget(struct ferry_vm *vm);

/* On the VM's thread: the guest faulted at addr. True: this was its first look at the page, which
 * is mapped now, so the guest goes on; or the VM is being stopped. */
bool identity_show(struct ferry_vm *vm, struct guest_addr addr);

/* On the VM's thread, which is its only one: it runs another program from now on. That has a new
 * generation, by which its messages are told from those of the program before, all of which were
 * sent. The tables of its peers show the new one; if a guest has looked at its table, that takes
 * reading the whole file. */
void identity_change(struct ferry_vm *vm, struct image *image, uint32_t generation);

#endif
