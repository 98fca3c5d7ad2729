/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * When senders are woken: a sender that waits for room is woken when all that it needs is there,
 * and not before. So two that wait for each other sleep, however often either looks.
 */
#include "core_trio.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "../until.h"
#include "ipc/endpoint_wait.h"
#include "ipc/ring.h"
#include "lib/clock.h"

static struct ferry_link *a_to_b, *b_to_a, *c_to_b;

static int setup(void **state)
{
    (void)state;
    trio_setup();
    a_to_b = core_link(vm_a, vm_b, 48);
    b_to_a = core_link(vm_b, vm_a, 48);
    c_to_b = core_link(vm_c, vm_b, 48);
    return 0;
}

/* Queues the message and drains; it must find no room. */
static void park(struct endpoint *from, const struct ferry_desc *desc)
{
    core_queue(from, desc);
    drain_ring(from);
    assert_true(from->out_parked);
}

/* What the two do while they wait, several times over: neither tells the other of anything. */
static void assert_sleep(struct endpoint *first, struct endpoint *second)
{
    unsigned seen[] = {first->events, second->events};

    for (int round = 0; round < 4; round++) {
        endpoint_prepare(first);
        drain_ring(first);
        endpoint_prepare(second);
        drain_ring(second);
    }
    assert_int_equal(first->events, seen[0]);
    assert_int_equal(second->events, seen[1]);
    assert_true(first->out_parked && second->out_parked);
    endpoint_finish(first);
    endpoint_finish(second);
}

/* Sends until the queue of the receiver is full. */
static void fill_queue(struct endpoint *from, struct endpoint *to, uint32_t count)
{
    struct ferry_desc desc = core_inline(to->id, 0);

    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(core_send(from, &desc), 0);
}

static void a_copy_waits_for_an_entry(void **state)
{
    struct ferry_desc to_b = core_payload(FERRY_COPY, b->id, CORE_MEMORY_ADDR, 1);
    struct ferry_desc to_a = core_payload(FERRY_COPY, a->id, CORE_MEMORY_ADDR, 1);

    (void)state;
    fill_queue(a, b, FERRY_RING_ENTRIES / 2);
    fill_queue(c, b, FERRY_RING_ENTRIES / 2 - 2); /* two are kept for hang-ups */
    fill_queue(b, a, FERRY_RING_ENTRIES - 1);
    park(a, &to_b);
    park(b, &to_a);
    assert_sleep(a, b);
    unsigned seen = a->events;
    core_take(b);
    loan_collect(b);
    endpoint_prepare(b);
    assert_true(a->events > seen);
    drain_ring(a);
    assert_false(a->out_parked);
}

/* Part of its share is free, but others have all the entries. */
static void an_inline_message_waits_for_an_entry(void **state)
{
    struct ferry_desc copy = core_payload(FERRY_COPY, b->id, CORE_MEMORY_ADDR, 1);
    struct ferry_desc to_b = core_inline(b->id, 0), to_a = core_inline(a->id, 0);

    (void)state;
    for (int i = 0; i < 40; i++) {
        assert_int_equal(core_send(c, &copy), 0);
        assert_int_equal(core_take(b).mode, FERRY_COPY);
    }
    loan_collect(b);
    fill_queue(c, b, FERRY_RING_ENTRIES / 2);
    copy.dst = b->id;
    for (int i = 0; i < 8; i++)
        assert_int_equal(core_send(c, &copy), 0);
    fill_queue(a, b, FERRY_RING_ENTRIES / 2 - 10);
    fill_queue(b, a, FERRY_RING_ENTRIES - 1);
    park(a, &to_b);
    park(b, &to_a);
    assert_sleep(a, b);
    /* One entry is free, and with it part of the share of both. */
    unsigned seen = a->events;
    assert_int_equal(core_take(b).src, c->id);
    loan_collect(b);
    endpoint_prepare(b);
    assert_true(a->events > seen);
}

