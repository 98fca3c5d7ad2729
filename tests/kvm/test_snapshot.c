/* SPDX-License-Identifier: BSD-2-Clause */
/* Snapshots of a VM, and resets: what comes back, that no run sees the one before, and what is refused. */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../until.h"
#include "snapshot_pair.h"

/* ---- what comes back --------------------------------------------------------------- */

static void every_run_begins_at_the_point(void **state)
{
    struct pair pair = pair_with_snapshot(*state);

    for (uint64_t copy = 1; copy < 20; copy++) {
        pair_expect_fresh(*state, &pair, copy);
        assert_int_equal(pair_answer(*state, &pair, READY_COUNT), 2ull << 32 | copy);
        pair_reset(&pair);
    }
}

static void a_program_that_ended_begins_anew(void **state)
{
    static const struct {
        enum ready_request request;
        enum ferry_ended how;
        int status;
    } ends[] = {{READY_EXIT, FERRY_ENDED_EXIT, 5},
                {READY_CRASH, FERRY_ENDED_CRASH, 139},
                {READY_EXEC, FERRY_ENDED_EXIT, 3}};
    struct pair pair = pair_with_snapshot(*state);
    struct ferry_vm_exit exit;
    uint64_t copy = 1;

    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
            const struct ferry_message late = {.mode = FERRY_INLINE, .tag = READY_COUNT};

            pair_expect_fresh(*state, &pair, copy++);
            pair_ask(&pair, ends[i].request, FERRY_INLINE, NULL, 0);
            assert_int_equal(ferry_vm_wait(pair.vm, PATIENCE, &exit), 0);
            if (exit.how != ends[i].how || exit.status != ends[i].status)
                fail_msg("end %zu: %d, %d: %s; %s", i, exit.how, exit.status, exit.text,
                         world_said(*state));
            assert_int_equal(ferry_link_send(pair.to, &late, PATIENCE), -EPIPE);
            pair_reset(&pair);
            assert_int_equal(ferry_vm_wait(pair.vm, 0, &exit), -ETIMEDOUT);
        }
    pair_expect_fresh(*state, &pair, copy);
}

static void a_program_that_spins_is_taken_back(void **state)
{
    struct pair pair = pair_with_snapshot(*state);

    for (uint64_t copy = 1; copy < 5; copy++) {
        pair_expect_fresh(*state, &pair, copy);
        pair_answer(*state, &pair, READY_SPIN);
        pair_reset(&pair);
    }
    pair_expect_fresh(*state, &pair, 5);
}

static void descriptors_and_signals_are_as_they_were(void **state)
{
    struct pair pair = pair_with_snapshot(*state);

    for (int i = 0; i < 5; i++) {
        assert_int_equal(pair_answer(*state, &pair, READY_CHANGE), 0);
        pair_reset(&pair);
    }
}

static void threads_and_processes_are_gone(void **state)
{
    struct pair pair = pair_with_snapshot(*state);
    uint64_t first = pair_answer(*state, &pair, READY_THREADS);

    for (int i = 0; i < 10; i++) {
        pair_reset(&pair);
        assert_int_equal(pair_answer(*state, &pair, READY_THREADS), first);
    }
    assert_int_equal(world_stats(*state, 0).cpus, 2); /* one of them for all those threads */
}

/* Each run has its own time limit. */
static void limits_begin_anew(void **state)
{
    struct world *world = *state;
    struct ferry_vm_exit exit;

    world->timeout_ns = 4 * SECOND;
    struct pair pair = pair_with_snapshot(world);
    pair_expect_fresh(world, &pair, 1);
    pair_answer(world, &pair, READY_SPIN);
    assert_int_equal(ferry_vm_wait(pair.vm, PATIENCE, &exit), 0);
    assert_int_equal(exit.how, FERRY_ENDED_TIMEOUT);
    pair_reset(&pair);
    pair_expect_fresh(world, &pair, 2);
    assert_int_equal(ferry_vm_wait(pair.vm, SECOND, &exit),
                     -ETIMEDOUT); /* it has time of its own */
}

/* KVM may be about to deliver a fault when the run is stopped. */
static void faults_of_a_run_are_its_own(void **state)
{
    struct pair pair = pair_with_snapshot(*state);

    for (unsigned i = 1, many = world_many(300); i < many; i++) {
        pair_answer(*state, &pair, READY_FAULTS);
        for (unsigned turns = i % 7; turns; turns--)
            sched_yield();
        pair_reset(&pair);
        pair_expect_fresh(*state, &pair, i + 1);
    }
}

