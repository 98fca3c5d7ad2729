/* SPDX-License-Identifier: BSD-2-Clause */
/* Loans: release, forwarding, coming home. */
#include "ipc/loan.h"

#include <errno.h>

#include "ipc/exchange.h"
#include "ipc/link.h"
#include "ipc/mode.h"
#include "ipc/ring.h"
#include "ipc/room.h"

/* Loans that lie side by side, in order, with one holder and link. */
struct batch {
    struct ferry_link *link;
    uint32_t count;
    struct units units[FERRY_TOKENS];
    uint16_t owner[FERRY_TOKENS]; /* LEDGER_NOBODY: the owner has ended */
};

static struct units whole(const struct units *units, uint32_t count)
{
    return (struct units){units[0].first,
                          units[count - 1].first + units[count - 1].count - units[0].first};
}

static void write_completion(struct endpoint *owner, struct units units)
{
    lock_assert_held(&owner->lock);
    const struct pool *pool = &owner->exchange->pool;

    owner->loans--;
    if (owner->exited)
        return;
    uint32_t slot = owner->home_head++ & TOKEN_MASK;
    owner->home[slot] = units;
    if (!endpoint_is_host(owner)) {
        /* In bounds: masked; loan_reserve kept this entry free. */
        owner->control->vmm.home[slot] = (struct ferry_home){
            .addr = endpoint_addr(owner, pool_offset(pool, units.first)).value,
            .bytes = units_bytes(pool, units),
        };
        ring_publish(&owner->control->vmm.home_head, owner->home_head);
    }
}

/* Writes completions for the owner, except of loans that its plain output made. */
static void write_completions(struct endpoint *owner, const struct units *units, uint32_t count)
{
    endpoint_lock(owner);
    for (uint32_t i = 0; i < count; i++)
        if (!owner->byte_stream || !owner->stream_does->came_home(owner->byte_stream, units[i]))
            write_completion(owner, units[i]);
    endpoint_unlock(owner);
    endpoint_wake(owner);
}

/* Finds and enters the owner of units that are on their way home; NULL: it has ended. */
static struct endpoint *enter_owner(struct exchange *exchange, struct units units, uint16_t index)
{
    struct endpoint *owner = index == LEDGER_NOBODY ? NULL : exchange_endpoint(exchange, index);

    if (!owner || !endpoint_enter(owner))
        return NULL;
    /* If another endpoint has its index since, then it was evicted and the ledger says so
     * (models/owner.pml). */
    if (ledger_look(&exchange->ledger, units.first).owner == index)
        return owner;
    endpoint_leave(owner);
    return NULL;
}

/* Lets the owner write the units again. */
static void open_owner(struct ferry_link *link, struct endpoint *owner, struct units units)
{
    struct pool *pool = &link->exchange->pool;

    pool_opened(pool, units);
    window_set(&owner->window, pool_offset(pool, units.first), units_bytes(pool, units),
               WINDOW_CLOSED, WINDOW_WRITE);
    atomic_fetch_add_explicit(&link->table_calls, 1, memory_order_relaxed);
}

/* Gives loans of one owner, closed at their holder, back to the owner or to the pool. Units that
 * the VMM keeps in the owner's name stay closed. */
static void give_home(struct ferry_link *link, uint16_t index, const struct units *units,
                      uint32_t count)
{
    struct exchange *exchange = link->exchange;
    struct units all = whole(units, count);
    struct endpoint *owner = enter_owner(exchange, all, index);

    if (owner && !ledger_look(&exchange->ledger, all.first).kept)
        open_owner(link, owner, all);
    for (uint32_t i = 0; i < count; i++)
        ledger_commit_home(&exchange->ledger, units[i]);
    if (!owner)
        return;
    write_completions(owner, units, count);
    endpoint_leave(owner);
}

/* Closes the holder's window over a batch. -ENOMEM: it cannot be closed now, as that would split a
 * mapping; the loans stay. */
static int close_holder(struct endpoint *holder, struct batch *batch)
{
    struct exchange *exchange = holder->exchange;
    struct units all = whole(batch->units, batch->count);

    for (uint32_t i = 0; i < batch->count; i++)
        ledger_begin_home(&exchange->ledger, batch->units[i], holder->index, &batch->owner[i]);
    int result = window_set(&holder->window, pool_offset(&exchange->pool, all.first),
                            units_bytes(&exchange->pool, all), WINDOW_READ, WINDOW_CLOSED);
    for (uint32_t i = 0; i < batch->count && result < 0; i++)
        ledger_abort(&exchange->ledger, batch->units[i], UNIT_LENT);
    return result;
}

