/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the tests of how an endpoint comes to rest (host/ipc/endpoint_rest.c): at which point it may be
 * marked, that it takes nothing while it rests, and what becomes of all that it had.
 */
#include "core_rest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../until.h"

/* ---- the point ------------------------------------------------------------------- */

static void messages_that_wait_are_refused(void **state)
{
    (void)state;
    assert_int_equal(mark(), 0);
    assert_int_equal(send_inline(a, b, 1), 0);
    assert_int_equal(mark(), -EBUSY);
    take_and_release(b);
    assert_int_equal(mark(), 0);
    /* One that is on its way. */
    uint32_t reserved;
    assert_int_equal(queue_reserve(a_to_b, NULL, 1, &reserved), 0);
    assert_int_equal(mark(), -EBUSY);
    queue_unreserve(a_to_b, NULL, 1);
    assert_int_equal(mark(), 0);
    /* One that the guest is about to send. */
    struct ferry_desc desc = core_inline(c->id, 1);
    core_queue(b, &desc);
    assert_int_equal(mark(), -EBUSY);
    drain_ring(b);
    assert_int_equal(mark(), 0);
}

static void a_payload_that_is_held_is_refused(void **state)
{
    (void)state;
    assert_int_equal(send_copy(a, b->id), 0);
    uint32_t token = core_take(b).payload.token;
    loan_collect(b);
    assert_int_equal(mark(), -EBUSY);
    assert_int_equal(loan_release(b, token), 0);
    assert_int_equal(mark(), 0);
}

static void units_are_refused(void **state)
{
    (void)state;
    for (int page = 0; page < 2; page++) {
        struct units units = core_alloc(b, 1, page);

        assert_int_equal(mark(), -EBUSY);
        assert_int_equal(units_free(b, units), 0);
        assert_int_equal(mark(), 0);
    }
}

static void a_loan_is_refused_until_its_completion_is_taken(void **state)
{
    struct units units = lend(b, c);

    (void)state;
    assert_int_equal(ledger_owned(&engine->exchange.ledger, b->index, true), 1);
    assert_int_equal(mark(), -EBUSY);
    take_and_release(c);
    assert_int_equal(units_free(b, units), 0);
    assert_int_equal(core_home(b), 1);
    assert_int_equal(mark(), -EBUSY);
    b->control->guest.home_tail++;
    loan_collect(b);
    assert_int_equal(mark(), 0);
    assert_true(loan_reserve(b));
    assert_int_equal(mark(), -EBUSY);
    loan_unreserve(b);
    assert_int_equal(mark(), 0);
}

static void a_link_that_hung_up_is_refused(void **state)
{
    (void)state;
    queue_hangup(c_to_b);
    assert_int_equal(mark(), -EBUSY);
    assert_int_equal(core_take(b).mode, FERRY_HANGUP);
    loan_collect(b);
    assert_int_equal(mark(), -EBUSY);
}

/* ---- rest ------------------------------------------------------------------------ */

static void who_rests_takes_no_messages(void **state)
{
    struct units units = core_alloc(a, 1, true);
    struct ferry_message message = {.mode = FERRY_INLINE};

    (void)state;
    assert_int_equal(mark(), 0);
    assert_true(queue_accepts(a_to_b));
    end_run();
    assert_false(queue_accepts(a_to_b));
    assert_int_equal(send_inline(a, b, 1), -EPIPE);
    assert_int_equal(send_copy(a, b->id), -EPIPE);
    assert_int_equal(send_units(FERRY_LEND, a, b, units), -EPIPE);
    assert_int_equal(send_units(FERRY_MOVE, a, b, units), -EPIPE);
    assert_int_equal(ferry_link_send(host_to_b, &message, 0), -EPIPE);
    assert_false(endpoint_enter(b));
    assert_int_equal(core_rights(a, units.first), WINDOW_WRITE);
    core_assert_books(engine, REST_UNITS - 1, 1, 0);
    clear();
    assert_int_equal(send_inline(a, b, 1), -EPIPE);
    endpoint_go_on(b, &point);
    assert_true(queue_accepts(a_to_b));
    assert_int_equal(core_waiting(b), 0);
}

