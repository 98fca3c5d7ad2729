/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the tests of guest/direct.[ch]: order across both ways, full rings, hostile peers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The files themselves, so that each test starts with their state empty. */
#include "../../guest/message.c"

#include "fake_vmm.h"

/* Both rings are with FAKE_OTHER; a second one comes from FAKE_FEEDER. */
static struct ferry_direct out, in, in2;

static struct ferry_peer *peer_writable(uint16_t id)
{
    return (struct ferry_peer *)(uintptr_t)ferry_peer_by_id(id);
}

static int set_up(void **context)
{
    (void)context;
    fake_start(0);
    memset(&state, 0, sizeof(state));
    memset(&ferry_guest_direct, 0, sizeof(ferry_guest_direct));
    memset(&out, 0, sizeof(out));
    memset(&in, 0, sizeof(in));
    memset(&in2, 0, sizeof(in2));
    out.receiver.ready = 1;
    peer_writable(FAKE_OTHER)->direct_out = (uintptr_t)&out;
    peer_writable(FAKE_OTHER)->direct_in = (uintptr_t)&in;
    peer_writable(FAKE_OTHER)->generation = 70;
    peer_writable(FAKE_FEEDER)->direct_in = (uintptr_t)&in2;
    fake.direct_out = &out;
    fake.direct_in[0] = &in;
    fake.direct_in[1] = &in2;
    fake.control->info.id = 1;
    fake.control->info.generation = 9;
    return 0;
}

static int tear_down(void **context)
{
    (void)context;
    fake_stop();
    return 0;
}

/* ---- sending ------------------------------------------------------------ */

static int64_t send_tag(uint64_t tag)
{
    uint8_t text[] = "twelve bytes";
    struct ferry_msg msg = {
        .mode = FERRY_INLINE, .dst = FAKE_OTHER, .tag = tag, .data = text, .bytes = 12};

    return ferry_send(&msg, FERRY_WHEN_AUTO);
}

static int64_t send_mode(enum ferry_mode mode, uint16_t dst)
{
    static uint8_t byte;
    struct ferry_msg msg = {.mode = mode, .dst = dst, .data = &byte};

    msg.bytes = mode == FERRY_COPY;
    return ferry_send(&msg, FERRY_DEFERRED);
}

/* How many messages are in the ring. */
static uint32_t in_ring(void)
{
    return ferry_guest_direct.out[0].head;
}

static void a_message_needs_no_exit(void **context)
{
    struct ferry_desc *slot = &out.slots[0];
    int64_t ticket;

    (void)context;
    memset(slot->data, 0xff, sizeof(slot->data));
    ticket = send_tag(5);
    assert_true(ticket > 0);
    assert_int_equal(ferry_status(ticket), 0);
    assert_int_equal(slot->mode, FERRY_INLINE);
    assert_int_equal(slot->inline_bytes, 12);
    assert_int_equal(slot->flags, 0);
    assert_int_equal(slot->turn, 1);
    assert_int_equal(slot->tag, 5);
    assert_memory_equal(slot->data, "twelve bytes\0\0\0", 16);
    assert_true(send_tag(6) > ticket);
    assert_int_equal(out.slots[1].turn, 2);
    assert_int_equal(fake.control->guest.out_head, 0);
    assert_int_equal(fake.waits + fake.doorbells, 0);
    assert_int_equal(
        ferry_send_wait(&(struct ferry_msg){.mode = FERRY_INLINE, .dst = FAKE_OTHER}, 0), 0);
    assert_int_equal(fake.waits + fake.doorbells, 0);
}

static void only_inline_and_only_to_its_peer(void **context)
{
    (void)context;
    send_mode(FERRY_INLINE, FAKE_RECEIVER);
    send_mode(FERRY_COPY, FAKE_OTHER);
    assert_int_equal(in_ring(), 0);
    assert_int_equal(fake.control->guest.out_head, 2);
}

