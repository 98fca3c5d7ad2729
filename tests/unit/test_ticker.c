/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the tests of host/engine/ticker.c: whom it looks at, when it sleeps, and that a guest which
 * is entered while it gives it up or goes to sleep is not missed. The guest is made up: a test
 * does at its entry what the VM's thread does.
 */
#include "core_fixture.h"

#include <errno.h>

#include "../until.h"
#include "engine/ticker.h"
#include "ipc/direct.h"
#include "lib/clock.h"

#define INTERVAL_NS 20000
#define TOO_LONG_NS (UNTIL_SECONDS * 1000000000ull)
#define ROUNDS      300

static struct ferry_engine *engine;
static struct ferry_vm *a, *b;
static struct units lent;

static int setup(void **state)
{
    (void)state;
    engine = core_engine(512, 4);
    a = core_vm(engine, "a");
    b = core_vm(engine, "b");
    core_link(a, b, 0);
    lent = core_alloc(a->endpoint, 1, true);
    assert_int_equal(ticker_start(&engine->ticker, INTERVAL_NS, false, NULL), 0);
    ticker_add(&engine->ticker, &a->runner);
    ticker_add(&engine->ticker, &b->runner);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ticker_remove(&engine->ticker, &a->runner);
    ticker_remove(&engine->ticker, &b->runner);
    ferry_vm_destroy(a);
    ferry_vm_destroy(b);
    core_end(engine);
    return 0;
}

static void enter_guest(struct ferry_vm *vm)
{
    atomic_store(&vm->runner.in_guest, true);
    if (!atomic_load(&vm->runner.watched))
        ticker_report(&engine->ticker, &vm->runner);
}

static void leave_guest(struct ferry_vm *vm)
{
    atomic_store(&vm->runner.in_guest, false);
    atomic_fetch_add(&vm->runner.exits_natural, 1);
}

static void until_given_up(struct ferry_vm *vm)
{
    until(!atomic_load(&vm->runner.watched));
}

static void until_asleep(void)
{
    until(atomic_load(&engine->ticker.asleep));
}

/* As many threads of a program as it likes may ask, and the ticker needs the lock. */
static void processor_time_is_told_without_a_lock(void **state)
{
    uint64_t used;

    (void)state;
    vcpu_begin(&a->guest->first_cpu);
    vm_took_cpu(a, TOO_LONG_NS);
    lock_take(&a->lock);
    used = vm_cpu_ns(a);
    lock_drop(&a->lock);
    assert_in_range(used, TOO_LONG_NS + 1, 2 * TOO_LONG_NS);
}

/* A loan to b that b gave back by stores alone. */
static void lend_and_release(void)
{
    struct ferry_desc desc = core_units(FERRY_LEND, a->endpoint, b->endpoint->id, lent);

    assert_int_equal(core_send(a->endpoint, &desc), 0);
    desc = core_take(b->endpoint);
    core_release(b->endpoint, desc.payload.token);
}

/* The loan comes home, which only the ticker can do. */
static void assert_comes_home(void)
{
    uint64_t deadline = clock_deadline(TOO_LONG_NS);

    for (;;) {
        uint32_t seen = atomic_load(&a->endpoint->events);
        if (core_home(a->endpoint) == 1)
            break;
        assert_int_equal(endpoint_block(a->endpoint, seen, deadline), 0);
    }
    __atomic_add_fetch(&a->endpoint->control->guest.home_tail, 1, __ATOMIC_RELEASE);
}

static void collects_from_a_running_guest(void **state)
{
    (void)state;
    enter_guest(b);
    for (int i = 0; i < ROUNDS; i++) {
        lend_and_release();
        assert_comes_home();
    }
    leave_guest(b);
}

/* While nobody renews the page of clocks it tells nothing. */
static void closes_the_page_of_clocks(void **state)
{
    static struct ferry_clock_page page;
    struct guest_clock clock;
    uint64_t deadline = clock_deadline(TOO_LONG_NS);

    (void)state;
    until_asleep();
    guest_clock_init(&clock, &page);
    while (clock.tsc_is_trusted && !clock.page.ticks && clock_now() < deadline)
        guest_clock_renew(&clock);
    bool was_open = clock.page.ticks;
    engine->ticker.clock = &clock; /* which sleeps, and looks at it under a lock when it wakes */
    enter_guest(a);
    leave_guest(a);
    until_given_up(a);
    until_asleep();
    engine->ticker.clock = NULL;
    uint64_t ticks = clock.page.ticks;
    guest_clock_fini(&clock);
    if (!was_open)
        skip(); /* the host's clock is not the TSC */
    assert_int_equal(ticks, 0);
}

/* Another guest keeps the ticker at work for many looks, and none of them is at b. */
static void leaves_idle_ones_alone(void **state)
{
    (void)state;
    enter_guest(b);
    leave_guest(b);
    until_given_up(b);
    until_asleep();
    lend_and_release();
    assert_true(atomic_load(&engine->ticker.asleep));
    enter_guest(a);
    leave_guest(a);
    until_given_up(a);
    until_asleep();
    assert_int_equal(core_home(a->endpoint), 0);
    enter_guest(b);
    assert_comes_home();
    leave_guest(b);
}

/* The guest is entered at the very moment at which the ticker gives it up. */
static void misses_no_entry(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        enter_guest(b);
        lend_and_release();
        assert_comes_home();
        leave_guest(b);
        until_given_up(b);
        if (i % 2)
            until_asleep();
    }
}

