/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest kernel at the privilege level at which `syscall` arrives on this machine: CPL0 where there is
 * VMX or SVM. A guest program makes bytes, a second passes them on in some way, a third compares. */
#include <stdio.h>
#include <string.h>

#include "kvm_fixture.h"

/* Runs the three; gives the exits of the second. */
static uint64_t pass(struct world *world, unsigned bytes, const char *how, const char *size)
{
    char count[16];
    int places[3];

    snprintf(count, sizeof count, "%u", bytes);
    places[0] = world_add(world, "maker", "streams", "make", count, NULL);
    places[1] = world_add(world, "passer", "streams", how, size, NULL);
    places[2] = world_add(world, "checker", "streams", "check", count, NULL);
    world_stream(world, places[0], places[1]);
    world_stream(world, places[1], places[2]);
    world_run_ok(world);
    return world_stats(world, places[1]).exits_natural;
}

/* Each call of the program that passes on would be an exit. */
static void all_bytes_arrive(void **state)
{
    const unsigned bytes = world_many(4000000);

    assert_in_range(pass(*state, bytes, "pass", "1000"), 1, bytes / 1000);
}

static void pieces(void **state)
{
    pass(*state, world_many(2000000), "pieces", "700");
}

static void polling(void **state)
{
    pass(*state, world_many(2000000), "poll", "700");
}

/* Some fifteen questions for each 70 bytes, two of each kind. A write may be an exit where the machine is
 * slow, as its receiver waits. */
static void asking(void **state)
{
    const unsigned bytes = world_many(900000);

    assert_in_range(pass(*state, bytes, "ask", "70"), 1, 2 * (bytes / 70));
}

static void registers(void **state)
{
    const unsigned bytes = world_many(300000);

    assert_in_range(pass(*state, bytes, "registers", NULL), 1, bytes / 7);
}

static void gs_of_the_program(void **state)
{
    pass(*state, world_many(100000), "gs", NULL);
}

/* Where `syscall` arrives at CPL0, it would get the guest kernel for CPL3, and run at CPL0 itself. */
static void forged_calls(void **state)
{
    pass(*state, world_many(100000), "forge", NULL);
}

static void descriptors(void **state)
{
    pass(*state, world_many(300000), "descriptors", NULL);
}

static void signals(void **state)
{
    struct world *world = *state;

    pass(world, world_many(8000000), "signals", "64000");
    assert_non_null(strstr(world_said(world), "signals came"));
}

static void bad_pointers(void **state)
{
    struct world *world = *state;

    pass(world, 60000, "pointers", NULL);
    assert_non_null(strstr(world_said(world), "EFAULT"));
    assert_null(strstr(world_said(world), "no EFAULT"));
}

/* A program that writes into what its guest kernel works with ends, or its own bytes are wrong. */
static void hostile(void **state)
{
    struct world *world = *state;

    world->timeout_ns = 2 * SECOND;
    int maker = world_add(world, "maker", "streams", "make", "2000000", NULL);
    int middle = world_add(world, "middle", "streams", "scribble", NULL);
    int checker = world_add(world, "checker", "streams", "check", "0", NULL);

    world_stream(world, maker, middle);
    world_stream(world, middle, checker);
    world_start(world);
    world_wait(world);
    assert_int_not_equal(world->exit[middle].how, 0);
    assert_in_range(world->exit[maker].how, FERRY_ENDED_EXIT, FERRY_ENDED_TIMEOUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kvm_test(all_bytes_arrive), kvm_test(pieces),       kvm_test(polling),
        kvm_test(asking),           kvm_test(registers),    kvm_test(gs_of_the_program),
        kvm_test(descriptors),      kvm_test(forged_calls), kvm_test(signals),
        kvm_test(bad_pointers),     kvm_test(hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
