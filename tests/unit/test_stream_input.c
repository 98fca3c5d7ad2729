/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the tests of input in host/stream/stream.c: plain reads, its end, and poll. */
#include "core_pair.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "linux/vm_linux.h"
#include "stream/stream.h"
#include "stream/stream_internal.h"

/* --- reading ---------------------------------------------------------------------- */

static void reads_are_as_long_as_asked(void **state)
{
    (void)state;
    assert_int_equal(stream_write(vm_stream(vm_a), sent, 5000), 5000);
    stream_pull(a->byte_stream);
    assert_int_equal(stream_available(vm_stream(vm_b)), 5000);
    assert_int_equal(stream_read(vm_stream(vm_b), got, 0), 0);
    assert_int_equal(stream_read(vm_stream(vm_b), got, 1), 1);
    assert_int_equal(stream_available(vm_stream(vm_b)), 4999);
    assert_int_equal(stream_read(vm_stream(vm_b), got + 1, 4000), 4000);
    core_assert_books(engine, 517, 0, 1);
    assert_int_equal(stream_read(vm_stream(vm_b), got + 4001, 4000), 999);
    core_assert_books(engine, 517, 1, 0); /* read to its end: home */
    assert_memory_equal(got, sent, 5000);
    assert_int_equal(stream_available(vm_stream(vm_b)), 0);
}

/* Who asks over and over, and never waits, gets what the sender gathers. */
static void what_is_gathered_can_be_read(void **state)
{
    const void *data;

    (void)state;
    assert_int_equal(stream_available(vm_stream(vm_b)), 0);
    assert_int_equal(stream_write(vm_stream(vm_a), sent, 10), 10);
    assert_int_equal(link_ab->messages, 0);
    assert_int_equal(stream_available(vm_stream(vm_b)), 10);
    assert_int_equal(stream_read(vm_stream(vm_b), got, 10), 10);
    assert_int_equal(stream_write(vm_stream(vm_a), sent, 7), 7);
    assert_int_equal(stream_peek(vm_stream(vm_b), &data), 7);
}

static void one_read_takes_several_messages(void **state)
{
    (void)state;
    a->delivery = FERRY_DELIVER_IMMEDIATE;
    for (int i = 0; i < 4; i++)
        assert_int_equal(stream_write(vm_stream(vm_a), sent + 100 * i, 100), 100);
    assert_int_equal(stream_read(vm_stream(vm_b), got, 350), 350);
    assert_int_equal(stream_read(vm_stream(vm_b), got + 350, 350), 50);
    assert_memory_equal(got, sent, 400);
}

static void every_mode_can_be_read(void **state)
{
    struct units lent = core_alloc(a, 1, true), moved = core_alloc(a, 1, true);
    struct ferry_desc descs[] = {
        core_inline(b->id, 0),
        core_payload(FERRY_COPY, b->id, CORE_MEMORY_ADDR, 3),
        core_units(FERRY_LEND, a, b->id, lent),
        core_units(FERRY_MOVE, a, b->id, moved),
    };

    (void)state;
    memcpy(core_memory_bytes, "abc", 3);
    memset(core_bytes(engine, lent.first), 'l', 4096);
    memset(core_bytes(engine, moved.first), 'm', 4096);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(core_send(a, &descs[i]), 0);
    assert_int_equal(stream_read(vm_stream(vm_b), got, 100000), 8 + 3 + 8192);
    assert_memory_equal(got, "inlined\0abcl", 12);
    assert_int_equal(got[11 + 4095], 'l');
    assert_int_equal(got[11 + 4096], 'm');
    /* The loan is home, and the units that were moved are back in the pool. */
    core_assert_books(engine, 517, 1, 0);
    assert_int_equal(core_home(a), 1);
}

/* The guest cannot give away units that the VMM is reading for it. */
static void input_being_read_is_not_the_guests(void **state)
{
    struct units units = core_alloc(a, 1, true);
    struct pool_offset at = pool_offset(&engine->exchange.pool, units.first);
    const enum ferry_mode modes[] = {FERRY_LEND, FERRY_MOVE};

    (void)state;
    core_link(vm_b, vm_a, 0);
    memset(core_bytes(engine, units.first), 'x', 4096);
    for (int i = 0; i < 2; i++) {
        struct ferry_desc desc = core_units(modes[i], a, b->id, units);
        assert_int_equal(core_send(a, &desc), 0);
        assert_int_equal(stream_read(vm_stream(vm_b), got, 96), 96);
        core_release(b, 0);
        desc = core_units(modes[i], b, a->id, units);
        assert_int_equal(core_send(b, &desc), -EPERM);
        assert_int_equal(units_at(b, at, 4096, &units), -EPERM);
        assert_true(core_rights(b, units.first) >= WINDOW_READ);
        assert_int_equal(stream_read(vm_stream(vm_b), got, 8192), 4000);
    }
    core_assert_books(engine, 518, 0, 0);
}

