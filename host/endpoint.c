/* SPDX-License-Identifier: BSD-2-Clause */
/* An endpoint: its queue, what it holds, its loans, and waiting for them. */
#include "endpoint.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "engine.h"
#include "ring.h"
#include "stream_internal.h"

uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

int endpoint_init(struct endpoint *endpoint, struct ferry_engine *engine, uint16_t index)
{
    pthread_condattr_t attr;

    memset(endpoint, 0, sizeof *endpoint);
    endpoint->engine = engine;
    endpoint->index = index;
    endpoint->live = true;
    pthread_mutex_init(&endpoint->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    int result = pthread_cond_init(&endpoint->changed, &attr);
    pthread_condattr_destroy(&attr);
    return -result;
}

void endpoint_fini(struct endpoint *endpoint)
{
    pthread_cond_destroy(&endpoint->changed);
    pthread_mutex_destroy(&endpoint->lock);
}

static void lock(struct endpoint *endpoint)
{
    pthread_mutex_lock(&endpoint->lock);
}

static void unlock(struct endpoint *endpoint)
{
    pthread_mutex_unlock(&endpoint->lock);
}

/* Under lock. */
static void note_event(struct endpoint *endpoint)
{
    endpoint->events++;
    pthread_cond_broadcast(&endpoint->changed);
}

bool endpoint_enter(struct endpoint *endpoint)
{
    lock(endpoint);
    bool live = endpoint->live;
    endpoint->users += live;
    unlock(endpoint);
    return live;
}

void endpoint_leave(struct endpoint *endpoint)
{
    lock(endpoint);
    if (--endpoint->users == 0 && !endpoint->live)
        pthread_cond_broadcast(&endpoint->changed);
    unlock(endpoint);
}

/* --- queue ------------------------------------------------------------- */

/* Under lock. Entries the hang-ups of links that have not hung up yet will need. */
static uint32_t kept_for_hangups(const struct endpoint *endpoint)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < endpoint->in_count; i++)
        kept += !endpoint->in[i]->hung_up;
    return kept;
}

/* Under lock. */
static int64_t free_token(const struct endpoint *endpoint)
{
    for (uint32_t i = 0; i < FERRY_RING_ENTRIES; i++)
        if (endpoint->held[i].state == HELD_FREE)
            return i;
    return -1;
}

/* Under lock. */
static int try_reserve(struct ferry_link *link, bool with_token, uint32_t *token)
{
    struct endpoint *to = link->to;
    uint32_t used = to->in_head - to->in_tail + to->promised + kept_for_hangups(to);
    int64_t found = 0;

    if (!to->live || link->hung_up)
        return -EPIPE;
    if (with_token)
        found = free_token(to);
    if (found < 0 || used >= FERRY_RING_ENTRIES || link->in_flight >= link->max_messages) {
        link->parked = true;
        return -EAGAIN;
    }
    if (with_token) {
        *token = (uint32_t)found;
        to->held[found] = (struct held){.state = HELD_PROMISED, .link = link};
    }
    to->promised++;
    to->users++;
    link->in_flight++;
    return 0;
}

int queue_reserve(struct ferry_link *link, bool with_token, uint32_t *token)
{
    lock(link->to);
    int result = try_reserve(link, with_token, token);
    unlock(link->to);
    if (result != -EAGAIN)
        return result;

    /* The receiver may have taken and released without leaving its VM since. */
    if (!endpoint_enter(link->to))
        return -EPIPE;
    if (link->to->control)
        endpoint_collect(link->to);
    endpoint_leave(link->to);
    lock(link->to);
    result = try_reserve(link, with_token, token);
    unlock(link->to);
    return result;
}

/* Under lock. */
static void append(struct ferry_link *link, const struct ferry_desc *desc)
{
    struct endpoint *to = link->to;
    uint32_t slot = to->in_head & RING_MASK;

    to->queue[slot] = *desc;
    to->queue_link[slot] = link;
    to->in_head++;
    if (to->control) {
        /* In bounds: the slot is masked, and free because a reserved entry is
         * counted until the guest has taken it. */
        to->control->in[slot] = *desc;
        ring_publish(&to->control->vmm.in_head, to->in_head);
    }
    note_event(to);
}

