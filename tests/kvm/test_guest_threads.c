/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest library used by several threads at once, and guests whose threads attack the rings. */
#include <stdio.h>

#include "kvm_fixture.h"

typedef struct ferry_link *(*link_fn)(struct world *world, int from, int to);

static void messages(struct world *world, link_fn link)
{
    char count[16];

    snprintf(count, sizeof count, "%u", world_many(1500));
    int a = world_add(world, "a", "threads_messages", "send", "b", count, NULL);
    int b = world_add(world, "b", "threads_messages", "receive", "a", count, NULL);

    link(world, a, b);
    world_run_ok(world);
}

static void messages_by_the_vmm(void **state)
{
    messages(*state, world_link);
}

static void messages_by_a_direct_ring(void **state)
{
    messages(*state, world_direct);
}

static void messages_without_doorbells(void **state)
{
    struct world *world = *state;

    world->delivery = FERRY_DELIVER_DEFERRED;
    messages(world, world_link);
}

/* Each takes its input in one thread and makes its output in another. */
static void streams(void **state)
{
    struct world *world = *state;
    char bytes[16];

    snprintf(bytes, sizeof bytes, "%u", world_many(5000000));
    int a = world_add(world, "a", "threads_messages", "streams", bytes, NULL);
    int b = world_add(world, "b", "threads_messages", "streams", bytes, NULL);

    world_stream(world, a, b);
    world_stream(world, b, a);
    world_run_ok(world);
}

static void threads_that_change_what_the_vmm_reads(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "hostile_threads", "b", NULL);
    int b = world_add(world, "b", "hostile_threads", "a", "watch", NULL);

    world_link(world, a, b);
    world_run_ok(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kvm_test(messages_by_the_vmm),
        kvm_test(messages_by_a_direct_ring),
        kvm_test(messages_without_doorbells),
        kvm_test(streams),
        kvm_test(threads_that_change_what_the_vmm_reads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
