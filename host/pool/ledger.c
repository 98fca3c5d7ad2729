/* SPDX-License-Identifier: BSD-2-Clause */
/* The ledger: who owns and who holds each unit of the pool. */
#include "pool/ledger.h"

#include <errno.h>
#include <stdlib.h>

#include "pool/page_table.h"

_Static_assert(ATOMIC_LONG_LOCK_FREE == 2, "a unit's word is changed without a lock");

/* --- the word ---------------------------------------------------------------- */

static uint64_t word_of(const struct ledger_unit *unit)
{
    return (uint64_t)unit->owner | (uint64_t)unit->holder << 16 | (uint64_t)unit->recipient << 32 |
           (uint64_t)unit->state << 48 | (uint64_t)unit->kept << 56;
}

static struct ledger_unit unit_of(uint64_t word)
{
    return (struct ledger_unit){.owner = (uint16_t)word,
                                .holder = (uint16_t)(word >> 16),
                                .recipient = (uint16_t)(word >> 32),
                                .state = (uint8_t)(word >> 48),
                                .kept = word >> 56 & 1};
}

static uint64_t last_of(uint16_t from, uint16_t to, uint32_t message)
{
    return (uint64_t)from | (uint64_t)to << 16 | (uint64_t)message << 32;
}

static const struct ledger_unit free_unit = {.owner = LEDGER_NOBODY,
                                             .holder = LEDGER_NOBODY,
                                             .recipient = LEDGER_NOBODY,
                                             .state = UNIT_FREE};

static uint64_t read_word(struct ledger *ledger, uint32_t unit)
{
    return atomic_load_explicit(&ledger->units[unit].word, memory_order_acquire);
}

/* False: it has changed since; *word is its present value. */
static bool swap(struct ledger *ledger, uint32_t unit, uint64_t *word, struct ledger_unit becomes)
{
    return atomic_compare_exchange_weak_explicit(&ledger->units[unit].word, word, word_of(&becomes),
                                                 memory_order_acq_rel, memory_order_acquire);
}

static void forget_last(struct ledger *ledger, uint32_t unit)
{
    atomic_store_explicit(&ledger->units[unit].last, last_of(LEDGER_NOBODY, LEDGER_NOBODY, 0),
                          memory_order_relaxed);
}

/* --- making ---------------------------------------------------------------------- */

int ledger_create(struct ledger *ledger, const struct pool *pool)
{
    uint32_t count = pool_units(pool);

    *ledger = (struct ledger){.pool = pool, .hint_extent = pool->pages};
    lock_init(&ledger->lock, LOCK_LEAF);
    ledger->units = calloc(count, sizeof *ledger->units);
    if (shares_create(&ledger->shares, pool) < 0 || !ledger->units) {
        ledger_destroy(ledger);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        atomic_init(&ledger->units[i].word, word_of(&free_unit));
        forget_last(ledger, i);
    }
    return 0;
}

void ledger_destroy(struct ledger *ledger)
{
    if (!ledger->pool)
        return;
    lock_fini(&ledger->lock);
    free(ledger->units);
    shares_destroy(&ledger->shares);
    *ledger = (struct ledger){0};
}

/* --- from the pool and back -------------------------------------------------------- */

/* First free run of `count` units in [low, high), searched from `hint` round. A free
 * unit stays free, as only this search takes units. */
static int64_t find_free(struct ledger *ledger, uint32_t low, uint32_t high, uint32_t hint,
                         uint32_t count)
{
    lock_assert_held(&ledger->lock);
    for (int round = 0; round < 2; round++) {
        uint32_t run = 0;
        for (uint32_t i = round ? low : hint; i < high; i++) {
            run = unit_of(read_word(ledger, i)).state == UNIT_FREE ? run + 1 : 0;
            if (run == count)
                return (int64_t)i - count + 1;
        }
    }
    return -1;
}

/* Takes a free run into transit. False: there is none. */
static bool take_free(struct ledger *ledger, uint16_t owner, bool page, uint32_t count,
                      struct units *out)
{
    lock_assert_held(&ledger->lock);
    uint32_t low = page ? 0 : ledger->pool->pages;
    uint32_t high = page ? ledger->pool->pages : pool_units(ledger->pool);
    uint32_t *hint = page ? &ledger->hint_page : &ledger->hint_extent;

