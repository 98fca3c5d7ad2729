/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the tests of how an endpoint goes on after a rest (host/ipc/endpoint_rest.c): as it was at the point,
 * with peers that have ended meanwhile, and with the host.
 */
#include "core_rest.h"

#include <errno.h>
#include <string.h>

#include "../until.h"

/* ---- going on -------------------------------------------------------------------- */

static void trade(void)
{
    assert_int_equal(send_inline(a, b, 11), 0);
    assert_int_equal(core_take(b).tag, 11);
    loan_collect(b);
    assert_int_equal(send_copy(a, b->id), 0);
    assert_int_equal(memcmp(b->receive_buffers, core_memory_bytes, 5), 0);
    take_and_release(b);
    assert_int_equal(send_inline(b, c, 12), 0);
    assert_int_equal(core_take(c).tag, 12);
    loan_collect(c);
    struct units units = lend(b, c);
    take_and_release(c);
    b->control->guest.home_tail++;
    loan_collect_new(b);
    assert_int_equal(units_free(b, units), 0);
}

static void it_goes_on_with_the_indexes_of_the_point(void **state)
{
    (void)state;
    memcpy(core_memory_bytes, "bytes", 5);
    for (int i = 0; i < 3; i++)
        trade();
    assert_int_equal(mark(), 0);
    const struct published seen = b->seen;
    for (int round = 1; round < 6; round++) {
        for (int i = 0; i < round; i++)
            trade();
        begin_anew();
        assert_int_equal(b->in_head, 6);
        assert_int_equal(b->in_tail, 6);
        assert_int_equal(b->release_tail, 3);
        assert_int_equal(b->home_head, 3);
        assert_int_equal(b->home_tail, 3);
        assert_int_equal(b->out_tail, 6);
        assert_memory_equal(&b->seen, &seen, sizeof seen);
        assert_int_equal(b->control->vmm.in_head, 6);
        assert_false(b->exited || b->stopping || b->out_parked);
        assert_int_equal(mark(), 0);
        core_assert_books(engine, REST_UNITS, 0, 0);
    }
    trade();
}

static void who_ended_hangs_up_in_each_run(void **state)
{
    (void)state;
    assert_int_equal(mark(), 0);
    uint16_t id = c->id;
    endpoint_shutdown(c);
    assert_int_equal(core_take(b).mode, FERRY_HANGUP);
    for (int i = 0; i < 3; i++) {
        begin_anew();
        assert_int_equal(core_waiting(b), 1);
        assert_int_equal(send_inline(a, b, 1), 0); /* after it */
        struct ferry_desc got = core_take(b);
        assert_int_equal(got.mode, FERRY_HANGUP);
        assert_int_equal(got.src, id);
        assert_int_equal(core_take(b).tag, 1);
        loan_collect(b);
        assert_int_equal(b->in_open, 2);
    }
}

static void who_ends_meanwhile_hangs_up_once(void **state)
{
    (void)state;
    assert_int_equal(mark(), 0);
    end_run();
    clear();
    endpoint_shutdown(c);
    endpoint_go_on(b, &point);
    assert_int_equal(core_waiting(b), 1);
    assert_int_equal(core_take(b).mode, FERRY_HANGUP);
}

static atomic_bool is_over;

/* C, which releases what it was lent at any moment of B's. */
static void *take_loans(void *arg)
{
    struct ferry_desc desc;
    bool over;

    do {
        over = is_over;
        while (queue_take(c, &desc))
            loan_release(c, desc.payload.token);
        sched_yield();
    } while (!over);
    return arg;
}

static uint32_t loans_out(void)
{
    endpoint_lock(c);
    uint32_t out = b_to_c->in_flight;
    endpoint_unlock(c);
    return out;
}

static void loans_may_come_home_at_any_moment(void **state)
{
    pthread_t thread;
    time_t begun = time(NULL);

    (void)state;
    is_over = false;
    assert_int_equal(mark(), 0);
    assert_int_equal(pthread_create(&thread, NULL, take_loans, NULL), 0);
    for (int i = 0; race_goes_on(begun, i == 5000, i > 100); i++) {
        until(loans_out() < 8);
        for (uint32_t out = loans_out(); out < 8; out++)
            lend(b, c);
        begin_anew();
        struct units units = core_alloc(b, 1, true);
        assert_int_equal(core_rights(b, units.first), WINDOW_WRITE);
        assert_int_equal(units_free(b, units), 0);
    }
    is_over = true;
    pthread_join(thread, NULL);
    assert_int_equal(core_home(b), 0);
    assert_int_equal(b_to_c->in_flight, 0);
    core_assert_books(engine, REST_UNITS, 0, 0);
    assert_int_equal(mark(), 0);
}

