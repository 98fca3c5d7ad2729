/* SPDX-License-Identifier: BSD-2-Clause */
/* The ledger: who owns and who holds each unit of the pool. */
#include "ledger.h"

#include <errno.h>
#include <stdlib.h>

#include "page_table.h"

int ledger_create(struct ledger *ledger, const struct pool *pool)
{
    uint32_t count = pool_units(pool);

    *ledger = (struct ledger){.pool = pool, .hint_extent = pool->pages};
    ledger->units = calloc(count, sizeof *ledger->units);
    if (!ledger->units)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++)
        ledger->units[i] = (struct ledger_unit){.owner = LEDGER_NOBODY,
                                                .holder = LEDGER_NOBODY,
                                                .from = LEDGER_NOBODY,
                                                .to = LEDGER_NOBODY,
                                                .fresh = true};
    pthread_mutex_init(&ledger->lock, NULL);
    return 0;
}

void ledger_destroy(struct ledger *ledger)
{
    if (!ledger->units)
        return;
    pthread_mutex_destroy(&ledger->lock);
    free(ledger->units);
    ledger->units = NULL;
}

static void lock(struct ledger *ledger)
{
    pthread_mutex_lock(&ledger->lock);
}

static void unlock(struct ledger *ledger)
{
    pthread_mutex_unlock(&ledger->lock);
}

/* First free run of `count` units in [low, high), searched from `hint` round. */
static int64_t find_free(const struct ledger *ledger, uint32_t low, uint32_t high, uint32_t hint,
                         uint32_t count)
{
    for (int round = 0; round < 2; round++) {
        uint32_t run = 0;
        for (uint32_t i = round ? low : hint; i < high; i++) {
            run = ledger->units[i].state == UNIT_FREE ? run + 1 : 0;
            if (run == count)
                return (int64_t)i - count + 1;
        }
    }
    return -1;
}

static uint32_t owned_by(const struct ledger *ledger, uint32_t low, uint32_t high, uint16_t owner)
{
    uint32_t owned = 0;

    for (uint32_t i = low; i < high; i++)
        owned += ledger->units[i].owner == owner;
    return owned;
}

int ledger_alloc(struct ledger *ledger, uint16_t owner, bool page, uint32_t count, uint32_t most,
                 struct units *out, bool *fresh)
{
    uint32_t low = page ? 0 : ledger->pool->pages;
    uint32_t high = page ? ledger->pool->pages : pool_units(ledger->pool);
    uint32_t *hint = page ? &ledger->hint_page : &ledger->hint_extent;
    int result = 0;

    if (count == 0)
        return -EINVAL;
    if (count > high - low)
        return -ENOMEM;
    lock(ledger);
    if ((uint64_t)owned_by(ledger, low, high, owner) + count > most) {
        result = -EDQUOT;
        goto out;
    }
    int64_t first = find_free(ledger, low, high, *hint, count);
    if (first < 0) {
        result = -ENOMEM;
        goto out;
    }
    *out = (struct units){(uint32_t)first, count};
    *fresh = true;
    for (uint32_t i = out->first; i < out->first + count; i++) {
        struct ledger_unit *unit = &ledger->units[i];
        *fresh = *fresh && unit->fresh;
        *unit = (struct ledger_unit){.owner = owner,
                                     .holder = owner,
                                     .state = UNIT_TRANSIT,
                                     .from = LEDGER_NOBODY,
                                     .to = LEDGER_NOBODY};
    }
    *hint = out->first + count < high ? out->first + count : low;
out:
    unlock(ledger);
    return result;
}

/* Units in transit belong to whoever began it, so setting them needs the lock
 * only for the readers that count. */
void ledger_commit_owned(struct ledger *ledger, struct units units)
{
    lock(ledger);
    for (uint32_t i = units.first; i < units.first + units.count; i++)
        ledger->units[i].state = UNIT_OWNED;
    unlock(ledger);
}

/* Whether `holder` has all the units in the same state, OWNED or LENT. */
static bool holds_alike(const struct ledger *ledger, struct units units, uint16_t holder)
{
    const struct ledger_unit *first = &ledger->units[units.first];

    if (first->state != UNIT_OWNED && first->state != UNIT_LENT)
        return false;
    for (uint32_t i = units.first; i < units.first + units.count; i++) {
        const struct ledger_unit *unit = &ledger->units[i];
        if (unit->holder != holder || unit->state != first->state || unit->owner != first->owner)
            return false;
    }
    return true;
}

static void set_state(struct ledger *ledger, struct units units, enum unit_state state)
{
    for (uint32_t i = units.first; i < units.first + units.count; i++)
        ledger->units[i].state = (uint8_t)state;
}

static void set_free(struct ledger_unit *unit)
{
    unit->owner = unit->holder = LEDGER_NOBODY;
    unit->state = UNIT_FREE;
}

