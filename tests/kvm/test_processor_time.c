/* SPDX-License-Identifier: BSD-2-Clause */
/* The processor time of a program with threads: what it is told, and its limit. */
#include <signal.h>
#include <string.h>
#include <time.h>

#include "kvm_fixture.h"

#define LIMIT_NS    (SECOND / 4)
#define LATE_NS     (2 * SECOND) /* a bound for a machine that is busy; what is promised is less */
#define XCPU_STATUS 152

static void run_ok(struct world *world, const char *what, const char *count)
{
    int a = world_add(world, "a", "processor_time", what, count, NULL);

    world_start(world);
    world_wait(world);
    world_expect_ok(world, a);
}

static void all_threads_count(void **state)
{
    run_ok(*state, "told", NULL);
}

static void another_threads_clock(void **state)
{
    run_ok(*state, "another", NULL);
}

static void timers_count_all_threads(void **state)
{
    run_ok(*state, "prof", NULL);
}

static void timers_of_virtual_time(void **state)
{
    run_ok(*state, "virtual", NULL);
}

static void a_timer_of_another_thread(void **state)
{
    run_ok(*state, "timer", NULL);
}

static void the_resource_limit_counts_all_threads(void **state)
{
    struct world *world = *state;

    world_add(world, "a", "processor_time", "limit", NULL);
    world_start(world);
    world_wait(world);
    assert_int_equal(world->exit[0].how, FERRY_ENDED_SIGNAL);
    assert_int_equal(world->exit[0].signo, SIGXCPU);
}

static uint64_t used_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

/* All that this process takes meanwhile is the VM's, or serves it. */
static void expect_limit(struct world *world, const char *what, const char *threads)
{
    uint64_t before, used;

    world->cpu_ns = LIMIT_NS;
    world_add(world, "a", "processor_time", what, threads, NULL);
    before = used_ns();
    world_start(world);
    world_wait(world);
    used = used_ns() - before;
    assert_int_equal(world->exit[0].how, FERRY_ENDED_CPU);
    assert_int_equal(world->exit[0].status, XCPU_STATUS);
    assert_string_equal(world->exit[0].text,
                        "stopped: it has used up its processor time of 0.25 s");
    assert_in_range(used, LIMIT_NS, LIMIT_NS + LATE_NS);
}

static void the_limit_ends_one_thread(void **state)
{
    expect_limit(*state, "compute", "1");
}

static void the_limit_is_of_all_threads(void **state)
{
    expect_limit(*state, "compute", "20");
}

static void the_limit_counts_system_calls(void **state)
{
    expect_limit(*state, "calls", "8");
}

/* The program sleeps longer than it may compute. */
static void waiting_is_free(void **state)
{
    struct world *world = *state;

    world->cpu_ns = SECOND;
    run_ok(world, "sleep", "1200");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kvm_test(all_threads_count),
        kvm_test(another_threads_clock),
        kvm_test(timers_count_all_threads),
        kvm_test(timers_of_virtual_time),
        kvm_test(a_timer_of_another_thread),
        kvm_test(the_resource_limit_counts_all_threads),
        kvm_test(the_limit_ends_one_thread),
        kvm_test(the_limit_is_of_all_threads),
        kvm_test(the_limit_counts_system_calls),
        kvm_test(waiting_is_free),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
