/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shares: how many units of the pool each endpoint owns, and how many it may. Part of the ledger. A
 * count is never less than the truth: units are counted before an endpoint gets them, and counted
 * off after it has given them back. Any thread; no lock.
 *
 * Part of the pool is kept for the host, so that guests cannot take all of it. Units that guests
 * own, that they moved to the host, and that endpoints left when they ended are counted together,
 * and bounded by the rest of the pool.
 */
#ifndef FERRY_HOST_SHARES_H
#define FERRY_HOST_SHARES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "pool/pool.h"

#define SHARES 8192u /* endpoint indexes are below this */

/* A cache line each, as all VMs change theirs. */
struct share {
    atomic_uint pages, extents;
    atomic_bool host; /* it may take units that are kept for the host */
    char pad[55];
};

struct shares {
    const struct pool *pool;
    struct share *of;                     /* by endpoint index */
    atomic_uint kept_pages, kept_extents; /* set with each end of the host, always to the same */
    char pad[64];        /* the members above are read by all and hardly ever written */
    struct share others; /* units that all but the host own */
};

int shares_create(struct shares *shares, const struct pool *pool);
void shares_destroy(struct shares *shares);

/* `owner` is an end of the host that gets units from the pool. From now on an eighth of the pool
 * is kept for those like it, at most 16 extents and 64 pages. */
void shares_keep_for(struct shares *shares, uint16_t owner);
/* The end is gone, and its index may be given to another endpoint. */
void shares_forget(struct shares *shares, uint16_t owner);

uint32_t shares_owned(struct shares *shares, uint16_t owner, bool page);

/* Counts units that come from the pool. -EDQUOT: the owner would have more than `most`; -ENOMEM:
 * nothing is left in the pool but what is kept for the host. */
int shares_take(struct shares *shares, uint16_t owner, bool page, uint32_t count, uint32_t most);
void shares_give_back(struct shares *shares, uint16_t owner, bool page, uint32_t count);

/* Counts units for the recipient while another endpoint still owns them and is about to move them.
 * False: the recipient would have more than `most`. */
bool shares_promise(struct shares *shares, uint16_t recipient, bool page, uint32_t count,
                    uint32_t most);
/* They are not moved after all. */
void shares_break(struct shares *shares, uint16_t recipient, bool page, uint32_t count);
/* They were moved. Units that the host moves to a VM count for the VMs from now on, even beyond the
 * part of the pool that is theirs. */
void shares_moved(struct shares *shares, uint16_t from, uint16_t recipient, bool page,
                  uint32_t count);

/* The owner of a unit has ended while another holds the unit. */
void shares_orphan(struct shares *shares, uint16_t owner, bool page);
/* Such units are in the pool again. */
void shares_orphans_home(struct shares *shares, bool page, uint32_t count);

#endif