static void until_the_receiver_is_ready_by_the_vmm(void **context)
{
    (void)context;
    out.receiver.ready = 0;
    send_tag(0);
    assert_int_equal(fake.control->guest.out_head, 1);
    assert_int_equal(fake.waits, 0);
    out.receiver.ready = 1;
    send_tag(1); /* after the one that waits in the out ring */
    assert_int_equal(fake.control->guest.out_head, 2);
    fake_drain();
    send_tag(2);
    assert_int_equal(in_ring(), 1);
    assert_int_equal(fake.control->guest.out_head, 2);
}

static void what_was_queued_before_goes_before(void **context)
{
    (void)context;
    send_tag(0);
    send_mode(FERRY_COPY, FAKE_OTHER);
    send_tag(1);
    assert_int_equal(in_ring(), 1);
    assert_int_equal(fake.control->guest.out_head, 2);
    assert_int_equal(fake.control->out[0].turn, 1);
    assert_int_equal(fake.control->out[1].turn, 1);
    fake_drain();
    send_tag(2);
    assert_int_equal(in_ring(), 2);
    /* Messages that wait there for another peer belong to another link. */
    send_mode(FERRY_COPY, FAKE_RECEIVER);
    assert_int_equal(fake.control->out[2].turn, 0);
    send_tag(3);
    assert_int_equal(in_ring(), 3);
}

static void a_full_ring_goes_by_the_vmm_once(void **context)
{
    (void)context;
    for (uint32_t i = 0; i < FERRY_RING_ENTRIES; i++)
        send_tag(i);
    assert_int_equal(fake.waits + fake.doorbells, 0);
    assert_int_equal(in_ring(), FERRY_RING_ENTRIES);
    assert_true(send_tag(FERRY_RING_ENTRIES) >= 0);
    assert_int_equal(in_ring(), FERRY_RING_ENTRIES);
    assert_int_equal(fake.waits, 1);
    assert_int_equal(fake.taken_count, 1);
    assert_int_equal(fake.taken[0].desc.turn, FERRY_RING_ENTRIES);
    out.receiver.tail = 1;
    send_tag(FERRY_RING_ENTRIES + 1);
    assert_int_equal(in_ring(), FERRY_RING_ENTRIES + 1);
    assert_int_equal(out.slots[0].turn, FERRY_RING_ENTRIES + 1);
    assert_int_equal(fake.waits, 1);
}

static void a_tail_that_cannot_be_is_no_room(void **context)
{
    static const uint32_t tails[] = {0xffffffff, FERRY_RING_ENTRIES + 1, 0x80000000};

    (void)context;
    for (uint32_t i = 0; i < FERRY_RING_ENTRIES; i++)
        send_tag(i);
    for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
        out.receiver.tail = tails[i];
        send_tag(i);
        assert_int_equal(in_ring(), FERRY_RING_ENTRIES);
        assert_int_equal(fake.taken_count, i + 1);
    }
}

static void the_doorbell_is_for_those_who_wait(void **context)
{
    struct ferry_msg msg = {.mode = FERRY_INLINE, .dst = FAKE_OTHER};

    (void)context;
    ferry_send(&msg, FERRY_IMMEDIATE);
    assert_int_equal(fake.doorbells, 0);
    peer_writable(FAKE_OTHER)->waiting = FERRY_WAITS; /* for its loans, say */
    ferry_send(&msg, FERRY_IMMEDIATE);
    assert_int_equal(fake.doorbells, 0);
    peer_writable(FAKE_OTHER)->waiting = FERRY_WAITS | FERRY_WAITS_DIRECT;
    ferry_send(&msg, FERRY_DEFERRED);
    assert_int_equal(fake.doorbells, 0);
    ferry_send(&msg, FERRY_WHEN_AUTO);
    assert_int_equal(fake.doorbells, 1);
    fake.control->info.delivery = FERRY_DELIVERY_DEFERRED;
    ferry_send(&msg, FERRY_IMMEDIATE);
    assert_int_equal(fake.doorbells, 1);
    fake.control->info.delivery = FERRY_DELIVERY_IMMEDIATE;
    ferry_send(&msg, FERRY_DEFERRED);
    assert_int_equal(fake.doorbells, 2);
    assert_int_equal(in_ring(), 6);
}

