/* SPDX-License-Identifier: BSD-2-Clause */
/* Loans: giving back, passing on, coming home. */
#include "loan.h"

#include <errno.h>

#include "engine.h"
#include "queue.h"
#include "ring.h"
#include "stream_internal.h"

/* Notes for the owner that a loan came home, unless its plain output made it. */
static void note_home(struct endpoint *owner, struct units units)
{
    if (owner->byte_stream && stream_came_home(owner->byte_stream, units)) {
        endpoint_wake(owner);
        return;
    }
    const struct pool *pool = &owner->engine->pool;
    endpoint_lock(owner);
    owner->loans--;
    if (owner->over) {
        endpoint_unlock(owner);
        endpoint_wake(owner);
        return;
    }
    uint32_t slot = owner->home_head++ & TOKEN_MASK;
    owner->home[slot] = units;
    if (owner->control) {
        /* In bounds: masked; loan_reserve kept this entry free. */
        owner->control->vmm.home[slot] = (struct ferry_home){
            .addr = owner->window_addr + pool_offset(pool, units.first),
            .bytes = units_bytes(pool, units),
        };
        ring_publish(&owner->control->vmm.home_head, owner->home_head);
    }
    endpoint_unlock(owner);
    endpoint_wake(owner);
}

/* The owner of units that are on their way home, entered; NULL: it is no more. */
static struct endpoint *enter_owner(struct ferry_engine *engine, struct units units, uint16_t index)
{
    struct endpoint *owner = index == LEDGER_NOBODY ? NULL : engine_endpoint(engine, index);

    if (!owner || !endpoint_enter(owner))
        return NULL;
    /* If another took its place since, then it was evicted and the ledger knows. */
    if (ledger_look(&engine->ledger, units.first).owner == index)
        return owner;
    endpoint_leave(owner);
    return NULL;
}

/* A loan goes from its holder back to its owner, or to the pool. -ENOMEM: the
 * holder's window cannot be closed there now, as that would split a mapping;
 * the loan stays. */
static int bring_home(struct endpoint *holder, struct ferry_link *link, struct units units)
{
    struct ferry_engine *engine = holder->engine;
    uint64_t offset = pool_offset(&engine->pool, units.first);
    uint64_t bytes = units_bytes(&engine->pool, units);
    uint16_t index;

    ledger_begin_home(&engine->ledger, units, holder->index, &index);
    int result = window_set(&holder->window, offset, bytes, WINDOW_READ, WINDOW_CLOSED);
    if (result < 0) {
        ledger_abort(&engine->ledger, units, UNIT_LENT);
        return result;
    }
    struct endpoint *owner = enter_owner(engine, units, index);
    if (owner)
        window_set(&owner->window, offset, bytes, WINDOW_CLOSED, WINDOW_WRITE);
    ledger_commit_home(&engine->ledger, units);
    atomic_fetch_add_explicit(&link->table_calls, 1 + !!owner, memory_order_relaxed);
    if (owner) {
        note_home(owner, units);
        endpoint_leave(owner);
    }
    return 0;
}

/* Under lock. From here to finish_release nobody else touches the token. */
static void begin_release(struct endpoint *endpoint, uint32_t token)
{
    endpoint->held[token].state = HELD_LEAVING;
    endpoint->leaving++;
}

/* Under lock. */
static void end_release(struct endpoint *endpoint, uint32_t token, enum held_state state)
{
    endpoint->held[token].state = state;
    if (--endpoint->leaving == 0)
        pthread_cond_broadcast(&endpoint->changed);
}

static void finish_release(struct endpoint *endpoint, uint32_t token)
{
    struct held *held = &endpoint->held[token];
    struct wakes wakes = {0};
    int result = 0;

    if (held->lent)
        result = bring_home(endpoint, held->link, held->units);
    endpoint_lock(endpoint);
    if (result == 0) {
        held->link->in_flight--;
        queue_to_wake(endpoint, false, &wakes);
    }
    end_release(endpoint, token, result < 0 ? HELD_STUCK : HELD_FREE);
    endpoint_unlock(endpoint);
    queue_wake(&wakes);
}

int loan_release(struct endpoint *endpoint, uint32_t token)
{
    if (token >= FERRY_TOKENS)
        return -EINVAL;
    endpoint_lock(endpoint);
    enum held_state state = endpoint->held[token].state;
    bool taken = state == HELD_TAKEN || state == HELD_READ;
    if (taken)
        begin_release(endpoint, token);
    endpoint_unlock(endpoint);
    if (!taken)
        return -EINVAL;
    finish_release(endpoint, token);
    return 0;
}

void loan_release_all(struct endpoint *endpoint)
{
    for (uint32_t token = 0; token < FERRY_TOKENS; token++) {
        if (endpoint->held[token].state == HELD_FREE)
            continue;
        endpoint_lock(endpoint);
        begin_release(endpoint, token);
        endpoint_unlock(endpoint);
        finish_release(endpoint, token);
    }
}

