/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the tests of back-pressure and failure in host/ipc/room.c and host/ipc/perform.c: what a
 * sender waits for, what wakes it, and that a message that fails leaves everything as it was.
 */
#include "core_trio.h"

#include <errno.h>
#include <string.h>

#include "ipc/ring.h"
#include "linux/vm_linux.h"
#include "stream/stream.h"

static struct ferry_link *a_to_b, *c_to_b;

static int setup(void **state)
{
    (void)state;
    trio_setup();
    a_to_b = core_link(vm_a, vm_b, 40);
    c_to_b = core_link(vm_c, vm_b, 40);
    return 0;
}

/* Sends until there is no room; the last one stays parked. */
static uint32_t fill(struct endpoint *from, const struct ferry_desc *desc)
{
    for (uint32_t sent = 0; sent < 1000; sent++) {
        core_queue(from, desc);
        drain_ring(from);
        if (from->out_parked)
            return sent;
    }
    fail();
    return 0;
}

static struct ferry_desc copy_to_b(void)
{
    return core_payload(FERRY_COPY, b->id, CORE_MEMORY_ADDR, 10);
}

static void credits_park_the_sender(void **state)
{
    struct ferry_desc desc = copy_to_b(), got = {0};

    (void)state;
    a_to_b->max_messages = 2;
    assert_int_equal(fill(a, &desc), 2);
    assert_true(drain_pending(a));
    assert_int_equal(a->control->vmm.out_tail, 2);
    /* Taking is not enough for a payload: its release is what makes room. */
    for (int i = 0; i < 2; i++)
        got = core_take(b);
    drain_ring(a);
    assert_true(a->out_parked);
    uint64_t seen = a->events;
    assert_int_equal(loan_release(b, got.payload.token), 0);
    assert_true(a->events > seen);
    drain_ring(a);
    assert_false(a->out_parked);
    assert_false(drain_pending(a));
    assert_int_equal(a->control->out_status[2], 0);
    assert_int_equal(core_take(b).payload.message, 3);
    assert_int_equal(a_to_b->messages, 3);
}

/* Units that are moved count for the receiver's share. Once that is used up the sender waits
 * until the receiver gives something back. */
static void moves_wait_for_the_receivers_share(void **state)
{
    struct units first = core_alloc(a, 1, false), second = core_alloc(a, 1, false);
    struct ferry_desc desc = core_units(FERRY_MOVE, a, b->id, second);

    (void)state;
    b->most_extents = 1;
    assert_int_equal(send_units(FERRY_MOVE, a, b, first), 0);
    core_queue(a, &desc);
    drain_ring(a);
    assert_true(a->out_parked);
    assert_int_equal(core_rights(a, second.first), WINDOW_WRITE); /* nothing changed */
    core_take(b);
    uint64_t seen = a->events;
    assert_int_equal(units_free(b, first), 0);
    assert_true(a->events > seen);
    drain_ring(a);
    assert_false(a->out_parked);
    assert_int_equal(core_rights(b, second.first), WINDOW_WRITE);
}

static void moves_that_never_fit_are_refused(void **state)
{
    struct units both = core_alloc(a, 2, false);

    (void)state;
    b->most_extents = 1;
    assert_int_equal(send_units(FERRY_MOVE, a, b, both), -EMSGSIZE);
    assert_int_equal(core_rights(a, both.first), WINDOW_WRITE);
}

/* A program that has ended takes no completions: 64 of them must not keep
 * what it queued last from leaving. */
static void completions_nobody_takes_do_not_hold_up_the_end(void **state)
{
    struct units page = core_alloc(a, 1, true);
    struct ferry_desc desc = core_units(FERRY_LEND, a, b->id, page);

    (void)state;
    for (uint32_t i = 0; i < FERRY_TOKENS; i++) {
        assert_int_equal(core_send(a, &desc), 0);
        core_release(b, core_take(b).payload.token);
        loan_collect(b);
    }
    assert_int_equal(core_home(a), FERRY_TOKENS);
    core_queue(a, &desc);
    drain_ring(a);
    assert_true(a->out_parked);
    loan_ignore_completions(a);
    drain_ring(a);
    assert_false(a->out_parked);
    core_release(b, core_take(b).payload.token);
    loan_collect(b);
    assert_int_equal(core_home(a), FERRY_TOKENS); /* and no completion more */
}