static void refused_at_once(void **context)
{
    struct ferry_msg msg = {.mode = FERRY_INLINE, .dst = FAKE_OTHER, .bytes = 33};

    (void)context;
    assert_int_equal(ferry_send(&msg, 0), -EMSGSIZE);
    peer_writable(FAKE_OTHER)->state = FERRY_PEER_GONE;
    assert_int_equal(send_tag(0), -EPIPE);
    assert_int_equal(in_ring(), 0);
}

static void after_a_hangup_the_vmm_decides(void **context)
{
    (void)context;
    send_tag(0);
    assert_true(send_mode(FERRY_HANGUP, FAKE_OTHER) >= 0);
    fake_drain();
    send_tag(1);
    assert_int_equal(in_ring(), 1);
    assert_int_equal(fake.control->guest.out_head, 2);
    assert_int_equal(fake.control->out[0].turn, 1);
}

/* ---- receiving ---------------------------------------------------------- */

static void put(struct ferry_direct *ring, uint32_t position, uint64_t tag)
{
    struct ferry_desc *slot = &ring->slots[position % FERRY_RING_ENTRIES];

    *slot = (struct ferry_desc){
        .mode = FERRY_INLINE, .inline_bytes = 3, .turn = position + 1, .tag = tag, .src = 5};
    memcpy(slot->data, "abc", 3);
}

/* A routed message from this peer, of which `turn` direct ones were sent before. */
static void feed(uint16_t src, uint32_t turn)
{
    fake_feed(src, FERRY_INLINE, "r", 1, 0);
    fake.control->in[(fake.in_head - 1) % FERRY_RING_ENTRIES].turn = turn;
}

/* Takes one: its tag if it is direct, 1000 and its sender if it was routed. */
static uint64_t taken_next(void)
{
    struct ferry_msg msg;

    if (ferry_recv(&msg, 0) != 0)
        return UINT64_MAX;
    return msg.bytes == 3 ? msg.tag : 1000u + msg.src;
}

static void who_sent_it_is_known_by_the_ring(void **context)
{
    struct ferry_msg msg;

    (void)context;
    put(&in, 0, 44);
    assert_int_equal(ferry_recv(&msg, UINT64_MAX), 0);
    assert_int_equal(in.receiver.ready, 1);
    assert_int_equal(fake.waits, 0);
    memset(&in.slots[0], 0xff, sizeof(in.slots[0]));
    assert_int_equal(msg.mode, FERRY_INLINE);
    assert_int_equal(msg.src, FAKE_OTHER);
    assert_int_equal(msg.src_generation, 70);
    assert_int_equal(msg.dst, 1);
    assert_int_equal(msg.dst_generation, 9);
    assert_int_equal(msg.tag, 44);
    assert_int_equal(msg.bytes, 3);
    assert_null(msg.data); /* it is in the message */
    assert_memory_equal(ferry_msg_data(&msg), "abc", 3);
    assert_int_equal(msg.token | msg.message, 0);
    assert_int_equal(ferry_recv(&msg, 0), -ETIMEDOUT);
}

static void routed_ones_come_in_their_turn(void **context)
{
    (void)context;
    feed(FAKE_OTHER, 0);
    put(&in, 0, 1);
    put(&in, 1, 2);
    feed(FAKE_OTHER, 2);
    put(&in, 2, 3);
    assert_int_equal(taken_next(), 1000 + FAKE_OTHER);
    assert_int_equal(taken_next(), 1);
    assert_int_equal(taken_next(), 2);
    assert_int_equal(taken_next(), 1000 + FAKE_OTHER);
    assert_int_equal(taken_next(), 3);
    assert_int_equal(taken_next(), UINT64_MAX);
}

