/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the tests of input and forwarding in guest/stream.c. */
#include "guest_stream.h"

/* ---- input -------------------------------------------------------------- */

static void input_in_the_ring_costs_no_exit(void **context)
{
    const void *data;

    (void)context;
    for (uint32_t i = 0; i < 10; i++)
        fake_feed(FAKE_FEEDER, i % 2 == 0 ? FERRY_LEND : FERRY_COPY, &i, sizeof(i), i);
    fake_feed(FAKE_FEEDER, FERRY_INLINE, "end", 3, 0);
    fake_feed(FAKE_FEEDER, FERRY_HANGUP, NULL, 0, 0);
    for (uint32_t i = 0; i < 10; i++) {
        assert_int_equal(ferry_input(&data), sizeof(i));
        assert_memory_equal(data, &i, sizeof(i));
    }
    assert_int_equal(ferry_input(&data), 3);
    assert_memory_equal(data, "end", 3);
    assert_int_equal(ferry_input(&data), 0);
    assert_int_equal(ferry_input(&data), 0);
    assert_int_equal(exits(), 0);
    ferry_yield();
    assert_int_equal(fake.token_count, 10);
}

static void empty_messages_are_no_end(void **context)
{
    const void *data;

    (void)context;
    fake_feed(FAKE_FEEDER, FERRY_INLINE, "", 0, 0);
    fake_feed(FAKE_FEEDER, FERRY_COPY, "", 0, 1);
    fake_feed(FAKE_FEEDER, FERRY_INLINE, "x", 1, 0);
    assert_int_equal(ferry_input(&data), 1);
    ferry_yield();
    assert_int_equal(fake.token_count, 1);
}

static void waiting_for_input_sends_output(void **context)
{
    const void *data;

    (void)context;
    produce(0, 40000);
    assert_int_equal(fake.taken_count, 0);
    fake.starved = feed_hangup;
    assert_int_equal(ferry_input(&data), 0);
    assert_received(40000);
    assert_int_equal(fake.waits, 1);
}

static void no_feeder_is_the_end(void **context)
{
    const void *data;

    (void)context;
    fake.control->info.stdin_peer = FERRY_NO_PEER;
    assert_int_equal(ferry_input(&data), 0);
    assert_int_equal(exits(), 0);
}

static void others_wait_for_recv(void **context)
{
    struct ferry_msg msg;
    const void *data;

    (void)context;
    fake_feed(FAKE_OTHER, FERRY_INLINE, "a", 1, 0);
    fake_feed(FAKE_OTHER, FERRY_INLINE, "b", 1, 0);
    fake_feed(FAKE_FEEDER, FERRY_INLINE, "input", 5, 0);
    fake_feed(FAKE_OTHER, FERRY_INLINE, "c", 1, 0);
    assert_int_equal(ferry_input(&data), 5);
    for (char expected = 'a'; expected <= 'c'; expected++) {
        assert_int_equal(ferry_recv(&msg, 0), 0);
        assert_int_equal(msg.small[0], expected);
    }
    assert_int_equal(ferry_recv(&msg, 0), -ETIMEDOUT);
}

static void too_many_others_are_an_error(void **context)
{
    struct ferry_msg msg;
    const void *data;

    (void)context;
    for (uint32_t i = 0; i < FERRY_RING_ENTRIES; i++)
        fake_feed(FAKE_OTHER, FERRY_INLINE, &i, sizeof(i), 0);
    assert_int_equal(ferry_input(&data), -ENOBUFS);
    assert_int_equal(ferry_recv(&msg, 0), 0);
    fake_feed(FAKE_FEEDER, FERRY_INLINE, "x", 1, 0);
    assert_int_equal(ferry_input(&data), 1);
}