/* A page that is open in the ledger but closed in the window, as when it came home and there was no
 * mapping left, is opened again. */
static void a_page_left_closed_is_opened_again(void **state)
{
    struct units page = core_alloc(a, 1, true);
    struct pool *pool = &engine->exchange.pool;

    (void)state;
    window_set(&a->window, pool_offset(pool, page.first), 4096, WINDOW_WRITE, WINDOW_CLOSED);
    units_reopen(a, page);
    assert_int_equal(core_rights(a, page.first), WINDOW_WRITE);
    units_reopen(b, page); /* not its own */
    assert_int_equal(core_rights(b, page.first), WINDOW_CLOSED);

    /* The program may not touch an extent in which plain output is gathered. */
    core_stream_link(vm_a, NULL);
    assert_int_equal(stream_write(vm_stream(vm_a), "gathered", 8), 8);
    struct units buffer = {engine->exchange.ledger.hint_extent - 1, 1};
    assert_int_equal(ledger_look(&engine->exchange.ledger, buffer.first).owner, a->index);
    units_reopen(a, buffer);
    assert_int_equal(core_rights(a, buffer.first), WINDOW_CLOSED);
    struct guest_addr addr = endpoint_addr(a, pool_offset(pool, buffer.first));
    assert_null(vm_memory(vm_a, addr, 1, true).at);
    assert_null(vm_memory(vm_a, addr, 1, false).at);
}

static void inline_credits_come_back_when_taken(void **state)
{
    struct ferry_desc desc = core_inline(b->id, 0);

    (void)state;
    /* Two links share the queue of B. */
    assert_int_equal(fill(a, &desc), FERRY_RING_ENTRIES / 2);
    for (uint32_t i = 0; i < FERRY_RING_ENTRIES / 4; i++)
        core_take(b);
    uint64_t seen = a->events;
    loan_collect(b);
    assert_true(a->events > seen);
    drain_ring(a);
    assert_false(drain_pending(a));
}

/* The receiver took and released by stores alone: the sender looks for himself. */
static void a_sender_sees_room_that_was_made_in_memory(void **state)
{
    struct ferry_desc desc = copy_to_b();

    (void)state;
    a_to_b->max_messages = 1;
    assert_int_equal(core_send(a, &desc), 0);
    core_release(b, core_take(b).payload.token);
    assert_int_equal(core_send(a, &desc), 0);
}

static void a_full_queue_parks_and_keeps_room_for_hangups(void **state)
{
    struct ferry_desc desc = core_inline(b->id, 0), hangup = {.mode = FERRY_HANGUP, .dst = b->id};

    (void)state;
    const uint32_t half = FERRY_RING_ENTRIES / 2;

    assert_int_equal(fill(a, &desc), half);
    assert_int_equal(fill(c, &desc), half - 2);
    assert_int_equal(core_waiting(b), 2 * half - 2);
    /* Both can still hang up, and nothing is overwritten. */
    struct transfer transfer;
    assert_int_equal(decode_message(a, &hangup, &transfer), 0);
    assert_int_equal(perform_one(&transfer), 0);
    assert_int_equal(decode_message(c, &hangup, &transfer), 0);
    assert_int_equal(perform_one(&transfer), 0);
    assert_int_equal(core_waiting(b), FERRY_RING_ENTRIES);
    for (uint32_t i = 0; i < half; i++)
        assert_int_equal(core_take(b).src, a->id);
    for (uint32_t i = 0; i < half - 2; i++)
        assert_int_equal(core_take(b).src, c->id);
    assert_int_equal(core_take(b).mode, FERRY_HANGUP);
    assert_int_equal(core_take(b).mode, FERRY_HANGUP);
    /* The sender that was parked finds the link hung up. */
    drain_ring(a);
    assert_false(a->out_parked);
    assert_int_equal(a->control->out_status[half], -EPIPE);
}

/* The VMM takes messages for a plain reader, so it knows at once that there is room. */
static void a_plain_read_wakes_the_sender(void **state)
{
    struct ferry_desc desc = core_inline(b->id, 0), taken;
    const uint32_t share = FERRY_RING_ENTRIES / 2;

    (void)state;
    assert_int_equal(fill(a, &desc), share);
    uint32_t seen = a->events;
    for (uint32_t i = 0; i < share / 2 - 1; i++)
        assert_true(queue_take(b, &taken));
    assert_int_equal(a->events, seen);
    assert_true(queue_take(b, &taken));
    assert_int_equal(a->events, seen + 1);
    drain_ring(a);
    assert_false(a->out_parked);
}

