/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the tests of guest/stream.c and process.c, against a VMM in the same process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* The files themselves, so that each test starts with their state empty. */
#include "../../guest/message.c"
#include "../../guest/stream.c"

#include "fake_vmm.h"

#define EXTENT FERRY_EXTENT_BYTES

static void start(void)
{
    fake_start(0);
    memset(&state, 0, sizeof(state));
    memset(&stream, 0, sizeof(stream));
    stream.hangup_at_exit = true; /* not at the exit of the test itself */
}

static int set_up(void **context)
{
    (void)context;
    start();
    return 0;
}

static int tear_down(void **context)
{
    (void)context;
    fake_stop();
    return 0;
}

/* The n-th byte of every stream here; no period of a power of two. */
static uint8_t pattern(size_t at)
{
    return (uint8_t)(at % 251 + at / 65521);
}

static void fill_pattern(uint8_t *data, size_t from, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        data[i] = pattern(from + i);
}

static void produce(size_t from, size_t bytes)
{
    void *room;
    ssize_t got = ferry_output(&room, bytes);

    assert_true(got >= (ssize_t)bytes);
    fill_pattern(room, from, bytes);
    assert_int_equal(ferry_commit(bytes), 0);
}

static void assert_received(size_t bytes)
{
    assert_int_equal(fake.byte_count, bytes);
    for (size_t i = 0; i < bytes; i++) {
        if (fake.bytes[i] != pattern(i))
            fail_msg("byte %zu is %u, not %u", i, fake.bytes[i], pattern(i));
    }
}

static unsigned exits(void)
{
    return fake.waits + fake.allocs + fake.frees + fake.doorbells;
}

static void feed_hangup(void)
{
    fake_feed(FAKE_FEEDER, FERRY_HANGUP, NULL, 0, 0);
}

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
    assert_int_equal(fake.frees, 2);
}

/* ---- output ------------------------------------------------------------- */

static void full_extents_are_lent_and_reused(void **context)
{
    (void)context;
    fake.control->info.pool_extents = 2;
    for (size_t i = 0; i < 6; i++)
        produce(i * EXTENT, EXTENT);
    ferry_yield();
    assert_received(6 * EXTENT);
    assert_int_equal(fake.taken_count, 6);
    assert_int_equal(fake.allocs, 2);
    assert_int_equal(fake.frees + fake.doorbells, 0);
    /* One exit for each extent beyond the first two, and the yield. */
    assert_int_equal(fake.waits, 4 + 1);
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(fake.taken[i].desc.mode, FERRY_LEND);
}

static void one_extent_is_enough(void **context)
{
    (void)context;
    fake.control->info.pool_extents = 1;
    for (size_t i = 0; i < 3; i++)
        produce(i * EXTENT, EXTENT);
    ferry_yield();
    assert_received(3 * EXTENT);
}

static void small_pieces_are_copied_by_auto(void **context)
{
    (void)context;
    produce(0, 16384);
    ferry_flush();
    produce(16384, 16385);
    ferry_flush();
    ferry_yield();
    assert_int_equal(fake.taken[0].desc.mode, FERRY_COPY);
    assert_int_equal(fake.taken[1].desc.mode, FERRY_LEND);
    assert_int_equal(fake.taken_count, 2);
    assert_int_equal(fake.allocs, 1);
    assert_received(16384 + 16385);
}

static void above_the_largest_copy_auto_lends(void **context)
{
    (void)context;
    fake.control->info.crossover_bytes = 1 << 20;
    produce(0, FERRY_COPY_BYTES);
    ferry_flush();
    produce(FERRY_COPY_BYTES, FERRY_COPY_BYTES + 1);
    ferry_flush();
    ferry_yield();
    assert_int_equal(fake.taken[0].desc.mode, FERRY_COPY);
    assert_int_equal(fake.taken[1].desc.mode, FERRY_LEND);
}

static void map_lends_one_byte(void **context)
{
    (void)context;
    fake.control->info.payload = FERRY_PAYLOAD_MAP;
    produce(0, 1);
    ferry_flush();
    ferry_yield();
    assert_int_equal(fake.taken_count, 1);
    assert_int_equal(fake.taken[0].desc.mode, FERRY_LEND);
    assert_received(1);
}

