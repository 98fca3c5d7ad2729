/* SPDX-License-Identifier: BSD-2-Clause */
/* Direct links: order, waiting and polling, the rights of both sides, and the end of a sender. */
#include <errno.h>
#include <ferry/abi/direct.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "kvm_fixture.h"

#define SLOTS_AT offsetof(struct ferry_direct, slots)

static struct ferry_link *links[2];

/* Links the two both ways, runs both and expects both to exit with 0. */
static void run_pair(struct world *world, int a, int b)
{
    links[0] = world_direct(world, a, b);
    links[1] = world_direct(world, b, a);
    world_run_ok(world);
}

/* Returns how many messages each of them sent. */
static unsigned exchange(struct world *world, unsigned many, const char *window, const char *how_a,
                         const char *how_b, const char *mixed)
{
    char count[16];

    snprintf(count, sizeof count, "%u", world_many(many));
    int a = world_add(world, "a", "direct", "b", count, count, how_a, window, mixed, NULL);
    int b = world_add(world, "b", "direct", "a", count, count, how_b, window, mixed, NULL);

    run_pair(world, a, b);
    return world_many(many);
}

/* Messages are routed before the other side is ready, and until the VMM has taken those; no later
 * ones. */
static void assert_few_were_routed(uint64_t sent)
{
    for (int i = 0; i < 2; i++)
        assert_in_range(link_stats(links[i]).messages, 0, sent / 10);
}

static void polling_in_turn(void **state)
{
    assert_few_were_routed(exchange(*state, 20000, "1", "poll", "poll", NULL));
    /* Only the first two are waited for, before the other is known to be ready. */
    assert_in_range(world_stats(*state, 0).exits_immediate, 0, 10);
}

static void polling_many(void **state)
{
    exchange(*state, 100000, "900", "poll", "poll", NULL);
}

static void waiting_in_turn(void **state)
{
    assert_few_were_routed(exchange(*state, 500, "1", "wait", "wait", NULL));
}

static void one_waits(void **state)
{
    assert_few_were_routed(exchange(*state, 2000, "1", "poll", "wait", NULL));
}

static int setup_without_tick(void **state)
{
    const struct ferry_engine_config config = {
        .pool_extents = 64, .pool_pages = 512, .max_defer_us = UINT32_MAX}; /* above an hour */

    return world_setup_with(state, &config);
}

static int setup_polled(void **state)
{
    const struct ferry_engine_config config = {
        .pool_extents = 64, .pool_pages = 512, .polled = true, .max_defer_us = UINT32_MAX};

    return world_setup_with(state, &config);
}

/* A thread of the VMM looks for waiting receivers: no doorbell rings. */
static void polled_by_the_vmm(void **state)
{
    exchange(*state, 2000, "1", "poll", "wait", "mixed");
    assert_int_equal(world_stats(*state, 0).exits_immediate, 0);
    assert_int_equal(world_stats(*state, 1).exits_immediate, 0);
}

/* Both go to sleep, and only the other's doorbell wakes them. */
static void no_wake_is_lost(void **state)
{
    exchange(*state, 3000, "1", "wait", "wait", NULL);
}

static void no_wake_of_a_poller_is_lost(void **state)
{
    exchange(*state, 3000, "1", "poll", "wait", NULL);
}

/* The sender polls, so it never leaves its VM: only the tick can wake the other. */
static void deferred_to_a_waiter(void **state)
{
    struct world *world = *state;

    world->delivery = FERRY_DELIVER_DEFERRED;
    assert_few_were_routed(exchange(world, 100, "1", "poll", "wait", NULL));
    assert_int_equal(world_stats(world, 0).exits_immediate, 0);
}

static void mixed_with_payloads(void **state)
{
    exchange(*state, 20000, "300", "poll", "wait", "mixed");
    assert_true(link_stats(links[0]).pages_4k > 0);
    assert_true(link_stats(links[0]).bytes_copied > 0);
}

static void mixed_in_turn(void **state)
{
    exchange(*state, 1000, "1", "wait", "wait", "mixed");
}

/* The sender is faster than the receiver, so the ring is full again and again. */
static void one_way(void **state)
{
    struct world *world = *state;
    char count[16];

    snprintf(count, sizeof count, "%u", world_many(200000));
    int a = world_add(world, "a", "direct", "b", count, "0", "poll", "1", NULL);
    int b = world_add(world, "b", "direct", "a", "0", count, "wait", "1", NULL);

    run_pair(world, a, b);
}

/* Two VMs send by a ring each, and a third sends routed messages. */
static void three_senders(void **state)
{
    struct world *world = *state;
    char count[16];

    snprintf(count, sizeof count, "%u", world_many(20000));
    int a = world_add(world, "a", "send", "d", "copy", "auto", "1000", "64", NULL);
    int b = world_add(world, "b", "direct", "d", count, "0", "poll", "1", NULL);
    int c = world_add(world, "c", "direct", "d", count, "0", "poll", "1", "mixed", NULL);
    int d = world_add(world, "d", "sink", "a", "b", "c", NULL);

    world_link(world, a, d);
    world_direct(world, b, d);
    world_direct(world, c, d);
    world_start(world);
    world_wait(world);
    for (int i = a; i <= d; i++)
        world_expect_ok(world, i);
}