/* A sender is not woken for each message that is taken, but when half of its share is free, or
 * when the receiver waits. */
static void who_is_woken_when(void **state)
{
    struct ferry_desc desc = core_inline(b->id, 0);
    const uint32_t share = FERRY_RING_ENTRIES / 2;

    (void)state;
    assert_int_equal(fill(a, &desc), share);
    fill(c, &desc);
    uint64_t seen_a = a->events, seen_c = c->events;
    for (uint32_t taken = 0; taken < share / 2 - 1; taken++)
        assert_int_equal(core_take(b).src, a->id);
    loan_collect(b);
    assert_int_equal(a->events, seen_a);
    core_take(b);
    loan_collect(b);
    assert_true(a->events > seen_a); /* half of its share is left */
    assert_int_equal(c->events, seen_c);
    assert_true(c_to_b->parked);

    /* A receiver that waits may wait for this one message. */
    for (uint32_t taken = 0; taken < share / 2 + 1; taken++)
        core_take(b);
    loan_collect(b);
    assert_int_equal(c->events, seen_c);
    endpoint_prepare(b);
    assert_true(c->events > seen_c);
    assert_false(c_to_b->parked);
    endpoint_finish(b);
}

/* Plain output of the same VM waits for another kind of room on the link, and both are woken. */
static void both_kinds_of_waiting_are_told(void **state)
{
    struct ferry_desc small = core_inline(b->id, 0);

    (void)state;
    a_to_b->max_messages = 1;
    struct ferry_desc desc = copy_to_b();
    assert_int_equal(core_send(a, &desc), 0);
    fill(a, &small);
    a_to_b->parked |= PARKED_PAYLOAD; /* for a payload, while the guest's next message is inline */
    core_take(b);                     /* the copy: held, not released */
    for (uint32_t i = 0; i < FERRY_RING_ENTRIES / 2; i++)
        core_take(b);
    uint32_t seen = a->events;
    loan_collect(b);
    assert_true(a->events > seen);
    seen = a->events;
    assert_int_equal(loan_release(b, 0), 0);
    assert_true(a->events > seen);
}

/* Another thread makes room while the receiver already waits. */
static void room_made_for_a_waiting_receiver(void **state)
{
    struct ferry_desc desc = copy_to_b();

    (void)state;
    a_to_b->max_messages = 3;
    fill(a, &desc);
    for (int i = 0; i < 3; i++)
        core_take(b);
    loan_collect(b);
    endpoint_prepare(b);
    uint64_t seen = a->events;
    assert_int_equal(loan_release(b, 1), 0);
    assert_true(a->events > seen);
    endpoint_finish(b);
}

static void tokens_run_out_before_the_queue(void **state)
{
    struct ferry_desc desc = copy_to_b(), small = core_inline(b->id, 0);
    uint32_t sent = 0;

    (void)state;
    for (; sent < 40; sent++) {
        assert_int_equal(core_send(a, &desc), 0);
        core_take(b);
    }
    for (; sent < FERRY_TOKENS; sent++) {
        assert_int_equal(core_send(c, &desc), 0);
        core_take(b);
    }
    core_queue(c, &desc);
    drain_ring(c);
    assert_true(c->out_parked);                /* 24 in flight, queue empty, but no token */
    assert_int_equal(core_send(a, &small), 0); /* which needs none */
    core_release(b, 5);
    drain_ring(c);
    assert_false(c->out_parked);
    core_take(b);
    assert_int_equal(core_take(b).payload.token, 5);
}

static void one_drain_is_bounded_and_in_order(void **state)
{
    (void)state;
    a_to_b->max_messages = 48;
    for (uint32_t i = 0; i < 48; i++) {
        struct ferry_desc desc = core_inline(b->id, i);
        core_queue(a, &desc);
    }
    drain_ring(a);
    assert_int_equal(a->control->vmm.out_tail, 48);
    for (uint32_t i = 0; i < 48; i++)
        assert_int_equal(core_take(b).tag, i);
}

