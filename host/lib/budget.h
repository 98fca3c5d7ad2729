/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Budgets: a resource of the process that all VMs use (mappings, descriptors), divided so that no
 * VM can leave the others without any.
 *
 * The amount that a VM cannot do without (`own`) is set apart when it joins. Of the rest each VM
 * can always have its floor: an equal share of a quarter, at most `most`. Beyond its floor a VM
 * borrows, and all together borrow half of the rest at most. So whatever others borrowed, the floor
 * of each is there. When more VMs are made the floor sinks, and more of what the first ones have
 * counts as borrowed. The last quarter is for that: VMs that came first and took all they could do
 * not keep others from being made.
 */
#ifndef FERRY_HOST_BUDGET_H
#define FERRY_HOST_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/lock.h"

/* What one VM has. */
struct budget_share {
    struct budget_share *next, **link; /* the budget's; link NULL: it does not take part */
    uint32_t own, used;                /* `used` is the amount it has besides its own */
};

struct budget {
    uint32_t whole, most;
    struct lock lock; /* all below; a leaf */
    struct budget_share *shares;
    uint32_t count, floor;
    uint64_t own, borrowed; /* of all VMs */
};

void budget_init(struct budget *budget, uint32_t whole, uint32_t most);
void budget_fini(struct budget *budget);

/* A VM joins, and keeps so much as its own until it leaves. False: there is not enough left. */
bool budget_join(struct budget *budget, struct budget_share *share, uint32_t own);
/* The VM gives back all it has. Nothing happens if it never joined. */
void budget_leave(struct budget *budget, struct budget_share *share);

/* The VM uses so much besides its own from now on. False: it may not. It may always use less than
 * before. */
bool budget_set(struct budget *budget, struct budget_share *share, uint32_t used);

/* The amount that this process can still have, less the part kept for the process itself; read when
 * an engine is made. */
uint32_t budget_mappings(uint64_t pool_units);
uint32_t budget_files(void);

#endif
