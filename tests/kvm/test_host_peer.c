/* SPDX-License-Identifier: BSD-2-Clause */
/* The host as a peer: every mode both ways, loans, limits, hang-ups, by the public calls. */
#include <errno.h>
#include <string.h>

#include <ferry/abi/control.h>

#include "kvm_fixture.h"

#define EXTENT (2u << 20)

/* The pattern of tests/guest/guest.h. */
static void fill(unsigned char *data, size_t bytes, uint64_t seed)
{
    for (size_t i = 0; i < bytes; i++)
        data[i] = (unsigned char)(seed * 31 + i + i / 251);
}

static void expect_pattern(const unsigned char *data, size_t bytes, uint64_t seed)
{
    for (size_t i = 0; i < bytes; i++)
        if (data[i] != (unsigned char)(seed * 31 + i + i / 251))
            fail_msg("byte %zu of message %llu", i, (unsigned long long)seed);
}

/* Eight VMs take and move as many units as they can; the host still has those that are kept for
 * it. */
static void guests_leave_the_host_some(void **state)
{
    struct world *world = *state;
    struct ferry_link *to[8], *from[8];
    struct ferry_message message;
    void *extents[8], *more;

    for (int i = 0; i < 8; i++) {
        char name[] = {(char)('a' + i), 0};
        world_add(world, name, "take_and_move", "8", NULL);
        from[i] = world_link(world, -1, i);
        to[i] = world_link(world, i, -1);
    }
    world_start(world);
    for (int i = 0; i < 8; i++) {
        do
            assert_int_equal(ferry_link_recv(to[i], PATIENCE, &message), 0);
        while (message.mode == FERRY_MOVE);
        assert_int_equal(message.mode, FERRY_INLINE);
    }
    for (int i = 0; i < 8; i++)
        assert_int_equal(ferry_link_alloc(from[i], 1, false, &extents[i]), 0);
    assert_int_equal(ferry_link_alloc(from[0], 1, false, &more),
                     -ENOMEM); /* the guests have the rest */
    for (int i = 0; i < 8; i++) {
        assert_int_equal(ferry_link_free(from[i], extents[i], EXTENT), 0);
        ferry_link_hangup(from[i]);
    }
    world_wait(world);
    for (int i = 0; i < world->count; i++)
        world_expect_ok(world, i);
}

/* The host takes no more: messages that arrived are there, the hang-up follows, and the guest
 * learns of it. */
static void refused(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "until_unread", NULL);
    const struct ferry_link_config stream = {.stream = true};
    struct ferry_link *to, *from = world_link(world, -1, a);
    struct ferry_message message;

    assert_int_equal(ferry_link_create(world->engine, world->vm[a], NULL, &stream, &to, NULL), 0);
    assert_int_equal(ferry_link_refuse(from), -EPERM);
    world_start(world);
    assert_int_equal(ferry_link_recv(to, PATIENCE, &message), 0);
    assert_memory_equal(message.data, "ready\n", 6);
    assert_int_equal(ferry_link_release(to, message.token), 0);
    assert_int_equal(ferry_link_refuse(to), 0);
    assert_int_equal(ferry_link_recv(to, PATIENCE, &message), 0);
    assert_int_equal(message.mode, FERRY_HANGUP);
    world_wait(world);
    assert_int_equal(world->exit[a].how, FERRY_ENDED_EXIT);
    assert_int_equal(world->exit[a].status, 7);
}

/* A guest moves more than the host may own for it: the rest waits until the host frees some. */
static void moved_beyond_the_share_waits(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "take_and_move", "24", NULL);
    struct ferry_link *to = world_link(world, a, -1), *from = world_link(world, -1, a);
    struct ferry_message held[8], message;
    struct ferry_ledger books;

    world_start(world);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(ferry_link_recv(to, PATIENCE, &held[i]), 0);
        assert_int_equal(held[i].mode, FERRY_MOVE);
    }
    for (int i = 0; i < 16; i++) {
        assert_int_equal(ferry_link_free(to, held[i % 8].data, EXTENT), 0);
        assert_int_equal(ferry_link_recv(to, PATIENCE, &held[i % 8]), 0);
        assert_int_equal(held[i % 8].mode, FERRY_MOVE);
        ferry_engine_ledger(world->engine, &books);
        assert_true(books.owned <= 8 + 8);
    }
    assert_int_equal(ferry_link_recv(to, PATIENCE, &message), 0);
    assert_int_equal(message.mode, FERRY_INLINE);
    for (int i = 0; i < 8; i++)
        assert_int_equal(ferry_link_free(to, held[i].data, EXTENT), 0);
    ferry_link_hangup(from);
    world_wait(world);
    world_expect_ok(world, a);
}