void queue_deliver(struct ferry_link *link, const struct ferry_desc *desc)
{
    struct endpoint *to = link->to;

    lock(to);
    if (desc->mode == FERRY_COPY || desc->mode == FERRY_LEND)
        to->held[desc->payload.token].state = HELD_QUEUED;
    to->promised--;
    append(link, desc);
    atomic_fetch_add_explicit(&to->messages_received, 1, memory_order_relaxed);
    if (--to->users == 0 && !to->live)
        pthread_cond_broadcast(&to->changed);
    unlock(to);
}

void queue_unreserve(struct ferry_link *link, bool with_token, uint32_t token)
{
    struct endpoint *to = link->to;

    lock(to);
    if (with_token)
        to->held[token].state = HELD_FREE;
    to->promised--;
    link->in_flight--;
    if (--to->users == 0 && !to->live)
        pthread_cond_broadcast(&to->changed);
    unlock(to);
}

void queue_hangup(struct ferry_link *link)
{
    struct endpoint *to = link->to;
    struct ferry_desc desc = {.mode = FERRY_HANGUP,
                              .src = link->from->id,
                              .dst = to->id,
                              .src_generation = link->from->generation,
                              .dst_generation = to->generation};

    lock(to);
    if (to->live && !link->hung_up) {
        link->hung_up = true;
        link->in_flight++;
        append(link, &desc);
    }
    unlock(to);
}

/* Under lock: the entry at in_tail was taken. */
static void entry_taken(struct endpoint *endpoint, enum held_state state)
{
    uint32_t slot = endpoint->in_tail++ & RING_MASK;
    const struct ferry_desc *desc = &endpoint->queue[slot];
    struct ferry_link *link = endpoint->queue_link[slot];

    if (desc->mode == FERRY_COPY || desc->mode == FERRY_LEND)
        endpoint->held[desc->payload.token].state = state;
    else
        link->in_flight--;
}

/* Under lock: which senders to wake once it is dropped; `all` that are parked and
 * have any of their share free, or those that can send half of it at one go, so
 * that a sender is not woken for every message that is taken. Who waits himself
 * may be waiting for just one, so then it is all. */
static uint32_t unpark(struct endpoint *endpoint, bool all, struct endpoint *wake[FERRY_PEERS_MAX])
{
    uint32_t count = 0;

    all = all || atomic_load(&endpoint->waiting);
    for (uint32_t i = 0; i < endpoint->in_count; i++) {
        struct ferry_link *link = endpoint->in[i];
        uint32_t most = all ? link->max_messages - 1 : link->max_messages / 2;
        if (!link->parked || link->in_flight > most)
            continue;
        link->parked = false;
        wake[count++] = link->from;
    }
    return count;
}

static void wake_all(struct endpoint *wake[], uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        endpoint_wake(wake[i]);
}

void queue_unpark(struct endpoint *endpoint)
{
    struct endpoint *wake[FERRY_PEERS_MAX];

    lock(endpoint);
    uint32_t count = unpark(endpoint, true, wake);
    unlock(endpoint);
    wake_all(wake, count);
}

bool queue_take(struct endpoint *endpoint, struct ferry_desc *desc)
{
    struct endpoint *wake[FERRY_PEERS_MAX];
    uint32_t count = 0;

    lock(endpoint);
    bool any = endpoint->in_head != endpoint->in_tail;
    if (any) {
        *desc = endpoint->queue[endpoint->in_tail & RING_MASK];
        entry_taken(endpoint, endpoint->control ? HELD_READ : HELD_TAKEN);
        count = unpark(endpoint, false, wake);
    }
    unlock(endpoint);
    wake_all(wake, count);
    return any;
}

bool queue_peek(struct endpoint *endpoint, struct ferry_desc *desc)
{
    lock(endpoint);
    bool any = endpoint->in_head != endpoint->in_tail;
    if (any)
        *desc = endpoint->queue[endpoint->in_tail & RING_MASK];
    unlock(endpoint);
    return any;
}

/* --- releasing ---------------------------------------------------------- */

