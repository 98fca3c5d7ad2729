/* SPDX-License-Identifier: BSD-2-Clause */
/* Compares the ledger, the windows, the shares, the tokens and the links with each other. */
#include "decode_books.h"

#include "fuzz.h"
#include "window_rights.h"

static struct ledger_unit entries[RIGHTS_UNITS]; /* as they are now */

/* Nobody can reach what the ledger does not give him. */
static void check_rights(uint32_t unit, const struct endpoint *endpoint, unsigned number,
                         bool exact)
{
    const struct ledger_unit *entry = &entries[unit];
    enum window_access may = WINDOW_CLOSED, has = rights_of(number, unit);

    if (entry->holder == endpoint->index)
        may = entry->state == UNIT_LENT ? WINDOW_READ : entry->kept ? WINDOW_CLOSED : WINDOW_WRITE;
    FUZZ_ASSERT(has <= may);
    FUZZ_ASSERT(!exact || has == may);
}

static void look_at_units(struct exchange *exchange)
{
    for (uint32_t unit = 0; unit < pool_units(&exchange->pool); unit++) {
        entries[unit] = ledger_look(&exchange->ledger, unit);
        FUZZ_ASSERT(entries[unit].state != UNIT_TRANSIT);
        FUZZ_ASSERT((entries[unit].state == UNIT_FREE) == (entries[unit].holder == LEDGER_NOBODY));
    }
}

static void check_units(struct exchange *exchange, struct endpoint *endpoint, unsigned number,
                        bool exact)
{
    uint32_t owned[2] = {0}, lent = 0;

    for (uint32_t unit = 0; unit < pool_units(&exchange->pool); unit++) {
        check_rights(unit, endpoint, number, exact);
        owned[pool_is_page(&exchange->pool, unit)] += entries[unit].owner == endpoint->index;
        lent += entries[unit].state == UNIT_LENT && entries[unit].holder == endpoint->index;
    }
    for (int page = 0; page < 2; page++) {
        FUZZ_ASSERT(ledger_owned(&exchange->ledger, endpoint->index, page) == owned[page]);
        FUZZ_ASSERT(owned[page] <= (page ? endpoint->most_pages : endpoint->most_extents));
    }
    /* Every loan is held by a token, one. */
    for (uint32_t token = 0; token < FERRY_TOKENS; token++) {
        const struct held *held = &endpoint->held[token];
        FUZZ_ASSERT(held->state != HELD_PROMISED && held->state != HELD_LEAVING);
        if (held->state == HELD_FREE || !held->lent)
            continue;
        for (uint32_t i = 0; i < held->units.count; i++) {
            const struct ledger_unit *entry = &entries[held->units.first + i];
            FUZZ_ASSERT(entry->state == UNIT_LENT && entry->holder == endpoint->index);
        }
        lent -= held->units.count;
    }
    FUZZ_ASSERT(lent == 0);
}

/* What a link has in flight is what lies in the queue and what is held. */
static void check_link(const struct ferry_link *link)
{
    const struct endpoint *to = link->to;
    uint32_t payloads = 0, inlined = 0;

    for (uint32_t token = 0; token < FERRY_TOKENS; token++)
        payloads += to->held[token].state != HELD_FREE && to->held[token].link == link;
    for (uint32_t at = to->in_tail; at != to->in_head; at++) {
        const struct ferry_desc *desc = &to->queue[at % FERRY_RING_ENTRIES];
        if (to->queue_link[at % FERRY_RING_ENTRIES] != link->index)
            continue;
        payloads += desc->mode == FERRY_MOVE;
        inlined += desc->mode == FERRY_INLINE;
    }
    FUZZ_ASSERT(link->in_flight == payloads && payloads <= link->max_messages);
    FUZZ_ASSERT(link->inline_in_flight == inlined);
}

static void check_endpoint(struct endpoint *endpoint)
{
    const struct ferry_control *control = endpoint->control;

    FUZZ_ASSERT(endpoint->in_head - endpoint->in_tail <= FERRY_RING_ENTRIES);
    FUZZ_ASSERT(endpoint->home_head - endpoint->home_tail <= FERRY_TOKENS);
    FUZZ_ASSERT(endpoint->loans + (endpoint->home_head - endpoint->home_tail) <= FERRY_TOKENS);
    FUZZ_ASSERT(endpoint->promised == 0 && endpoint->users == 0);
    FUZZ_ASSERT(endpoint->releases_in_progress == 0 && !endpoint->releases_frozen);
    FUZZ_ASSERT(control->vmm.in_head == endpoint->in_head);
    FUZZ_ASSERT(control->vmm.home_head == endpoint->home_head);
    FUZZ_ASSERT(control->vmm.out_tail == endpoint->out_tail);
    for (uint32_t i = 0; i < endpoint->in_count; i++)
        check_link(endpoint->in[i]);
}

void books_check(struct ferry_engine *engine, struct ferry_vm *const *vms, unsigned count,
                 bool exact)
{
    look_at_units(&engine->exchange);
    for (unsigned i = 0; i < count; i++) {
        if (!vms[i])
            continue;
        check_units(&engine->exchange, vms[i]->endpoint, i, exact);
        check_endpoint(vms[i]->endpoint);
    }
}
