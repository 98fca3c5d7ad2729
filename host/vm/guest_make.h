/* SPDX-License-Identifier: BSD-2-Clause */
/* Making a guest, and freeing it. */
#ifndef FERRY_HOST_GUEST_MAKE_H
#define FERRY_HOST_GUEST_MAKE_H

#include "vm/vm.h"

/* Makes KVM's VM, the system area and the space of the program, of limit_bytes at most; no CPU. On an
 * error guest_end and guest_fini free what was made. */
int guest_create(struct guest *guest, uint64_t limit_bytes, struct ferry_error *err);
/* No CPU has a thread: frees all but the system area, and guest_fini that. */
void guest_end(struct guest *guest);
void guest_fini(struct guest *guest);

/* Shows the guest [host, host + bytes) at `gpa`. */
int guest_slot_add(struct guest *guest, struct guest_addr gpa, uint64_t bytes, void *host);

#endif