static void a_run_uses_up_no_memory_slots_of_the_next(void **state)
{
    struct pair pair = pair_with_snapshot(*state);
    uint64_t first = pair_answer(*state, &pair, READY_SPARSE);

    assert_true(first > 100);
    for (int i = 0; i < 3; i++) {
        pair_reset(&pair);
        assert_int_equal(pair_answer(*state, &pair, READY_SPARSE), first);
    }
}

static uint64_t processor_time(void)
{
    struct timespec used;

    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used), 0);
    return (uint64_t)used.tv_sec * SECOND + (uint64_t)used.tv_nsec;
}

/* Also if a thread takes it whose CPU an earlier run had. */
static void every_run_has_the_same_processor_time(void **state)
{
    struct world *world = *state;
    struct ferry_vm_exit exit;

    world->cpu_ns = SECOND;
    struct pair pair = pair_with_snapshot(world);
    for (int i = 0; i < 3; i++) {
        uint64_t before = processor_time();

        pair_answer(world, &pair, READY_WORK);
        assert_int_equal(ferry_vm_wait(pair.vm, PATIENCE, &exit), 0);
        assert_int_equal(exit.how, FERRY_ENDED_CPU);
        assert_in_range(processor_time() - before, SECOND / 2, 2 * SECOND);
        pair_reset(&pair);
    }
}

/* A library looks at the descriptors at its start: that is no wish for input. */
static void a_look_at_its_input_is_no_point(void **state)
{
    struct pair pair = pair_add(*state, "looks");
    struct ferry_error err;

    assert_int_equal(ferry_vm_snapshot(pair.vm, PATIENCE, &err), 0);
    for (uint64_t copy = 1; copy < 4; copy++) {
        assert_int_equal(pair_answer(*state, &pair, READY_COUNT), 11ull << 32 | copy);
        pair_reset(&pair);
    }
}

/* ---- secrets ----------------------------------------------------------------------- */

static uint64_t found(struct world *world, const struct pair *pair)
{
    char masked[SECRET_BYTES];

    for (size_t i = 0; i < SECRET_BYTES; i++)
        masked[i] = secret[i] ^ SECRET_MASK;
    return pair_answer_to(world, pair, READY_LOOK, masked);
}

static void no_run_sees_what_another_kept(void **state)
{
    struct pair pair = pair_with_snapshot(*state);

    for (int i = 0; i < 3; i++)
        for (int all = 0; all < 2; all++) {
            assert_int_equal(found(*state, &pair), 0);
            pair_answer_to(*state, &pair, all ? READY_KEEP_ALL : READY_KEEP, secret);
            for (int held = 0; held < 3; held++) /* in receive buffers */
                pair_answer_to(*state, &pair, READY_HOLD, secret);
            assert_true(found(*state, &pair) >= (all ? 8 : 4)); /* it finds it where it is */
            pair_reset(&pair);
        }
    assert_int_equal(found(*state, &pair), 0);
}

/* ---- refusals ---------------------------------------------------------------------- */

static void what_cannot_come_back_is_refused(void **state)
{
    static const struct {
        const char *with;
        int result;
        const char *text;
    } cases[] = {
        {"thread", -EBUSY, "threads"},    {"process", -EBUSY, "processes"},
        {"pipe", -EBUSY, "pipe"},         {"timer", -EBUSY, "timer"},
        {"memory", -EBUSY, "in memory"},  {"shared", -EBUSY, "memory"},
        {"extent", -EBUSY, "extents"},    {"signal", -EBUSY, "signal"},
        {"end", -ESRCH, "exit status 3"},
    };
    struct world *world = *state;
    struct ferry_error err;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pair pair = pair_add(world, cases[i].with);
        int result = ferry_vm_snapshot(pair.vm, PATIENCE, &err);

        if (result != cases[i].result || !strstr(err.text, cases[i].text))
            fail_msg("%s: %d, %s; %s", cases[i].with, result, err.text, world_said(world));
        if (result == -EBUSY) /* and goes on, as no copy */
            assert_int_equal(pair_answer(world, &pair, READY_COUNT), 1ull << 32);
        assert_int_equal(ferry_vm_reset(pair.vm, &err), -EINVAL);
        ferry_vm_destroy(pair.vm);
        world->count--;
    }
}