void ledger_commit_free(struct ledger *ledger, struct units units)
{
    lock(ledger);
    for (uint32_t i = units.first; i < units.first + units.count; i++)
        set_free(&ledger->units[i]);
    unlock(ledger);
}

int ledger_begin_send(struct ledger *ledger, struct units units, uint16_t holder,
                      enum unit_state had)
{
    int result = -EPERM;

    lock(ledger);
    if (holds_alike(ledger, units, holder) && ledger->units[units.first].state == had) {
        set_state(ledger, units, UNIT_TRANSIT);
        result = 0;
    }
    unlock(ledger);
    return result;
}

int ledger_begin_move(struct ledger *ledger, struct units units, uint16_t holder, uint16_t to,
                      uint32_t most)
{
    bool page = pool_is_page(ledger->pool, units.first);
    uint32_t low = page ? 0 : ledger->pool->pages;
    uint32_t high = page ? ledger->pool->pages : pool_units(ledger->pool);
    int result = -EPERM;

    if (units.count > most)
        return -EMSGSIZE;
    lock(ledger);
    if (holds_alike(ledger, units, holder) && ledger->units[units.first].state == UNIT_OWNED) {
        result = owned_by(ledger, low, high, to) > most - units.count ? -EAGAIN : 0;
        if (result == 0)
            set_state(ledger, units, UNIT_TRANSIT);
    }
    unlock(ledger);
    return result;
}

int ledger_begin_free(struct ledger *ledger, struct units units, uint16_t owner)
{
    return ledger_begin_send(ledger, units, owner, UNIT_OWNED);
}

void ledger_commit_send(struct ledger *ledger, struct units units, uint16_t to, bool move,
                        uint32_t message)
{
    lock(ledger);
    for (uint32_t i = units.first; i < units.first + units.count; i++) {
        struct ledger_unit *unit = &ledger->units[i];
        unit->from = unit->holder;
        unit->to = to;
        unit->message = message;
        unit->holder = to;
        if (move)
            unit->owner = to;
        unit->state = move ? UNIT_OWNED : UNIT_LENT;
    }
    unlock(ledger);
}

void ledger_abort(struct ledger *ledger, struct units units, enum unit_state had)
{
    lock(ledger);
    set_state(ledger, units, had);
    unlock(ledger);
}

void ledger_begin_home(struct ledger *ledger, struct units units, uint16_t holder, uint16_t *owner)
{
    lock(ledger);
    *owner = ledger->units[units.first].owner;
    for (uint32_t i = units.first; i < units.first + units.count; i++) {
        if (ledger->units[i].holder != holder || ledger->units[i].state != UNIT_LENT)
            abort(); /* a loan comes home once, by its holder's token: else the books are wrong */
        ledger->units[i].state = UNIT_TRANSIT;
    }
    unlock(ledger);
}

void ledger_commit_home(struct ledger *ledger, struct units units)
{
    lock(ledger);
    for (uint32_t i = units.first; i < units.first + units.count; i++) {
        struct ledger_unit *unit = &ledger->units[i];
        if (unit->owner == LEDGER_NOBODY) {
            set_free(unit);
        } else {
            unit->holder = unit->owner;
            unit->state = UNIT_OWNED;
        }
    }
    unlock(ledger);
}

void ledger_evict(struct ledger *ledger, uint16_t owner)
{
    lock(ledger);
    for (uint32_t i = 0; i < pool_units(ledger->pool); i++) {
        struct ledger_unit *unit = &ledger->units[i];
        if (unit->owner != owner)
            continue;
        if (unit->holder == owner)
            set_free(unit);
        else
            unit->owner = LEDGER_NOBODY;
    }
    unlock(ledger);
}

struct ledger_unit ledger_look(struct ledger *ledger, uint32_t unit)
{
    lock(ledger);
    struct ledger_unit copy = ledger->units[unit];
    unlock(ledger);
    return copy;
}

int ledger_access(struct ledger *ledger, struct units units, uint16_t index)
{
    enum window_access access = WINDOW_WRITE;

    lock(ledger);
    for (uint32_t i = units.first; i < units.first + units.count; i++) {
        const struct ledger_unit *unit = &ledger->units[i];
        if (unit->holder != index || unit->state == UNIT_TRANSIT)
            access = WINDOW_CLOSED;
        else if (unit->state == UNIT_LENT && access == WINDOW_WRITE)
            access = WINDOW_READ;
    }
    unlock(ledger);
    return access;
}

static bool consistent(const struct ledger_unit *unit)
{
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

    lock(ledger);
    for (uint32_t i = 0; i < pool_units(ledger->pool); i++) {
        const struct ledger_unit *unit = &ledger->units[i];
        if (!consistent(unit))
            abort();
        count.free += unit->state == UNIT_FREE;
        count.owned += unit->state == UNIT_OWNED;
        count.lent += unit->state == UNIT_LENT;
        count.transit += unit->state == UNIT_TRANSIT;
    }
    unlock(ledger);
    return count;
}