static void a_bad_message_does_not_stop_the_next(void **state)
{
    struct ferry_desc bad = {.mode = 77, .dst = b->id}, good = core_inline(b->id, 5);

    (void)state;
    core_queue(a, &good);
    core_queue(a, &bad);
    core_queue(a, &good);
    a->control->out_status[1] = 99;
    drain_ring(a);
    assert_int_equal(a->control->vmm.out_tail, 3);
    assert_int_equal(a->control->out_status[0], 0);
    assert_int_equal(a->control->out_status[1], -EINVAL);
    assert_int_equal(a->control->out_status[2], 0);
    assert_int_equal(core_waiting(b), 2);
}

static void an_out_index_that_cannot_be_is_no_message(void **state)
{
    const uint32_t heads[] = {FERRY_RING_ENTRIES + 1, 5000, UINT32_MAX, 0x80000000u};

    (void)state;
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        a->control->guest.out_head = heads[i];
        assert_false(drain_pending(a));
        drain_ring(a);
        assert_int_equal(a->control->vmm.out_tail, 0);
    }
    assert_int_equal(core_waiting(b), 0);
    /* A wrong index stops only the guest's own traffic, which goes on when the index is right. */
    a->control->guest.out_head = 0;
    struct ferry_desc desc = core_inline(b->id, 0);
    assert_int_equal(core_send(a, &desc), 0);
}

static void a_dead_receiver_is_a_broken_pipe(void **state)
{
    struct units units = core_alloc(a, 1, true);
    struct ferry_desc desc = core_inline(b->id, 0);

    (void)state;
    uint16_t id = b->id;
    endpoint_shutdown(b);
    assert_int_equal(core_send(a, &desc), -EPIPE);
    desc = core_units(FERRY_LEND, a, id, units);
    assert_int_equal(core_send(a, &desc), -EPIPE);
    assert_int_equal(core_rights(a, units.first), WINDOW_WRITE);
    assert_int_equal(a->loans, 0);
    struct ferry_peer *shown = a_to_b->sender_peer_entry;
    assert_int_equal(shown->id, id);
    assert_int_equal(shown->state, FERRY_PEER_GONE);
}

static void completions_never_overflow(void **state)
{
    struct units units = core_alloc(a, 1, true);

    (void)state;
    for (int i = 0; i < (int)FERRY_TOKENS; i++) {
        assert_int_equal(send_units(FERRY_LEND, a, b, units), 0);
        core_release(b, core_take(b).payload.token);
        loan_collect(b);
    }
    assert_int_equal(core_home(a), FERRY_TOKENS);
    struct ferry_desc desc = core_units(FERRY_LEND, a, b->id, units);
    core_queue(a, &desc);
    drain_ring(a);
    assert_true(a->out_parked); /* its completion would have no room */
    assert_int_equal(core_rights(a, units.first), WINDOW_WRITE);
    assert_int_equal(a_to_b->in_flight, 0);
    ring_publish(&a->control->guest.home_tail, 1);
    drain_ring(a);
    assert_false(a->out_parked);
    core_assert_books(engine, 515, 0, 1);
}

/* --- all or nothing ------------------------------------------------------------- */

static void assert_untouched(struct units units)
{
    for (uint32_t i = units.first; i < units.first + units.count; i++) {
        assert_int_equal(core_rights(a, i), WINDOW_WRITE);
        assert_int_equal(core_rights(b, i), WINDOW_CLOSED);
    }
    assert_int_equal(core_waiting(b), 0);
    assert_int_equal(a_to_b->in_flight, 0);
    assert_int_equal(a_to_b->messages, 0);
    assert_int_equal(a_to_b->pages_4k, 0);
    assert_int_equal(a_to_b->bytes_handed_over, 0);
    assert_int_equal(a->loans, 0);
    assert_int_equal(b->promised, 0);
    assert_int_equal(b->users, 0);
    for (uint32_t i = 0; i < FERRY_TOKENS; i++)
        assert_int_equal(b->held[i].state, HELD_FREE);
}

