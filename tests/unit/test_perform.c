/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs of messages: what follows each other goes together, each all or nothing, in order. */
#include <errno.h>

#include "core_trio.h"

#define ENTRIES 6u

static struct ferry_link *a_to_b, *a_to_c;

static int setup(void **state)
{
    (void)state;
    trio_setup();
    a_to_b = core_link(vm_a, vm_b, 8);
    a_to_c = core_link(vm_a, vm_c, 8);
    return 0;
}

/* `count` pages side by side, each queued as a message of its own, not drained. */
static struct units queue_pages(enum ferry_mode mode, uint32_t count)
{
    struct units all = core_alloc(a, count, true);

    for (uint32_t i = 0; i < count; i++) {
        struct ferry_desc desc = core_units(mode, a, b->id, (struct units){all.first + i, 1});
        core_queue(a, &desc);
    }
    return all;
}

static void assert_taken_in_order(struct units all)
{
    for (uint32_t i = 0; i < all.count; i++) {
        struct ferry_desc desc = core_take(b);
        assert_int_equal(desc.payload.addr,
                         FERRY_WINDOW_BASE +
                             pool_offset(&engine->exchange.pool, all.first + i).bytes);
        assert_int_equal(desc.payload.message, i + 1);
    }
}

static void neighbours_go_in_one_call(void **state)
{
    struct units all = queue_pages(FERRY_LEND, ENTRIES);
    uint32_t events = b->events;

    (void)state;
    drain_ring(a);
    assert_int_equal(a_to_b->messages, ENTRIES);
    assert_int_equal(a_to_b->pages_4k, ENTRIES);
    assert_int_equal(a_to_b->table_calls, 2);
    assert_int_equal(a_to_b->shoot_downs, 1);
    assert_int_equal(b->events, events + 1); /* one wake */
    for (uint32_t i = 0; i < ENTRIES; i++) {
        assert_int_equal(core_rights(a, all.first + i), WINDOW_CLOSED);
        assert_int_equal(core_rights(b, all.first + i), WINDOW_READ);
        assert_int_equal(a->control->out_status[i], 0);
    }
    assert_taken_in_order(all);
}

static void neighbours_come_home_in_one_call(void **state)
{
    struct units all = queue_pages(FERRY_LEND, ENTRIES);
    uint32_t tokens[ENTRIES];

    (void)state;
    drain_ring(a);
    for (uint32_t i = 0; i < ENTRIES; i++)
        tokens[i] = core_take(b).payload.token;
    /* The loans are released in another order than they were sent in. */
    for (uint32_t i = 0; i < ENTRIES; i++)
        core_release(b, tokens[(i * 5 + 2) % ENTRIES]);
    uint64_t calls = a_to_b->table_calls;
    uint32_t events = a->events;
    loan_collect(b);
    assert_int_equal(a_to_b->table_calls, calls + 2);
    assert_int_equal(a_to_b->shoot_downs, 2);
    assert_int_equal(core_home(a), ENTRIES);
    assert_int_equal(a->events, events + 1);
    assert_int_equal(a_to_b->in_flight, 0);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        assert_int_equal(core_rights(a, all.first + i), WINDOW_WRITE);
        assert_int_equal(core_rights(b, all.first + i), WINDOW_CLOSED);
    }
}

/* The loans lie side by side at one holder, but belong to two owners. */
static void neighbours_of_two_owners_part(void **state)
{
    struct ferry_link *c_to_b = core_link(vm_c, vm_b, 8);
    struct units ours = core_alloc(a, 1, true), theirs = core_alloc(c, 1, true);

    (void)state;
    assert_int_equal(theirs.first, ours.first + 1);
    assert_int_equal(send_units(FERRY_LEND, a, b, ours), 0);
    assert_int_equal(send_units(FERRY_LEND, c, b, theirs), 0);
    core_release(b, core_take(b).payload.token);
    core_release(b, core_take(b).payload.token);
    loan_collect(b);
    assert_int_equal(core_home(a), 1);
    assert_int_equal(core_home(c), 1);
    assert_int_equal(core_rights(a, ours.first), WINDOW_WRITE);
    assert_int_equal(core_rights(a, theirs.first), WINDOW_CLOSED);
    assert_int_equal(core_rights(c, theirs.first), WINDOW_WRITE);
    assert_int_equal(c_to_b->in_flight, 0);
}

