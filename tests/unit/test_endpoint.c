/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the tests of host/ipc/endpoint.c: indexes that a hostile guest may publish, tokens, and the
 * end of an endpoint.
 */
#include "core_trio.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#include "../until.h"
#include "ipc/ring.h"
#include "linux/vm_linux.h"

static struct ferry_link *a_to_b, *b_to_c;

static int setup(void **state)
{
    (void)state;
    trio_setup();
    a_to_b = core_link(vm_a, vm_b, 8);
    b_to_c = core_link(vm_b, vm_c, 8);
    return 0;
}

/* A page of A at B, not yet taken. */
static struct units lend(void)
{
    struct units units = core_alloc(a, 1, true);

    assert_int_equal(send_units(FERRY_LEND, a, b, units), 0);
    return units;
}

/* --- hostile indexes ------------------------------------------------------------ */

static void an_in_tail_that_cannot_be_takes_nothing(void **state)
{
    const uint32_t tails[] = {3, 64, 1000, UINT32_MAX, UINT32_MAX - 1, 0x80000000u};
    struct ferry_desc desc = core_inline(b->id, 0);

    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(core_send(a, &desc), 0);
    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        b->control->guest.in_tail = tails[i];
        loan_collect(b);
        assert_int_equal(b->in_tail, 0);
        assert_int_equal(a_to_b->inline_in_flight, 2);
    }
    b->control->guest.in_tail = 2;
    loan_collect(b);
    assert_int_equal(a_to_b->inline_in_flight, 0);
    b->control->guest.in_tail = 1; /* back again */
    loan_collect(b);
    assert_int_equal(b->in_tail, 2);
}

static void indexes_may_wrap(void **state)
{
    struct ferry_desc desc = core_payload(FERRY_COPY, b->id, CORE_MEMORY_ADDR, 5);
    const uint32_t start = UINT32_MAX - 2;

    (void)state;
    b->in_head = b->in_tail = b->release_tail = start;
    b->control->vmm.in_head = b->control->guest.in_tail = b->control->guest.release_head = start;
    a->out_tail = a->control->vmm.out_tail = a->control->guest.out_head = start;
    for (uint32_t i = 0; i < 8; i++) {
        assert_int_equal(core_send(a, &desc), 0);
        core_release(b, core_take(b).payload.token);
        loan_collect(b);
        assert_int_equal(a_to_b->in_flight, 0);
    }
    assert_int_equal(b->in_tail, 5);
    assert_int_equal(b->release_tail, 5);
    assert_int_equal(a->out_tail, 5);
}

static void a_release_index_that_cannot_be_releases_nothing(void **state)
{
    const uint32_t heads[] = {65, 1000, UINT32_MAX, 0x80000000u};
    struct units units = lend();
    uint32_t token = core_take(b).payload.token;

    (void)state;
    for (uint32_t i = 0; i < FERRY_TOKENS; i++)
        b->control->guest.release[i] = token;
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        b->control->guest.release_head = heads[i];
        loan_collect(b);
        assert_int_equal(core_rights(b, units.first), WINDOW_READ);
        assert_int_equal(b->release_tail, 0);
    }
    /* A token that is given back 64 times is released once. */
    b->control->guest.release_head = 64;
    loan_collect(b);
    assert_int_equal(b->release_tail, 64);
    assert_int_equal(core_rights(b, units.first), WINDOW_CLOSED);
    assert_int_equal(core_home(a), 1);
    assert_int_equal(a_to_b->in_flight, 0);
    core_assert_books(engine, 515, 1, 0);
}

static void a_home_index_that_cannot_be_makes_no_room(void **state)
{
    const uint32_t tails[] = {2, 65, UINT32_MAX, 0x80000000u};

    (void)state;
    lend();
    core_release(b, core_take(b).payload.token);
    loan_collect(b);
    assert_int_equal(core_home(a), 1);
    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        a->control->guest.home_tail = tails[i];
        loan_collect(a);
        assert_int_equal(a->home_tail, 0);
    }
    a->control->guest.home_tail = 1;
    loan_collect(a);
    assert_int_equal(a->home_tail, 1);
}

/* --- tokens ------------------------------------------------------------------------ */

