/* SPDX-License-Identifier: BSD-2-Clause */
/* One test for each section of docs/claims.md: the patent's claims, tested on real VMs. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kvm_fixture.h"

/* Claims 1, 15, 8: a page of the first VM, named by a message in the queue of
 * the second, is mapped into the second by a page-table update, and the second
 * processes it. */
static void claim_1_page_table_update(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "send", "b", "move", "immediate", "1", "2097152", NULL);
    int b = world_add(world, "b", "recv_check", "a", "move", "1", "2097152", NULL);
    struct ferry_link *link = world_link(world, a, b);

    world_run_ok(world);
    assert_int_equal(link_stats(link).table_calls, 2); /* closed there, opened here */
    assert_int_equal(link_stats(link).bytes_copied, 0);
}

/* Claims 3, 4, 17, 18: data in the control structures, dequeued into a local
 * variable of the second VM (recv_check compares its local copy). */
static void claim_3_queues_of_the_control_structures(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "send", "b", "inline", "deferred", "1000", "32", NULL);
    int b = world_add(world, "b", "recv_check", "a", "inline", "1000", "32", NULL);

    world_link(world, a, b);
    world_run_ok(world);
    assert_int_equal(world_stats(world, b).messages_received, 1000);
}

static void send_inline(struct world *world, const char *when)
{
    int a = world_add(world, "a", "send", "b", "inline", when, "100", "8", NULL);
    int b = world_add(world, "b", "recv_check", "a", "inline", "100", "8", NULL);

    world_link(world, a, b);
    world_run_ok(world);
}

/* Claims 5, 6, 12, 13, 19, 20, first half: the write that queues it leaves the VM at once. */
static void claim_5_immediate_exit(void **state)
{
    send_inline(*state, "immediate");
    assert_int_equal(world_stats(*state, 0).exits_immediate, 100);
}

/* Second half: the write does not leave the VM; the next natural exit does it. */
static void claim_6_next_natural_exit(void **state)
{
    send_inline(*state, "deferred");
    assert_int_equal(world_stats(*state, 0).exits_immediate, 0);
    assert_int_equal(world_stats(*state, 1).messages_received, 100);
}

/* The tick, which would make an exit too, is off: the message stays until the guest leaves for
 * some other reason, and goes then. */
static void claim_6_at_the_exit_itself(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "natural", "b", "100", NULL);
    int b = world_add(world, "b", "sink", "a", NULL);

    world_link(world, a, b);
    world_run_ok(world);
    assert_int_equal(world_stats(world, a).messages_sent, 100);
    assert_int_equal(world_stats(world, a).exits_immediate, 0);
}

/* The next message names this VM as its sender and the host as its receiver. */
static void expect_from(struct ferry_link *link, const char *name)
{
    struct ferry_message message;
    struct ferry_identity peer;

    ferry_link_peer(link, &peer);
    assert_string_equal(peer.name, name);
    assert_int_equal(ferry_link_recv(link, PATIENCE, &message), 0);
    assert_int_equal(message.mode, FERRY_INLINE);
    assert_int_equal(message.src, peer.id);
    assert_int_equal(message.src_generation, peer.generation);
    assert_int_equal(message.dst, 0);
}

/* Claims 7, 14: both identities travel with a message. Here they are compared with the VMM's books;
 * in the other direction, and between two VMs, recv_check compares them with its table of peers. A
 * forged source is refused (test_hostile). */
static void claim_7_identity(void **state)
{
    struct world *world = *state;
    struct ferry_identity peer_a, peer_b;
    int a = world_add(world, "a", "send", "host", "inline", "auto", "1", "8", NULL);
    int b = world_add(world, "b", "send", "host", "inline", "auto", "1", "8", NULL);
    struct ferry_link *from_a = world_link(world, a, -1), *from_b = world_link(world, b, -1);

    ferry_link_peer(from_a, &peer_a);
    ferry_link_peer(from_b, &peer_b);
    assert_int_not_equal(peer_a.id, 0);
    assert_int_not_equal(peer_a.id, peer_b.id);
    assert_int_not_equal(peer_a.generation, peer_b.generation);
    world_start(world);
    expect_from(from_b, "b");
    expect_from(from_a, "a");
    world_wait(world);
    world_expect_ok(world, a);
    world_expect_ok(world, b);
}

/* A VM that takes a dead one's place is another: same id, new generation. */
static void claim_7_generation(void **state)
{
    struct world *world = *state;
    struct ferry_message first, second;
    int a = world_add(world, "a", "send", "host", "inline", "auto", "1", "8", NULL);
    struct ferry_link *link = world_link(world, a, -1);

    world_start(world);
    assert_int_equal(ferry_link_recv(link, PATIENCE, &first), 0);
    world_wait(world);
    ferry_vm_destroy(world->vm[0]);
    world->count = 0;
    a = world_add(world, "a", "send", "host", "inline", "auto", "1", "8", NULL);
    link = world_link(world, a, -1);
    world_start(world);
    assert_int_equal(ferry_link_recv(link, PATIENCE, &second), 0);
    assert_int_equal(first.src, second.src);
    assert_int_not_equal(first.src_generation, second.src_generation);
    world_wait(world);
}

/* The host is one peer to its guests, whichever link it uses. */
static void claim_7_host(void **state)
{
    struct world *world = *state;
    int b = world_add(world, "b", "recv_check", "host", "inline", "1", "8", NULL);
    struct ferry_link *to = world_link(world, -1, b);
    struct ferry_message message = {.mode = FERRY_INLINE, .bytes = 8};
    unsigned char data[8];

    world_link(world, b, -1); /* a second end of the host's, made later */
    for (unsigned i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)i; /* the pattern of message 0 */
    message.data = data;
    assert_int_equal(ferry_link_send(to, &message, PATIENCE), 0);
    ferry_link_hangup(to);
    world_start(world);
    world_wait(world);
    world_expect_ok(world, b); /* it compares generations */
}