static void who_waits_for_room_is_woken(void **state)
{
    struct ferry_desc desc = core_payload(FERRY_COPY, b->id, CORE_MEMORY_ADDR, 5);

    (void)state;
    assert_int_equal(mark(), 0);
    for (int i = 0; i < 8; i++)
        assert_int_equal(core_send(a, &desc), 0);
    core_queue(a, &desc);
    drain_ring(a);
    assert_true(drain_pending(a));
    assert_true(a_to_b->parked);
    uint32_t seen = a->events;
    end_run();
    assert_true(a->events > seen);
    drain_ring(a);
    assert_false(drain_pending(a));
    assert_int_equal(a->control->out_status[8], -EPIPE);
}

/* And one that comes to wait while it rests is woken when it goes on. */
static void who_still_waits_is_woken_when_there_is_room(void **state)
{
    (void)state;
    assert_int_equal(mark(), 0);
    end_run();
    clear();
    a_to_b->parked = PARKED_PAYLOAD;
    uint32_t seen = a->events;
    endpoint_go_on(b, &point);
    assert_true(a->events > seen);
    assert_int_equal(a_to_b->parked, 0);
}

/* ---- what it had ----------------------------------------------------------------- */

static void what_it_holds_goes_home(void **state)
{
    struct units lent[3], moved[2] = {core_alloc(a, 1, true), core_alloc(a, 1, false)};
    struct ferry_desc desc;

    (void)state;
    assert_int_equal(mark(), 0);
    lent[0] = lend(a, b);
    assert_int_equal(send_units(FERRY_MOVE, a, b, moved[0]), 0);
    for (int i = 0; i < 2; i++)
        core_take(b);
    loan_collect(b);
    lent[1] = lend(a, b);
    assert_true(queue_take(b, &desc)); /* which the VMM reads */
    lent[2] = lend(a, b);
    assert_int_equal(send_units(FERRY_MOVE, a, b, moved[1]), 0);
    assert_int_equal(send_copy(a, b->id), 0);
    assert_int_equal(send_inline(a, b, 1), 0);
    core_alloc(b, 1, false);
    core_alloc(b, 2, true);
    core_assert_books(engine, REST_UNITS - 8, 5, 3);
    end_run();
    clear();
    core_assert_books(engine, REST_UNITS - 3, 3, 0);
    assert_int_equal(core_home(a), 3);
    assert_int_equal(a->loans, 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(core_rights(a, lent[i].first), WINDOW_WRITE);
        assert_int_equal(core_rights(b, lent[i].first), WINDOW_CLOSED);
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(core_rights(b, moved[i].first), WINDOW_CLOSED);
    assert_int_equal(a_to_b->in_flight, 0);
    assert_int_equal(a_to_b->inline_in_flight, 0);
    for (int page = 0; page < 2; page++)
        assert_int_equal(ledger_owned(&engine->exchange.ledger, b->index, page), 0);
    endpoint_go_on(b, &point);
    assert_int_equal(mark(), 0);
}

/* When the holder of a loan releases it. */
enum when { AT_REST, CLEARED, LATER };

/* Nobody but the holder has the unit until then; afterwards the pool has it, and B is told nothing. */
static void release_when(enum when when)
{
    struct units units = lend(b, c);
    uint32_t token = core_take(c).payload.token;

    loan_collect(c);
    end_run();
    if (when == AT_REST) {
        assert_int_equal(loan_release(c, token), 0);
        assert_int_equal(core_rights(b, units.first), WINDOW_CLOSED);
        core_assert_books(engine, REST_UNITS - 1, 1, 0); /* whose end is not done */
    }
    clear();
    if (when == CLEARED) {
        assert_int_equal(core_rights(c, units.first), WINDOW_READ);
        core_assert_books(engine, REST_UNITS - 1, 0, 1);
        assert_int_equal(loan_release(c, token), 0);
    }
    if (when != LATER)
        core_assert_books(engine, REST_UNITS, 0, 0);
    endpoint_go_on(b, &point);
    if (when == LATER) {
        assert_int_equal(core_rights(c, units.first), WINDOW_READ);
        core_assert_books(engine, REST_UNITS - 1, 0, 1);
        assert_int_equal(loan_release(c, token), 0);
    }
    core_assert_books(engine, REST_UNITS, 0, 0);
    assert_int_equal(core_rights(b, units.first), WINDOW_CLOSED);
    assert_int_equal(core_rights(c, units.first), WINDOW_CLOSED);
    assert_int_equal(core_home(b), 0);
    assert_int_equal(b->loans, 0);
    assert_int_equal(mark(), 0);
}

static void what_it_lent_stays_until_it_is_released(void **state)
{
    (void)state;
    assert_int_equal(mark(), 0);
    for (int i = 0; i < 3; i++) {
        release_when(AT_REST);
        release_when(CLEARED);
        release_when(LATER);
    }
}

/* It owns units of the next run when those of the run before come home. */
static void loans_of_two_runs_are_told_apart(void **state)
{
    (void)state;
    assert_int_equal(mark(), 0);
    lend(b, c);
    uint32_t before = core_take(c).payload.token;
    loan_collect(c);
    begin_anew();
    struct units units = lend(b, c);
    uint32_t token = core_take(c).payload.token;
    loan_collect(c);
    assert_int_equal(loan_release(c, before), 0);
    assert_int_equal(core_home(b), 0);
    assert_int_equal(b->loans, 1);
    core_assert_books(engine, REST_UNITS - 1, 0, 1);
    assert_int_equal(loan_release(c, token), 0);
    assert_int_equal(core_home(b), 1);
    assert_int_equal(core_rights(b, units.first), WINDOW_WRITE);
    core_assert_books(engine, REST_UNITS - 1, 1, 0);
}

static void a_loan_passed_on_goes_home_from_its_holder(void **state)
{
    (void)state;
    assert_int_equal(mark(), 0);
    struct units units = lend(a, b);
    core_take(b);
    loan_collect(b);
    assert_int_equal(send_units(FERRY_LEND, b, c, units), 0);
    begin_anew();
    assert_int_equal(core_rights(c, units.first), WINDOW_READ);
    core_assert_books(engine, REST_UNITS - 1, 0, 1);
    take_and_release(c);
    assert_int_equal(core_home(a), 1);
    core_assert_books(engine, REST_UNITS - 1, 1, 0);
}

/* Completions and what they are about are of the run before. */
static void completions_are_forgotten(void **state)
{
    (void)state;
    assert_int_equal(mark(), 0);
    lend(b, c);
    take_and_release(c);
    assert_int_equal(core_home(b), 1);
    begin_anew();
    assert_int_equal(core_home(b), 0);
    core_assert_books(engine, REST_UNITS, 0, 0);
    assert_int_equal(mark(), 0);
}

static atomic_bool is_clear;
static atomic_int clearing; /* the thread that clears, once it has begun */

static void *clear_b(void *arg)
{
    clearing = gettid();
    endpoint_clear(b);
    is_clear = true;
    return arg;
}

/* In the kernel. */
static bool sleeps(int tid)
{
    char path[64], text[512] = "";
    const char *after;

    snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
    FILE *stat = fopen(path, "r");
    if (!stat)
        return false;
    bool read = fgets(text, sizeof text, stat);
    fclose(stat);
    after = strrchr(text, ')');
    return read && after && after[2] == 'S';
}

static void who_is_inside_is_waited_for(void **state)
{
    struct units units = core_alloc(b, 1, true);
    pthread_t thread;

    (void)state;
    is_clear = false;
    clearing = 0;
    assert_true(endpoint_enter(b));
    end_run();
    assert_int_equal(pthread_create(&thread, NULL, clear_b, NULL), 0);
    until(is_clear || (clearing && sleeps(clearing)));
    bool was_clear = is_clear, open = core_rights(b, units.first) == WINDOW_WRITE;
    endpoint_leave(b); /* before anything fails, as its end would wait for that */
    until(is_clear);
    pthread_join(thread, NULL);
    assert_true(open);
    assert_false(was_clear);
    core_assert_books(engine, REST_UNITS, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(messages_that_wait_are_refused),
        TEST(a_payload_that_is_held_is_refused),
        TEST(units_are_refused),
        TEST(a_loan_is_refused_until_its_completion_is_taken),
        TEST(a_link_that_hung_up_is_refused),
        TEST(who_rests_takes_no_messages),
        TEST(who_waits_for_room_is_woken),
        TEST(who_still_waits_is_woken_when_there_is_room),
        TEST(what_it_holds_goes_home),
        TEST(what_it_lent_stays_until_it_is_released),
        TEST(loans_of_two_runs_are_told_apart),
        TEST(a_loan_passed_on_goes_home_from_its_holder),
        TEST(completions_are_forgotten),
        TEST(who_is_inside_is_waited_for),
    };

    return cmocka_run_group_tests_name("endpoint_rest", tests, NULL, NULL);
}