static void bad_tokens_change_nothing(void **state)
{
    const uint32_t tokens[] = {1, 63, 64, 1000, UINT32_MAX, 0x80000000u};
    struct units units = lend();

    (void)state;
    assert_int_equal(core_take(b).payload.token, 0);
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
        assert_int_equal(loan_release(b, tokens[i]), -EINVAL);
        core_release(b, tokens[i]);
        loan_collect(b);
    }
    assert_int_equal(core_rights(b, units.first), WINDOW_READ);
    assert_int_equal(core_rights(a, units.first), WINDOW_CLOSED);
    assert_int_equal(a_to_b->in_flight, 1);
    core_assert_books(engine, 515, 0, 1);
}

static void a_token_is_released_once(void **state)
{
    (void)state;
    lend();
    uint32_t token = core_take(b).payload.token;
    core_release(b, token);
    core_release(b, token);
    loan_collect(b);
    assert_int_equal(a_to_b->in_flight, 0);
    assert_int_equal(core_home(a), 1);
    assert_int_equal(loan_release(b, token), -EINVAL);
    assert_int_equal(a->loans, 0);
}

static void a_message_not_taken_is_not_released(void **state)
{
    struct units units = lend();

    (void)state;
    core_release(b, 0);
    loan_collect(b);
    assert_int_equal(core_rights(b, units.first), WINDOW_READ);
    assert_int_equal(a_to_b->in_flight, 1);
    assert_int_equal(loan_release(b, 0), -EINVAL);
    assert_int_equal(core_take(b).payload.bytes, 4096);
    loan_collect(b);
    assert_int_equal(loan_release(b, 0), 0);
}

#define QUICK_ROUNDS 50000

static struct {
    atomic_uint done;
    atomic_bool over;
} quick;

/* Where both threads share a processor, the other has to run. */
static void spin(unsigned *turns)
{
    if (++*turns % 64 == 0)
        sched_yield();
}

/* The guest takes and releases by stores alone. */
static void *take_and_release(void *arg)
{
    unsigned turns = 0;

    (void)arg;
    while (!quick.over) {
        if (core_waiting(b) == 0) {
            spin(&turns);
            continue;
        }
        core_release(b, core_take(b).payload.token);
        quick.done++;
    }
    return NULL;
}

/* A thread that looks while the guest takes and releases finds both, or only the former. */
static void a_release_while_somebody_looks_is_not_lost(void **state)
{
    struct ferry_desc desc = core_payload(FERRY_COPY, b->id, CORE_MEMORY_ADDR, 5);
    pthread_t guest;
    unsigned lost = 0, turns = 0;
    time_t begun = time(NULL);

    (void)state;
    quick.done = 0;
    quick.over = false;
    assert_int_equal(pthread_create(&guest, NULL, take_and_release, NULL), 0);
    for (unsigned i = 0; !lost && race_goes_on(begun, i == QUICK_ROUNDS, i > 0); i++) {
        assert_int_equal(core_send(a, &desc), 0);
        while (quick.done == i) {
            loan_collect(b);
            spin(&turns);
        }
        loan_collect(b);
        lost = a_to_b->in_flight;
    }
    quick.over = true;
    pthread_join(guest, NULL);
    assert_int_equal(lost, 0);
}

static void released_and_passed_on_at_once(void **state)
{
    struct units units = lend();
    uint32_t token = core_take(b).payload.token;

    (void)state;
    /* The release is served first, so nothing is left to forward. */
    core_release(b, token);
    assert_int_equal(send_units(FERRY_LEND, b, c, units), -EPERM);
    assert_int_equal(core_rights(a, units.first), WINDOW_WRITE);
    assert_int_equal(core_rights(b, units.first), WINDOW_CLOSED);
    assert_int_equal(core_rights(c, units.first), WINDOW_CLOSED);
    assert_int_equal(core_waiting(c), 0);
    assert_int_equal(core_home(a), 1);
    core_assert_books(engine, 515, 1, 0);
}

static int64_t claim(struct endpoint *endpoint, struct units units)
{
    return loan_claim(endpoint, pool_offset(&engine->exchange.pool, units.first),
                      units_bytes(&engine->exchange.pool, units));
}