/* What was moved is the program's from its arrival on; once it has given it away it is
 * another's, whose bytes it must not read by way of the message that is still queued. */
static void input_that_was_given_away_is_not_read(void **state)
{
    struct units units = core_alloc(a, 1, true);
    struct ferry_desc moved = core_units(FERRY_MOVE, a, b->id, units);
    struct ferry_desc text = core_inline(b->id, 0);
    struct units again;

    (void)state;
    assert_int_equal(core_send(a, &moved), 0);
    assert_int_equal(units_at(b, pool_offset(&engine->exchange.pool, units.first), 4096, &units),
                     0);
    assert_int_equal(units_free(b, units), 0);
    engine->exchange.ledger.hint_page = units.first;
    again = core_alloc(a, 1, true);
    assert_int_equal(again.first, units.first);
    memset(core_bytes(engine, again.first), 'S', 4096);
    assert_int_equal(stream_available(vm_stream(vm_b)), 0);
    assert_int_equal(core_send(a, &moved), 0); /* arrives, and is not given away */
    assert_int_equal(core_send(a, &text), 0);
    assert_int_equal(stream_read(vm_stream(vm_b), got, 8192), 4096);
    assert_int_equal(stream_read(vm_stream(vm_b), got, 8192), 8);
    core_assert_books(engine, 518, 0, 0);
}

/* The extent may even come back as the one in which the stream gathers output. */
static void input_that_became_output_is_not_given_back(void **state)
{
    struct units units = core_alloc(a, 1, false);
    struct ferry_desc moved = core_units(FERRY_MOVE, a, b->id, units);

    (void)state;
    core_stream_link(vm_b, NULL);
    assert_int_equal(core_send(a, &moved), 0);
    assert_int_equal(units_free(b, units), 0);
    engine->exchange.ledger.hint_extent = units.first;
    assert_int_equal(stream_write(vm_stream(vm_b), sent, 100), 100);
    assert_int_equal(ledger_look(&engine->exchange.ledger, units.first).owner, b->index);
    assert_int_equal(stream_available(vm_stream(vm_b)), 0);
    assert_int_equal(ledger_look(&engine->exchange.ledger, units.first).owner, b->index);
    core_assert_books(engine, 517, 1, 0);
}

/* A filter that waits for input does not notice that its reader left; nor does it at the end of
 * input. */
static void passing_on_fails_only_with_something_to_pass(void **state)
{
    (void)state;
    queue_refuse(core_stream_link(vm_b, NULL));
    assert_int_equal(stream_write(vm_stream(vm_a), sent, 8), 8);
    assert_int_equal(stream_pass(vm_stream(vm_b), 100), -EPIPE);
    assert_int_equal(stream_read(vm_stream(vm_b), got, 100), 8);
    queue_hangup(link_ab);
    assert_int_equal(stream_pass(vm_stream(vm_b), 100), 0);
}

/* The thread that writes goes on, and ends, while the caller waits. */
static unsigned turns_given;

static bool end_the_write(struct ferry_vm *vm, void **who)
{
    (void)who;
    turns_given++;
    assert_int_equal(vm_stream(vm)->left, 8);
    vm_stream(vm)->writing = false;
    endpoint_wake(b);
    return true;
}

static bool go_on(struct ferry_vm *vm, void *who)
{
    (void)vm;
    (void)who;
    return true;
}

static void passing_on_does_not_tear_a_write(void **state)
{
    static const struct endpoint_waits waits = {.begin = end_the_write, .end = go_on};

    (void)state;
    core_stream_link(vm_b, NULL);
    b->waits = &waits;
    assert_int_equal(stream_write(vm_stream(vm_a), sent, 8), 8);
    vm_stream(vm_b)->writing = true; /* a thread that waits for room */
    turns_given = 0;
    assert_int_equal(stream_poll(vm_stream(vm_b), POLLOUT, 0), 0);
    assert_int_equal(stream_pass(vm_stream(vm_b), 100), 8);
    assert_int_equal(turns_given, 1);
    assert_int_equal(stream_poll(vm_stream(vm_b), POLLOUT, 0), POLLOUT);
}

static bool count_turn(struct ferry_vm *vm, void **who)
{
    (void)vm;
    (void)who;
    turns_given++;
    return true;
}