static void turns_wrap(void **context)
{
    (void)context;
    ferry_recv(&(struct ferry_msg){0}, 0);
    ferry_guest_direct.in[1].tail = ferry_guest_direct.in[1].seen = UINT32_MAX;
    put(&in, UINT32_MAX, 1);
    put(&in, 0, 2);
    feed(FAKE_OTHER, 0);
    put(&in, 1, 3);
    assert_int_equal(taken_next(), 1);
    assert_int_equal(taken_next(), 1000 + FAKE_OTHER);
    assert_int_equal(taken_next(), 2);
    assert_int_equal(taken_next(), 3);
}

/* An impossible turn must not delay the messages of others. */
static void a_false_turn_holds_nobody_up(void **context)
{
    (void)context;
    put(&in, 0, 1);
    feed(FAKE_OTHER, FERRY_RING_ENTRIES + 1);
    feed(FAKE_OTHER, 0x80000000);
    feed(FAKE_OTHER, 5); /* of five, but one came */
    feed(FAKE_FEEDER, 0);
    assert_int_equal(taken_next(), 1000 + FAKE_OTHER);
    assert_int_equal(taken_next(), 1000 + FAKE_OTHER);
    assert_int_equal(taken_next(), 1);
    assert_int_equal(taken_next(), 1000 + FAKE_OTHER);
    assert_int_equal(taken_next(), 1000 + FAKE_FEEDER);
}

/* However fast routed messages come, a direct one waits only for those it saw. */
static void a_busy_in_ring_does_not_starve_a_direct_ring(void **context)
{
    (void)context;
    put(&in, 0, 1);
    feed(FAKE_FEEDER, 0);
    feed(FAKE_FEEDER, 0);
    assert_int_equal(taken_next(), 1000 + FAKE_FEEDER);
    feed(FAKE_FEEDER, 0);
    assert_int_equal(taken_next(), 1000 + FAKE_FEEDER);
    feed(FAKE_FEEDER, 0);
    assert_int_equal(taken_next(), 1);
    assert_int_equal(taken_next(), 1000 + FAKE_FEEDER);
}

static void rings_take_turns(void **context)
{
    (void)context;
    for (uint32_t i = 0; i < 3; i++) {
        put(&in, i, 10 + i);
        put(&in2, i, 20 + i);
    }
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(taken_next(), 20 + i);
        assert_int_equal(taken_next(), 10 + i);
    }
    assert_int_equal(taken_next(), UINT64_MAX);
    put(&in2, 3, 23);
    put(&in2, 4, 24);
    assert_int_equal(taken_next(), 23);
    assert_int_equal(taken_next(), 24);
}

static void hostile_slots_are_skipped(void **context)
{
    static const struct ferry_desc bad[] = {
        {.mode = FERRY_LEND, .inline_bytes = 3},
        {.mode = FERRY_HANGUP},
        {.mode = 0},
        {.mode = FERRY_INLINE, .inline_bytes = 33},
        {.mode = FERRY_INLINE, .inline_bytes = 255},
        {.mode = FERRY_INLINE, .inline_bytes = 3, .flags = 1},
        {.mode = FERRY_INLINE, .inline_bytes = 3, .flags = 0x8000},
    };
    const uint32_t count = sizeof(bad) / sizeof(bad[0]);

    (void)context;
    for (uint32_t i = 0; i < count; i++) {
        in.slots[i] = bad[i];
        in.slots[i].turn = i + 1;
    }
    put(&in, count, 7);
    assert_int_equal(taken_next(), 7);
    /* A slot of another turn is not there yet. */
    put(&in, count + 1, 8);
    in.slots[count + 1].turn++;
    assert_int_equal(taken_next(), UINT64_MAX);
}

/* The ring is full of bad slots: the call returns, and the messages of others arrive. */
static void nothing_but_bad_slots(void **context)
{
    (void)context;
    for (uint32_t i = 0; i < FERRY_RING_ENTRIES; i++)
        in.slots[i].turn = i + 1;
    assert_int_equal(taken_next(), UINT64_MAX);
    feed(FAKE_FEEDER, 0);
    assert_int_equal(taken_next(), 1000 + FAKE_FEEDER);
}

