/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages of a VM that is brought back to its snapshot: what goes home, what is lost, and who is told. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "../until.h"
#include "snapshot_pair.h"

/* ---- messages ---------------------------------------------------------------------- */

/* The program holds loans and moved units, and has more in its queue. */
static void what_it_holds_goes_home(void **state)
{
    struct world *world = *state;
    struct pair pair = pair_with_snapshot(world);
    const uint64_t all = world_books(world).free;

    for (uint64_t copy = 1; copy < 6; copy++) {
        void *units[4], *home;
        size_t bytes;

        pair_expect_fresh(world, &pair, copy);
        for (int i = 0; i < 4; i++)
            assert_int_equal(ferry_link_alloc(pair.to, 1, true, &units[i]), 0);
        pair_ask(&pair, READY_HOLD, FERRY_LEND, units[0], PAGE);
        pair_await(world, &pair);
        pair_ask(&pair, READY_HOLD, FERRY_MOVE, units[1], PAGE);
        pair_await(world, &pair);
        pair_ask(&pair, READY_SPIN, FERRY_INLINE, NULL, 0);
        pair_await(world, &pair);
        pair_ask(&pair, READY_HOLD, FERRY_LEND, units[2], PAGE); /* nobody takes these */
        pair_ask(&pair, READY_HOLD, FERRY_MOVE, units[3], PAGE);
        pair_ask(&pair, READY_HOLD, FERRY_COPY, secret, SECRET_BYTES);
        pair_reset(&pair);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(ferry_link_reclaim(pair.to, PATIENCE, &home, &bytes), 0);
            assert_true(home == units[0] || home == units[2]);
            assert_int_equal(ferry_link_free(pair.to, home, bytes), 0);
        }
        assert_int_equal(world_books(world).free, all);
    }
    pair_expect_fresh(world, &pair, 6);
}

/* Who has a loan keeps it; then it goes to the pool. */
static void what_it_lent_stays_until_it_is_released(void **state)
{
    struct world *world = *state;
    struct pair pair = pair_with_snapshot(world);
    const uint64_t all = world_books(world).free;

    for (int i = 0; i < 5; i++) {
        pair_ask(&pair, READY_LEND, FERRY_INLINE, NULL, 0);
        struct ferry_message loan = pair_await(world, &pair);
        assert_int_equal(loan.mode, FERRY_LEND);
        pair_reset(&pair);
        assert_int_equal(world_books(world).free, all - 1);
        assert_int_equal(*(const char *)loan.data, 0); /* it can still be read */
        assert_int_equal(ferry_link_release(pair.from, loan.token), 0);
        assert_int_equal(world_books(world).free, all);
    }
}

/* What a run sent, and nobody took, is not taken for an answer of the next. */
static void answers_of_another_run_are_lost(void **state)
{
    struct world *world = *state;
    struct pair pair = pair_with_snapshot(world);
    const uint64_t all = world_books(world).free;

    for (uint64_t copy = 1; copy < 6; copy += 2) {
        uint64_t before = link_stats(pair.from).messages;

        pair_ask(&pair, READY_COUNT, FERRY_INLINE, NULL, 0);
        pair_ask(&pair, READY_LEND, FERRY_INLINE, NULL, 0);
        pair_ask(&pair, READY_MOVE, FERRY_INLINE, NULL, 0);
        pair_ask(&pair, READY_SPIN, FERRY_INLINE, NULL, 0);
        while (link_stats(pair.from).messages < before + 4)
            sched_yield();
        pair_reset(&pair);
        assert_int_equal(world_books(world).free, all);
        pair_expect_fresh(world, &pair, copy + 1);
        pair_reset(&pair);
    }
}