int64_t loan_claim(struct endpoint *endpoint, struct units units)
{
    int64_t found = -1;

    endpoint_lock(endpoint);
    for (uint32_t i = 0; i < FERRY_TOKENS && found < 0; i++) {
        struct held *held = &endpoint->held[i];
        if (held->state == HELD_TAKEN && held->lent && held->units.first == units.first &&
            held->units.count == units.count) {
            begin_release(endpoint, i);
            found = i;
        }
    }
    endpoint_unlock(endpoint);
    return found;
}

int64_t loan_claim_read(struct endpoint *endpoint, uint32_t token)
{
    endpoint_lock(endpoint);
    begin_release(endpoint, token);
    endpoint_unlock(endpoint);
    return token;
}

void loan_unclaim(struct endpoint *endpoint, uint32_t token, enum held_state state)
{
    endpoint_lock(endpoint);
    end_release(endpoint, token, state);
    endpoint_unlock(endpoint);
}

void loan_pass_on(struct endpoint *endpoint, uint32_t token)
{
    endpoint->held[token].lent = false;
    finish_release(endpoint, token);
}

/* Under lock: the tokens that the guest released, and those whose release failed before. */
static uint32_t collect_tokens(struct endpoint *endpoint, uint32_t released,
                               uint32_t tokens[FERRY_TOKENS])
{
    struct ferry_control_guest *guest = &endpoint->control->guest;
    uint32_t count = 0;

    for (uint32_t i = 0; i < released; i++) {
        uint32_t token = ring_fetch_word(guest->release, endpoint->release_tail++);
        /* A token that is not held is the guest's mistake and changes nothing. */
        if (token < FERRY_TOKENS && endpoint->held[token].state == HELD_TAKEN)
            endpoint->held[token].state = HELD_STUCK;
    }
    for (uint32_t token = 0; token < FERRY_TOKENS; token++) {
        if (endpoint->held[token].state != HELD_STUCK)
            continue;
        begin_release(endpoint, token);
        tokens[count++] = token;
    }
    return count;
}

void loan_collect(struct endpoint *endpoint)
{
    struct ferry_control_guest *guest = &endpoint->control->guest;
    uint32_t tokens[FERRY_TOKENS];
    struct wakes wakes = {0};

    endpoint_lock(endpoint);
    /* Looked at before in_tail: the guest may run, and what it released by now it
     * took before, so it is found taken below. The other way round a token could be
     * taken and released between the two looks, and its release lost. */
    uint32_t released = ring_ahead(&guest->release_head, endpoint->release_tail, FERRY_TOKENS);
    uint32_t queued = endpoint->in_head - endpoint->in_tail;
    uint32_t taken = ring_ahead(&guest->in_tail, endpoint->in_tail, queued);
    for (uint32_t i = 0; i < taken; i++)
        queue_entry_taken(endpoint, HELD_TAKEN);
    uint32_t noted = endpoint->home_head - endpoint->home_tail;
    endpoint->home_tail += ring_ahead(&guest->home_tail, endpoint->home_tail, noted);
    uint32_t count = collect_tokens(endpoint, released, tokens);
    if (taken)
        queue_to_wake(endpoint, false, &wakes);
    endpoint_unlock(endpoint);

    queue_wake(&wakes);
    for (uint32_t i = 0; i < count; i++)
        finish_release(endpoint, tokens[i]);
}

void loan_settle(struct endpoint *endpoint)
{
    endpoint_lock(endpoint);
    while (endpoint->leaving)
        pthread_cond_wait(&endpoint->changed, &endpoint->lock);
    endpoint_unlock(endpoint);
}

bool loan_is_leaving(struct endpoint *endpoint, struct units units)
{
    bool leaving = false;

    endpoint_lock(endpoint);
    for (uint32_t i = 0; i < FERRY_TOKENS; i++) {
        const struct held *held = &endpoint->held[i];
        leaving |= (held->state == HELD_STUCK || held->state == HELD_LEAVING) && held->lent &&
                   units_overlap(held->units, units);
    }
    endpoint_unlock(endpoint);
    return leaving;
}

bool loan_reserve(struct endpoint *endpoint)
{
    endpoint_lock(endpoint);
    bool room = endpoint->over ||
                endpoint->loans + (endpoint->home_head - endpoint->home_tail) < FERRY_TOKENS;
    endpoint->loans += room;
    endpoint_unlock(endpoint);
    return room;
}

void loan_unreserve(struct endpoint *endpoint)
{
    endpoint_lock(endpoint);
    endpoint->loans--;
    endpoint_unlock(endpoint);
}

void loan_ignore_notes(struct endpoint *endpoint)
{
    endpoint_lock(endpoint);
    endpoint->over = true;
    endpoint_unlock(endpoint);
}