static void what_a_dead_peer_sent_arrives(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "direct", "b", "dies", "1000", NULL);
    int b = world_add(world, "b", "direct", "a", "survives", "1000", NULL);

    links[0] = world_direct(world, a, b);
    links[1] = world_direct(world, b, a);
    world_start(world);
    world_wait(world);
    assert_int_equal(world->exit[a].how, FERRY_ENDED_SIGNAL);
    world_expect_ok(world, b);
    assert_int_equal(link_stats(links[0]).messages, 0);
}

/* The store must end the VM, with a report that names the address. */
static void expect_refused(struct world *world, const char *side, const char *offset)
{
    int a = world_add(world, "a", "direct", "b", "write", side, offset, NULL);
    int b = world_add(world, "b", "null_read", NULL);

    links[0] = world_direct(world, a, b);
    links[1] = world_direct(world, b, a);
    world_start(world);
    world_wait(world);
    assert_int_equal(world->exit[a].how, FERRY_ENDED_CRASH);
    assert_int_equal(world->exit[a].signo, SIGSEGV);
    assert_true(world->exit[a].address_known);
    assert_in_range(world->exit[a].address, FERRY_DIRECT_BASE,
                    FERRY_DIRECT_BASE + 2 * FERRY_DIRECT_STRIDE);
    assert_non_null(strstr(world->exit[a].text, "read-only"));
}

static void sender_cannot_write_the_tail(void **state)
{
    expect_refused(*state, "out", "0");
}

static void receiver_cannot_write_the_first_slot(void **state)
{
    expect_refused(*state, "in", "4096");
}

static void receiver_cannot_write_the_last_slot(void **state)
{
    char offset[16];

    snprintf(offset, sizeof offset, "%zu", sizeof(struct ferry_direct) - 1);
    expect_refused(*state, "in", offset);
}

static void each_writes_its_own(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "direct", "b", "write", "out", "4096", NULL);
    int b = world_add(world, "b", "direct", "a", "write", "in", "0", NULL);

    run_pair(world, a, b);
}

/* The pages of direct rings as this process maps them: pages[0] of the receiver's first page,
 * pages[1] of slots; those that can be written count in writable. */
static void count_ring_pages(unsigned pages[2], unsigned writable[2])
{
    char line[512], write;
    unsigned long start, end, offset;

    FILE *maps = fopen("/proc/self/maps", "re");
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps)) {
        if (!strstr(line, "memfd:ferry-direct"))
            continue;
        assert_int_equal(sscanf(line, "%lx-%lx r%c%*s %lx", &start, &end, &write, &offset), 4);
        for (unsigned long at = offset; at < offset + (end - start); at += 4096) {
            pages[at >= SLOTS_AT]++;
            writable[at >= SLOTS_AT] += write == 'w';
        }
    }
    fclose(maps);
}

/* Not only the tables that the guest's CPU walks keep the two apart: the host's mapping of each
 * has the rights of its end, and the VMM's own view none to write. */
static void the_host_maps_a_ring_with_the_rights_of_each_end(void **state)
{
    struct world *world = *state;
    const unsigned slot_pages = (sizeof(struct ferry_direct) - SLOTS_AT) / 4096;
    unsigned pages[2] = {0}, writable[2] = {0};
    int a = world_add(world, "a", "null_read", NULL), b = world_add(world, "b", "null_read", NULL);

    world_direct(world, a, b);
    count_ring_pages(pages, writable);
    assert_int_equal(pages[0], 3); /* at the sender, at the receiver, in the VMM's view */
    assert_int_equal(pages[1], 3 * slot_pages);
    assert_int_equal(writable[0], 1);
    assert_int_equal(writable[1], slot_pages);
}

static void only_if_asked_for(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "direct", "b", "none", NULL);
    int b = world_add(world, "b", "direct", "a", "none", NULL);

    world_link_both(world, a, b);
    world_run_ok(world);
}

static void not_with_the_host(void **state)
{
    struct world *world = *state;
    const struct ferry_link_config config = {.direct = true};
    struct ferry_link *link;
    struct ferry_error err;
    int a = world_add(world, "a", "null_read", NULL);

    assert_int_equal(ferry_link_create(world->engine, NULL, world->vm[a], &config, &link, &err),
                     -EINVAL);
    assert_non_null(strstr(err.text, "two VMs"));
    assert_int_equal(ferry_link_create(world->engine, world->vm[a], NULL, &config, &link, &err),
                     -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kvm_test(polling_in_turn),
        kvm_test(polling_many),
        kvm_test(waiting_in_turn),
        kvm_test(one_waits),
        cmocka_unit_test_setup_teardown(no_wake_is_lost, setup_without_tick, world_teardown),
        cmocka_unit_test_setup_teardown(no_wake_of_a_poller_is_lost, setup_without_tick,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(polled_by_the_vmm, setup_polled, world_teardown),
        kvm_test(deferred_to_a_waiter),
        kvm_test(mixed_with_payloads),
        kvm_test(mixed_in_turn),
        kvm_test(one_way),
        kvm_test(three_senders),
        kvm_test(what_a_dead_peer_sent_arrives),
        kvm_test(sender_cannot_write_the_tail),
        kvm_test(receiver_cannot_write_the_first_slot),
        kvm_test(receiver_cannot_write_the_last_slot),
        kvm_test(each_writes_its_own),
        kvm_test(the_host_maps_a_ring_with_the_rights_of_each_end),
        kvm_test(only_if_asked_for),
        kvm_test(not_with_the_host),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