static void moved_input_is_freed_or_kept(void **context)
{
    const void *data;

    (void)context;
    fake.control->info.payload = FERRY_PAYLOAD_MAP;
    fake.control->info.pool_extents = 1;
    for (int i = 0; i < 3; i++)
        fake_feed(FAKE_FEEDER, FERRY_MOVE, "moved", 5, 0);
    assert_int_equal(ferry_input(&data), 5);
    assert_int_equal(ferry_input(&data), 5);
    assert_int_equal(fake.frees, 1);
    produce(0, EXTENT); /* the only extent is away now */
    assert_int_equal(ferry_input(&data), 5);
    assert_int_equal(fake.frees, 1);
    produce(EXTENT, EXTENT);
    assert_int_equal(ferry_flush(), 0);
    assert_int_equal(fake.allocs, 1);
    ferry_yield();
    assert_received(2 * EXTENT);
    while (fake_release_oldest())
        ;
    produce(2 * EXTENT, 1); /* notices that extents came home */
    fake_feed(FAKE_FEEDER, FERRY_MOVE, "moved", 5, 0);
    assert_int_equal(ferry_input(&data), 5);
    fake.starved = feed_hangup;
    assert_int_equal(ferry_input(&data), 0);
    assert_int_equal(fake.frees, 3);
}

/* ---- forwarding --------------------------------------------------------- */

static void a_loan_is_passed_on(void **context)
{
    const void *data;
    uint8_t piece[5000];

    (void)context;
    produce(0, 100);
    fill_pattern(piece, 100, sizeof(piece));
    fake_feed(FAKE_FEEDER, FERRY_LEND, piece, sizeof(piece), 4);
    assert_int_equal(ferry_input(&data), sizeof(piece));
    assert_int_equal(ferry_forward(), 0);
    assert_int_equal(ferry_forward(), -EINVAL);
    produce(5100, 50);
    fake.starved = feed_hangup;
    assert_int_equal(ferry_input(&data), 0);
    assert_received(5150);
    assert_int_equal(fake.taken[1].desc.mode, FERRY_LEND);
    assert_int_equal(fake.taken[1].desc.payload.bytes, sizeof(piece));
    assert_int_equal(fake.token_count, 0);
    assert_int_equal(fake.waits, 1);
}

static void what_was_moved_moves_on(void **context)
{
    const void *data;

    (void)context;
    fake_feed(FAKE_FEEDER, FERRY_MOVE, "moved", 5, 0);
    assert_int_equal(ferry_input(&data), 5);
    assert_int_equal(ferry_forward(), 0);
    ferry_yield();
    assert_int_equal(fake.taken[0].desc.mode, FERRY_MOVE);
    assert_int_equal(fake.frees, 0);
}

static void what_cannot_be_lent_is_copied(void **context)
{
    const void *data;

    (void)context;
    fake_feed(FAKE_FEEDER, FERRY_INLINE, "in,", 3, 0);
    fake_feed(FAKE_FEEDER, FERRY_COPY, "copy", 4, 1);
    for (int i = 0; i < 2; i++) {
        assert_true(ferry_input(&data) > 0);
        assert_int_equal(ferry_forward(), 0);
    }
    assert_int_equal(ferry_close(), 0);
    ferry_yield();
    assert_int_equal(fake.byte_count, 7);
    assert_memory_equal(fake.bytes, "in,copy", 7);
    assert_int_equal(fake.taken[0].desc.mode, FERRY_COPY);
    assert_int_equal(fake.token_count, 1);
}

static void copy_mode_copies_loans(void **context)
{
    const void *data;

    (void)context;
    fake.control->info.payload = FERRY_PAYLOAD_COPY;
    fake_feed(FAKE_FEEDER, FERRY_LEND, "lent", 4, 1);
    assert_int_equal(ferry_input(&data), 4);
    assert_int_equal(ferry_forward(), 0);
    assert_int_equal(ferry_flush(), 0);
    ferry_yield();
    assert_int_equal(fake.taken[0].desc.mode, FERRY_COPY);
    assert_int_equal(fake.token_count, 1);
}

static void a_refused_piece_is_released(void **context)
{
    const void *data;

    (void)context;
    fake_feed(FAKE_FEEDER, FERRY_LEND, "lent", 4, 9);
    assert_int_equal(ferry_input(&data), 4);
    assert_int_equal(ferry_forward(), 0);
    fake.refuse = -EPIPE;
    ferry_yield();
    assert_int_equal(fake.token_count, 0);
    assert_int_equal(ferry_flush(), -EPIPE);
    ferry_yield();
    assert_int_equal(fake.token_count, 1);
    assert_int_equal(fake.tokens[0], 9);
}