/* Notes for the owner that a loan came home, unless its plain output made it. */
static void note_home(struct endpoint *owner, struct units units)
{
    if (owner->byte_stream && stream_came_home(owner->byte_stream, units)) {
        endpoint_wake(owner);
        return;
    }
    const struct pool *pool = &owner->engine->pool;
    lock(owner);
    uint32_t slot = owner->home_head++ & RING_MASK;
    owner->home[slot] = units;
    owner->loans--;
    if (owner->control) {
        /* In bounds: masked; home_reserve kept this entry free. */
        owner->control->vmm.home[slot] = (struct ferry_home){
            .addr = owner->window_addr + pool_offset(pool, units.first),
            .bytes = units_bytes(pool, units),
        };
        ring_publish(&owner->control->vmm.home_head, owner->home_head);
    }
    note_event(owner);
    unlock(owner);
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
    struct endpoint *wake[FERRY_PEERS_MAX];
    uint32_t count = 0;
    int result = 0;

    if (held->lent)
        result = bring_home(endpoint, held->link, held->units);
    lock(endpoint);
    if (result == 0) {
        held->link->in_flight--;
        count = unpark(endpoint, false, wake);
    }
    end_release(endpoint, token, result < 0 ? HELD_STUCK : HELD_FREE);
    unlock(endpoint);
    wake_all(wake, count);
}

int endpoint_release(struct endpoint *endpoint, uint32_t token)
{
    if (token >= FERRY_RING_ENTRIES)
        return -EINVAL;
    lock(endpoint);
    enum held_state state = endpoint->held[token].state;
    bool taken = state == HELD_TAKEN || state == HELD_READ;
    if (taken)
        begin_release(endpoint, token);
    unlock(endpoint);
    if (!taken)
        return -EINVAL;
    finish_release(endpoint, token);
    return 0;
}

int64_t endpoint_claim(struct endpoint *endpoint, struct units units)
{
    int64_t found = -1;

    lock(endpoint);
    for (uint32_t i = 0; i < FERRY_RING_ENTRIES && found < 0; i++) {
        struct held *held = &endpoint->held[i];
        if (held->state == HELD_TAKEN && held->lent && held->units.first == units.first &&
            held->units.count == units.count) {
            begin_release(endpoint, i);
            found = i;
        }
    }
    unlock(endpoint);
    return found;
}

void endpoint_unclaim(struct endpoint *endpoint, uint32_t token)
{
    lock(endpoint);
    end_release(endpoint, token, HELD_TAKEN);
    unlock(endpoint);
}

void endpoint_pass_on(struct endpoint *endpoint, uint32_t token)
{
    endpoint->held[token].lent = false;
    finish_release(endpoint, token);
}

bool endpoint_accepts(struct ferry_link *link)
{
    lock(link->to);
    bool accepts = link->to->live && !link->hung_up;
    unlock(link->to);
    return accepts;
}

void endpoint_refuse(struct ferry_link *link)
{
    lock(link->to);
    link->hung_up = true;
    unlock(link->to);
    endpoint_wake(link->from);
}

/* Under lock: the tokens that the guest released, and those whose release failed before. */
static uint32_t collect_tokens(struct endpoint *endpoint, uint32_t tokens[FERRY_RING_ENTRIES])
{
    struct ferry_control_guest *guest = &endpoint->control->guest;
    uint32_t count = 0;

    uint32_t released =
        ring_ahead(&guest->release_head, endpoint->release_tail, FERRY_RING_ENTRIES);
    for (uint32_t i = 0; i < released; i++) {
        uint32_t token = ring_fetch_word(guest->release, endpoint->release_tail++);
        /* A token that is not held is the guest's mistake and changes nothing. */
        if (token < FERRY_RING_ENTRIES && endpoint->held[token].state == HELD_TAKEN)
            endpoint->held[token].state = HELD_STUCK;
    }
    for (uint32_t token = 0; token < FERRY_RING_ENTRIES; token++) {
        if (endpoint->held[token].state != HELD_STUCK)
            continue;
        begin_release(endpoint, token);
        tokens[count++] = token;
    }
    return count;
}

void endpoint_collect(struct endpoint *endpoint)
{
    struct ferry_control_guest *guest = &endpoint->control->guest;
    struct endpoint *wake[FERRY_PEERS_MAX];
    uint32_t tokens[FERRY_RING_ENTRIES];
    uint32_t wakes = 0;

    lock(endpoint);
    uint32_t queued = endpoint->in_head - endpoint->in_tail;
    uint32_t taken = ring_ahead(&guest->in_tail, endpoint->in_tail, queued);
    for (uint32_t i = 0; i < taken; i++)
        entry_taken(endpoint, HELD_TAKEN);
    uint32_t noted = endpoint->home_head - endpoint->home_tail;
    endpoint->home_tail += ring_ahead(&guest->home_tail, endpoint->home_tail, noted);
    uint32_t count = collect_tokens(endpoint, tokens);
    if (taken)
        wakes = unpark(endpoint, false, wake);
    unlock(endpoint);

    wake_all(wake, wakes);
    for (uint32_t i = 0; i < count; i++)
        finish_release(endpoint, tokens[i]);
}

