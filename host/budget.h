/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Budgets: what the process has of something that all VMs take from (mappings, descriptors),
 * shared so that none can leave the others without.
 *
 * Each VM is sure of a floor: a quarter of the whole for all of them, and not more than `most`.
 * Beyond its floor a VM borrows, and all together borrow half of the whole at most. So whatever
 * others borrowed, the floor of each is there. The floor sinks when VMs are made, and then more of
 * what they have counts as borrowed: the last quarter is for that, so that VMs which came first
 * and took all they could do not keep others from being made.
 */
#ifndef FERRY_HOST_BUDGET_H
#define FERRY_HOST_BUDGET_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* What one VM has. */
struct budget_share {
    struct budget_share *next, **link; /* the budget's; link NULL: it does not take part */
    uint32_t used;
};

struct budget {
    uint32_t whole, most;
    pthread_mutex_t lock; /* all below; a leaf */
    struct budget_share *shares;
    uint32_t count, floor;
    uint64_t borrowed;
};

void budget_init(struct budget *budget, uint32_t whole, uint32_t most);
void budget_fini(struct budget *budget);

/* One more VM, which uses so much by itself. False: there is not enough left. */
bool budget_join(struct budget *budget, struct budget_share *share, uint32_t used);
/* It gives back all it has; nothing happens if it never joined. */
void budget_leave(struct budget *budget, struct budget_share *share);

/* The VM uses so much from now on. False: it may not; less than before it always may. */
bool budget_set(struct budget *budget, struct budget_share *share, uint32_t used);

/* What this process can still have, less what it keeps for itself: read when an engine is made. */
uint32_t budget_mappings(uint64_t pool_units);
uint32_t budget_files(void);

#endif
