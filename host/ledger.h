/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ledger: who owns and who holds each unit of the pool. Pure books; it
 * touches no page and no page table. A change of hands is begun, performed by
 * the caller on the page tables, and then committed or aborted; in between
 * the units are in transit and nobody else can begin anything with them.
 *
 * Thread-safe by a lock of its own, held for a few instructions per unit and
 * never across a system call; no other lock is ever taken under it.
 */
#ifndef FERRY_HOST_LEDGER_H
#define FERRY_HOST_LEDGER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "pool.h"

#define LEDGER_NOBODY 0xffffu

enum unit_state {
    UNIT_FREE,    /* in the pool: no owner, no holder */
    UNIT_OWNED,   /* owner and holder are the same */
    UNIT_LENT,    /* the holder may read; the owner, mostly another, waits */
    UNIT_TRANSIT, /* being handed over; owner and holder are still the old ones */
};

struct ledger_unit {
    uint16_t owner, holder; /* endpoint index, or LEDGER_NOBODY */
    uint8_t state;          /* enum unit_state */
    bool fresh;             /* never handed out: still zero */
    /* The last message it travelled in, kept for reports after it is over. */
    uint16_t from, to;
    uint32_t message;
};

struct ledger {
    pthread_mutex_t lock;
    const struct pool *pool;
    struct ledger_unit *units;
    uint32_t hint_page, hint_extent; /* where the search for free units starts */
};

int ledger_create(struct ledger *ledger, const struct pool *pool);
void ledger_destroy(struct ledger *ledger);

/* `count` adjacent free units for `owner`, in transit until ledger_commit_owned: the
 * caller scrubs them first (`fresh`: all are still untouched). -EDQUOT: the owner would own
 * more than `most` of that size; -ENOMEM: the pool has no such run. */
int ledger_alloc(struct ledger *ledger, uint16_t owner, bool page, uint32_t count, uint32_t most,
                 struct units *out, bool *fresh);
void ledger_commit_owned(struct ledger *ledger, struct units units);

/* Begins giving units back to the pool. -EPERM unless `owner` owns and holds all. */
int ledger_begin_free(struct ledger *ledger, struct units units, uint16_t owner);
void ledger_commit_free(struct ledger *ledger, struct units units);

/* Begins a hand-over by `holder`: of units it owns (`had` OWNED), or as a
 * borrower that passes a loan on (LENT; it must have claimed the loan's
 * token). -EPERM unless it holds all of them so. */
int ledger_begin_send(struct ledger *ledger, struct units units, uint16_t holder,
                      enum unit_state had);
/* The same for a move, unless `to` would own more than `most` units of that size
 * by it: -EAGAIN, or -EMSGSIZE if it never could. */
int ledger_begin_move(struct ledger *ledger, struct units units, uint16_t holder, uint16_t to,
                      uint32_t most);
/* Moved: `to` owns. Lent: `to` holds, the owner stays; a loan that is passed on to
 * its owner is a loan like any other until it is released. */
void ledger_commit_send(struct ledger *ledger, struct units units, uint16_t to, bool move,
                        uint32_t message);
/* Back to what ledger_begin_* found. */
void ledger_abort(struct ledger *ledger, struct units units, enum unit_state had);

/* Begins bringing a loan home. *owner: LEDGER_NOBODY if the owner is no more. */
void ledger_begin_home(struct ledger *ledger, struct units units, uint16_t holder, uint16_t *owner);
/* The owner has it again, or the pool if the owner was evicted meanwhile. */
void ledger_commit_home(struct ledger *ledger, struct units units);

/* `owner` is no more and holds no loan: its units go to the pool, what it
 * lent goes there once released. */
void ledger_evict(struct ledger *ledger, uint16_t owner);

/* What `index` may do at a unit now, and the unit's last message. */
struct ledger_unit ledger_look(struct ledger *ledger, uint32_t unit);

/* Whether `index` holds all the units: WRITE (owns), READ (borrows) or CLOSED. */
int ledger_access(struct ledger *ledger, struct units units, uint16_t index);

struct ledger_count {
    uint64_t free, owned, lent, transit;
};
/* Counts all units; aborts the process if one contradicts itself (a fault of
 * Ferry, after which no promise about pages can be kept). */
struct ledger_count ledger_prove(struct ledger *ledger);

#endif