/* The digest is that of the file, by another program's reckoning. */
static void claim_7_digest(void **state)
{
    struct world *world = *state;
    struct ferry_identity identity;
    char command[600], hex[65] = "", expected[65] = "";
    int a = world_add(world, "named", "syscalls", NULL);
    struct ferry_link *link = world_link(world, a, -1);

    ferry_link_peer(link, &identity);
    for (int i = 0; i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", identity.digest[i]);
    snprintf(command, sizeof command, "sha256sum '%s/syscalls'", getenv("FERRY_TEST_GUESTS"));
    FILE *sum = popen(command, "r");
    assert_non_null(sum);
    assert_int_equal(fscanf(sum, "%64s", expected), 1);
    pclose(sum);
    assert_string_equal(hex, expected);
    assert_string_equal(identity.name, "named");
    assert_int_not_equal(identity.id, 0);
}

/* Claim 10: a second message travels back with a page of the second VM. */
static void claim_10_and_back(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "ping", "b", "lend", "20", "2097152", NULL);
    int b = world_add(world, "b", "echo", "a", NULL);
    struct ferry_link *there = world_link(world, a, b), *back = world_link(world, b, a);

    world_run_ok(world);
    assert_int_equal(link_stats(there).extents_2m, 20);
    assert_int_equal(link_stats(back).extents_2m, 20);
}

static void claim_10_every_mode(void **state)
{
    static const char *const modes[] = {"inline", "copy", "move"};
    struct world *world = *state;

    for (int i = 0; i < 3; i++) {
        int a = world_add(world, "a", "ping", "b", modes[i], "50", "32", NULL);
        int b = world_add(world, "b", "echo", "a", NULL);
        world_link_both(world, a, b);
        world_run_ok(world);
        ferry_vm_destroy(world->vm[0]);
        ferry_vm_destroy(world->vm[1]);
        world->count = 0;
    }
}

/* A deferred message of a program that never leaves its VM by itself still
 * arrives: the tick makes a natural exit. */
static void deferred_is_bounded(void **state)
{
    struct world *world = *state;
    struct ferry_message message;
    int a = world_add(world, "a", "send_and_spin", "host", NULL);
    struct ferry_link *link = world_link(world, a, -1);

    world_start(world);
    assert_int_equal(ferry_link_recv(link, PATIENCE, &message), 0);
    assert_int_equal(message.tag, 42);
    ferry_vm_stop(world->vm[a], 15);
    world_wait(world);
    assert_int_equal(world->exit[a].how, FERRY_ENDED_STOPPED);
    assert_int_equal(world_stats(world, a).exits_immediate, 0);
}

static uint64_t clock_of(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

/* The bound is the one that was asked for. A guest that never leaves by itself sends one message after
 * the other, each at the next tick: at best a thousand in a second. In a second of processor time, which
 * others do not take from it, they are hardly fewer than a hundred. Were the bound a hundred times as
 * long, they were ten in a second of any time. */
static void the_bound_on_deferral_is_kept(void **state)
{
    struct world *world = *state;

    world->delivery = FERRY_DELIVER_DEFERRED;
    int a = world_add(world, "a", "no_exit", "b", "inline", "1000000", "8", NULL);
    int b = world_add(world, "b", "sink", "a", NULL);
    world_link(world, a, b);
    uint64_t begun = clock_of(CLOCK_MONOTONIC), used = clock_of(CLOCK_PROCESS_CPUTIME_ID);
    world_start(world);
    while (clock_of(CLOCK_PROCESS_CPUTIME_ID) - used < SECOND) /* bounded by the VM's time limit */
        assert_int_equal(ferry_vm_wait(world->vm[a], SECOND / 100, NULL), -ETIMEDOUT);
    uint64_t sent = world_stats(world, a).messages_sent;
    uint64_t tenths = (clock_of(CLOCK_MONOTONIC) - begun) / (SECOND / 10);
    ferry_vm_stop(world->vm[a], SIGTERM);
    world_wait(world);
    assert_in_range(sent, 25 + tenths, 200 * (tenths + 1));
}

static int setup_tick(void **state)
{
    const struct ferry_engine_config config = {
        .pool_extents = 8, .pool_pages = 512, .max_defer_us = 1000};

    return world_setup_with(state, &config);
}

static int setup_without_tick(void **state)
{
    const struct ferry_engine_config config = {
        .pool_extents = 8, .pool_pages = 512, .max_defer_us = UINT32_MAX};

    return world_setup_with(state, &config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kvm_test(claim_1_page_table_update),
        kvm_test(claim_3_queues_of_the_control_structures),
        kvm_test(claim_5_immediate_exit),
        kvm_test(claim_6_next_natural_exit),
        cmocka_unit_test_setup_teardown(claim_6_at_the_exit_itself, setup_without_tick,
                                        world_teardown),
        kvm_test(claim_7_identity),
        kvm_test(claim_7_generation),
        kvm_test(claim_7_host),
        kvm_test(claim_7_digest),
        kvm_test(claim_10_and_back),
        kvm_test(claim_10_every_mode),
        kvm_test(deferred_is_bounded),
        cmocka_unit_test_setup_teardown(the_bound_on_deferral_is_kept, setup_tick, world_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