/* Who waits for an answer learns that none comes; the link is open again afterwards. */
static void an_end_is_told_to_who_waits(void **state)
{
    struct pair pair = pair_with_snapshot(*state);
    struct ferry_message message;

    for (uint64_t copy = 1; copy < 5; copy++) {
        pair_ask(&pair, READY_CRASH, FERRY_INLINE, NULL, 0);
        if (copy % 2) {
            assert_int_equal(ferry_link_recv(pair.from, PATIENCE, &message), 0);
            assert_int_equal(message.mode, FERRY_HANGUP);
        } else { /* and one that nobody took is gone */
            assert_int_equal(ferry_vm_wait(pair.vm, PATIENCE, NULL), 0);
        }
        pair_reset(&pair);
        assert_int_equal(ferry_link_recv(pair.from, 0, &message), -ETIMEDOUT);
        pair_expect_fresh(*state, &pair, copy + 1);
    }
}

static void what_the_host_hung_up_is_open_again(void **state)
{
    struct pair pair = pair_with_snapshot(*state);
    struct ferry_vm_exit exit;

    for (uint64_t copy = 1; copy < 5; copy++) {
        pair_expect_fresh(*state, &pair, copy);
        ferry_link_hangup(pair.to);
        assert_int_equal(ferry_vm_wait(pair.vm, PATIENCE, &exit), 0);
        assert_int_equal(exit.status, 0);
        pair_reset(&pair);
    }
}

/* Another VM is no host: it stays gone. */
static void a_vm_that_ended_hangs_up_in_each_run(void **state)
{
    struct world *world = *state;
    struct pair pair = pair_add(world, NULL);
    int other = world_add(world, "other", "echo", NULL);
    struct ferry_vm_exit exit;
    struct ferry_error err;

    world_link(world, other, 0);
    assert_int_equal(ferry_vm_snapshot(pair.vm, PATIENCE, &err), 0);
    pair_expect_fresh(world, &pair, 1);
    assert_int_equal(ferry_vm_start(world->vm[other], &err), 0);
    ferry_vm_stop(world->vm[other], 15);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ferry_vm_wait(pair.vm, PATIENCE, &exit), 0);
        assert_int_equal(exit.how, FERRY_ENDED_EXIT);
        assert_int_equal(exit.status, 0);
        pair_reset(&pair);
    }
}

/* The ticker looks at each run as at the first. */
static void a_message_that_waits_for_a_tick_comes_in_every_run(void **state)
{
    struct pair pair = pair_with_snapshot(*state);

    for (int i = 0; i < 3; i++) {
        pair_ask(&pair, READY_DEFERRED, FERRY_INLINE, NULL, 0);
        pair_await(*state, &pair);
        pair_reset(&pair);
    }
}

/* The streams of a run are its own: the snapshot keeps none of them open. */
static void what_a_run_closes_is_told(void **state)
{
    struct world *world = *state;
    int place = world_add(world, "ready", "ready", NULL);
    struct pair pair = {.vm = world->vm[place],
                        .to = world_stream(world, -1, place),
                        .from = world_stream(world, place, -1)};
    struct ferry_message message;
    struct ferry_error err;

    assert_int_equal(ferry_vm_snapshot(pair.vm, PATIENCE, &err), 0);
    for (uint64_t copy = 1; copy < 4; copy++) {
        pair_expect_fresh(world, &pair, copy);
        pair_ask(&pair, READY_CLOSE, FERRY_INLINE, NULL, 0);
        assert_int_equal(ferry_link_recv(pair.from, PATIENCE, &message), 0);
        assert_int_equal(message.mode, FERRY_HANGUP);
        assert_int_equal(ferry_vm_wait(pair.vm, 0, NULL), -ETIMEDOUT);
        pair_reset(&pair);
    }
}

/* Two VMs of one engine, of which one is brought back: the other keeps its time limit. */
static void others_keep_their_limits(void **state)
{
    struct world *world = *state;
    struct pair pair = pair_with_snapshot(world);
    struct ferry_vm_exit exit;
    struct ferry_error err;

    world->timeout_ns = SECOND;
    int before = world_add(world, "before", "spin", NULL);
    assert_int_equal(ferry_vm_start(world->vm[before], &err), 0);
    for (int i = 0; i < 3; i++)
        pair_reset(&pair);
    int after = world_add(world, "after", "spin", NULL);
    assert_int_equal(ferry_vm_start(world->vm[after], &err), 0);
    for (int i = before; i <= after; i++) {
        assert_int_equal(ferry_vm_wait(world->vm[i], PATIENCE, &exit), 0);
        assert_int_equal(exit.how, FERRY_ENDED_TIMEOUT);
    }
}