/* ---- the host -------------------------------------------------------------------- */

static void what_the_host_hung_up_is_open_again(void **state)
{
    const struct ferry_message message = {.mode = FERRY_INLINE, .tag = 7};

    (void)state;
    assert_int_equal(mark(), 0);
    for (int i = 0; i < 4; i++) {
        if (i % 2 == 0)
            ferry_link_hangup(host_to_b);
        end_run();
        clear();
        if (i % 2)
            ferry_link_hangup(host_to_b);
        assert_int_equal(ferry_link_send(host_to_b, &message, 0), -EPIPE);
        assert_true(queue_hung_up(host_to_b));
        endpoint_go_on(b, &point);
        assert_int_equal(b->in_open, b->in_count);
        assert_false(queue_unread(host_to_b));
        assert_int_equal(core_waiting(b), 0);
        assert_int_equal(ferry_link_send(host_to_b, &message, 0), 0);
        assert_int_equal(core_take(b).tag, 7);
        loan_collect(b);
        begin_anew();
    }
}

/* The host is told of the end; whether it took that or not, it can be sent to again. */
static void the_end_is_told_to_the_host_alone(void **state)
{
    struct ferry_message message;

    (void)state;
    assert_int_equal(mark(), 0);
    for (int i = 0; i < 4; i++) {
        end_run();
        endpoint_tell_host(b);
        assert_false(queue_hung_up(b_to_c));
        assert_int_equal(core_waiting(c), 0);
        if (i % 2) {
            assert_int_equal(ferry_link_recv(b_to_host, 0, &message), 0);
            assert_int_equal(message.mode, FERRY_HANGUP);
        }
        clear();
        assert_false(queue_hung_up(b_to_host));
        assert_int_equal(ferry_link_recv(b_to_host, 0, &message), -ETIMEDOUT);
        endpoint_go_on(b, &point);
        struct ferry_desc desc = core_inline(0, 9);
        assert_int_equal(core_send(b, &desc), 0);
        assert_int_equal(ferry_link_recv(b_to_host, 0, &message), 0);
        assert_int_equal(message.tag, 9);
    }
}

static void send_each_to_host(void)
{
    struct ferry_desc desc = core_inline(0, 1);

    assert_int_equal(core_send(b, &desc), 0);
    assert_int_equal(send_copy(b, 0), 0);
    desc = core_units(FERRY_LEND, b, 0, core_alloc(b, 1, true));
    assert_int_equal(core_send(b, &desc), 0);
    desc = core_units(FERRY_MOVE, b, 0, core_alloc(b, 1, false));
    assert_int_equal(core_send(b, &desc), 0);
}

static void what_the_host_did_not_take_is_lost(void **state)
{
    struct ferry_message message;

    (void)state;
    assert_int_equal(mark(), 0);
    for (int i = 0; i < 3; i++) {
        send_each_to_host();
        core_assert_books(engine, REST_UNITS - 2, 1, 1);
        begin_anew();
        core_assert_books(engine, REST_UNITS, 0, 0);
        assert_int_equal(b_to_host->in_flight, 0);
        assert_int_equal(b_to_host->inline_in_flight, 0);
        assert_int_equal(ferry_link_recv(b_to_host, 0, &message), -ETIMEDOUT);
    }
}

static void what_the_host_took_stays(void **state)
{
    struct ferry_message message[4];

    (void)state;
    assert_int_equal(mark(), 0);
    send_each_to_host();
    for (int i = 0; i < 4; i++)
        assert_int_equal(ferry_link_recv(b_to_host, 0, &message[i]), 0);
    begin_anew();
    core_assert_books(engine, REST_UNITS - 2, 1, 1);
    assert_int_equal(b_to_host->in_flight, 2);
    for (int i = 1; i < 3; i++)
        assert_int_equal(ferry_link_release(b_to_host, message[i].token), 0);
    assert_int_equal(b_to_host->in_flight, 0);
    core_assert_books(engine, REST_UNITS - 1, 1, 0);
    assert_int_equal(ferry_link_free(b_to_host, message[3].data, message[3].bytes), 0);
    core_assert_books(engine, REST_UNITS, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_goes_on_with_the_indexes_of_the_point), TEST(who_ended_hangs_up_in_each_run),
        TEST(who_ends_meanwhile_hangs_up_once),         TEST(loans_may_come_home_at_any_moment),
        TEST(what_the_host_hung_up_is_open_again),      TEST(the_end_is_told_to_the_host_alone),
        TEST(what_the_host_did_not_take_is_lost),       TEST(what_the_host_took_stays),
    };

    return cmocka_run_group_tests_name("endpoint_go_on", tests, NULL, NULL);
}
