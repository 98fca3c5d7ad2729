/* SPDX-License-Identifier: BSD-2-Clause */
/* Programs with threads: each has a virtual processor, and they run in parallel. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvm_fixture.h"

static void run_ok(struct world *world, const char *guest, const char *what, const char *count)
{
    int a = world_add(world, "a", guest, what, count, NULL);

    world_start(world);
    world_wait(world);
    world_expect_ok(world, a);
}

static void locks_and_conditions(void **state)
{
    run_ok(*state, "futexes", "locks", NULL);
}

static void barriers(void **state)
{
    run_ok(*state, "futexes", "barriers", NULL);
}

static void locks_with_inheritance(void **state)
{
    run_ok(*state, "futexes", "inheritance", NULL);
}

static void no_signal_ends_a_wait_for_a_lock(void **state)
{
    run_ok(*state, "futexes", "lock-signals", NULL);
}

static void waits_that_end_with_a_lock(void **state)
{
    run_ok(*state, "futexes", "requeue", NULL);
}

static void robust_locks(void **state)
{
    run_ok(*state, "futexes", "robust", NULL);
}

static void robust_locks_with_inheritance(void **state)
{
    run_ok(*state, "futexes", "robust-pi", NULL);
}

static void a_robust_lock_that_names_nobody(void **state)
{
    run_ok(*state, "futexes", "unnamed", NULL);
}

static void threads_run_in_parallel(void **state)
{
    run_ok(*state, "races", "parallel", NULL);
}

static void processors_are_used_again(void **state)
{
    struct world *world = *state;

    world->threads = 2;
    run_ok(world, "threads", "churn", "300");
}

static void one_thread_too_many(void **state)
{
    struct world *world = *state;

    world->threads = 10; /* more than the blocks of the first page */
    run_ok(world, "threads", "limit", "10");
}

static void page_tables_leave_room_for_threads(void **state)
{
    struct world *world = *state;

    world->threads = 20;
    run_ok(world, "threads", "limit-full", "20");
}

static void the_last_thread_ends_the_program(void **state)
{
    struct world *world = *state;
    char text[64] = "";
    int a = world_add(world, "a", "threads", "main-ends", NULL);
    struct ferry_link *out = world_stream(world, a, -1);

    world_start(world);
    text[world_read_all(out, text, sizeof text - 1)] = '\0';
    world_wait(world);
    world_expect_ok(world, a);
    assert_string_equal(text, "the last thread\n");
}

/* Other threads wait for input, for a lock, for a signal, and compute. */
static void end_of_all(struct world *world, const char *what)
{
    int a = world_add(world, "a", "threads", what, NULL);

    world_stream(world, -1, a);
    world_start(world);
    world_wait(world);
}

static void exit_of_one_is_the_end_of_all(void **state)
{
    struct world *world = *state;

    end_of_all(world, "exit-group");
    assert_int_equal(world->exit[0].how, FERRY_ENDED_EXIT);
    assert_int_equal(world->exit[0].status, 9);
}

static void crash_of_one_is_the_end_of_all(void **state)
{
    struct world *world = *state;

    end_of_all(world, "crash");
    assert_int_equal(world->exit[0].how, FERRY_ENDED_CRASH);
    assert_int_equal(world->exit[0].signo, SIGSEGV);
    assert_true(world->exit[0].address_known);
}

static void a_crash_names_its_thread(void **state)
{
    struct world *world = *state;

    end_of_all(world, "crash-named");
    assert_int_equal(world->exit[0].how, FERRY_ENDED_CRASH);
    assert_non_null(strstr(world->exit[0].text, ") in thread 3 'wor?ker?s': wrote to 0x0"));
}

static void a_new_program_begins_with_one_thread(void **state)
{
    struct world *world = *state;

    end_of_all(world, "exec");
    world_expect_ok(world, 0);
}

/* Input that never ends, and a reader of output that takes all of it. */
static void *feed(void *arg)
{
    static char bytes[65536];
    struct ferry_message next = {.mode = FERRY_COPY, .data = bytes, .bytes = 1000};

    while (ferry_link_send(arg, &next, PATIENCE) == 0)
        ;
    return NULL;
}