static void receive_modes(void **state)
{
    static const struct {
        const char *mode, *bytes;
        int number;
        size_t length;
    } cases[] = {{"inline", "32", FERRY_INLINE, 32},
                 {"copy", "60000", FERRY_COPY, 60000},
                 {"lend", "4096", FERRY_LEND, 4096},
                 {"lend", "2097152", FERRY_LEND, EXTENT}};
    struct world *world = *state;
    struct ferry_message message;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int a = world_add(world, NULL, "send", "host", cases[i].mode, "auto", "10", cases[i].bytes,
                          NULL);
        struct ferry_link *link = world_link(world, a, -1);
        assert_int_equal(ferry_vm_start(world->vm[a], NULL), 0);
        for (unsigned n = 0; n < 10; n++) {
            assert_int_equal(ferry_link_recv(link, PATIENCE, &message), 0);
            assert_int_equal(message.mode, cases[i].number);
            assert_int_equal(message.tag, n);
            assert_int_equal(message.bytes, cases[i].length);
            expect_pattern(ferry_message_data(&message), message.bytes, n);
            if (message.mode != FERRY_INLINE)
                assert_int_equal(ferry_link_release(link, message.token), 0);
        }
        assert_int_equal(ferry_link_recv(link, PATIENCE, &message), 0);
        assert_int_equal(message.mode, FERRY_HANGUP);
        assert_int_equal(ferry_link_recv(link, 0, &message), 0);
        assert_int_equal(message.mode, FERRY_HANGUP);
    }
    world_wait(world);
    for (int i = 0; i < world->count; i++)
        world_expect_ok(world, i);
}

static void receive_moved(void **state)
{
    struct world *world = *state;
    struct ferry_message message;
    int a = world_add(world, "a", "send", "host", "move", "auto", "3", "2097152", NULL);
    struct ferry_link *link = world_link(world, a, -1);

    world_start(world);
    for (unsigned n = 0; n < 3; n++) {
        assert_int_equal(ferry_link_recv(link, PATIENCE, &message), 0);
        expect_pattern(ferry_message_data(&message), message.bytes, n);
        assert_int_equal(ferry_link_release(link, message.token), -EINVAL);
        assert_int_equal(ferry_link_free(link, (char *)message.data + 1, EXTENT), -EINVAL);
        assert_int_equal(ferry_link_free(link, message.data, EXTENT), 0);
        assert_int_equal(ferry_link_free(link, message.data, EXTENT), -EPERM);
    }
    world_wait(world);
    world_expect_ok(world, a);
}

static void send_modes(void **state)
{
    static const struct {
        const char *mode, *bytes;
        int number;
        size_t length;
        bool page;
    } cases[] = {{"inline", "32", FERRY_INLINE, 32, true},
                 {"copy", "50000", FERRY_COPY, 50000, false},
                 {"lend", "4000", FERRY_LEND, 4000, true},
                 {"lend", "2097152", FERRY_LEND, EXTENT, false}};
    struct world *world = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int b =
            world_add(world, NULL, "recv_check", "host", cases[i].mode, "10", cases[i].bytes, NULL);
        struct ferry_link *link = world_link(world, -1, b);
        void *data, *home;
        size_t bytes;
        assert_int_equal(ferry_vm_start(world->vm[b], NULL), 0);
        assert_int_equal(ferry_link_alloc(link, 1, cases[i].page, &data), 0);
        for (unsigned n = 0; n < 10; n++) {
            struct ferry_message message = {
                .mode = cases[i].number, .tag = n, .data = data, .bytes = cases[i].length};
            fill(data, message.bytes, n);
            if (ferry_link_send(link, &message, PATIENCE) < 0)
                fail_msg("%s: guest said: %s", cases[i].mode, world_said(world));
            if (message.mode != FERRY_LEND)
                continue;
            /* The extent is lent: it cannot be sent or freed until it is home. */
            assert_int_equal(ferry_link_reclaim(link, PATIENCE, &home, &bytes), 0);
            assert_ptr_equal(home, data);
        }
        assert_int_equal(ferry_link_reclaim(link, 0, &home, &bytes), -ENOENT);
        ferry_link_hangup(link);
        assert_int_equal(ferry_link_free(link, data, cases[i].page ? 4096 : EXTENT), 0);
    }
    world_wait(world);
    for (int i = 0; i < world->count; i++)
        world_expect_ok(world, i);
}

static void refusals(void **state)
{
    struct world *world = *state;
    int b = world_add(world, "b", "sink", "host", NULL);
    struct ferry_link *link = world_link(world, -1, b);
    struct ferry_message message = {.mode = FERRY_INLINE, .bytes = 33};
    void *data;

    assert_int_equal(ferry_link_alloc(link, 2, false, &data), 0);
    message.data = data;
    assert_int_equal(ferry_link_send(link, &message, 0), -EMSGSIZE);
    message = (struct ferry_message){.mode = FERRY_COPY, .data = data, .bytes = 65537};
    assert_int_equal(ferry_link_send(link, &message, 0), -EMSGSIZE);
    message = (struct ferry_message){.mode = 99};
    assert_int_equal(ferry_link_send(link, &message, 0), -EINVAL);
    message = (struct ferry_message){.mode = FERRY_LEND, .data = &message, .bytes = 1};
    assert_int_equal(ferry_link_send(link, &message, 0), -EFAULT);
    message = (struct ferry_message){.mode = FERRY_LEND, .data = data, .bytes = EXTENT};
    assert_int_equal(ferry_link_send(link, &message, 0), 0);
    assert_int_equal(ferry_link_send(link, &message, 0), -EPERM); /* lent already */
    message.bytes = 2 * EXTENT;                                   /* half of it lent */
    assert_int_equal(ferry_link_send(link, &message, 0), -EPERM);
    assert_int_equal(ferry_link_free(link, data, EXTENT), -EPERM);
    assert_int_equal(ferry_link_alloc(link, 100000, false, &data), -ENOMEM);
    assert_int_equal(ferry_link_alloc(link, 0, false, &data), -EINVAL);
}