static void streams_of_others_are_refused(void **state)
{
    struct world *world = *state;
    struct ferry_error err;
    int place = world_add(world, "ready", "ready", NULL);
    int other = world_add(world, "other", "sink", NULL);

    world_link(world, place, -1);
    world_stream(world, place, other);
    assert_int_equal(ferry_vm_snapshot(world->vm[place], PATIENCE, &err), -EBUSY);
    assert_non_null(strstr(err.text, "stream"));
}

static void who_is_never_ready_is_given_up(void **state)
{
    struct world *world = *state;
    struct pair pair = pair_add(world, "never");
    struct ferry_error err;

    assert_int_equal(ferry_vm_snapshot(pair.vm, SECOND / 10, &err), -ETIMEDOUT);
    assert_non_null(strstr(err.text, "ferry_ready"));
    assert_int_equal(ferry_vm_snapshot(pair.vm, 0, &err), -EALREADY);
}

static void without_a_snapshot_nobody_is_a_copy(void **state)
{
    struct world *world = *state;
    struct pair pair = pair_add(world, NULL);
    struct ferry_error err;

    world_start(world);
    assert_int_equal(pair_answer(world, &pair, READY_COUNT), 1ull << 32);
    assert_int_equal(ferry_vm_reset(pair.vm, &err), -EINVAL);
    assert_non_null(strstr(err.text, "no snapshot"));
}

/* ---- many -------------------------------------------------------------------------- */

static unsigned count_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;

    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static unsigned count_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    unsigned count = 0;
    int c;

    assert_non_null(maps);
    while ((c = getc(maps)) != EOF)
        count += c == '\n';
    fclose(maps);
    return count;
}

static void many_resets_leave_nothing(void **state)
{
    struct world *world = *state;
    struct pair pair = pair_with_snapshot(world);
    unsigned descriptors = 0, mappings = 0;

    for (unsigned i = 0, many = world_many(1000); i < many; i++) {
        pair_answer_to(world, &pair, i % 8 ? READY_KEEP : READY_KEEP_ALL, secret);
        if (i % 64 == 0)
            pair_answer(world, &pair, READY_THREADS);
        pair_reset(&pair);
        if (i == many / 4) {
            descriptors = count_descriptors();
            mappings = count_mappings();
        }
    }
    assert_int_equal(count_descriptors(), descriptors);
    assert_true(count_mappings() <= mappings + 8); /* the allocator's own */
}

/* Two threads reset it, a third waits for ends. */
static void *reset_often(void *arg)
{
    struct ferry_error err;

    for (int i = 0; i < 50; i++)
        if (ferry_vm_reset(arg, &err) < 0)
            return arg;
    return NULL;
}

static void resets_of_several_threads_follow_each_other(void **state)
{
    struct pair pair = pair_with_snapshot(*state);
    pthread_t thread[2];
    struct ferry_vm_exit exit;
    void *failed;

    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, reset_often, pair.vm), 0);
    assert_int_equal(ferry_vm_wait(pair.vm, PATIENCE, &exit), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(thread[i], &failed), 0);
        assert_null(failed);
    }
    pair_expect_fresh(*state, &pair, 101);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kvm_test(every_run_begins_at_the_point),
        kvm_test(a_program_that_ended_begins_anew),
        kvm_test(a_program_that_spins_is_taken_back),
        kvm_test(descriptors_and_signals_are_as_they_were),
        kvm_test(threads_and_processes_are_gone),
        kvm_test(limits_begin_anew),
        kvm_test(faults_of_a_run_are_its_own),
        kvm_test(a_run_uses_up_no_memory_slots_of_the_next),
        kvm_test(every_run_has_the_same_processor_time),
        kvm_test(a_look_at_its_input_is_no_point),
        kvm_test(no_run_sees_what_another_kept),

        kvm_test(what_cannot_come_back_is_refused),
        kvm_test(streams_of_others_are_refused),
        kvm_test(who_is_never_ready_is_given_up),
        kvm_test(without_a_snapshot_nobody_is_a_copy),
        kvm_test(many_resets_leave_nothing),
        cmocka_unit_test_setup_teardown(many_resets_leave_nothing, pair_setup_polled,
                                        world_teardown),
        kvm_test(resets_of_several_threads_follow_each_other),
    };

    return cmocka_run_group_tests_name("snapshot", tests, NULL, NULL);
}