static void claimed_while_another_thread_looks(void **state)
{
    struct units units = lend();
    uint32_t token = core_take(b).payload.token;

    (void)state;
    loan_collect(b);
    assert_int_equal(claim(b, units), token);
    assert_int_equal(claim(b, units), -1);
    core_release(b, token); /* too late: it is claimed */
    loan_collect(b);
    assert_int_equal(core_rights(b, units.first), WINDOW_READ);
    loan_unclaim(b, token, HELD_TAKEN);
    assert_int_equal(claim(b, (struct units){units.first, 2}), -1);
    assert_int_equal(claim(b, (struct units){units.first + 1, 1}), -1);
    assert_int_equal(loan_release(b, token), 0);
    assert_int_equal(core_rights(a, units.first), WINDOW_WRITE);
}

/* The guest cannot release a message while the VMM reads it for the program. */
static void what_the_vmm_reads_is_not_the_guests_to_release(void **state)
{
    struct units units = lend();
    struct ferry_desc desc;

    (void)state;
    assert_true(queue_take(b, &desc));
    core_release(b, desc.payload.token);
    loan_collect(b);
    assert_int_equal(core_rights(b, units.first), WINDOW_READ);
    assert_int_equal(claim(b, units), -1);
    assert_int_equal(loan_release(b, desc.payload.token), 0);
    assert_int_equal(core_rights(b, units.first), WINDOW_CLOSED);
}

/* B holds three loans side by side; closing the middle one would split a mapping. */
static void a_release_that_cannot_be_done_is_done_later(void **state)
{
    struct units units = core_alloc(a, 3, true);
    uint32_t middle = units.first + 1;

    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(send_units(FERRY_LEND, a, b, (struct units){units.first + i, 1}), 0);
        core_take(b);
    }
    core_release(b, 1);
    core_exhaust_mappings();
    loan_collect(b);
    loan_collect(b);
    core_restore_mappings();
    assert_int_equal(core_rights(b, middle), WINDOW_READ);
    assert_int_equal(core_rights(a, middle), WINDOW_CLOSED);
    assert_int_equal(a_to_b->in_flight, 3);
    assert_int_equal(core_home(a), 0);
    core_assert_books(engine, 513, 0, 3);
    /* The unit may go home at any moment, so no system call may use it. */
    struct guest_addr addr = endpoint_addr(b, pool_offset(&engine->exchange.pool, middle));
    assert_null(vm_memory(vm_b, addr, 1, false).at);
    assert_non_null(vm_memory(vm_b, guest_addr(addr.value - 1), 1, false).at);
    assert_non_null(vm_memory(vm_b, guest_addr_add(addr, 4096), 1, false).at);
    loan_collect(b);
    assert_int_equal(core_rights(b, middle), WINDOW_CLOSED);
    assert_int_equal(core_rights(a, middle), WINDOW_WRITE);
    assert_int_equal(core_home(a), 1);
}

/* A release that another thread deferred, as releases were frozen, must be done by this one: there
 * may be no other. */
static void what_was_left_alone_is_done_afterwards(void **state)
{
    struct units units = lend();

    (void)state;
    uint32_t token = core_take(b).payload.token;
    loan_freeze_releases(b);
    core_release(b, token);
    loan_collect(b); /* the ticker, which tries a stuck loan again */
    assert_int_equal(core_rights(b, units.first), WINDOW_READ);
    loan_thaw_releases(b);
    assert_int_equal(core_rights(a, units.first), WINDOW_WRITE);
    assert_int_equal(core_home(a), 1);
}

/* Nothing became free, so a sender that waits for room would look in vain, again and again. */
static void a_release_that_cannot_be_done_wakes_nobody(void **state)
{
    struct units units = core_alloc(a, 3, true);

    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(send_units(FERRY_LEND, a, b, (struct units){units.first + i, 1}), 0);
        core_take(b);
    }
    loan_collect(b);
    core_release(b, 1);
    a_to_b->parked = PARKED_PAYLOAD;
    core_exhaust_mappings();
    uint32_t seen = a->events;
    loan_collect(b);
    core_restore_mappings();
    assert_int_equal(a->events, seen);
    loan_collect(b);
    assert_true(a->events > seen);
}

/* --- the end ----------------------------------------------------------------------- */