static void memory_and_descriptors_go_while_calls_use_them(void **state)
{
    struct world *world = *state;
    struct ferry_message message = {.mode = FERRY_INLINE};
    pthread_t feeder;
    int a = world_add(world, "a", "races", "race", NULL);
    struct ferry_link *in = world_stream(world, -1, a), *out = world_stream(world, a, -1);

    world_start(world);
    assert_int_equal(pthread_create(&feeder, NULL, feed, in), 0);
    while (message.mode != FERRY_HANGUP) {
        assert_int_equal(ferry_link_recv(out, PATIENCE, &message), 0);
        if (message.mode == FERRY_COPY || message.mode == FERRY_LEND)
            ferry_link_release(out, message.token);
    }
    pthread_join(feeder, NULL);
    world_wait(world);
    world_expect_ok(world, a);
}

static void memory_is_replaced_while_a_thread_uses_it(void **state)
{
    char times[12];

    snprintf(times, sizeof times, "%u", world_many(2000));
    run_ok(*state, "races", "replace", times);
}

static void memory_is_mapped_while_a_thread_touches_it(void **state)
{
    run_ok(*state, "races", "map-while-touched", NULL);
}

/* Each is one that a thread of the program brings about; which one comes first is a race. */
static bool is_a_way_to_end(const struct ferry_vm_exit *exit)
{
    switch (exit->how) {
    case FERRY_ENDED_EXIT:
        return exit->status == 9 || exit->status == 0;
    case FERRY_ENDED_CRASH:
        return exit->signo == SIGSEGV;
    case FERRY_ENDED_SIGNAL:
        return exit->signo == SIGTERM;
    default:
        return false;
    }
}

/* Several VMs at a time, one of which the embedder stops meanwhile. */
static void all_ends_at_once(void **state)
{
    struct world *world = *state;
    static const char *const first[] = {"0", "1", "2", "3", "4"};

    for (int i = 0; i < 5; i++) {
        int a = world_add(world, first[i], "threads", "at-once", first[i], NULL);

        world_stream(world, -1, a);
    }
    world_start(world);
    ferry_vm_stop(world->vm[4], SIGTERM);
    world_wait(world);
    for (int i = 0; i < 4; i++)
        if (!is_a_way_to_end(&world->exit[i]))
            fail_msg("%s; %s", world->exit[i].text, world_said(world));
    assert_true(world->exit[4].how == FERRY_ENDED_STOPPED || is_a_way_to_end(&world->exit[4]));
}

static void threads_stay_on_their_processors(void **state)
{
    run_ok(*state, "threads", "pin", NULL);
}

static void a_stop_ends_all(void **state)
{
    struct world *world = *state;
    char byte;
    int a = world_add(world, "a", "threads", "stop", NULL);
    struct ferry_link *out = world_stream(world, a, -1);
    struct ferry_message message;

    world_stream(world, -1, a);
    world_start(world);
    assert_int_equal(ferry_link_recv(out, PATIENCE, &message), 0);
    memcpy(&byte, ferry_message_data(&message), 1);
    assert_int_equal(byte, '!');
    ferry_link_release(out, message.token);
    ferry_vm_stop(world->vm[a], SIGTERM);
    world_wait(world);
    assert_int_equal(world->exit[a].how, FERRY_ENDED_STOPPED);
    assert_int_equal(world->exit[a].signo, SIGTERM);
}

static void a_time_limit_ends_all(void **state)
{
    struct world *world = *state;

    world->timeout_ns = SECOND / 2;
    end_of_all(world, "stop");
    assert_int_equal(world->exit[0].how, FERRY_ENDED_TIMEOUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kvm_test(locks_and_conditions),
        kvm_test(barriers),
        kvm_test(locks_with_inheritance),
        kvm_test(no_signal_ends_a_wait_for_a_lock),
        kvm_test(waits_that_end_with_a_lock),
        kvm_test(robust_locks),
        kvm_test(robust_locks_with_inheritance),
        kvm_test(a_robust_lock_that_names_nobody),
        kvm_test(threads_run_in_parallel),
        kvm_test(processors_are_used_again),
        kvm_test(one_thread_too_many),
        kvm_test(page_tables_leave_room_for_threads),
        kvm_test(the_last_thread_ends_the_program),
        kvm_test(exit_of_one_is_the_end_of_all),
        kvm_test(crash_of_one_is_the_end_of_all),
        kvm_test(a_crash_names_its_thread),
        kvm_test(a_new_program_begins_with_one_thread),
        kvm_test(memory_and_descriptors_go_while_calls_use_them),
        kvm_test(memory_is_replaced_while_a_thread_uses_it),
        kvm_test(memory_is_mapped_while_a_thread_touches_it),
        kvm_test(all_ends_at_once),
        kvm_test(threads_stay_on_their_processors),
        kvm_test(a_stop_ends_all),
        kvm_test(a_time_limit_ends_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
