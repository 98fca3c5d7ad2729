/* SPDX-License-Identifier: BSD-2-Clause */
/* Direct rings: mapping one into its two VMs. */
#ifndef FERRY_HOST_VM_DIRECT_H
#define FERRY_HOST_VM_DIRECT_H

#include <ferry/ferry.h>

#include "lib/address.h"

/* The addresses of a link's ring in its two VMs. */
struct direct_addresses {
    struct guest_addr out, in; /* at the sender, at the receiver */
};

/* Makes the ring of a link between two VMs and maps it into both, before either runs. On an error
 * link_free frees what was made of it. */
int vm_direct_create(struct ferry_link *link, struct direct_addresses *addresses,
                     struct ferry_error *err);
/* Unmaps the rings of one VM. To be called after its KVM objects are gone. */
void vm_direct_unmap(struct ferry_vm *vm);

#endif
