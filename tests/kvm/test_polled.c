/* SPDX-License-Identifier: BSD-2-Clause */
/* The polled engine: messages that need no exit, and nothing lost when somebody waits. */
#include <stdio.h>

#include "kvm_fixture.h"

#define EXTENT (2u << 20)

static int setup(void **state)
{
    /* The tick is far away: the poller, or an exit, brought what arrives. */
    const struct ferry_engine_config config = {
        .pool_extents = 64, .pool_pages = 512, .max_defer_us = 3600000000u, .polled = true};

    return world_setup_with(state, &config);
}

static struct ferry_link *exchange(struct world *world, const char *from, const char *mode,
                                   unsigned many, const char *bytes)
{
    char count[16];

    snprintf(count, sizeof count, "%u", many);
    int a = from ? world_add(world, "a", from, "b", mode, count, bytes, NULL)
                 : world_add(world, "a", "send", "b", mode, "auto", count, bytes, NULL);
    int b = world_add(world, "b", "recv_check", "a", mode, count, bytes, NULL);
    struct ferry_link *link = world_link(world, a, b);

    world_start(world);
    world_wait(world);
    world_expect_ok(world, a);
    world_expect_ok(world, b);
    assert_int_equal(world_stats(world, a).exits_immediate, 0);
    return link;
}

static void inline_without_an_exit(void **state)
{
    struct ferry_link *link = exchange(*state, "no_exit", "inline", 500, "8");

    assert_int_equal(link_stats(link).messages, 500);
    /* The only exits are those of the C library when it starts and ends. */
    assert_true(world_stats(*state, 0).exits_natural < 200);
}

/* Payloads are copied out of the program's memory while the program runs. */
static void copied_without_an_exit(void **state)
{
    struct ferry_link *link = exchange(*state, "no_exit", "copy", 500, "3000");

    assert_int_equal(link_stats(link).bytes_copied, 500 * 3000);
    assert_true(world_stats(*state, 0).exits_natural < 200);
}

/* Extents are lent, released and come home. */
static void lent_without_an_exit(void **state)
{
    struct ferry_link *link = exchange(*state, "no_exit", "lend", 400, "5000");

    assert_int_equal(link_stats(link).extents_2m, 400);
    assert_true(world_stats(*state, 0).exits_natural < 300); /* and a fault now and then */
}

static void every_mode(void **state)
{
    exchange(*state, NULL, "inline", world_many(20000), "7");
}

static void many_copies(void **state)
{
    exchange(*state, NULL, "copy", world_many(2000), "65536");
}

static void many_loans(void **state)
{
    exchange(*state, NULL, "lend", world_many(300), "2097152");
}

static void many_moves(void **state)
{
    exchange(*state, NULL, "move", world_many(300), "4096");
}

/* Both wait for each other, blocked: the poller has nothing to do and may sleep. */
static void both_wait(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "ping", "b", "inline", "500", "32", NULL);
    int b = world_add(world, "b", "echo", "a", "500", NULL);

    world_link_both(world, a, b);
    world_run_ok(world);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)
    const struct CMUnitTest tests[] = {
        CASE(inline_without_an_exit),
        CASE(copied_without_an_exit),
        CASE(lent_without_an_exit),
        CASE(every_mode),
        CASE(many_copies),
        CASE(many_loans),
        CASE(many_moves),
        CASE(both_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