static void strangers_go_apart(void **state)
{
    struct units all = core_alloc(a, 5, true);
    const uint32_t order[] = {0, 2, 4}; /* not side by side */

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct ferry_desc desc =
            core_units(FERRY_LEND, a, b->id, (struct units){all.first + order[i], 1});
        core_queue(a, &desc);
    }
    drain_ring(a);
    assert_int_equal(a_to_b->table_calls, 6);
    assert_int_equal(core_rights(a, all.first + 1), WINDOW_WRITE);
    assert_int_equal(core_rights(b, all.first + 1), WINDOW_CLOSED);
}

/* The last page and the first extent have neighbouring numbers, but are of different sizes. */
static void pages_and_extents_go_apart(void **state)
{
    struct units pages = core_alloc(a, engine->exchange.pool.pages, true);
    struct units page = {pages.first + pages.count - 1, 1}, extent = core_alloc(a, 1, false);
    struct ferry_desc first = core_units(FERRY_LEND, a, b->id, page);
    struct ferry_desc second = core_units(FERRY_LEND, a, b->id, extent);

    (void)state;
    assert_int_equal(extent.first, page.first + 1);
    core_queue(a, &first);
    core_queue(a, &second);
    drain_ring(a);
    assert_int_equal(a_to_b->messages, 2);
    assert_int_equal(a_to_b->pages_4k, 1);
    assert_int_equal(a_to_b->extents_2m, 1);
    assert_int_equal(a_to_b->table_calls, 4);
}

static void a_run_stops_where_there_is_no_room(void **state)
{
    struct units all = queue_pages(FERRY_MOVE, ENTRIES);

    (void)state;
    a_to_b->max_messages = 4;
    drain_ring(a);
    assert_true(a->out_parked);
    assert_int_equal(a->control->vmm.out_tail, 4);
    assert_int_equal(a_to_b->table_calls, 2);
    assert_int_equal(core_rights(a, all.first + 4), WINDOW_WRITE);
    for (int i = 0; i < 4; i++)
        core_take(b);
    drain_ring(a);
    assert_false(a->out_parked);
    assert_int_equal(core_take(b).payload.addr,
                     FERRY_WINDOW_BASE + pool_offset(&engine->exchange.pool, all.first + 4).bytes);
}

static void a_refusal_in_a_run_is_its_own(void **state)
{
    struct units all = core_alloc(a, 3, true), moved = {all.first + 1, 1};

    (void)state;
    assert_int_equal(send_units(FERRY_MOVE, a, c, moved), 0); /* the middle one is away */
    for (uint32_t i = 0; i < 3; i++) {
        struct ferry_desc desc = core_units(FERRY_LEND, a, b->id, (struct units){all.first + i, 1});
        core_queue(a, &desc);
    }
    drain_ring(a);
    assert_int_equal(a->control->out_status[1], 0);
    assert_int_equal(a->control->out_status[2], -EPERM);
    assert_int_equal(a->control->out_status[3], 0);
    assert_int_equal(a_to_b->messages, 2);
    assert_int_equal(core_rights(c, moved.first), WINDOW_WRITE);
    assert_int_equal(a_to_c->messages, 1);
}

/* Own units and a loan that is forwarded lie side by side: their rights differ. */
static void own_and_passed_on_go_apart(void **state)
{
    struct ferry_link *b_to_c = core_link(vm_b, vm_c, 8);
    struct units lent = core_alloc(a, 1, true), own = core_alloc(b, 1, true);

    (void)state;
    assert_int_equal(own.first, lent.first + 1);
    assert_int_equal(send_units(FERRY_LEND, a, b, lent), 0);
    core_take(b);
    struct ferry_desc pass = core_units(FERRY_LEND, b, c->id, lent);
    struct ferry_desc give = core_units(FERRY_LEND, b, c->id, own);
    core_queue(b, &pass);
    core_queue(b, &give);
    drain_ring(b);
    assert_int_equal(b_to_c->messages, 2);
    assert_int_equal(b_to_c->table_calls, 4);
    assert_int_equal(core_rights(c, lent.first), WINDOW_READ);
    assert_int_equal(core_rights(c, own.first), WINDOW_READ);
    assert_int_equal(core_rights(b, lent.first), WINDOW_CLOSED);
    assert_int_equal(a_to_b->in_flight, 0);
}