static void a_copy_waits_for_a_token(void **state)
{
    struct ferry_desc copy = core_payload(FERRY_COPY, b->id, CORE_MEMORY_ADDR, 1);
    struct ferry_desc to_a = core_payload(FERRY_COPY, a->id, CORE_MEMORY_ADDR, 1);
    struct ferry_desc got = {0};

    (void)state;
    for (uint32_t i = 0; i < FERRY_TOKENS; i++) {
        assert_int_equal(core_send(i % 2 ? a : c, &copy), 0);
        got = core_take(b);
    }
    fill_queue(b, a, FERRY_RING_ENTRIES - 1);
    park(a, &copy);
    park(b, &to_a);
    assert_sleep(a, b);
    unsigned seen = a->events;
    assert_int_equal(loan_release(b, got.payload.token), 0);
    endpoint_prepare(b);
    assert_true(a->events > seen);
    drain_ring(a);
    assert_false(a->out_parked);
}

/* It needs no token, so it does not wait for one. */
static void a_move_waits_for_no_token(void **state)
{
    struct ferry_desc copy = core_payload(FERRY_COPY, b->id, CORE_MEMORY_ADDR, 1);
    struct ferry_desc move = core_units(FERRY_MOVE, a, b->id, core_alloc(a, 1, false));

    (void)state;
    for (uint32_t i = 0; i < FERRY_TOKENS; i++) {
        assert_int_equal(core_send(i % 2 ? a : c, &copy), 0);
        core_take(b);
    }
    loan_collect(b);
    a_to_b->max_messages = a_to_b->in_flight;
    park(a, &move);
    a_to_b->max_messages++;
    unsigned seen = a->events;
    endpoint_prepare(b);
    assert_true(a->events > seen);
    drain_ring(a);
    assert_false(a->out_parked);
}

static void a_move_waits_for_the_receivers_share(void **state)
{
    struct units of_a = core_alloc(a, 2, false), of_b = core_alloc(b, 2, false);
    struct ferry_desc to_b = core_units(FERRY_MOVE, a, b->id, of_a);
    struct ferry_desc to_a = core_units(FERRY_MOVE, b, a->id, of_b);

    (void)state;
    a->most_extents = b->most_extents = 2;
    park(a, &to_b);
    park(b, &to_a);
    assert_sleep(a, b);
    /* Half of what it needs is not enough. */
    unsigned seen = b->events;
    a->most_extents = 3;
    endpoint_prepare(a);
    assert_int_equal(b->events, seen);
    a->most_extents = 4;
    endpoint_prepare(a);
    assert_true(b->events > seen);
    drain_ring(b);
    assert_false(b->out_parked);
    /* b gave its own units away, so it may own those of a now: the move woke it. */
    drain_ring(a);
    assert_false(a->out_parked);
}

/* A run is longer than the link allows, and its first message waits for the receiver's share: the room
 * that was promised to the run goes back, and must not wake the sender itself. */
static void a_run_that_waits_for_a_share_sleeps(void **state)
{
    struct units units = core_alloc(a, 3, true);

    (void)state;
    core_alloc(b, 1, true);
    b->most_pages = 1;
    a_to_b->max_messages = 2;
    for (uint32_t i = 0; i < 3; i++) {
        struct ferry_desc desc =
            core_units(FERRY_MOVE, a, b->id, (struct units){units.first + i, 1});
        core_queue(a, &desc);
    }
    drain_ring(a);
    unsigned seen = a->events;
    for (int round = 0; round < 4; round++) {
        endpoint_prepare(a);
        drain_ring(a);
        endpoint_finish(a);
    }
    assert_int_equal(a->events, seen);
    assert_true(a->out_parked);
    b->most_pages = 4;
    endpoint_prepare(b);
    endpoint_finish(b);
    assert_true(a->events > seen);
    drain_ring(a);
    assert_int_equal(core_waiting(b), 2); /* as many as the link allows */
}

/* A program that has ended takes nothing any more: a sender that waits for its room learns that. */
static void the_end_of_a_program_lets_senders_go(void **state)
{
    struct ferry_desc to_b = core_payload(FERRY_COPY, b->id, CORE_MEMORY_ADDR, 1);

    (void)state;
    fill_queue(a, b, FERRY_RING_ENTRIES / 2);
    fill_queue(c, b, FERRY_RING_ENTRIES / 2 - 2);
    park(a, &to_b);
    unsigned seen = a->events;
    queue_refuse_all(b);
    assert_true(a->events > seen);
    drain_ring(a);
    assert_false(a->out_parked);
    assert_int_equal(a->control->out_status[FERRY_RING_ENTRIES / 2], -EPIPE);
}

static void *wake_once_it_polls(void *arg)
{
    struct endpoint *endpoint = arg;

    while (!atomic_load(&endpoint->asleep))
        sched_yield();
    endpoint_wake(endpoint);
    return NULL;
}