    int64_t first = find_free(ledger, low, high, *hint, count);
    if (first < 0)
        return false;
    *out = (struct units){(uint32_t)first, count};
    for (uint32_t i = out->first; i < out->first + count; i++) {
        uint64_t word = read_word(ledger, i);
        forget_last(ledger, i);
        while (!swap(ledger, i, &word,
                     (struct ledger_unit){.owner = owner,
                                          .holder = owner,
                                          .recipient = LEDGER_NOBODY,
                                          .state = UNIT_TRANSIT}))
            ;
    }
    *hint = out->first + count < high ? out->first + count : low;
    return true;
}

int ledger_alloc(struct ledger *ledger, uint16_t owner, bool page, uint32_t count, uint32_t most,
                 struct units *out)
{
    if (count == 0)
        return -EINVAL;
    if (count > (page ? ledger->pool->pages : ledger->pool->extents))
        return -ENOMEM;
    int result = shares_take(&ledger->shares, owner, page, count, most);
    if (result < 0)
        return result;
    lock_take(&ledger->lock);
    bool found = take_free(ledger, owner, page, count, out);
    lock_drop(&ledger->lock);
    if (!found)
        shares_give_back(&ledger->shares, owner, page, count);
    return found ? 0 : -ENOMEM;
}

void ledger_commit_owned(struct ledger *ledger, struct units units, bool kept)
{
    for (uint32_t i = units.first; i < units.first + units.count; i++) {
        struct ledger_unit unit = unit_of(read_word(ledger, i));
        if (unit.state != UNIT_TRANSIT)
            abort(); /* never begun: the books are wrong */
        unit.state = UNIT_OWNED;
        unit.kept = kept;
        /* No eviction competes: somebody acts for the owner. */
        atomic_store_explicit(&ledger->units[i].word, word_of(&unit), memory_order_release);
    }
}

int ledger_begin_free(struct ledger *ledger, struct units units, uint16_t owner)
{
    return ledger_begin_send(ledger, units, owner, UNIT_OWNED);
}

void ledger_commit_free(struct ledger *ledger, struct units units)
{
    uint16_t owner = unit_of(read_word(ledger, units.first)).owner;

    for (uint32_t i = units.first; i < units.first + units.count; i++) {
        uint64_t word = read_word(ledger, i);
        do {
            if (unit_of(word).state != UNIT_TRANSIT || unit_of(word).owner != owner)
                abort(); /* never begun: the books are wrong */
        } while (!swap(ledger, i, &word, free_unit));
    }
    shares_give_back(&ledger->shares, owner, pool_is_page(ledger->pool, units.first), units.count);
}

/* --- hand-overs ---------------------------------------------------------------------- */

/* Owner of a unit that is part of a run: an eviction may have come to some of it only. */
static bool of_one_owner(uint16_t a, uint16_t b)
{
    return a == b || a == LEDGER_NOBODY || b == LEDGER_NOBODY;
}

/* Takes one unit into transit, if `holder` holds it in this state. */
static bool take(struct ledger *ledger, uint32_t i, uint16_t holder, enum unit_state prior_state,
                 uint16_t recipient, uint16_t owner)
{
    uint64_t word = read_word(ledger, i);
    struct ledger_unit unit;

    do {
        unit = unit_of(word);
        if (unit.holder != holder || unit.state != prior_state || !of_one_owner(unit.owner, owner))
            return false;
        unit.state = UNIT_TRANSIT;
        unit.recipient = recipient;
    } while (!swap(ledger, i, &word, unit));
    return true;
}

/* Takes all of them, or none: -EPERM, and the units are not counted for the recipient any more. */
static int take_all(struct ledger *ledger, struct units units, uint16_t holder,
                    enum unit_state prior_state, uint16_t recipient)
{
    uint16_t owner = unit_of(read_word(ledger, units.first)).owner;