/* While the ticker looks after one VM, it need not be woken for others. */
static void watches_several(void **state)
{
    struct ferry_vm *other = core_vm(engine, "other");

    (void)state;
    ticker_add(&engine->ticker, &other->runner);
    enter_guest(other);
    for (int i = 0; i < ROUNDS / 10; i++) {
        enter_guest(b);
        lend_and_release();
        assert_comes_home();
        leave_guest(b);
        until_given_up(b);
        assert_true(atomic_load(&other->runner.watched));
    }
    leave_guest(other);
    ticker_remove(&engine->ticker, &other->runner);
    ferry_vm_destroy(other);
}

/* A VM that exits by itself is not disturbed. */
static void is_due_an_interval_after_its_entry(void **state)
{
    (void)state;
    a->runner.entered_ns = 5000;
    assert_int_equal(ticker_due(&a->runner, 1000), 6000);
    a->runner.entered_ns = 5900; /* it left and came back */
    assert_int_equal(ticker_due(&a->runner, 1000), 6900);
    a->runner.looked_ns = 7000;
    assert_int_equal(ticker_due(&a->runner, 1000), 8000);
    a->runner.looked_ns = 0;
}

static atomic_int kicks;

static void count_kick(struct runner *runner)
{
    (void)runner;
    atomic_fetch_add(&kicks, 1);
}

/* Else nobody would send it. */
static void kicks_a_polled_guest_for_what_the_poller_left(void **state)
{
    struct ferry_desc desc = core_inline(b->endpoint->id, 1);

    (void)state;
    engine->ticker.polled = true; /* while it sleeps */
    a->runner.kick = count_kick;
    core_queue(a->endpoint, &desc);
    atomic_store(&a->runner.left, true);
    enter_guest(a);
    until(atomic_load(&kicks) > 0);
    leave_guest(a);
}

/* b leaves again and again, so that it is never due, and each time has room for one message. */
static void wakes_senders_to_one_that_leaves_often(void **state)
{
    struct ferry_desc copy = core_payload(FERRY_COPY, b->endpoint->id, CORE_MEMORY_ADDR, 1);
    uint32_t max = b->endpoint->in[0]->max_messages;

    (void)state;
    for (uint32_t i = 0; i < max; i++)
        assert_int_equal(core_send(a->endpoint, &copy), 0);
    core_queue(a->endpoint, &copy);
    drain_ring(a->endpoint);
    assert_true(a->endpoint->out_parked);
    uint32_t seen = atomic_load(&a->endpoint->events), token = core_take(b->endpoint).payload.token;
    for (uint32_t i = 1; i < max; i++)
        core_take(b->endpoint);
    core_release(b->endpoint, token);
    loan_collect(b->endpoint); /* as at an exit */
    assert_int_equal(atomic_load(&a->endpoint->events), seen);

    b->runner.entered_ns = clock_deadline(2 * TOO_LONG_NS);
    enter_guest(b);
    assert_int_equal(endpoint_block(a->endpoint, seen, clock_deadline(TOO_LONG_NS)), 0);
    leave_guest(b);
    b->runner.entered_ns = 0;
}

/* A sender that never leaves its VM puts into a direct ring what the other waits for. */
static void announces_what_is_in_a_direct_ring(void **state)
{
    static struct ferry_direct ring;
    struct ferry_link *link = b->endpoint->in[0];

    (void)state;
    link->direct = &ring;
    enter_guest(a);
    for (uint32_t i = 0; i < ROUNDS / 10; i++) {
        uint32_t seen = endpoint_prepare(b->endpoint);
        direct_await(b->endpoint);
        __atomic_store_n(&ring.slots[i].turn, i + 1, __ATOMIC_RELEASE);
        assert_int_equal(endpoint_block(b->endpoint, seen, clock_deadline(TOO_LONG_NS)), 0);
        endpoint_finish(b->endpoint);
        __atomic_store_n(&ring.receiver.tail, i + 1, __ATOMIC_RELEASE);
    }
    leave_guest(a);
    until_given_up(a);
    link->direct = NULL;
}

static void tries_stuck_loans_again(void **state)
{
    (void)state;
    until_asleep();
    lend_and_release();
    ticker_stuck(&engine->ticker);
    assert_comes_home();
}

static void ends_who_is_over_time(void **state)
{
    struct ferry_vm *late = core_vm(engine, "late"), *soon = core_vm(engine, "soon");

    (void)state;
    late->runner.deadline_ns = clock_now() + 2 * TOO_LONG_NS;
    soon->runner.deadline_ns = clock_now() + INTERVAL_NS;
    ticker_add(&engine->ticker, &late->runner);
    until_asleep();
    ticker_add(&engine->ticker, &soon->runner);
    assert_int_equal(endpoint_block(soon->endpoint, 0, clock_deadline(TOO_LONG_NS)), -EINTR);
    assert_int_equal(soon->stop, STOP_TIMEOUT);
    assert_int_equal(late->stop, 0);
    ticker_remove(&engine->ticker, &soon->runner);
    ticker_remove(&engine->ticker, &late->runner);
    ferry_vm_destroy(soon);
    ferry_vm_destroy(late);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(collects_from_a_running_guest),
        CASE(leaves_idle_ones_alone),
        CASE(closes_the_page_of_clocks),
        CASE(processor_time_is_told_without_a_lock),
        CASE(misses_no_entry),
        CASE(watches_several),
        CASE(is_due_an_interval_after_its_entry),
        CASE(kicks_a_polled_guest_for_what_the_poller_left),
        CASE(wakes_senders_to_one_that_leaves_often),
        CASE(announces_what_is_in_a_direct_ring),
        CASE(tries_stuck_loans_again),
        CASE(ends_who_is_over_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