/* A wait that polls ends by a wake, by a descriptor, by its deadline and by a stop. */
static void a_wait_that_polls(void **state)
{
    struct pollfd entries[2] = {{0}, {.events = POLLIN}};
    pthread_t waker;
    int ends[2];

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    entries[1].fd = ends[0];
    assert_true(endpoint_can_poll(a));
    assert_int_equal(endpoint_block_on(a, a->events, 1, entries, 2), -ETIMEDOUT);
    assert_int_equal(endpoint_block_on(a, a->events - 1, CLOCK_NEVER, entries, 2), 0);
    for (int i = 0; i < 50; i++) {
        uint32_t seen = a->events;

        assert_int_equal(pthread_create(&waker, NULL, wake_once_it_polls, a), 0);
        assert_int_equal(endpoint_block_on(a, seen, CLOCK_NEVER, entries, 2), 0);
        pthread_join(waker, NULL);
        assert_int_equal(a->events, seen + 2); /* who ends a sleep counts once more */
        assert_false(a->asleep || a->polls);
    }
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_int_equal(endpoint_block_on(a, a->events, CLOCK_NEVER, entries, 2), 0);
    assert_int_equal(entries[1].revents, POLLIN);
    a->stopping = true;
    assert_int_equal(endpoint_block_on(a, a->events, CLOCK_NEVER, entries, 2), -EINTR);
    close(ends[0]);
    close(ends[1]);
}

/* A thread that waits for some of the bits, over and over. */
struct sleeper {
    uint32_t what;
    atomic_uint woken;
    atomic_bool over;
};

static void *sleep_for_some(void *arg)
{
    struct sleeper *sleeper = arg;

    uint32_t seen = a->events;

    while (!atomic_load(&sleeper->over)) {
        int result = endpoint_block_for(a, seen, CLOCK_NEVER, sleeper->what);

        /* Before it is counted: whoever waits for that wakes this thread again at once. */
        seen = a->events;
        if (result == 0)
            atomic_fetch_add(&sleeper->woken, 1);
    }
    return NULL;
}

static bool all_asleep(uint32_t what)
{
    return (atomic_load(&a->asleep) & what) == what;
}

/* Once more, and once when it was about to sleep. */
#define BY_CHANCE 10
#define WAKES     200

/* Of many threads that wait only those are woken for which there is something; for all, all. */
static void who_waits_for_another_sleeps_on(void **state)
{
    struct sleeper one = {.what = 1}, other = {.what = 2};
    pthread_t threads[2];

    (void)state;
    assert_int_equal(pthread_create(&threads[0], NULL, sleep_for_some, &one), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, sleep_for_some, &other), 0);
    for (unsigned i = 0; i < WAKES; i++) {
        unsigned before = atomic_load(&other.woken);

        until(all_asleep(3));
        endpoint_wake_for(a, 2);
        until(atomic_load(&other.woken) > before);
    }
    assert_in_range(atomic_load(&one.woken), 0, BY_CHANCE);
    atomic_store(&one.over, true);
    atomic_store(&other.over, true);
    endpoint_wake(a);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
}

static void *sleep_once(void *arg)
{
    struct sleeper *sleeper = arg;

    if (endpoint_block_for(a, a->events, CLOCK_NEVER, sleeper->what) == 0)
        atomic_store(&sleeper->woken, 1);
    return NULL;
}

/* As after so many events for others that the count is the same again at the one for this thread. It may
 * be woken before it sleeps, which wakes nobody: hence over and over. */
static void a_count_that_comes_around_wakes(void **state)
{
    struct sleeper one = {.what = 1};
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, sleep_once, &one), 0);
    until(all_asleep(1));
    until((clock_futex_wake_for(&a->events, 1), atomic_load(&one.woken)));
    pthread_join(thread, NULL);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, trio_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_copy_waits_for_an_entry),
        CASE(an_inline_message_waits_for_an_entry),
        CASE(a_copy_waits_for_a_token),
        CASE(a_move_waits_for_no_token),
        CASE(a_move_waits_for_the_receivers_share),
        CASE(a_run_that_waits_for_a_share_sleeps),
        CASE(the_end_of_a_program_lets_senders_go),
        CASE(a_wait_that_polls),
        CASE(who_waits_for_another_sleeps_on),
        CASE(a_count_that_comes_around_wakes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