/* To close the middle of what A has open takes two more mappings, and there are none. */
static void a_sender_that_cannot_be_closed_sends_nothing(void **state)
{
    struct units units = core_alloc(a, 4, true), middle = {units.first + 1, 2};
    const enum ferry_mode modes[] = {FERRY_LEND, FERRY_MOVE};
    int results[2];

    (void)state;
    core_exhaust_mappings();
    for (int i = 0; i < 2; i++)
        results[i] = send_units(modes[i], a, b, middle);
    core_restore_mappings();
    assert_int_equal(results[0], -ENOMEM);
    assert_int_equal(results[1], -ENOMEM);
    assert_untouched(units);
    core_assert_books(engine, 512, 4, 0);
    assert_int_equal(send_units(FERRY_LEND, a, b, middle), 0);
    assert_int_equal(core_rights(b, middle.first), WINDOW_READ);
}

/* To close the end of what A has open takes no mapping, but to open it at B takes one, as all of
 * B is closed. So the first half must be undone. */
static void a_receiver_that_cannot_be_opened_gets_nothing(void **state)
{
    struct units units = core_alloc(a, 4, true), end = {units.first + 2, 2};
    const enum ferry_mode modes[] = {FERRY_LEND, FERRY_MOVE};
    int results[2];

    (void)state;
    core_exhaust_mappings();
    for (int i = 0; i < 2; i++)
        results[i] = send_units(modes[i], a, b, end);
    core_restore_mappings();
    assert_int_equal(results[0], -ENOMEM);
    assert_int_equal(results[1], -ENOMEM);
    assert_untouched(units);
    core_assert_books(engine, 512, 4, 0);
    assert_int_equal(send_units(FERRY_MOVE, a, b, end), 0);
    assert_int_equal(core_rights(b, end.first), WINDOW_WRITE);
    assert_int_equal(core_rights(a, end.first), WINDOW_CLOSED);
}

static void a_loan_that_cannot_go_on_stays(void **state)
{
    struct ferry_link *b_to_c = core_link(vm_b, vm_c, 3);
    struct units units = core_alloc(a, 4, true), middle = {units.first + 1, 2};

    (void)state;
    /* Three loans side by side at B; the middle one is to go on. */
    assert_int_equal(send_units(FERRY_LEND, a, b, (struct units){units.first, 1}), 0);
    assert_int_equal(send_units(FERRY_LEND, a, b, middle), 0);
    assert_int_equal(send_units(FERRY_LEND, a, b, (struct units){units.first + 3, 1}), 0);
    core_take(b);
    uint32_t token = core_take(b).payload.token;
    core_take(b);
    core_exhaust_mappings();
    int result = send_units(FERRY_LEND, b, c, middle);
    core_restore_mappings();
    assert_int_equal(result, -ENOMEM);
    assert_int_equal(core_rights(b, middle.first), WINDOW_READ);
    assert_int_equal(core_rights(c, middle.first), WINDOW_CLOSED);
    assert_int_equal(b->held[token].state, HELD_TAKEN);
    assert_int_equal(b_to_c->in_flight, 0);
    assert_int_equal(a_to_b->in_flight, 3);
    core_assert_books(engine, 512, 0, 4);
    assert_int_equal(send_units(FERRY_LEND, b, c, middle), 0);
    assert_int_equal(core_rights(c, middle.first), WINDOW_READ);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, trio_teardown)
    const struct CMUnitTest tests[] = {
        CASE(credits_park_the_sender),
        CASE(moves_wait_for_the_receivers_share),

        CASE(moves_that_never_fit_are_refused),

        CASE(completions_nobody_takes_do_not_hold_up_the_end),

        CASE(a_page_left_closed_is_opened_again),
        CASE(inline_credits_come_back_when_taken),
        CASE(a_sender_sees_room_that_was_made_in_memory),
        CASE(a_full_queue_parks_and_keeps_room_for_hangups),
        CASE(who_is_woken_when),
        CASE(a_plain_read_wakes_the_sender),
        CASE(both_kinds_of_waiting_are_told),
        CASE(room_made_for_a_waiting_receiver),
        CASE(tokens_run_out_before_the_queue),
        CASE(one_drain_is_bounded_and_in_order),
        CASE(a_bad_message_does_not_stop_the_next),
        CASE(an_out_index_that_cannot_be_is_no_message),
        CASE(a_dead_receiver_is_a_broken_pipe),
        CASE(completions_never_overflow),
        CASE(a_sender_that_cannot_be_closed_sends_nothing),
        CASE(a_receiver_that_cannot_be_opened_gets_nothing),
        CASE(a_loan_that_cannot_go_on_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