/* Whether two loans of a batch go home by the same page-table call. */
static bool go_together(struct ledger *ledger, const struct batch *batch, uint32_t i, uint32_t j)
{
    return batch->owner[i] == batch->owner[j] &&
           ledger_look(ledger, batch->units[i].first).kept ==
               ledger_look(ledger, batch->units[j].first).kept;
}

/* Brings a batch from its holder back to the owners, or to the pool: one page-table call for the
 * holder, and one for each owner that may access units again. */
static int bring_home(struct endpoint *holder, struct batch *batch)
{
    uint32_t next;

    int result = close_holder(holder, batch);
    if (result < 0)
        return result;
    atomic_fetch_add_explicit(&batch->link->table_calls, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&batch->link->shoot_downs, 1, memory_order_relaxed);
    for (uint32_t i = 0; i < batch->count; i = next) {
        next = i + 1;
        while (next < batch->count && go_together(&holder->exchange->ledger, batch, i, next))
            next++;
        give_home(batch->link, batch->owner[i], &batch->units[i], next - i);
    }
    return 0;
}

/* From here to finish_release nobody else touches the token. */
static void begin_release(struct endpoint *endpoint, uint32_t token)
{
    lock_assert_held(&endpoint->lock);
    held_set_state(endpoint, token, HELD_LEAVING);
    endpoint->releases_in_progress++;
}

static void end_release(struct endpoint *endpoint, uint32_t token, enum held_state state)
{
    lock_assert_held(&endpoint->lock);
    held_set_state(endpoint, token, state);
    if (--endpoint->releases_in_progress == 0)
        pthread_cond_broadcast(&endpoint->changed);
}

static void drop_token(struct endpoint *endpoint, uint32_t token, bool stuck)
{
    lock_assert_held(&endpoint->lock);
    if (!stuck)
        endpoint->held[token].link->in_flight--;
    end_release(endpoint, token, stuck ? HELD_STUCK : HELD_FREE);
    if (stuck && endpoint->exchange->stuck)
        endpoint->exchange->stuck(endpoint->exchange->stuck_arg);
}

static bool side_by_side(const struct endpoint *endpoint, const struct held *a,
                         const struct held *b)
{
    const struct pool *pool = &endpoint->exchange->pool;

    return a->link == b->link && a->units.first + a->units.count == b->units.first &&
           pool_is_page(pool, a->units.first) == pool_is_page(pool, b->units.first);
}

/* Brings home loans that lie side by side, from the first on; returns how many. *stuck: these could
 * not be closed. */
static uint32_t release_batch(struct endpoint *endpoint, const uint32_t *tokens, uint32_t count,
                              bool *stuck)
{
    const struct held *held = endpoint->held;
    struct batch batch = {.link = held[tokens[0]].link};

    do
        batch.units[batch.count] = held[tokens[batch.count]].units;
    while (++batch.count < count &&
           side_by_side(endpoint, &held[tokens[batch.count - 1]], &held[tokens[batch.count]]));
    int result = bring_home(endpoint, &batch);
    if (result < 0 && batch.count > 1) {
        batch.count = 1; /* a shorter batch may do */
        result = bring_home(endpoint, &batch);
    }
    *stuck = result < 0;
    return batch.count;
}

/* Sorts tokens: copies first, then loans in the order of their units. Returns how many are
 * copies. */
static uint32_t sort_tokens(const struct endpoint *endpoint, uint32_t *tokens, uint32_t count)
{
    const struct held *held = endpoint->held;
    uint32_t copies = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t token = tokens[i], at = i;
        uint32_t key = held[token].lent ? held[token].units.first + 1 : 0;
        for (; at > 0; at--) {
            const struct held *previous = &held[tokens[at - 1]];
            if ((previous->lent ? previous->units.first + 1 : 0) <= key)
                break;
            tokens[at] = tokens[at - 1];
        }
        tokens[at] = token;
        copies += !key;
    }
    return copies;
}

