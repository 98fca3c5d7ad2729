/* SPDX-License-Identifier: BSD-2-Clause */
/* Every mode of message between two VMs, at once and deferred, in sizes around its borders. */
#include <stdio.h>
#include <string.h>

#include "../until.h"
#include "kvm_fixture.h"

#define EXTENT (2u << 20)

/* `count` messages from 'a' to 'b'; both programs check what they see. */
static struct ferry_link *exchange(struct world *world, const char *mode, const char *when,
                                   unsigned count, unsigned bytes)
{
    char number[16], size[16];

    snprintf(number, sizeof number, "%u", count);
    snprintf(size, sizeof size, "%u", bytes);
    int a = world_add(world, "a", "send", "b", mode, when, number, size, NULL);
    int b = world_add(world, "b", "recv_check", "a", mode, number, size, NULL);
    struct ferry_link *link = world_link(world, a, b);
    world_run_ok(world);
    assert_int_equal(link_stats(link).messages, count);
    assert_int_equal(world_stats(world, a).messages_sent, count);
    return link;
}

static void inline_immediate(void **state)
{
    struct ferry_link *link = exchange(*state, "inline", "immediate", 200, 32);

    assert_int_equal(link_stats(link).bytes_inline, 200 * 32);
    assert_int_equal(world_stats(*state, 0).exits_immediate, 200);
}

static void inline_deferred(void **state)
{
    struct ferry_link *link = exchange(*state, "inline", "deferred", 20000, 7);

    assert_int_equal(link_stats(link).bytes_inline, 20000 * 7);
    assert_int_equal(world_stats(*state, 0).exits_immediate, 0);
    /* Many travel with each exit: the program makes one when all that it may queue is queued. */
    assert_true(world_stats(*state, 0).exits_natural < 20000 / 4);
}

static void inline_empty(void **state)
{
    exchange(*state, "inline", "auto", 50, 0);
}

static void copy_small(void **state)
{
    struct ferry_link *link = exchange(*state, "copy", "immediate", 300, 100);

    assert_int_equal(link_stats(link).bytes_copied, 300 * 100);
    assert_int_equal(link_stats(link).bytes_handed_over, 0);
    assert_int_equal(link_stats(link).table_calls, 0);
}

static void copy_largest(void **state)
{
    struct ferry_link *link = exchange(*state, "copy", "deferred", 100, 65536);

    assert_int_equal(link_stats(link).bytes_copied, 100 * 65536);
}

static void lend_extent(void **state)
{
    struct ferry_link *link = exchange(*state, "lend", "immediate", 40, EXTENT);

    assert_int_equal(link_stats(link).bytes_handed_over, 40ull * EXTENT);
    assert_int_equal(link_stats(link).bytes_copied, 0);
    assert_int_equal(link_stats(link).extents_2m, 40);
    assert_int_equal(link_stats(link).pages_4k, 0);
    /* A loan takes at most two updates on the way there and two on the way home. Loans that go
     * or come home together share them. */
    assert_true(link_stats(link).table_calls <= 40 * 4);
}

static void lend_part_of_an_extent(void **state)
{
    struct ferry_link *link = exchange(*state, "lend", "deferred", 30, 5000);

    assert_int_equal(link_stats(link).extents_2m, 30);
    assert_int_equal(link_stats(link).bytes_handed_over, 30 * 5000);
}

static void lend_three_extents(void **state)
{
    struct ferry_link *link = exchange(*state, "lend", "auto", 8, 2 * EXTENT + 1);

    assert_int_equal(link_stats(link).extents_2m, 8 * 3);
    /* Adjacent extents change hands in one call. */
    assert_true(link_stats(link).table_calls <= 8 * 4);
}

static void lend_page(void **state)
{
    struct ferry_link *link = exchange(*state, "lend", "deferred", 200, 4096);

    assert_int_equal(link_stats(link).pages_4k, 200);
    assert_int_equal(link_stats(link).extents_2m, 0);
}

static void move_extent(void **state)
{
    struct ferry_link *link = exchange(*state, "move", "immediate", 40, EXTENT);

    assert_int_equal(link_stats(link).extents_2m, 40);
    assert_true(link_stats(link).table_calls <= 40 * 2);
}

static void move_page_deferred(void **state)
{
    exchange(*state, "move", "deferred", 300, 1);
}

static void pages_lent_and_moved(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "pages", "b", "100", NULL);
    int b = world_add(world, "b", "recv_check", "a", "any", "100", "4096", NULL);
    struct ferry_link *link = world_link(world, a, b);

    world_run_ok(world);
    assert_int_equal(link_stats(link).pages_4k, 100);
}

static void pointers_stay_valid(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "pointer_tree", "send", "b", NULL);
    int b = world_add(world, "b", "pointer_tree", "recv", "a", NULL);

    world_link(world, a, b);
    world_run_ok(world);
}