/* ---- programs that know nothing of it ---------------------------------------------- */

static void say(struct ferry_link *link, const char *text)
{
    const struct ferry_message message = {
        .mode = FERRY_COPY, .data = (void *)(uintptr_t)text, .bytes = strlen(text)};

    assert_int_equal(ferry_link_send(link, &message, PATIENCE), 0);
    ferry_link_hangup(link);
}

/* A program of the distribution is kept where it first reads, and reads another input each time. */
static void a_filter_has_fresh_input_each_time(void **state)
{
    static const char *const texts[][2] = {
        {"b\na\n", "a\nb\n"}, {"", ""}, {"3\n2\n1\n", "1\n2\n3\n"}};
    struct world *world = *state;
    int place = world_add(world, "sort", "/usr/bin/sort", NULL);
    struct ferry_link *in = world_stream(world, -1, place), *out = world_stream(world, place, -1);
    struct ferry_vm_exit exit;
    struct ferry_error err;

    if (ferry_vm_snapshot(world->vm[place], PATIENCE, &err) < 0)
        fail_msg("%s: %s", err.text, world_said(world));
    for (int i = 0; i < 12; i++) {
        char got[64] = "";

        say(in, texts[i % 3][0]);
        world_read_all(out, got, sizeof got);
        assert_string_equal(got, texts[i % 3][1]);
        assert_int_equal(ferry_vm_wait(world->vm[place], PATIENCE, &exit), 0);
        assert_int_equal(exit.status, 0);
        assert_int_equal(ferry_vm_reset(world->vm[place], &err), 0);
    }
}

#define PIECE  10 /* bytes that a program passes on at a time */
#define PIECES 800

/* One at CPL0 could be changed by a run, and nothing would bring it back. Without one each call is an
 * exit. */
static void there_is_no_guest_kernel(void **state)
{
    static char text[PIECE * PIECES / 4 + 1], got[PIECE * PIECES + 1];
    struct world *world = *state;
    int place = world_add(world, "pass", "streams", "pass", "10", NULL);
    struct ferry_link *in = world_stream(world, -1, place), *out = world_stream(world, place, -1);
    const struct ferry_message message = {
        .mode = FERRY_COPY, .data = text, .bytes = sizeof text - 1};
    struct ferry_vm_exit exit;
    struct ferry_error err;

    memset(text, 'x', sizeof text - 1);
    if (ferry_vm_snapshot(world->vm[place], PATIENCE, &err) < 0)
        fail_msg("%s: %s", err.text, world_said(world));
    for (int i = 0; i < 3; i++) {
        uint64_t before = world_stats(world, place).exits_syscall;

        for (int sent = 0; sent < 4; sent++)
            assert_int_equal(ferry_link_send(in, &message, PATIENCE), 0);
        ferry_link_hangup(in);
        assert_int_equal(world_read_all(out, got, sizeof got), PIECE * PIECES);
        assert_int_equal(ferry_vm_wait(world->vm[place], PATIENCE, &exit), 0);
        assert_true(world_stats(world, place).exits_syscall >= before + 2 * PIECES);
        assert_int_equal(ferry_vm_reset(world->vm[place], &err), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kvm_test(what_it_holds_goes_home),
        kvm_test(what_it_lent_stays_until_it_is_released),
        kvm_test(answers_of_another_run_are_lost),
        kvm_test(an_end_is_told_to_who_waits),
        kvm_test(what_the_host_hung_up_is_open_again),
        kvm_test(a_vm_that_ended_hangs_up_in_each_run),
        kvm_test(a_message_that_waits_for_a_tick_comes_in_every_run),
        kvm_test(what_a_run_closes_is_told),
        kvm_test(others_keep_their_limits),
        kvm_test(a_filter_has_fresh_input_each_time),
        kvm_test(there_is_no_guest_kernel),
        cmocka_unit_test_setup_teardown(what_it_holds_goes_home, pair_setup_polled, world_teardown),
    };

    return cmocka_run_group_tests_name("snapshot_messages", tests, NULL, NULL);
}
