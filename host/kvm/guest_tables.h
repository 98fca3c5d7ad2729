/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The page tables the guest's CPU walks: an identity map, written by the VMM
 * only and not mapped into the guest. Entries only ever gain rights once the
 * guest has run: KVM with shadow paging does not see host writes to tables,
 * and a gained right needs no flush (the fault walks again). Rights are taken
 * away by the host's own page tables (mprotect), which KVM always follows. So a right for a part of
 * a large leaf is one for all of it. To split the leaf would be no gain that the fault sees: where
 * shadow paging has a table for it already, KVM keeps that, made for the old rights.
 */
#ifndef FERRY_HOST_GUEST_TABLES_H
#define FERRY_HOST_GUEST_TABLES_H

#include <stdatomic.h>
#include <stdint.h>

#include "lib/address.h"

enum {
    GUEST_USER = 1,
    GUEST_WRITE = 2,
    GUEST_EXEC = 4,
    GUEST_LARGE = 8, /* 2 MiB leaves; the range must be aligned to it */
    /* A 2 MiB leaf is allowed if few tables are left, although it also gives rights to the memory
     * beside. This is for ranges where the host's mapping decides in any case. */
    GUEST_COARSE = 16,
};

struct guest_tables {
    uint64_t *pages;        /* host view of the pages tables are made of */
    struct guest_addr base; /* where the guest has them */
    uint32_t capacity;      /* how many */
    atomic_uint used;       /* the first is the root; another thread may look while one is added */
};

void guest_tables_init(struct guest_tables *tables, void *pages, struct guest_addr base,
                       uint32_t capacity);

/* Maps [start, start + bytes), page-aligned, each address to itself. Pages that are mapped already
 * only gain rights (and keep their leaf size). -ENOMEM: out of table pages, or an entry leads to
 * memory that is no table; pages mapped so far stay. */
int guest_tables_map(struct guest_tables *tables, struct guest_addr start, uint64_t bytes,
                     unsigned flags);

/* Makes [start, start + bytes), which is mapped and shares no GiB with anything else, unmapped for
 * the guest, before it runs; and mapped again, any time, on any thread. */
void guest_tables_hide(struct guest_tables *tables, struct guest_addr start, uint64_t bytes);
void guest_tables_show(struct guest_tables *tables, struct guest_addr start, uint64_t bytes);

#endif