static void shutdown_brings_loans_home_and_evicts(void **state)
{
    struct units taken = lend(), queued = lend(), moved = core_alloc(a, 1, false);
    struct units own = core_alloc(b, 2, true);

    (void)state;
    core_take(b);
    loan_collect(b);
    assert_int_equal(send_units(FERRY_MOVE, a, b, moved), 0);
    core_assert_books(engine, 511, 3, 2);
    endpoint_shutdown(b);
    assert_int_equal(core_rights(a, taken.first), WINDOW_WRITE);
    assert_int_equal(core_rights(a, queued.first), WINDOW_WRITE);
    assert_int_equal(core_home(a), 2);
    assert_int_equal(ledger_look(&engine->exchange.ledger, own.first).state, UNIT_FREE);
    assert_int_equal(ledger_look(&engine->exchange.ledger, moved.first).state, UNIT_FREE);
    assert_null(b->window.base);
    assert_int_equal(a_to_b->sender_peer_entry->state, FERRY_PEER_GONE);
    core_assert_books(engine, 514, 2, 0);
}

static void shutdown_hangs_up(void **state)
{
    struct ferry_desc desc = core_inline(c->id, 0);

    (void)state;
    assert_int_equal(core_send(b, &desc), 0);
    uint16_t id = b->id;
    endpoint_shutdown(b);
    assert_int_equal(core_take(c).mode, FERRY_INLINE); /* what was sent arrives */
    struct ferry_desc got = core_take(c);
    assert_int_equal(got.mode, FERRY_HANGUP);
    assert_int_equal(got.src, id);
    assert_int_equal(b_to_c->receiver_peer_entry->state, FERRY_PEER_GONE);
    assert_int_equal(core_waiting(c), 0);
}

static void *shut_down(void *arg)
{
    endpoint_shutdown(arg);
    return NULL;
}

static bool takes_part(struct endpoint *endpoint)
{
    endpoint_lock(endpoint);
    bool live = endpoint->live;
    endpoint_unlock(endpoint);
    return live;
}

/* While an endpoint ends it still owns and holds what it had. */
static void the_end_is_no_leak(void **state)
{
    pthread_t thread;

    (void)state;
    lend();
    core_alloc(b, 1, false);
    assert_true(endpoint_enter(b));
    assert_int_equal(pthread_create(&thread, NULL, shut_down, b), 0);
    until(!takes_part(b));
    core_assert_books(engine, 514, 1, 1);
    endpoint_leave(b);
    pthread_join(thread, NULL);
    core_assert_books(engine, 515, 1, 0);
}

static void what_the_dead_lent_goes_to_the_pool(void **state)
{
    struct units units = lend();
    uint32_t token = core_take(b).payload.token;

    (void)state;
    memset(core_bytes(engine, units.first), 0x77, 4096);
    loan_collect(b);
    endpoint_shutdown(a);
    /* The reader goes on reading, and it is not counted as leaked. */
    assert_int_equal(core_rights(b, units.first), WINDOW_READ);
    core_assert_books(engine, 515, 0, 1);
    assert_int_equal(loan_release(b, token), 0);
    assert_int_equal(core_rights(b, units.first), WINDOW_CLOSED);
    core_assert_books(engine, 516, 0, 0);
    /* The next owner finds nothing of its former contents. */
    core_alloc(c, 512, true);
    assert_int_equal(core_bytes(engine, units.first)[0], 0);
}

static void a_loan_passed_on_outlives_its_owner_and_its_borrower(void **state)
{
    struct units units = lend();
    uint32_t token = core_take(b).payload.token;

    (void)state;
    (void)token;
    assert_int_equal(send_units(FERRY_LEND, b, c, units), 0);
    endpoint_shutdown(a);
    endpoint_shutdown(b);
    assert_int_equal(core_rights(c, units.first), WINDOW_READ);
    core_release(c, core_take(c).payload.token);
    loan_collect(c);
    core_assert_books(engine, 516, 0, 0);
}