    for (uint32_t i = 0; i < units.count; i++) {
        if (take(ledger, units.first + i, holder, prior_state, recipient, owner))
            continue;
        ledger_abort(ledger, (struct units){units.first, i}, prior_state);
        if (recipient != LEDGER_NOBODY)
            shares_break(&ledger->shares, recipient, pool_is_page(ledger->pool, units.first),
                         units.count - i);
        return -EPERM;
    }
    return 0;
}

int ledger_begin_send(struct ledger *ledger, struct units units, uint16_t holder,
                      enum unit_state prior_state)
{
    return take_all(ledger, units, holder, prior_state, LEDGER_NOBODY);
}

int ledger_begin_move(struct ledger *ledger, struct units units, uint16_t holder, uint16_t to,
                      uint32_t most)
{
    bool page = pool_is_page(ledger->pool, units.first);

    if (units.count > most)
        return -EMSGSIZE;
    if (ledger_access(ledger, units, holder) != WINDOW_WRITE)
        return -EPERM; /* not -EAGAIN: waiting would not help */
    if (!shares_promise(&ledger->shares, to, page, units.count, most))
        return -EAGAIN;
    return take_all(ledger, units, holder, UNIT_OWNED, to);
}

/* To `to`. Of a loan the owner may be evicted meanwhile. */
static void commit_one(struct ledger *ledger, uint32_t i, uint16_t to, bool move)
{
    uint64_t word = read_word(ledger, i);
    struct ledger_unit unit;

    do {
        unit = unit_of(word);
        if (unit.state != UNIT_TRANSIT || unit.recipient != (move ? to : LEDGER_NOBODY))
            abort(); /* never begun, or not as this: the books are wrong */
        unit.holder = to;
        unit.owner = move ? to : unit.owner;
        unit.recipient = LEDGER_NOBODY;
        unit.state = move ? UNIT_OWNED : UNIT_LENT;
    } while (!swap(ledger, i, &word, unit));
}

void ledger_commit_send(struct ledger *ledger, struct units units, uint16_t to, bool move,
                        uint32_t message)
{
    /* Of all units alike: nobody else changes the holder while they are in transit. */
    uint16_t from = unit_of(read_word(ledger, units.first)).holder;

    for (uint32_t i = units.first; i < units.first + units.count; i++) {
        /* Before the word: once that is written the next may begin. */
        atomic_store_explicit(&ledger->units[i].last, last_of(from, to, message),
                              memory_order_relaxed);
        commit_one(ledger, i, to, move);
    }
    if (move) /* which only an owner does */
        shares_moved(&ledger->shares, from, to, pool_is_page(ledger->pool, units.first),
                     units.count);
}

void ledger_abort(struct ledger *ledger, struct units units, enum unit_state prior_state)
{
    for (uint32_t i = units.first; i < units.first + units.count; i++) {
        uint64_t word = read_word(ledger, i);
        uint16_t recipient = unit_of(word).recipient;
        struct ledger_unit unit;
        do {
            unit = unit_of(word);
            if (unit.state != UNIT_TRANSIT)
                abort(); /* never begun: the books are wrong */
            unit.state = (uint8_t)prior_state;
            unit.recipient = LEDGER_NOBODY;
        } while (!swap(ledger, i, &word, unit));
        if (recipient != LEDGER_NOBODY)
            shares_break(&ledger->shares, recipient, pool_is_page(ledger->pool, i), 1);
    }
}

/* --- coming home ------------------------------------------------------------------------ */

void ledger_begin_home(struct ledger *ledger, struct units units, uint16_t holder, uint16_t *owner)
{
    *owner = unit_of(read_word(ledger, units.first)).owner;
    if (take_all(ledger, units, holder, UNIT_LENT, LEDGER_NOBODY) < 0)
        abort(); /* a loan comes home once, by its holder's token: else the books are wrong */
}