static void copy_never_lends(void **context)
{
    (void)context;
    fake.control->info.payload = FERRY_PAYLOAD_COPY;
    for (size_t i = 0; i < 5; i++)
        produce(i * EXTENT, EXTENT);
    ferry_flush();
    ferry_yield();
    assert_received(5 * EXTENT);
    assert_int_equal(fake.taken_count, 5 * EXTENT / FERRY_COPY_BYTES);
    for (uint32_t i = 0; i < fake.taken_count; i++)
        assert_int_equal(fake.taken[i].desc.mode, FERRY_COPY);
}

/* What is copied must stay as it was until it was taken, and it is not while there is no credit. */
static void copies_under_way_are_not_overwritten(void **context)
{
    (void)context;
    fake.control->info.payload = FERRY_PAYLOAD_COPY;
    fake.control->info.pool_extents = 2;
    fake.credit = 1;
    for (size_t i = 0; i < 3000; i++) {
        produce(i * 5000, 5000);
        ferry_flush();
        if (i % 7 == 0)
            ferry_yield();
    }
    while (fake_release_oldest())
        ferry_yield();
    assert_received((size_t)3000 * 5000);
}

/* One copy out of the only extent was taken: the rest of it is still needed. */
static void a_full_extent_waits_for_all_its_copies(void **context)
{
    (void)context;
    fake.control->info.payload = FERRY_PAYLOAD_COPY;
    fake.control->info.pool_extents = 1;
    fake.credit = 1;
    produce(0, EXTENT);
    fake_drain();
    assert_int_equal(fake.taken_count, 1);
    produce(EXTENT, EXTENT);
    while (fake_release_oldest())
        ferry_yield();
    assert_received(2 * EXTENT);
}

static void copied_room_is_used_again_from_its_start(void **context)
{
    void *first, *again;

    (void)context;
    assert_true(ferry_output(&first, 0) > 0);
    ferry_commit(100);
    ferry_flush();
    ferry_yield();
    assert_true(ferry_output(&again, 0) > 0);
    assert_ptr_equal(first, again);
}

static void room_is_as_asked_for(void **context)
{
    void *room;

    (void)context;
    assert_int_equal(ferry_output(&room, EXTENT + 1), -EMSGSIZE);
    assert_int_equal(ferry_output(&room, EXTENT), EXTENT);
    assert_int_equal(ferry_commit(EXTENT + 1), -EINVAL);
    assert_int_equal(ferry_commit(EXTENT - 1), 0);
    assert_int_equal(ferry_output(&room, 0), 1);
    assert_int_equal(fake.taken_count, 0);
    assert_int_equal(ferry_output(&room, 2), EXTENT);
    assert_int_equal(ferry_commit(0), 0);
}

static void a_receiver_that_is_gone_is_told(void **context)
{
    void *room;

    (void)context;
    fake.control->info.pool_extents = 1;
    produce(0, EXTENT);
    produce(EXTENT, EXTENT);
    fake_drain();
    assert_int_equal(fake.taken_count, 2);
    produce(2 * EXTENT, EXTENT);
    fake.refuse = -EPIPE;
    /* The loan is refused while the stream waits for it to come home. */
    assert_int_equal(ferry_output(&room, 1), -EPIPE);
    assert_int_equal(ferry_output(&room, 1), -EPIPE);
    assert_int_equal(ferry_flush(), -EPIPE);
    assert_int_equal(ferry_close(), -EPIPE);
    assert_received(2 * EXTENT);
}

static void a_small_pool_is_asked_once(void **context)
{
    (void)context;
    for (uint32_t i = 2; i < FAKE_EXTENTS; i++)
        fake.extent_used[i] = true;
    for (size_t i = 0; i < 6; i++)
        produce(i * EXTENT, EXTENT);
    ferry_yield();
    assert_received(6 * EXTENT);
    assert_int_equal(fake.allocs, 3);
}

static void no_memory_at_all_is_an_error(void **context)
{
    void *room;

    (void)context;
    fake.control->info.pool_extents = 0;
    assert_int_equal(ferry_output(&room, 1), -EDQUOT);
    fake.control->info.pool_extents = 1;
    memset(fake.extent_used, 1, sizeof(fake.extent_used));
    assert_int_equal(ferry_output(&room, 1), -ENOMEM);
}