/* The releases of tokens that are HELD_LEAVING, all at once. */
static void finish_releases(struct endpoint *endpoint, uint32_t *tokens, uint32_t count)
{
    bool stuck[FERRY_TOKENS] = {false};
    struct wakes wakes = {0};
    uint32_t done;

    for (uint32_t i = sort_tokens(endpoint, tokens, count); i < count; i += done) {
        done = release_batch(endpoint, &tokens[i], count - i, &stuck[i]);
        for (uint32_t j = 1; j < done; j++)
            stuck[i + j] = stuck[i];
    }
    bool any = false;
    endpoint_lock(endpoint);
    for (uint32_t i = 0; i < count; i++) {
        drop_token(endpoint, tokens[i], stuck[i]);
        any |= !stuck[i];
    }
    if (any)
        room_to_wake(endpoint, false, &wakes);
    endpoint_unlock(endpoint);
    room_wake(&wakes);
}

static void finish_release(struct endpoint *endpoint, uint32_t token)
{
    uint32_t tokens[] = {token};

    finish_releases(endpoint, tokens, 1);
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
    for (uint64_t left = ~held_in(endpoint, HELD_FREE); left; left &= left - 1) {
        uint32_t token = (uint32_t)__builtin_ctzll(left);
        endpoint_lock(endpoint);
        begin_release(endpoint, token);
        endpoint_unlock(endpoint);
        finish_release(endpoint, token);
    }
}