/* A poll that does not wait gives no turn away, not even at the first look. */
static void a_poll_gives_no_turn_away(void **state)
{
    static const struct endpoint_waits waits = {.begin = count_turn, .end = go_on};
    struct ferry_link *in = core_stream_link(NULL, vm_a);

    (void)state;
    a->waits = &waits;
    turns_given = 0;
    assert_int_equal(stream_poll(vm_stream(vm_a), POLLIN | POLLHUP, 0), 0);
    assert_true(in->wanted);
    assert_int_equal(turns_given, 0);
    in->wanted = false;
    stream_first_look(vm_stream(vm_a));
    assert_true(turns_given > 0);
    assert_int_equal(stream_poll(vm_stream(vm_a), POLLIN | POLLHUP, 0), 0);
}

/* Messages that hold nothing are skipped by whatever waits for input. */
static void an_empty_message_is_no_input(void **state)
{
    struct ferry_desc empty = core_inline(b->id, 0), text = core_inline(b->id, 0);

    (void)state;
    core_stream_link(vm_b, NULL);
    empty.inline_bytes = 0;
    assert_int_equal(core_send(a, &empty), 0);
    assert_int_equal(stream_poll(vm_stream(vm_b), POLLIN, 0), 0);
    assert_int_equal(core_send(a, &empty), 0);
    assert_int_equal(core_send(a, &text), 0);
    assert_int_equal(stream_pass(vm_stream(vm_b), 100), 8);
    assert_int_equal(stream_poll(vm_stream(vm_b), POLLIN, 0), 0);
}

/* A page that was moved is free once it has been read to its end: nothing may be put there. */
static void a_page_read_into_itself_is_let_go(void **state)
{
    struct units units = core_alloc(a, 1, true);
    struct ferry_desc moved = core_units(FERRY_MOVE, a, b->id, units);
    struct ferry_desc text = core_inline(b->id, 0);
    char *page = core_bytes(engine, units.first);

    (void)state;
    memset(page, 'm', 4096);
    assert_int_equal(core_send(a, &moved), 0);
    assert_int_equal(core_send(a, &text), 0);
    assert_ptr_equal(vm_memory(vm_b,
                               endpoint_addr(b, pool_offset(&engine->exchange.pool, units.first)),
                               4096, true)
                         .at,
                     page);
    assert_int_equal(stream_read(vm_stream(vm_b), page, 4100), 4096);
    core_assert_books(engine, 518, 0, 0);
    assert_int_equal(stream_read(vm_stream(vm_b), got, 100), 8);
}

static void a_message_of_another_peer_is_not_input(void **state)
{
    struct ferry_vm *vm_c = core_vm(engine, "c");
    struct ferry_desc desc = core_inline(b->id, 0);

    (void)state;
    core_link(vm_c, vm_b, 0);
    assert_int_equal(core_send(vm_c->endpoint, &desc), 0);
    assert_int_equal(stream_write(vm_stream(vm_a), sent, 10), 10);
    stream_pull(a->byte_stream);
    assert_int_equal(stream_available(vm_stream(vm_b)), 0);
    assert_int_equal(stream_read(vm_stream(vm_b), got, 10), -EBUSY);
    core_take(b);
    loan_collect(b);
    assert_int_equal(stream_read(vm_stream(vm_b), got, 10), 10);
    ferry_vm_destroy(vm_c);
}

static void the_end_comes_after_the_last_byte_and_stays(void **state)
{
    (void)state;
    assert_int_equal(stream_write(vm_stream(vm_a), sent, 10), 10);
    stream_close_output(vm_stream(vm_a));
    assert_int_equal(stream_write(vm_stream(vm_a), sent, 10), -EPIPE);
    assert_int_equal(stream_read(vm_stream(vm_b), got, 4), 4);
    assert_int_equal(stream_read(vm_stream(vm_b), got, 100), 6);
    for (int i = 0; i < 3; i++)
        assert_int_equal(stream_read(vm_stream(vm_b), got, 100), 0);
    stream_close_output(vm_stream(vm_a)); /* closing twice is harmless */
    assert_int_equal(link_ab->messages, 1);
}

static void a_sender_that_ends_is_the_end(void **state)
{
    (void)state;
    assert_int_equal(stream_write(vm_stream(vm_a), sent, 10000), 10000);
    stream_finish(a->byte_stream);
    endpoint_shutdown(a);
    assert_int_equal(stream_read(vm_stream(vm_b), got, 100000), 10000);
    assert_memory_equal(got, sent, 10000);
    assert_int_equal(stream_read(vm_stream(vm_b), got, 100000), 0);
    core_assert_books(engine, 518, 0, 0);
}