/* A generation that came back would stand for two programs. */
static void generations_end(void **state)
{
    struct endpoint *endpoint = NULL;
    uint32_t generation = 0;

    (void)state;
    engine->exchange.generation = UINT32_MAX - 1;
    assert_int_equal(exchange_generation(&engine->exchange, &generation), 0);
    assert_int_equal(generation, UINT32_MAX);
    assert_int_equal(exchange_generation(&engine->exchange, &generation), -EAGAIN);
    assert_int_equal(exchange_endpoint_new(&engine->exchange, vm_a, &endpoint), -EAGAIN);
    assert_null(endpoint);
}

/* A new VM with the index of a dead one does not get the loans of that one. */
static void a_place_taken_again_inherits_nothing(void **state)
{
    struct units units = lend();
    uint32_t token = core_take(b).payload.token, generation = a->generation;
    uint16_t index = a->index;

    (void)state;
    loan_collect(b);
    ferry_vm_destroy(vm_a);
    vm_a = core_vm(engine, "again");
    assert_int_equal(vm_a->endpoint->index, index);
    assert_int_not_equal(vm_a->endpoint->generation, generation);
    assert_int_equal(loan_release(b, token), 0);
    assert_int_equal(core_rights(vm_a->endpoint, units.first), WINDOW_CLOSED);
    core_assert_books(engine, 516, 0, 0);
}

static void who_is_inside_is_waited_for(void **state)
{
    struct units units = core_alloc(b, 1, true);
    pthread_t thread;

    (void)state;
    assert_true(endpoint_enter(b));
    assert_int_equal(pthread_create(&thread, NULL, shut_down, b), 0);
    until(!takes_part(b)); /* it has begun */
    for (int i = 0; i < 1000; i++)
        assert_int_equal(core_rights(b, units.first), WINDOW_WRITE);
    endpoint_leave(b);
    pthread_join(thread, NULL);
    core_assert_books(engine, 516, 0, 0);
}

static void the_end_wakes_who_waits_for_room(void **state)
{
    uint64_t seen = a->events;

    (void)state;
    endpoint_shutdown(b);
    assert_true(a->events > seen);
}

static void a_refused_link_wakes_its_sender_and_takes_no_more(void **state)
{
    struct ferry_desc desc = core_inline(b->id, 0);
    uint64_t seen = a->events;

    (void)state;
    assert_true(queue_accepts(a_to_b));
    queue_refuse(a_to_b);
    assert_true(a->events > seen);
    assert_false(queue_accepts(a_to_b));
    assert_int_equal(core_send(a, &desc), -EPIPE);
}

static void entering_ends_with_life(void **state)
{
    (void)state;
    assert_true(endpoint_enter(b));
    assert_int_equal(b->users, 1);
    endpoint_leave(b);
    endpoint_shutdown(b);
    assert_false(endpoint_enter(b));
    assert_int_equal(b->users, 0);
}

/* --- waiting ------------------------------------------------------------------------ */

static void waiting_is_shown_and_woken(void **state)
{
    struct ferry_peer *shown = a_to_b->sender_peer_entry;
    struct ferry_desc desc = core_inline(b->id, 0);

    (void)state;
    uint64_t seen = endpoint_prepare(b);
    assert_int_equal(shown->waiting, 1);
    assert_int_equal(endpoint_block(b, seen, clock_deadline(1000000)), -ETIMEDOUT);
    assert_int_equal(core_send(a, &desc), 0);
    /* An event between prepare and block is not missed. */
    assert_int_equal(endpoint_block(b, seen, UINT64_MAX), 0);
    endpoint_finish(b);
    assert_int_equal(shown->waiting, 0);
    b->stopping = true;
    assert_int_equal(endpoint_block(b, endpoint_prepare(b), UINT64_MAX), -EINTR);
}

/* Between two VMs there is no end that is the host's. */
static void a_link_between_vms_is_not_the_hosts(void **state)
{
    void *page;

    (void)state;
    assert_int_equal(ferry_link_alloc(a_to_b, 1, true, &page), -EPERM);
    assert_int_equal(ferry_link_free(a_to_b, engine->exchange.pool.base, 4096), -EPERM);
    ferry_link_cancel(a_to_b);
    assert_false(a->stopping || b->stopping);
}

static void a_link_stays_within_its_engine(void **state)
{
    struct ferry_engine *other = core_engine(512, 1);
    struct ferry_link *link;

    (void)state;
    assert_int_equal(ferry_link_create(other, vm_a, NULL, NULL, &link, NULL), -EINVAL);
    assert_int_equal(ferry_link_create(other, NULL, vm_a, NULL, &link, NULL), -EINVAL);
    core_end(other);
}