int64_t loan_claim(struct endpoint *endpoint, struct pool_offset offset, uint64_t bytes)
{
    int64_t found = -1;

    endpoint_lock(endpoint);
    for (uint64_t left = held_in(endpoint, HELD_TAKEN); left && found < 0; left &= left - 1) {
        uint32_t token = (uint32_t)__builtin_ctzll(left);
        const struct held *held = &endpoint->held[token];
        if (held->lent && held->offset.bytes == offset.bytes && held->bytes == bytes) {
            begin_release(endpoint, token);
            found = token;
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

void loan_forward(struct endpoint *endpoint, uint32_t token)
{
    endpoint->held[token].lent = false;
    finish_release(endpoint, token);
}

/* The tokens that the guest released, and those whose release failed before. */
static uint32_t collect_tokens(struct endpoint *endpoint, uint32_t released,
                               uint32_t tokens[FERRY_TOKENS])
{
    lock_assert_held(&endpoint->lock);
    struct ferry_control_guest *guest = &endpoint->control->guest;
    uint32_t count = 0;

    if (endpoint->releases_frozen) {
        endpoint->release_deferred = true;
        return 0; /* loan_thaw_releases looks again */
    }
    for (uint32_t i = 0; i < released; i++) {
        uint32_t token = ring_fetch_word(guest->release, endpoint->release_tail++);
        /* A token that is not held is the guest's mistake and changes nothing. */
        if (token < FERRY_TOKENS && endpoint->held[token].state == HELD_TAKEN)
            held_set_state(endpoint, token, HELD_STUCK);
    }
    for (uint64_t left = held_in(endpoint, HELD_STUCK); left; left &= left - 1) {
        tokens[count] = (uint32_t)__builtin_ctzll(left);
        begin_release(endpoint, tokens[count++]);
    }
    return count;
}

void loan_collect(struct endpoint *endpoint)
{
    struct ferry_control_guest *guest = &endpoint->control->guest;
    uint32_t tokens[FERRY_TOKENS];
    struct wakes wakes = {0};

    endpoint_lock(endpoint);
    /* This is read before in_tail. The guest may run; a message whose token it has released by now
     * it has taken before, so the code below finds it taken. In the other order a token could be
     * taken and released between the two reads, and its release would be lost. */
    uint32_t released = ring_ahead(&guest->release_head, endpoint->release_tail, FERRY_TOKENS);
    uint32_t queued = endpoint->in_head - endpoint->in_tail;
    uint32_t taken = ring_ahead(&guest->in_tail, endpoint->in_tail, queued);
    for (uint32_t i = 0; i < taken; i++)
        room_entry_taken(endpoint, HELD_TAKEN);
    uint32_t completions = endpoint->home_head - endpoint->home_tail;
    endpoint->home_tail += ring_ahead(&guest->home_tail, endpoint->home_tail, completions);
    uint32_t count = collect_tokens(endpoint, released, tokens);
    if (taken)
        room_to_wake(endpoint, false, &wakes);
    endpoint_unlock(endpoint);

    room_wake(&wakes);
    if (count)
        finish_releases(endpoint, tokens, count);
}

/* Another thread may have collected meanwhile; then loan_collect finds nothing, once. */
void loan_collect_new(struct endpoint *endpoint)
{
    struct ferry_control_guest *guest = &endpoint->control->guest;
    const struct published *seen = &endpoint->seen;
    const struct published now = {
        .release_head = __atomic_load_n(&guest->release_head, __ATOMIC_RELAXED),
        .in_tail = __atomic_load_n(&guest->in_tail, __ATOMIC_RELAXED),
        .home_tail = __atomic_load_n(&guest->home_tail, __ATOMIC_RELAXED),
    };

    if (now.release_head == seen->release_head && now.in_tail == seen->in_tail &&
        now.home_tail == seen->home_tail && !held_in(endpoint, HELD_STUCK))
        return;
    endpoint->seen = now;
    loan_collect(endpoint);
}

void loan_freeze_releases(struct endpoint *endpoint)
{
    endpoint_lock(endpoint);
    while (endpoint->releases_in_progress)
        lock_wait(&endpoint->changed, &endpoint->lock);
    endpoint->releases_frozen = true;
    endpoint_unlock(endpoint);
}

void loan_thaw_releases(struct endpoint *endpoint)
{
    endpoint_lock(endpoint);
    endpoint->releases_frozen = false;
    bool deferred = endpoint->release_deferred;
    endpoint->release_deferred = false;
    endpoint_unlock(endpoint);
    if (deferred)
        loan_collect(endpoint);
}

bool loan_is_leaving(struct endpoint *endpoint, struct units units)
{
    bool found = false;

    endpoint_lock(endpoint);
    for (uint64_t left = held_in(endpoint, HELD_STUCK) | held_in(endpoint, HELD_LEAVING); left;
         left &= left - 1) {
        const struct held *held = &endpoint->held[__builtin_ctzll(left)];
        found |= held->lent && units_overlap(held->units, units);
    }
    endpoint_unlock(endpoint);
    return found;
}

bool loan_reserve(struct endpoint *endpoint)
{
    endpoint_lock(endpoint);
    bool room = endpoint->exited ||
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

void loan_ignore_completions(struct endpoint *endpoint)
{
    endpoint_lock(endpoint);
    endpoint->exited = true;
    endpoint_unlock(endpoint);
}

/* Whether a message that waits in the out ring is sent from these units. Any answer is safe: a message
 * whose payload is gone is refused. */
static bool is_to_be_sent(const struct endpoint *endpoint, struct units units)
{
    const struct pool *pool = &endpoint->exchange->pool;
    uint64_t start = pool_offset(pool, units.first).bytes, bytes = units_bytes(pool, units);
    uint32_t ahead =
        ring_ahead(&endpoint->control->guest.out_head, endpoint->out_tail, FERRY_RING_ENTRIES);

    for (uint32_t i = 0; i < ahead; i++) {
        const struct ferry_desc desc = ring_fetch(endpoint->control->out, endpoint->out_tail + i);
        const struct mode *mode = mode_of(desc.mode);
        if (!mode || !mode_has_payload(mode))
            continue;
        uint64_t at = endpoint_offset(endpoint, guest_addr(desc.payload.addr)).bytes;
        if (at - start < bytes || (at < start && start - at < desc.payload.bytes))
            return true;
    }
    return false;
}

void loan_let_go(struct endpoint *endpoint)
{
    uint32_t tokens[FERRY_TOKENS], count = 0;

    loan_collect(endpoint);
    endpoint_lock(endpoint);
    while (endpoint->in_tail != endpoint->in_head) /* nobody takes them any more */
        room_entry_taken(endpoint, HELD_QUEUED);
    for (uint64_t left = held_in(endpoint, HELD_QUEUED) | held_in(endpoint, HELD_TAKEN); left;
         left &= left - 1) {
        uint32_t token = (uint32_t)__builtin_ctzll(left);
        const struct held *held = &endpoint->held[token];
        if (!held->lent || is_to_be_sent(endpoint, held->units))
            continue;
        begin_release(endpoint, token);
        tokens[count++] = token;
    }
    endpoint_unlock(endpoint);
    if (count)
        finish_releases(endpoint, tokens, count);
}