static void what_a_stopped_sender_had_gathered_is_lost(void **state)
{
    (void)state;
    assert_int_equal(stream_write(vm_stream(vm_a), sent, 10), 10);
    endpoint_shutdown(a);
    assert_int_equal(stream_read(vm_stream(vm_b), got, 100), 0);
    stream_pull(a->byte_stream); /* its extent is another's by now */
    assert_int_equal(link_ab->messages, 0);
}

static void a_receiver_that_ends_breaks_the_pipe(void **state)
{
    (void)state;
    assert_int_equal(stream_write(vm_stream(vm_a), sent, EXTENT + 10), EXTENT + 10);
    endpoint_shutdown(b);
    assert_int_equal(stream_write(vm_stream(vm_a), sent, 10), -EPIPE);
    stream_finish(a->byte_stream); /* does not wait for a receiver that is no more */
    core_assert_books(engine, 516, 2, 0);
}

static void a_receiver_that_closes_breaks_the_pipe(void **state)
{
    (void)state;
    assert_int_equal(stream_write(vm_stream(vm_a), sent, 3 * EXTENT), 3 * EXTENT);
    assert_int_equal(stream_read(vm_stream(vm_b), got, 10), 10);
    uint64_t seen = a->events;
    stream_close_input(vm_stream(vm_b));
    assert_true(a->events > seen);
    core_assert_books(engine, 515, 3, 0); /* all of it went home */
    assert_int_equal(stream_write(vm_stream(vm_a), sent, 10), -EPIPE);
    assert_int_equal(stream_read(vm_stream(vm_b), got, 10), 0);
    stream_close_input(vm_stream(vm_b));
}

/* Only bytes that the program read are counted. The rest goes home as well, but is not counted. */
static void what_was_read_is_counted(void **state)
{
    (void)state;
    assert_int_equal(stream_write(vm_stream(vm_a), sent, 3 * EXTENT), 3 * EXTENT);
    assert_int_equal(link_ab->bytes_taken, 0);
    assert_int_equal(stream_read(vm_stream(vm_b), got, 10), 10);
    assert_int_equal(link_ab->bytes_taken, 10);
    assert_int_equal(stream_read(vm_stream(vm_b), got, EXTENT), EXTENT);
    stream_close_input(vm_stream(vm_b));
    assert_int_equal(link_ab->bytes_taken, 10 + EXTENT);
}

/* The program looks for input once in each of three ways; the sender learns of the first look
 * only. */
static void the_first_look_is_told(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        link_ab->wanted = false;
        uint64_t seen = a->events;
        if (how == 0)
            assert_int_equal(stream_available(vm_stream(vm_b)), 0);
        else if (how == 1)
            assert_int_equal(stream_poll(vm_stream(vm_b), POLLIN, 0), 0);
        else
            assert_int_equal(stream_poll(vm_stream(vm_b), POLLHUP, 0), 0);
        assert_true(link_ab->wanted);
        assert_int_equal(a->events, seen + 1);
        assert_int_equal(stream_poll(vm_stream(vm_b), POLLIN, 0), 0);
        assert_int_equal(a->events, seen + 1);
    }
}

/* --- poll -------------------------------------------------------------------------- */

static void poll_input(void **state)
{
    (void)state;
    assert_int_equal(stream_poll(vm_stream(vm_b), POLLIN, 0), 0);
    assert_int_equal(stream_poll(vm_stream(vm_b), POLLIN, 1000000),
                     0); /* nothing came: the time is over */
    assert_int_equal(stream_write(vm_stream(vm_a), sent, 10), 10);
    assert_int_equal(stream_poll(vm_stream(vm_b), POLLIN, UINT64_MAX),
                     POLLIN); /* waiting pulls it */
    assert_int_equal(stream_read(vm_stream(vm_b), got, 10), 10);
    assert_int_equal(stream_write(vm_stream(vm_a), sent, 10), 10);
    assert_int_equal(stream_poll(vm_stream(vm_b), POLLIN, 0), POLLIN); /* so does a look */
    assert_int_equal(stream_read(vm_stream(vm_b), got, 10), 10);
    assert_int_equal(stream_poll(vm_stream(vm_b), POLLIN, 0), 0);
    stream_close_output(vm_stream(vm_a));
    assert_int_equal(stream_poll(vm_stream(vm_b), POLLIN, 0), POLLHUP);
    b->stopping = true;
    assert_int_equal(stream_poll(vm_stream(vm_b), POLLOUT, 0), POLLOUT);
}