void ledger_commit_home(struct ledger *ledger, struct units units)
{
    uint32_t orphans = 0;

    for (uint32_t i = units.first; i < units.first + units.count; i++) {
        uint64_t word = read_word(ledger, i);
        struct ledger_unit unit;
        do {
            unit = unit_of(word);
            if (unit.state != UNIT_TRANSIT)
                abort(); /* never begun: the books are wrong */
            if (unit.owner == LEDGER_NOBODY) {
                unit = free_unit;
            } else {
                unit.holder = unit.owner;
                unit.state = UNIT_OWNED;
            }
        } while (!swap(ledger, i, &word, unit));
        orphans += unit.state == UNIT_FREE;
    }
    shares_orphans_home(&ledger->shares, pool_is_page(ledger->pool, units.first), orphans);
}

/* Takes `owner` out of the entry of one unit. */
static void evict_one(struct ledger *ledger, uint32_t i, uint16_t owner)
{
    bool page = pool_is_page(ledger->pool, i);
    uint64_t word = read_word(ledger, i);
    struct ledger_unit unit;

    do {
        unit = unit_of(word);
        if (unit.owner != owner)
            return;
        if (unit.holder == owner && unit.state != UNIT_OWNED)
            abort(); /* somebody acts for it still, or it holds a loan */
        if (unit.holder == owner)
            unit = free_unit;
        else
            unit.owner = LEDGER_NOBODY;
    } while (!swap(ledger, i, &word, unit));
    if (unit.state == UNIT_FREE)
        shares_give_back(&ledger->shares, owner, page, 1);
    else
        shares_orphan(&ledger->shares, owner, page);
}

void ledger_evict(struct ledger *ledger, uint16_t owner)
{
    /* The share is never less than the truth, so when it is used up there is no more. */
    for (uint32_t i = 0; i < pool_units(ledger->pool) &&
                         (ledger_owned(ledger, owner, true) || ledger_owned(ledger, owner, false));
         i++)
        evict_one(ledger, i, owner);
    shares_forget(&ledger->shares, owner);
}

uint32_t ledger_owned(struct ledger *ledger, uint16_t index, bool page)
{
    return shares_owned(&ledger->shares, index, page);
}

/* --- looking ------------------------------------------------------------------------------ */

struct ledger_unit ledger_look(struct ledger *ledger, uint32_t unit)
{
    struct ledger_unit copy = unit_of(read_word(ledger, unit));
    uint64_t last = atomic_load_explicit(&ledger->units[unit].last, memory_order_relaxed);

    copy.from = (uint16_t)last;
    copy.to = (uint16_t)(last >> 16);
    copy.message = (uint32_t)(last >> 32);
    return copy;
}

int ledger_access(struct ledger *ledger, struct units units, uint16_t index)
{
    enum window_access access = WINDOW_WRITE;

    for (uint32_t i = units.first; i < units.first + units.count; i++) {
        struct ledger_unit unit = unit_of(read_word(ledger, i));
        if (unit.holder != index || unit.state == UNIT_TRANSIT ||
            (unit.state == UNIT_OWNED && unit.kept))
            access = WINDOW_CLOSED;
        else if (unit.state == UNIT_LENT && access == WINDOW_WRITE)
            access = WINDOW_READ;
    }
    return access;
}

static bool consistent(const struct ledger_unit *unit)
{
    if (unit->recipient != LEDGER_NOBODY && unit->state != UNIT_TRANSIT)
        return false;
    switch (unit->state) {
    case UNIT_FREE:
        return unit->owner == LEDGER_NOBODY && unit->holder == LEDGER_NOBODY;
    case UNIT_OWNED:
        return unit->owner != LEDGER_NOBODY && unit->holder == unit->owner;
    case UNIT_LENT:
    case UNIT_TRANSIT:
        return unit->holder != LEDGER_NOBODY;
    default:
        return false;
    }
}

struct ledger_count ledger_prove(struct ledger *ledger)
{
    struct ledger_count count = {0};

    for (uint32_t i = 0; i < pool_units(ledger->pool); i++) {
        struct ledger_unit unit = unit_of(read_word(ledger, i));
        if (!consistent(&unit))
            abort();
        count.free += unit.state == UNIT_FREE;
        count.owned += unit.state == UNIT_OWNED;
        count.lent += unit.state == UNIT_LENT;
        count.transit += unit.state == UNIT_TRANSIT;
    }
    return count;
}
