/* SPDX-License-Identifier: BSD-2-Clause */
/* Getting units of the pool for an endpoint and giving them back: ledger, scrub and page table in
 * the right order. */
#ifndef FERRY_HOST_UNITS_H
#define FERRY_HOST_UNITS_H

#include "ipc/endpoint.h"

/* `count` adjacent units, zeroed, owned and open. -EDQUOT, -ENOMEM. */
int units_alloc(struct endpoint *endpoint, uint64_t count, bool page, struct units *out);
/* One extent, zeroed and owned, but closed: the VMM fills it in the endpoint's name. It is not
 * made huge yet. `beyond`: even if that is one more than it may own. */
int units_keep(struct endpoint *endpoint, bool beyond, struct units *out);

/* An extent that is kept is from now on open to its owner, until it is free again. -ENOMEM: it is as
 * before. */
int units_open(struct endpoint *endpoint, struct units units);

/* Owned units go back to the pool. -EPERM: not all are owned (nothing happens). */
int units_free(struct endpoint *endpoint, struct units units);

/* Opens units that a VM owns, where a page that came home could not be opened for want of
 * mappings. On the VM's own thread, while its guest does not run. */
void units_reopen(struct endpoint *endpoint, struct units units);

/* Whole units that [offset, offset + bytes), as the endpoint gave it, consists of. -EINVAL: there
 * are none such; -EPERM: the VMM uses them for plain reads and writes. */
int units_at(struct endpoint *endpoint, struct pool_offset offset, uint64_t bytes,
             struct units *out);

#endif
