/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ledger: who owns and who holds each unit of the pool. It is a record only; it touches no page
 * and no page table. A change is begun, performed by the caller on the page tables, and then
 * committed or aborted; in between the units are in transit and no other change of them can begin.
 *
 * Thread-safe; only the search for free units takes a lock. All that counts about a unit is in one
 * 64-bit word, changed by compare-and-swap, so it is consistent in itself at every instant. A run
 * of units is taken one by one; if one does not fit, those taken already go back to what they were.
 * A reader may see a unit in transit for that moment, but never with a wrong owner or holder.
 *
 * Which thread may change a unit:
 *
 *   FREE            only ledger_alloc, under the lock of the search
 *   OWNED by X      only X: a hand-over begins, or its eviction frees the unit
 *   LENT to H       only H, by the loan's token: a hand-over or the way home begins
 *   TRANSIT         only the thread that began the change: commit or abort
 *   LENT, TRANSIT   besides: the eviction of the owner takes the owner out
 *
 * "X" is a thread that acts for the endpoint: its own, or one that entered it (endpoint.h). An
 * endpoint is evicted when it takes part no more: no thread acts for it, it holds no loan, and
 * nothing is on its way to it. So the eviction of O finds the units that O holds at rest and frees
 * them. It competes with other threads only for units that O owns and another endpoint holds, and
 * there both sides change the word by compare-and-swap: the eviction changes nothing but the owner,
 * the others keep the owner they find. The one that comes second looks again, and nothing is lost:
 *   - begun or forwarded by the holder first: O is still there and is taken out;
 *   - came home first: O owns and holds the unit, and the eviction frees it;
 *   - taken out first: the loan goes on without an owner, and coming home frees the unit.
 * After the eviction has looked at a unit, it cannot become O's again: that takes an allocation by
 * O or a message to O. Eviction goes unit by unit, so of one loan some units may still be O's and
 * some nobody's already: they count as of one owner.
 */
#ifndef FERRY_HOST_LEDGER_H
#define FERRY_HOST_LEDGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/lock.h"
#include "pool/pool.h"
#include "pool/shares.h"

#define LEDGER_NOBODY 0xffffu
#define LEDGER_OWNERS SHARES /* endpoint indexes are below this */

enum unit_state {
    UNIT_FREE,    /* in the pool: no owner, no holder */
    UNIT_OWNED,   /* owner and holder are the same */
    UNIT_LENT,    /* the holder may read; the owner, mostly another, waits */
    UNIT_TRANSIT, /* being handed over; owner and holder are still the old ones */
};

/* A copy of the ledger's entry of a unit. */
struct ledger_unit {
    uint16_t owner, holder; /* endpoint index, or LEDGER_NOBODY */
    uint16_t recipient;     /* TRANSIT by a move: counts for the share of this one, too */
    uint8_t state;          /* enum unit_state */
    bool kept;              /* used by the VMM in the owner's name, and closed to the owner */
    /* The last message that handed it over, kept for reports. */
    uint16_t from, to;
    uint32_t message;
};

struct ledger_entry {
    _Atomic uint64_t word; /* owner, holder, recipient, state, kept */
    _Atomic uint64_t last; /* from, to, message: for reports, in no order with the word */
};

struct ledger {
    const struct pool *pool;
    struct ledger_entry *units;
    struct shares shares;
    char pad[64];
    struct lock lock; /* of the search for free units; a leaf: */
    uint32_t hint_page, hint_extent;
};

int ledger_create(struct ledger *ledger, const struct pool *pool);
void ledger_destroy(struct ledger *ledger);

/* `count` adjacent free units for `owner`, in transit until ledger_commit_owned: the caller scrubs
 * them first. -EDQUOT: the owner would own more than `most` of that size; -ENOMEM: the pool has no
 * such run, or only units that are kept for the host. */
int ledger_alloc(struct ledger *ledger, uint16_t owner, bool page, uint32_t count, uint32_t most,
                 struct units *out);
/* `kept`: the owner itself may not access the units, as the VMM fills them in its name. They stay
 * kept until they are free again, or committed anew; for a borrower they are like any other loan. */
void ledger_commit_owned(struct ledger *ledger, struct units units, bool kept);

/* Begins giving units back to the pool. -EPERM unless `owner` owns and holds all. */
int ledger_begin_free(struct ledger *ledger, struct units units, uint16_t owner);
void ledger_commit_free(struct ledger *ledger, struct units units);

/* Begins a hand-over by `holder`: of units it owns (`prior_state` OWNED), or as a borrower that
 * forwards a loan (LENT; it must have claimed the loan's token). -EPERM unless it holds all of them
 * so. */
int ledger_begin_send(struct ledger *ledger, struct units units, uint16_t holder,
                      enum unit_state prior_state);
/* The same for a move. -EAGAIN: `to` would then own more than `most` units of that size; -EMSGSIZE:
 * it could never own so many at once. */
int ledger_begin_move(struct ledger *ledger, struct units units, uint16_t holder, uint16_t to,
                      uint32_t most);
/* Moved (begun by ledger_begin_move): `to` owns. Lent: `to` holds, the owner stays; a loan that is
 * forwarded to its owner is a loan like any other until it is released. */
void ledger_commit_send(struct ledger *ledger, struct units units, uint16_t to, bool move,
                        uint32_t message);
/* Undoes ledger_begin_*: the units are again as it found them. */
void ledger_abort(struct ledger *ledger, struct units units, enum unit_state prior_state);

/* Begins bringing a loan home. *owner: the owner of its first unit; LEDGER_NOBODY if that has
 * ended. */
void ledger_begin_home(struct ledger *ledger, struct units units, uint16_t holder, uint16_t *owner);
/* The loan is the owner's again, or in the pool if the owner was evicted meanwhile. */
void ledger_commit_home(struct ledger *ledger, struct units units);

/* Evicts `owner`, which has ended, holds no loan, and for which no thread acts: its units go to the
 * pool; the units it lent go there when they are released. */
void ledger_evict(struct ledger *ledger, uint16_t owner);

/* The ledger's entry of a unit now, and the unit's last message. */
struct ledger_unit ledger_look(struct ledger *ledger, uint32_t unit);

/* The rights of `index` on all the units: WRITE (owns), READ (borrows) or CLOSED. */
int ledger_access(struct ledger *ledger, struct units units, uint16_t index);

/* How many units of that size count for the share of `index` now. */
uint32_t ledger_owned(struct ledger *ledger, uint16_t index, bool page);

struct ledger_count {
    uint64_t free, owned, lent, transit;
};
/* Counts all units, one after the other. While units change hands the sum is exact, each figure
 * nearly so. Aborts the process if a unit contradicts itself (a fault of Ferry, after which no
 * promise about pages can be kept). */
struct ledger_count ledger_prove(struct ledger *ledger);

#endif