static void without_a_receiver_output_vanishes(void **context)
{
    (void)context;
    fake.control->info.stdout_peer = FERRY_NO_PEER;
    for (size_t i = 0; i < 5; i++)
        produce(0, EXTENT);
    assert_int_equal(ferry_close(), 0);
    assert_int_equal(fake.allocs, 1);
    assert_int_equal(fake.control->guest.out_head, 0);
}

static void closing_hangs_up_once(void **context)
{
    void *room;

    (void)context;
    produce(0, 1000);
    assert_int_equal(ferry_close(), 0);
    assert_int_equal(ferry_close(), 0);
    assert_int_equal(ferry_output(&room, 1), -EPIPE);
    ferry_yield();
    assert_true(fake.hung_up);
    assert_received(1000);
    assert_int_equal(fake.taken_count, 2);
}

static void exit_finishes_output(void **context)
{
    int status;
    pid_t child;

    (void)context;
    child = fork();
    if (child == 0) {
        stream.hangup_at_exit = false;
        produce(0, 20000);
        exit(7);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(WEXITSTATUS(status), 7);
    /* The control structure and the pool are shared with the child. */
    assert_int_equal(fake.control->guest.out_head, 2);
    fake_drain();
    assert_true(fake.hung_up);
    assert_received(20000);
}

/* A message program's own loans and the stream's come home through one ring. */
static void loans_come_home_to_whom_they_belong(void **context)
{
    struct ferry_msg msg = {.mode = FERRY_LEND, .dst = FAKE_OTHER, .bytes = 1};
    void *addr;
    size_t bytes;

    (void)context;
    fake.control->info.pool_extents = 1;
    msg.data = ferry_alloc_extents(1);
    assert_non_null(msg.data);
    produce(0, EXTENT);
    assert_true(ferry_send(&msg, FERRY_DEFERRED) >= 0);
    ferry_yield();
    fake_release_oldest();
    fake_release_oldest();
    assert_int_equal(ferry_reclaim(&addr, &bytes, 0), 0);
    assert_ptr_equal(addr, msg.data);
    assert_int_equal(ferry_reclaim(&addr, &bytes, 0), -ETIMEDOUT);
    produce(0, 1);
    assert_int_equal(fake.allocs, 2);
    assert_int_equal(fake.waits, 1);
}

/* Messages of the program's own use the slots in which the statuses of the stream's stand. */
static void no_status_is_missed(void **context)
{
    struct ferry_msg msg = {.mode = FERRY_INLINE, .dst = FAKE_OTHER};

    (void)context;
    fake.control->info.pool_extents = 1;
    produce(0, EXTENT);
    for (int i = 0; i < 200; i++)
        assert_true(ferry_send(&msg, FERRY_IMMEDIATE) >= 0);
    produce(EXTENT, EXTENT);
    ferry_yield();
    assert_received(2 * EXTENT);
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

    while (token < FERRY_RING_ENTRIES && fake.fed[token])
        token++;
    for (uint32_t i = 0; i < FAKE_EXTENTS; i++)
        used += fake.extent_used[i];
    if (token == FERRY_RING_ENTRIES || used > 10) { /* leave some for output */
        mode = FERRY_INLINE;
        bytes = 1;
    }
    fill_pattern(piece, fed, bytes);
    fake_feed(FAKE_FEEDER, mode, piece, bytes, token % FERRY_RING_ENTRIES);
    fed += bytes;
    fed_messages++;
}

/* A stage that forwards or copies what it gets, while everything round it varies. */
static void random_stage(uint32_t payload, uint32_t delivery)
{
    const void *data;
    size_t seen = 0;

    fed = fed_messages = 0;
    fake.starved = feed_random;
    fake.control->info.payload = payload;
    fake.control->info.delivery = delivery;
    while (fed_messages < 1200) {
        ssize_t bytes = ferry_input(&data);

        assert_true(bytes > 0);
        for (ssize_t i = 0; i < bytes; i++)
            assert_int_equal(((const uint8_t *)data)[i], pattern(seen + (size_t)i));
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

/* ---- an ordinary process ------------------------------------------------ */

/* A filter in a child with its input and output in files: half of the pieces are forwarded. */
static void filter(FILE *in, FILE *out)
{
    const void *data;
    ssize_t bytes;
    size_t seen = 0;

    dup2(fileno(in), 0);
    dup2(fileno(out), 1);
    fake.control = NULL;
    for (int i = 0; (bytes = ferry_input(&data)) > 0; i++) {
        if (i % 2 == 0 && ferry_forward() != 0)
            _exit(2);
        if (i % 2 == 1)
            produce(seen, (size_t)bytes);
        seen += (size_t)bytes;
    }
    stream.hangup_at_exit = false;
    if (bytes != 0 || ferry_commit(0) != 0)
        _exit(3);
    exit(0); /* writes what is left */
}

static void a_process_reads_and_writes(void **context)
{
    const size_t bytes = 10 * 65536 + 4321;
    uint8_t *data = malloc(bytes), *back = malloc(bytes);
    FILE *in = tmpfile(), *out = tmpfile();
    int status;
    pid_t child;

    (void)context;
    fill_pattern(data, 0, bytes);
    assert_int_equal(fwrite(data, 1, bytes, in), bytes);
    rewind(in);
    child = fork();
    if (child == 0)
        filter(in, out);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    rewind(out);
    assert_int_equal(fread(back, 1, bytes, out), bytes);
    assert_int_equal(fgetc(out), EOF);
    assert_memory_equal(data, back, bytes);
    fclose(in);
    fclose(out);
    free(data);
    free(back);
}

static void check_process_output(void)
{
    const void *data;
    void *room;

    fake.control = NULL;
    if (ferry_input(&data) != 5)
        _exit(2);
    for (int i = 0; i < 3; i++)
        produce((size_t)i * 40000, 40000);
    produce(120000, 200000);
    if (ferry_output(&room, EXTENT) < (ssize_t)EXTENT || ferry_flush() != 0)
        _exit(3);
    if (ferry_commit(1) != -EINVAL) /* the flush took the room away */
        _exit(4);
    produce(320000, 10);
    if (ferry_forward() != 0 || ferry_forward() != -EINVAL)
        _exit(5);
    if (ferry_close() != 0 || ferry_output(&room, 0) != -EPIPE)
        _exit(6);
    _exit(0);
}

static void a_process_keeps_the_order(void **context)
{
    static uint8_t back[320020];
    int in[2], out[2], status;
    size_t got = 0;
    ssize_t part;
    pid_t child;

    (void)context;
    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0);
    assert_int_equal(write(in[1], "piece", 5), 5);
    child = fork();
    if (child == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(out[1]);
        check_process_output();
    }
    close(out[1]); /* so that the hang-up shows as the end */
    while ((part = read(out[0], back + got, sizeof(back) - got)) > 0)
        got += (size_t)part;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(got, 320015);
    for (size_t i = 0; i < 320010; i++)
        assert_int_equal(back[i], pattern(i));
    assert_memory_equal(back + 320010, "piece", 5);
    close(in[0]);
    close(in[1]);
    close(out[0]);
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
        TEST(full_extents_are_lent_and_reused),
        TEST(one_extent_is_enough),
        TEST(small_pieces_are_copied_by_auto),
        TEST(above_the_largest_copy_auto_lends),
        TEST(map_lends_one_byte),
        TEST(copy_never_lends),
        TEST(copies_under_way_are_not_overwritten),
        TEST(a_full_extent_waits_for_all_its_copies),
        TEST(copied_room_is_used_again_from_its_start),
        TEST(room_is_as_asked_for),
        TEST(a_receiver_that_is_gone_is_told),
        TEST(a_small_pool_is_asked_once),
        TEST(no_memory_at_all_is_an_error),
        TEST(without_a_receiver_output_vanishes),
        TEST(closing_hangs_up_once),
        TEST(exit_finishes_output),
        TEST(loans_come_home_to_whom_they_belong),
        TEST(no_status_is_missed),
        TEST(a_loan_is_passed_on),
        TEST(what_was_moved_moves_on),
        TEST(what_cannot_be_lent_is_copied),
        TEST(copy_mode_copies_loans),
        TEST(a_refused_piece_is_released),
        TEST(any_mixture_arrives_in_order),
        TEST(a_process_reads_and_writes),
        TEST(a_process_keeps_the_order),
    };

    return cmocka_run_group_tests_name("guest/stream", tests, NULL, NULL);
}