/* One end has no room for another peer: the other is not told of it either. */
static void a_link_that_finds_no_room_is_shown_to_nobody(void **state)
{
    struct ferry_vm *peers[FERRY_PEERS_MAX + 1];
    struct ferry_link *link;

    (void)state;
    struct ferry_vm *hub = core_vm(engine, "hub");
    for (uint32_t i = 0; i <= FERRY_PEERS_MAX; i++) {
        peers[i] = core_vm(engine, "peer");
        if (i < FERRY_PEERS_MAX)
            core_link(hub, peers[i], 0);
    }
    struct ferry_vm *last = peers[FERRY_PEERS_MAX];
    assert_int_equal(ferry_link_create(engine, last, hub, NULL, &link, NULL), -ENOSPC);
    assert_int_equal(ferry_link_create(engine, hub, last, NULL, &link, NULL), -ENOSPC);
    assert_int_equal(ferry_link_create(engine, NULL, hub, NULL, &link, NULL), -ENOSPC);
    assert_int_equal(last->endpoint->control->info.peer_count, 0);
    core_link(peers[0], hub, 0); /* the other way, as a peer it has already */
    assert_int_equal(hub->endpoint->control->info.peer_count, FERRY_PEERS_MAX);
    for (uint32_t i = 0; i <= FERRY_PEERS_MAX; i++)
        ferry_vm_destroy(peers[i]);
    ferry_vm_destroy(hub);
}

/* A sender may wait for just that. */
static void taking_a_completion_wakes_the_host(void **state)
{
    struct ferry_link *link = core_link(NULL, vm_c, 0);
    struct ferry_message message = {.mode = FERRY_LEND, .bytes = 4096};
    size_t bytes;
    void *page;

    (void)state;
    assert_int_equal(ferry_link_alloc(link, 1, true, &message.data), 0);
    assert_int_equal(ferry_link_send(link, &message, 0), 0);
    core_release(c, core_take(c).payload.token);
    loan_collect(c);
    uint64_t seen = link->from->events;
    assert_int_equal(ferry_link_reclaim(link, 0, &page, &bytes), 0);
    assert_ptr_equal(page, message.data);
    assert_true(link->from->events > seen);
    assert_int_equal(ferry_link_free(link, page, bytes), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, trio_teardown)
    const struct CMUnitTest tests[] = {
        CASE(an_in_tail_that_cannot_be_takes_nothing),
        CASE(indexes_may_wrap),
        CASE(a_release_index_that_cannot_be_releases_nothing),
        CASE(a_home_index_that_cannot_be_makes_no_room),
        CASE(bad_tokens_change_nothing),
        CASE(a_token_is_released_once),
        CASE(a_message_not_taken_is_not_released),
        CASE(a_release_while_somebody_looks_is_not_lost),
        CASE(released_and_passed_on_at_once),
        CASE(claimed_while_another_thread_looks),
        CASE(what_the_vmm_reads_is_not_the_guests_to_release),
        CASE(a_release_that_cannot_be_done_is_done_later),
        CASE(what_was_left_alone_is_done_afterwards),
        CASE(a_release_that_cannot_be_done_wakes_nobody),
        CASE(shutdown_brings_loans_home_and_evicts),
        CASE(the_end_is_no_leak),
        CASE(shutdown_hangs_up),
        CASE(what_the_dead_lent_goes_to_the_pool),
        CASE(a_loan_passed_on_outlives_its_owner_and_its_borrower),
        CASE(generations_end),
        CASE(a_place_taken_again_inherits_nothing),
        CASE(who_is_inside_is_waited_for),
        CASE(the_end_wakes_who_waits_for_room),
        CASE(a_refused_link_wakes_its_sender_and_takes_no_more),
        CASE(entering_ends_with_life),
        CASE(waiting_is_shown_and_woken),
        CASE(a_link_between_vms_is_not_the_hosts),
        CASE(a_link_stays_within_its_engine),
        CASE(a_link_that_finds_no_room_is_shown_to_nobody),
        CASE(taking_a_completion_wakes_the_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