/* ---- all together ------------------------------------------------------- */

static uint64_t random_state;

static size_t random_below(size_t bound)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(random_state >> 33) % bound;
}

static size_t fed, fed_messages;

static void feed_random(void)
{
    static uint8_t piece[FERRY_COPY_BYTES];
    static const enum ferry_mode modes[] = {FERRY_INLINE, FERRY_COPY, FERRY_LEND, FERRY_MOVE};
    enum ferry_mode mode = modes[random_below(4)];
    size_t bytes = 1 + random_below(mode == FERRY_INLINE ? FERRY_INLINE_BYTES : sizeof(piece));
    uint32_t token = 0, used = 0;

    while (token < FERRY_TOKENS && fake.fed[token])
        token++;
    for (uint32_t i = 0; i < FAKE_EXTENTS; i++)
        used += fake.extent_used[i];
    if (token == FERRY_TOKENS || used > 10) { /* leave some for output */
        mode = FERRY_INLINE;
        bytes = 1;
    }
    fill_pattern(piece, fed, bytes);
    fake_feed(FAKE_FEEDER, mode, piece, bytes, token % FERRY_TOKENS);
    fed += bytes;
    fed_messages++;
}

/* A stage that forwards or copies its input, while everything around it varies. */
static void random_stage(uint32_t payload, uint32_t delivery)
{
    const void *data;
    size_t seen = 0;

    fed = fed_messages = 0;
    fake.starved = feed_random;
    fake.control->info.payload = payload;
    fake.control->info.delivery = delivery;
    while (fed_messages < 400) {
        ssize_t bytes = ferry_input(&data);

        assert_true(bytes > 0);
        for (ssize_t i = 0; i < bytes; i++)
            if (((const uint8_t *)data)[i] != pattern(seen + (size_t)i))
                fail_msg("byte %zu of the input is wrong", seen + (size_t)i);
        if (random_below(2) == 0)
            assert_int_equal(ferry_forward(), 0);
        else
            produce(seen, (size_t)bytes);
        seen += (size_t)bytes;
        if (random_below(8) == 0)
            assert_int_equal(ferry_flush(), 0);
        if (random_below(3) == 0 && fake.in_head - state.in_tail < 20)
            feed_random();
        fake.credit = 1 + (uint32_t)random_below(16);
        fake.release_early = random_below(4) == 0;
    }
    while (fake.in_head != state.in_tail) {
        ssize_t bytes = ferry_input(&data);

        assert_int_equal(ferry_forward(), 0);
        seen += (size_t)bytes;
    }
    assert_int_equal(ferry_close(), 0);
    while (fake_release_oldest() || !fake.hung_up)
        ferry_yield();
    assert_received(seen);
    assert_int_equal(seen, fed);
}

static void any_mixture_arrives_in_order(void **context)
{
    (void)context;
    for (uint32_t round = 0; round < 18; round++) {
        random_state = round;
        random_stage(round % 3, round / 3 % 3);
        if (round / 3 % 3 == FERRY_DELIVERY_IMMEDIATE)
            assert_int_equal(fake.doorbells, fake.taken_count);
        if (round / 3 % 3 == FERRY_DELIVERY_DEFERRED)
            assert_int_equal(fake.doorbells, 0);
        fake_stop();
        start();
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(input_in_the_ring_costs_no_exit),
        TEST(empty_messages_are_no_end),
        TEST(waiting_for_input_sends_output),
        TEST(no_feeder_is_the_end),
        TEST(others_wait_for_recv),
        TEST(too_many_others_are_an_error),
        TEST(moved_input_is_freed_or_kept),
        TEST(a_loan_is_passed_on),
        TEST(what_was_moved_moves_on),
        TEST(what_cannot_be_lent_is_copied),
        TEST(copy_mode_copies_loans),
        TEST(a_refused_piece_is_released),
        TEST(any_mixture_arrives_in_order),
    };

    return cmocka_run_group_tests_name("guest/input", tests, NULL, NULL);
}