/* If the page tables cannot be updated, no unit of the run changes hands. */
static void a_run_that_cannot_be_mapped_stays(void **state)
{
    struct units all = core_alloc(a, 4, true);

    (void)state;
    for (uint32_t i = 1; i < 3; i++) {
        struct ferry_desc desc = core_units(FERRY_LEND, a, b->id, (struct units){all.first + i, 1});
        core_queue(a, &desc);
    }
    core_exhaust_mappings();
    drain_ring(a);
    core_restore_mappings();
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(a->control->out_status[i], -ENOMEM);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(core_rights(a, all.first + i), WINDOW_WRITE);
    assert_int_equal(a_to_b->in_flight, 0);
    assert_int_equal(a->loans, 0);
    assert_int_equal(b->promised, 0);
    assert_int_equal(b->users, 0);
    assert_int_equal(core_waiting(b), 0);
}

/* A message that is being prepared has room that another sender may want. If the message is not
 * sent after all, nothing else wakes that sender. */
static void room_that_is_not_used_wakes_others(void **state)
{
    struct ferry_link *c_to_b = core_link(vm_c, vm_b, 8);
    struct units page = core_alloc(c, 1, true), all = core_alloc(a, 4, true);
    const enum ferry_mode modes[] = {FERRY_LEND, FERRY_MOVE};

    (void)state;
    c_to_b->parked = PARKED_PAYLOAD; /* as if there had been none */
    uint32_t seen = c->events;
    assert_int_equal(send_units(FERRY_LEND, a, b, page), -EPERM);
    assert_int_equal(c->events, seen + 1);
    for (int i = 0; i < 2; i++) {
        c_to_b->parked = PARKED_PAYLOAD;
        seen = c->events;
        core_exhaust_mappings();
        int result = send_units(modes[i], a, b, (struct units){all.first + 1, 1});
        core_restore_mappings();
        assert_int_equal(result, -ENOMEM);
        assert_int_equal(c->events, seen + 1);
    }
}

static void moves_that_wait_leave_each_other_alone(void **state)
{
    struct units ours = core_alloc(a, 1, false), theirs = core_alloc(c, 1, false);
    struct ferry_desc first, second;

    (void)state;
    core_link(vm_c, vm_b, 8);
    core_alloc(b, 1, false);
    b->most_extents = 1;
    first = core_units(FERRY_MOVE, a, b->id, ours);
    second = core_units(FERRY_MOVE, c, b->id, theirs);
    core_queue(a, &first);
    core_queue(c, &second);
    uint32_t seen = a->events;
    drain_ring(a);
    assert_true(a->out_parked);
    drain_ring(c);
    assert_true(c->out_parked);
    assert_int_equal(a->events, seen);
}

static void inline_runs_are_long_and_in_order(void **state)
{
    const uint32_t share = FERRY_RING_ENTRIES;
    uint32_t events = b->events;

    (void)state;
    for (uint32_t i = 0; i < share; i++) {
        struct ferry_desc desc = core_inline(b->id, i);
        core_queue(a, &desc);
    }
    drain_ring(a);
    /* One entry is kept for the hang-up. */
    assert_int_equal(a->control->vmm.out_tail, share - 1);
    assert_true(b->events - events <= share / PERFORM_MOST);
    for (uint32_t i = 0; i < share - 1; i++)
        assert_int_equal(core_take(b).tag, i);
    drain_ring(a);
    assert_false(a->out_parked);
    assert_int_equal(core_take(b).tag, share - 1);
}

/* The receiver reads one long copy while the next is made. */
static void long_copies_go_apart(void **state)
{
    struct exchange none = {0};
    struct ferry_link link = {.exchange = &none};
    struct transfer one = {.link = &link, .mode = FERRY_COPY, .bytes = FERRY_COPY_BYTES};
    struct transfer two = one;

    (void)state;
    assert_false(perform_joins(&one, &two));
    one.bytes = two.bytes = 1000;
    assert_true(perform_joins(&one, &two));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, trio_teardown)
    const struct CMUnitTest tests[] = {
        CASE(neighbours_go_in_one_call),
        CASE(neighbours_come_home_in_one_call),
        CASE(neighbours_of_two_owners_part),
        CASE(strangers_go_apart),
        CASE(pages_and_extents_go_apart),
        CASE(a_run_stops_where_there_is_no_room),
        CASE(a_refusal_in_a_run_is_its_own),
        CASE(own_and_passed_on_go_apart),
        CASE(a_run_that_cannot_be_mapped_stays),
        CASE(room_that_is_not_used_wakes_others),
        CASE(moves_that_wait_leave_each_other_alone),
        CASE(inline_runs_are_long_and_in_order),
        CASE(long_copies_go_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