static uint32_t bad_count;

static void put_bad(void)
{
    if (bad_count == 50)
        fail_msg("it waits as long as bad slots come");
    in.slots[bad_count].turn = bad_count + 1;
    bad_count++;
}

/* A call does not wait longer than it may because bad slots keep coming. */
static void bad_slots_do_not_stretch_a_wait(void **context)
{
    struct ferry_msg msg;

    (void)context;
    bad_count = 0;
    fake.starved = put_bad;
    assert_int_equal(ferry_recv(&msg, 1000), -ETIMEDOUT);
    assert_int_equal(fake.waits, 1);
    assert_int_equal(bad_count, 1);
}

static void the_tail_is_shown_lazily_and_before_a_wait(void **context)
{
    struct ferry_msg msg;

    (void)context;
    for (uint32_t i = 0; i < FERRY_RING_ENTRIES / 4 + 2; i++)
        put(&in, i, i);
    for (uint32_t i = 0; i < FERRY_RING_ENTRIES / 4 - 1; i++)
        assert_int_equal(taken_next(), i);
    assert_int_equal(in.receiver.tail, 0);
    taken_next();
    assert_int_equal(in.receiver.tail, FERRY_RING_ENTRIES / 4);
    taken_next();
    taken_next();
    assert_int_equal(in.receiver.tail, FERRY_RING_ENTRIES / 4);
    assert_int_equal(ferry_recv(&msg, 1000), -ETIMEDOUT);
    assert_int_equal(in.receiver.tail, FERRY_RING_ENTRIES / 4 + 2);
}

static void put_one(void)
{
    put(&in, 0, 3);
}

static void a_direct_message_ends_a_wait(void **context)
{
    struct ferry_msg msg;

    (void)context;
    fake.starved = put_one;
    assert_int_equal(ferry_recv(&msg, UINT64_MAX), 0);
    assert_int_equal(msg.tag, 3);
    assert_int_equal(fake.waits, 1);
}

static void the_stream_layer_gets_its_own(void **context)
{
    struct ferry_msg msg;

    (void)context;
    put(&in, 0, 1);
    put(&in, 1, 2);
    put(&in2, 0, 3);
    assert_int_equal(ferry_guest_take_from(FAKE_FEEDER, &msg), 0);
    assert_int_equal(msg.tag, 3);
    assert_int_equal(ferry_guest_take_from(FAKE_FEEDER, &msg), -EAGAIN);
    assert_int_equal(ferry_recv(&msg, 0), 0);
    assert_int_equal(msg.tag, 1);
    assert_int_equal(msg.src, FAKE_OTHER);
    assert_null(msg.data); /* it is in the message */
    assert_memory_equal(ferry_msg_data(&msg), "abc", 3);
    assert_int_equal(taken_next(), 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_message_needs_no_exit),
        TEST(only_inline_and_only_to_its_peer),
        TEST(until_the_receiver_is_ready_by_the_vmm),
        TEST(what_was_queued_before_goes_before),
        TEST(a_full_ring_goes_by_the_vmm_once),
        TEST(a_tail_that_cannot_be_is_no_room),
        TEST(the_doorbell_is_for_those_who_wait),
        TEST(refused_at_once),
        TEST(after_a_hangup_the_vmm_decides),
        TEST(who_sent_it_is_known_by_the_ring),
        TEST(routed_ones_come_in_their_turn),
        TEST(turns_wrap),
        TEST(a_false_turn_holds_nobody_up),
        TEST(a_busy_in_ring_does_not_starve_a_direct_ring),
        TEST(rings_take_turns),
        TEST(hostile_slots_are_skipped),
        TEST(nothing_but_bad_slots),
        TEST(bad_slots_do_not_stretch_a_wait),
        TEST(the_tail_is_shown_lazily_and_before_a_wait),
        TEST(a_direct_message_ends_a_wait),
        TEST(the_stream_layer_gets_its_own),
    };

    return cmocka_run_group_tests_name("guest/direct", tests, NULL, NULL);
}
