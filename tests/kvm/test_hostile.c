/* SPDX-License-Identifier: BSD-2-Clause */
/* Guests that attack the VMM and their peers: refused, and nothing else happens. */
#include <ferry/abi/control.h>
#include <stdio.h>
#include <string.h>

#include "kvm_fixture.h"

/* Bad values over a direct link, and in its ring. */
static void hostile_direct_ring(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "hostile_ring", "b", NULL);
    int b = world_add(world, "b", "hold", "a", NULL);

    world_direct(world, a, b);
    world_run_ok(world);
}

/* One VM takes all it can get; another still gets its share. */
static void pool_hog(void **state)
{
    struct world *world = *state;
    world_add(world, "a", "pool_hog", NULL);
    int b = world_add(world, "b", "send", "c", "lend", "auto", "10", "2097152", NULL);
    int c = world_add(world, "c", "recv_check", "b", "lend", "10", "2097152", NULL);

    world_link(world, b, c);
    world_run_ok(world);
}

/* The receiver does not see what the sender has in the units beside the payload. */
static void parts_of_units(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "send_parts", "b", NULL);
    int b = world_add(world, "b", "look_around", NULL);

    world_link(world, a, b);
    world_run_ok(world);
}

/* The VMM gathers output in an extent of the window; it does not copy out of that one. */
static void output_from_all_of_the_window(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "write_window", NULL);
    int b = world_add(world, "b", "sink", "a", NULL);

    world_stream(world, a, b);
    world_run_ok(world);
}

/* Without a link there is no peer to name and nothing to send to. */
static void no_link_no_peer(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "send", "b", "inline", "auto", "1", "1", NULL);
    int b = world_add(world, "b", "syscalls", NULL);

    world_start(world);
    world_wait(world);
    assert_int_equal(world->exit[a].status, 1);
    assert_non_null(strstr(world_said(world), "there is no peer 'b'"));
    assert_int_equal(world_stats(world, b).messages_received, 0);
}

/* A link is one way: the receiver may not send back over it, and its rights say so. */
static void one_way(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "send", "b", "inline", "auto", "1", "1", NULL);
    int b = world_add(world, "b", "answers", "a", NULL);

    world_link(world, a, b);
    world_run_ok(world);
    assert_int_equal(world_stats(world, a).messages_received, 0);
}

/* Two that fill each other up and wait must sleep, not wake each other for ever: the one whose
 * time is over first finds it over, and the other that its peer is gone. */
static void stand_off(struct world *world, const char *kind)
{
    world->timeout_ns = 0; /* they end by themselves */
    int a = world_add(world, "a", "standoff", kind, "b", NULL);
    int b = world_add(world, "b", "standoff", kind, "a", NULL);

    world_link_both(world, a, b);
    world_start(world);
    for (int i = a; i <= b; i++)
        assert_int_equal(ferry_vm_wait(world->vm[i], PATIENCE / 2, &world->exit[i]), 0);
    for (int i = a; i <= b; i++)
        if (world->exit[i].how != FERRY_ENDED_EXIT ||
            (world->exit[i].status != 0 && world->exit[i].status != 3))
            fail_msg("%s; guests said: %s", world->exit[i].text, world_said(world));
    assert_true(world->exit[a].status == 0 || world->exit[b].status == 0);
}

static void full_queues_wake_nobody(void **state)
{
    stand_off(*state, "inline");
}

static void used_up_shares_wake_nobody(void **state)
{
    stand_off(*state, "share");
}

/* Whether a guest that stores to this page of its control structure goes on. */
static bool may_store(struct world *world, unsigned page)
{
    char number[8];

    snprintf(number, sizeof number, "%u", page);
    int a = world_add(world, "a", "control_page", number, NULL);
    world_start(world);
    world_wait(world);
    const struct ferry_vm_exit *end = &world->exit[a];
    bool wrote = end->how == FERRY_ENDED_EXIT && end->status == 0;
    if (!wrote && (end->how != FERRY_ENDED_CRASH || !end->address_known ||
                   end->address != FERRY_SYSTEM_BASE + page * 4096ull))
        fail_msg("page %u: %s", page, end->text);
    ferry_vm_destroy(world->vm[a]);
    world->count = 0;
    return wrote;
}

/* Each page has one writer. The guest cannot write the pages that the VMM relies on, nor the page
 * that describes its peers, even though only the guest itself reads that. */
static void pages_of_the_control_structure(void **state)
{
    const unsigned guest = offsetof(struct ferry_control, guest) / 4096;
    const unsigned in = offsetof(struct ferry_control, in) / 4096;

    for (unsigned page = 0; page < sizeof(struct ferry_control) / 4096; page++)
        if (may_store(*state, page) != (page >= guest && page < in))
            fail_msg("page %u: a store %s", page, page >= guest && page < in ? "fails" : "works");
}

static void spins_past_its_time(void **state)
{
    struct world *world = *state;

    world->timeout_ns = SECOND / 5;
    int a = world_add(world, "a", "spin", NULL);
    world->timeout_ns = PATIENCE;
    int b = world_add(world, "b", "syscalls", NULL);
    world_start(world);
    world_wait(world);
    assert_int_equal(world->exit[a].how, FERRY_ENDED_TIMEOUT);
    assert_int_equal(world->exit[a].status, 124);
    assert_non_null(strstr(world->exit[a].text, "0.2 s"));
    world_expect_ok(world, b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kvm_test(parts_of_units),
        kvm_test(output_from_all_of_the_window),
        kvm_test(hostile_direct_ring),
        kvm_test(pool_hog),
        kvm_test(no_link_no_peer),
        kvm_test(one_way),
        kvm_test(spins_past_its_time),
        kvm_test(full_queues_wake_nobody),
        kvm_test(used_up_shares_wake_nobody),
        kvm_test(pages_of_the_control_structure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