/* Nobody takes messages: when the queue is full the sender waits, and nothing is lost. */
static void back_pressure(void **state)
{
    struct world *world = *state;
    int b = world_add(world, "b", "sink", "host", NULL);
    struct ferry_link *link = world_link(world, -1, b);
    struct ferry_message message = {.mode = FERRY_INLINE, .data = "x", .bytes = 1};
    int sent = 0;

    while (ferry_link_send(link, &message, 0) == 0)
        sent++;
    assert_int_equal(sent, FERRY_RING_ENTRIES - 1); /* one is kept for the hang-up */
    assert_int_equal(ferry_link_send(link, &message, 1000000), -ETIMEDOUT);
    world_start(world);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(ferry_link_send(link, &message, PATIENCE), 0);
    ferry_link_hangup(link);
    assert_int_equal(ferry_link_send(link, &message, 0), -EPIPE);
    world_wait(world);
    world_expect_ok(world, b);
    assert_int_equal(world_stats(world, b).messages_received, FERRY_RING_ENTRIES - 1 + 1000);
}

/* The receiver dies while it holds loans, and they come home. */
static void loans_of_the_dead(void **state)
{
    struct world *world = *state;
    int b = world_add(world, "b", "spin", NULL);
    struct ferry_link *link = world_link(world, -1, b);
    struct ferry_message message = {.mode = FERRY_LEND, .bytes = EXTENT};
    void *home;
    size_t bytes;

    world_start(world);
    assert_int_equal(ferry_link_alloc(link, 1, false, &message.data), 0);
    assert_int_equal(ferry_link_send(link, &message, PATIENCE), 0);
    assert_int_equal(ferry_link_reclaim(link, 0, &home, &bytes), -ETIMEDOUT);
    ferry_vm_stop(world->vm[b], 15);
    assert_int_equal(ferry_link_reclaim(link, PATIENCE, &home, &bytes), 0);
    assert_ptr_equal(home, message.data);
    assert_int_equal(bytes, EXTENT);
    assert_int_equal(ferry_link_send(link, &message, PATIENCE), -EPIPE);
    world_wait(world);
}

/* A sender learns that somebody looks for its messages, and how much of them was received. */
static void first_look(void **state)
{
    struct world *world = *state;
    int b = world_add(world, "b", "sink", "host", NULL), c = world_add(world, "c", "nothing", NULL);
    struct ferry_link *to_b = world_link(world, -1, b), *to_c = world_link(world, -1, c);
    struct ferry_message inlined = {.mode = FERRY_INLINE, .data = "x", .bytes = 1};
    struct ferry_message copied = {.mode = FERRY_COPY, .data = "0123456789", .bytes = 10};
    struct ferry_link_stats stats;

    assert_int_equal(ferry_link_await_receiver(to_b, 0), -ETIMEDOUT);
    world_start(world);
    assert_int_equal(ferry_link_await_receiver(to_b, PATIENCE), 0);
    assert_int_equal(ferry_link_await_receiver(to_b, 0), 0);
    assert_int_equal(ferry_link_await_receiver(to_c, PATIENCE), -EPIPE);
    ferry_link_stats(to_b, &stats);
    assert_int_equal(stats.bytes_taken, 0);
    assert_int_equal(ferry_link_send(to_b, &inlined, PATIENCE), 0);
    assert_int_equal(ferry_link_send(to_b, &copied, PATIENCE), 0);
    ferry_link_hangup(to_b);
    world_wait(world);
    ferry_link_stats(to_b, &stats);
    assert_int_equal(stats.bytes_taken, 11);
}

static void cancelled(void **state)
{
    struct world *world = *state;
    struct ferry_message message;
    int b = world_add(world, "b", "spin", NULL);
    struct ferry_link *link = world_link(world, b, -1);

    ferry_link_cancel(link);
    assert_int_equal(ferry_link_recv(link, PATIENCE, &message), -ECANCELED);
    assert_int_equal(ferry_link_recv(link, PATIENCE, &message), -ECANCELED);

    struct ferry_link *back = world_link(world, -1, b);
    ferry_link_cancel(back);
    assert_int_equal(ferry_link_await_receiver(back, PATIENCE), -ECANCELED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kvm_test(guests_leave_the_host_some),
        kvm_test(moved_beyond_the_share_waits),
        kvm_test(refused),
        kvm_test(receive_modes),
        kvm_test(receive_moved),
        kvm_test(send_modes),
        kvm_test(refusals),
        kvm_test(back_pressure),
        kvm_test(loans_of_the_dead),
        kvm_test(first_look),
        kvm_test(cancelled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
