/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory of the vDSO: the page of clocks and the image after it. All VMs of an engine share it.
 * What they see is mapped read-only here too, so that no store of a guest reaches it, whatever the
 * guest's page tables say.
 */
#ifndef FERRY_HOST_VDSO_H
#define FERRY_HOST_VDSO_H

#include <ferry/abi/clock.h>

#include "kvm/guest_tables.h"

#define VDSO_ALL_BYTES (FERRY_PAGE_BYTES + FERRY_VDSO_BYTES)

struct vdso {
    char *view;                     /* what guests see, read-only; NULL: it was not made */
    struct ferry_clock_page *clock; /* the first page of it, to be written */
};

/* 0 or a negative errno; in either case vdso_destroy must follow. */
int vdso_create(struct vdso *vdso);
void vdso_destroy(struct vdso *vdso);

/* Maps it for a guest, which also needs a slot for VDSO_ALL_BYTES from FERRY_CLOCK_ADDR on. -ENOMEM:
 * the tables do not fit. */
int vdso_map(struct guest_tables *tables);

/* Where [addr, addr + bytes) is, or NULL: it is not of the vDSO. It is for
 * reading only. */
char *vdso_at(const struct vdso *vdso, struct guest_addr addr, uint64_t bytes);

#endif