static void poll_output(void **state)
{
    (void)state;
    a->most_extents = 2;
    assert_int_equal(stream_poll(vm_stream(vm_a), POLLOUT, 0), POLLOUT);
    assert_int_equal(stream_write(vm_stream(vm_a), sent, 2 * EXTENT), 2 * EXTENT);
    assert_int_equal(stream_poll(vm_stream(vm_a), POLLOUT, 0), 0);
    assert_int_equal(stream_poll(vm_stream(vm_a), POLLOUT, 1000000), 0);
    assert_int_equal(stream_read(vm_stream(vm_b), got, EXTENT), EXTENT);
    assert_int_equal(stream_poll(vm_stream(vm_a), POLLOUT, UINT64_MAX), POLLOUT);
    /* A poll that does not ask for room waits only for the end of the reader. */
    assert_int_equal(stream_poll(vm_stream(vm_a), POLLERR, 1000000), 0);
    endpoint_shutdown(b);
    assert_int_equal(stream_poll(vm_stream(vm_a), POLLERR, UINT64_MAX), POLLERR);
    assert_int_equal(stream_poll(vm_stream(vm_a), POLLOUT, 0), POLLOUT | POLLERR);
}

/* A hang-up is told beside bytes that can still be read, and also to a caller that asked for
 * nothing else. */
static void poll_tells_of_the_end(void **state)
{
    (void)state;
    assert_int_equal(stream_write(vm_stream(vm_a), sent, 10), 10);
    assert_int_equal(stream_poll(vm_stream(vm_b), POLLHUP, 1000000), 0);
    stream_close_output(vm_stream(vm_a));
    assert_int_equal(stream_poll(vm_stream(vm_b), POLLHUP, UINT64_MAX), POLLHUP);
    assert_int_equal(stream_poll(vm_stream(vm_b), POLLIN, 0), POLLIN | POLLHUP);
    assert_int_equal(stream_read(vm_stream(vm_b), got, 10), 10);
    assert_int_equal(stream_poll(vm_stream(vm_b), POLLIN, 0), POLLHUP);
    assert_int_equal(stream_read(vm_stream(vm_b), got, 10), 0);
}

static void *close_b(void *arg)
{
    (void)arg;
    stream_close_input(vm_stream(vm_b));
    return NULL;
}

/* A writer that only waits for its reader to go is woken by that. */
static void the_readers_end_wakes_the_writer(void **state)
{
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, close_b, NULL), 0);
    assert_int_equal(stream_poll(vm_stream(vm_a), POLLERR, UINT64_MAX), POLLERR);
    pthread_join(thread, NULL);
}

static void being_stopped_ends_every_wait(void **state)
{
    (void)state;
    a->most_extents = 1;
    assert_int_equal(stream_write(vm_stream(vm_a), sent, EXTENT), EXTENT);
    a->stopping = b->stopping = true;
    assert_int_equal(stream_write(vm_stream(vm_a), sent, 1), -EINTR);
    assert_int_equal(stream_poll(vm_stream(vm_a), POLLOUT, UINT64_MAX), -EINTR);
    assert_int_equal(stream_read(vm_stream(vm_b), got, EXTENT), EXTENT);
    assert_int_equal(stream_read(vm_stream(vm_b), got, EXTENT), -EINTR);
    assert_int_equal(stream_poll(vm_stream(vm_b), POLLIN, UINT64_MAX), -EINTR);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, pair_setup, pair_teardown)
    const struct CMUnitTest tests[] = {
        CASE(reads_are_as_long_as_asked),
        CASE(what_is_gathered_can_be_read),
        CASE(one_read_takes_several_messages),
        CASE(every_mode_can_be_read),
        CASE(input_being_read_is_not_the_guests),
        CASE(input_that_was_given_away_is_not_read),
        CASE(input_that_became_output_is_not_given_back),
        CASE(passing_on_fails_only_with_something_to_pass),
        CASE(passing_on_does_not_tear_a_write),
        CASE(an_empty_message_is_no_input),
        CASE(what_was_read_is_counted),
        CASE(the_first_look_is_told),
        CASE(a_poll_gives_no_turn_away),
        CASE(a_page_read_into_itself_is_let_go),
        CASE(a_message_of_another_peer_is_not_input),
        CASE(the_end_comes_after_the_last_byte_and_stays),
        CASE(a_sender_that_ends_is_the_end),
        CASE(what_a_stopped_sender_had_gathered_is_lost),
        CASE(a_receiver_that_ends_breaks_the_pipe),
        CASE(a_receiver_that_closes_breaks_the_pipe),
        CASE(poll_input),
        CASE(poll_output),
        CASE(poll_tells_of_the_end),
        CASE(the_readers_end_wakes_the_writer),
        CASE(being_stopped_ends_every_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