static void operator_overrides_immediate(void **state)
{
    struct world *world = *state;

    world->delivery = FERRY_DELIVER_DEFERRED;
    exchange(world, "inline", "immediate", 500, 8);
    assert_int_equal(world_stats(world, 0).exits_immediate, 0);
}

static void operator_overrides_deferred(void **state)
{
    struct world *world = *state;

    world->delivery = FERRY_DELIVER_IMMEDIATE;
    exchange(world, "inline", "deferred", 500, 8);
    assert_int_equal(world_stats(world, 0).exits_immediate, 500);
}

/* A write that is sent at its own exit, because all is to leave at once, is an immediate exit
 * (claim 5); stdio's buffer of 512 bytes makes three. */
static void plain_writes_may_be_immediate(void **state)
{
    struct world *world = *state;
    char text[3 * 512] = {0}, got[sizeof text + 1];
    struct ferry_message message = {.mode = FERRY_COPY, .data = text, .bytes = sizeof text};

    world->delivery = FERRY_DELIVER_IMMEDIATE;
    int a = world_add(world, "a", "stdio", NULL);
    struct ferry_link *in = world_stream(world, -1, a), *out = world_stream(world, a, -1);
    assert_int_equal(ferry_link_send(in, &message, PATIENCE), 0);
    ferry_link_hangup(in);
    world_start(world);
    assert_int_equal(world_read_all(out, got, sizeof got), sizeof text);
    world_wait(world);
    world_expect_ok(world, a);
    assert_int_equal(world_stats(world, a).messages_sent, 3);
    assert_int_equal(world_stats(world, a).exits_immediate, 3);
}

static void musl_and_pie_guests(void **state)
{
    struct world *world = *state;
    static const char *const kinds[] = {"send_pie", "send_musl"};
    static const char *const names[][2] = {{"a", "b"}, {"c", "d"}};

    for (int i = 0; i < 2; i++) {
        int a = world_add(world, names[i][0], kinds[i], names[i][1], "lend", "auto", "20", "4096",
                          NULL);
        int b =
            world_add(world, names[i][1], "recv_check", names[i][0], "lend", "20", "4096", NULL);
        world_link(world, a, b);
    }
    world_start(world);
    world_wait(world);
    for (int i = 0; i < world->count; i++)
        world_expect_ok(world, i);
}

/* Two senders to one slow receiver: each keeps its own order, none is lost. */
/* It ends with a loan whose owner waits for it, and takes none of the messages that it left. */
static void who_ends_gives_loans_back(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "ends_holding", "b", NULL);
    int b = world_add(world, "b", "lend", "a", NULL);

    world_link_both(world, a, b);
    world_run_ok(world);
}

static void two_senders(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "send", "c", "inline", "deferred", "3000", "16", NULL);
    int b = world_add(world, "b", "send", "c", "lend", "auto", "50", "4096", NULL);
    int c = world_add(world, "c", "sink", "a", "b", NULL);

    world_link(world, a, c);
    world_link(world, b, c);
    world_run_ok(world);
    assert_int_equal(world_stats(world, c).messages_received, 3050);
}

/* The one thread of a program reads the answer to messages for which there was no room. */
static void messages_that_wait_are_sent_while_input_is_awaited(void **state)
{
    enum { COUNT = 60 }; /* there is room for 48 */
    struct world *world = *state;
    struct ferry_message message, answer = {.mode = FERRY_COPY, .data = "!", .bytes = 1};
    int a = world_add(world, "a", "asks_behind", "host", "60", NULL);
    struct ferry_link *out = world_link(world, a, -1), *in = world_stream(world, -1, a);

    world_start(world);
    until(strstr(world_said(world), "asks"));
    for (unsigned tag = 0; tag < COUNT; tag++) {
        assert_int_equal(ferry_link_recv(out, PATIENCE, &message), 0);
        assert_int_equal(message.tag, tag);
        assert_int_equal(ferry_link_release(out, message.token), 0);
    }
    assert_int_equal(ferry_link_send(in, &answer, PATIENCE), 0);
    world_wait(world);
    world_expect_ok(world, a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kvm_test(inline_immediate),
        kvm_test(inline_deferred),
        kvm_test(inline_empty),
        kvm_test(copy_small),
        kvm_test(copy_largest),
        kvm_test(lend_extent),
        kvm_test(lend_part_of_an_extent),
        kvm_test(lend_three_extents),
        kvm_test(lend_page),
        kvm_test(move_extent),
        kvm_test(move_page_deferred),
        kvm_test(pages_lent_and_moved),
        kvm_test(pointers_stay_valid),
        kvm_test(operator_overrides_immediate),
        kvm_test(operator_overrides_deferred),
        kvm_test(plain_writes_may_be_immediate),
        kvm_test(musl_and_pie_guests),
        kvm_test(who_ends_gives_loans_back),
        kvm_test(two_senders),
        kvm_test(messages_that_wait_are_sent_while_input_is_awaited),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
