/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files that make up space.h share among themselves: the list of regions. */
#ifndef FERRY_HOST_SPACE_INTERNAL_H
#define FERRY_HOST_SPACE_INTERNAL_H

#include "space.h"

/* What a region's `prot` holds besides rights. */
enum {
    RIGHTS = SPACE_READ | SPACE_WRITE | SPACE_EXEC,
    /* Counts against the limit: it was accessible once, so it may hold memory.
     * It stays charged if its rights go, until it is unmapped. */
    CHARGED = 16,
    ALONE = 32, /* a file mapping: the kernel merges it with nothing */
    HUGE = 64,  /* has MADV_HUGEPAGE */
};

/* Index of the first region that ends after addr. */
size_t space_first_after(const struct space *space, uint64_t addr);
bool space_is_free(const struct space *space, uint64_t start, uint64_t end);
/* Whether all of [start, end) is mapped, with all of the rights. */
bool space_has_all(const struct space *space, uint64_t start, uint64_t end, unsigned prot);
uint64_t space_charged_bytes(const struct space *space, uint64_t start, uint64_t end);
/* Whether `more` further bytes may be charged once `less` are given back. */
bool space_within_limit(const struct space *space, uint64_t less, uint64_t more);

/* Makes room for `more` further regions, so that changing the list afterwards cannot fail. */
int space_reserve_regions(struct space *space, size_t more);
/* The rest takes reserved places. One: */
void space_insert_region(struct space *space, size_t at, struct space_region region);
/* One. Index of the region that begins at addr, or of the first one after it; a region that addr
 * lies in is split there. */
size_t space_split_at(struct space *space, uint64_t addr);
/* At most two. Takes [start, end) out of the list. */
size_t space_cut_regions(struct space *space, uint64_t start, uint64_t end);
/* None. A fresh region joins the one neighbour it can, the left one first. */
bool space_merge_fresh(struct space *space, size_t i);
/* Three. Puts [start, end) into the list in place of what was there, and charges for it. */
void space_set_region(struct space *space, uint64_t start, uint64_t end, unsigned prot);

#endif