void endpoint_settle(struct endpoint *endpoint)
{
    lock(endpoint);
    while (endpoint->leaving)
        pthread_cond_wait(&endpoint->changed, &endpoint->lock);
    unlock(endpoint);
}

/* --- loans --------------------------------------------------------------- */

bool home_reserve(struct endpoint *endpoint)
{
    lock(endpoint);
    bool room = endpoint->loans + (endpoint->home_head - endpoint->home_tail) < FERRY_RING_ENTRIES;
    endpoint->loans += room;
    unlock(endpoint);
    return room;
}

void home_unreserve(struct endpoint *endpoint)
{
    lock(endpoint);
    endpoint->loans--;
    unlock(endpoint);
}

/* --- waiting -------------------------------------------------------------- */

static void show_waiting(struct endpoint *endpoint, uint32_t waiting)
{
    atomic_store(&endpoint->waiting, waiting);
    for (uint32_t i = 0; i < endpoint->in_count; i++) {
        struct ferry_link *link = endpoint->in[i];
        if (!link->shown_to_sender)
            continue;
        /* The sender's control structure lives as long as the sender does. */
        lock(link->from);
        if (link->from->live)
            __atomic_store_n(&link->shown_to_sender->waiting, waiting, __ATOMIC_RELEASE);
        unlock(link->from);
    }
}

uint64_t endpoint_prepare(struct endpoint *endpoint)
{
    lock(endpoint);
    uint64_t seen = endpoint->events;
    unlock(endpoint);
    show_waiting(endpoint, 1);
    queue_unpark(endpoint);
    for (uint32_t i = 0; i < endpoint->in_count; i++)
        if (endpoint->in[i]->from->byte_stream)
            stream_pull(endpoint->in[i]->from->byte_stream);
    return seen;
}

void endpoint_finish(struct endpoint *endpoint)
{
    show_waiting(endpoint, 0);
}

int endpoint_block(struct endpoint *endpoint, uint64_t seen, uint64_t deadline_ns)
{
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / 1000000000ull),
                             .tv_nsec = (long)(deadline_ns % 1000000000ull)};
    int result = 0;

    lock(endpoint);
    while (endpoint->events == seen && !endpoint->stopping && result == 0) {
        if (deadline_ns == UINT64_MAX)
            pthread_cond_wait(&endpoint->changed, &endpoint->lock);
        else
            result = -pthread_cond_timedwait(&endpoint->changed, &endpoint->lock, &until);
    }
    if (endpoint->events != seen)
        result = 0;
    if (endpoint->stopping)
        result = -EINTR;
    unlock(endpoint);
    return result;
}

void endpoint_wake(struct endpoint *endpoint)
{
    lock(endpoint);
    note_event(endpoint);
    unlock(endpoint);
}

/* --- the end --------------------------------------------------------------- */

/* Writes into the control structure of `viewer` that the peer is no more. */
static void show_gone(struct endpoint *viewer, struct ferry_peer *shown)
{
    lock(viewer);
    if (shown && viewer->live)
        __atomic_store_n(&shown->state, FERRY_PEER_GONE, __ATOMIC_RELEASE);
    unlock(viewer);
}

void endpoint_shutdown(struct endpoint *endpoint)
{
    for (uint32_t i = 0; i < endpoint->out_count; i++) {
        show_gone(endpoint->out[i]->to, endpoint->out[i]->shown_to_receiver);
        queue_hangup(endpoint->out[i]);
    }

    lock(endpoint);
    endpoint->live = false;
    while (endpoint->users)
        pthread_cond_wait(&endpoint->changed, &endpoint->lock);
    unlock(endpoint);

    /* From here on nobody else changes it: it is not live and has no users.
     * Its window goes first, so that closing it loan by loan cannot fail. */
    window_destroy(&endpoint->window);
    for (uint32_t token = 0; token < FERRY_RING_ENTRIES; token++) {
        if (endpoint->held[token].state == HELD_FREE)
            continue;
        lock(endpoint);
        begin_release(endpoint, token);
        unlock(endpoint);
        finish_release(endpoint, token);
    }
    ledger_evict(&endpoint->engine->ledger, endpoint->index);
    for (uint32_t i = 0; i < endpoint->in_count; i++) {
        show_gone(endpoint->in[i]->from, endpoint->in[i]->shown_to_sender);
        endpoint_wake(endpoint->in[i]->from);
    }
}
