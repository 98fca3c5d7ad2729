/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cost of a message in the VMM, without measuring time: the locks that it takes, the checks of
 * descriptors, the looks into a direct ring. A change that makes one more or one fewer changes the
 * figures here and in docs/performance.md, and says why.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "core_trio.h"
#include "ipc/direct.h"
#include "watch.h"

static uint32_t locks, decodes;

int __real_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __real_decode_message(struct endpoint *from, const struct ferry_desc *desc,
                          struct transfer *out);
int __wrap_decode_message(struct endpoint *from, const struct ferry_desc *desc,
                          struct transfer *out);

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    locks++;
    return __real_pthread_mutex_lock(mutex);
}

int __wrap_decode_message(struct endpoint *from, const struct ferry_desc *desc,
                          struct transfer *out)
{
    decodes++;
    return __real_decode_message(from, desc, out);
}

static struct ferry_link *link_ab;

static int setup(void **state)
{
    (void)state;
    trio_setup();
    link_ab = core_link(vm_a, vm_b, 48);
    return 0;
}

static uint32_t locks_of_drain(struct endpoint *endpoint)
{
    locks = decodes = 0;
    drain_out(endpoint);
    return locks;
}

static void queue_units(enum ferry_mode mode, struct units units)
{
    struct ferry_desc desc = core_units(mode, a, b->id, units);

    core_queue(a, &desc);
}

static void nothing_to_do(void **state)
{
    (void)state;
    assert_int_equal(locks_of_drain(a), 0);
}

static void what_the_guest_took(void **state)
{
    struct ferry_desc desc = core_inline(b->id, 1);

    (void)state;
    core_send(a, &desc);
    core_take(b);
    assert_int_equal(locks_of_drain(b), 1);
    assert_int_equal(locks_of_drain(b), 0);
}

static void inline_messages(void **state)
{
    struct ferry_desc desc = core_inline(b->id, 1);

    (void)state;
    for (int i = 0; i < 16; i++)
        core_queue(a, &desc);
    assert_int_equal(locks_of_drain(a), 1);
    assert_int_equal(decodes, 16);
}

static void one_copy(void **state)
{
    struct ferry_desc desc = core_payload(FERRY_COPY, b->id, CORE_MEMORY_ADDR, 4096);

    (void)state;
    core_queue(a, &desc);
    assert_int_equal(locks_of_drain(a), 4);
    core_release(b, core_take(b).payload.token);
    assert_int_equal(locks_of_drain(b), 2);
}

static void one_loan(void **state)
{
    (void)state;
    queue_units(FERRY_LEND, core_alloc(a, 1, false));
    assert_int_equal(locks_of_drain(a), 5);
    core_release(b, core_take(b).payload.token);
    assert_int_equal(locks_of_drain(b), 5);
}

static void eight_loans_side_by_side(void **state)
{
    struct units units = core_alloc(a, 8, true);

    (void)state;
    for (uint32_t i = 0; i < 8; i++)
        queue_units(FERRY_LEND, (struct units){units.first + i, 1});
    assert_int_equal(locks_of_drain(a), 12);
    assert_int_equal(decodes, 8);
    for (uint32_t i = 0; i < 8; i++)
        core_release(b, core_take(b).payload.token);
    assert_int_equal(locks_of_drain(b), 5);
}

/* Each takes the promises of all that follow, and gives them back at once. */
static void eight_that_are_refused(void **state)
{
    struct units units = core_alloc(a, 8, true);

    (void)state;
    core_alloc(b, 1, true);
    for (uint32_t i = 0; i < 8; i++)
        queue_units(FERRY_LEND, (struct units){units.first + i, 1});
    for (uint32_t i = 0; i < 8; i++)
        units_free(a, (struct units){units.first + i, 1});
    assert_int_equal(locks_of_drain(a), 42);
    assert_int_equal(core_waiting(b), 0);
}

static void one_move(void **state)
{
    (void)state;
    queue_units(FERRY_MOVE, core_alloc(a, 1, false));
    assert_int_equal(locks_of_drain(a), 5);
}

/* The guest's memory as a real VM shows it: a page of the window while it has it. */
static struct reach window_memory(struct ferry_vm *vm, struct guest_addr addr, uint64_t bytes,
                                  bool write)
{
    const struct pool *pool = &engine->exchange.pool;
    struct units units;

    (void)vm;
    (void)write;
    assert_true(pool_covering(pool, endpoint_offset(a, addr), bytes, &units));
    if (ledger_access(&engine->exchange.ledger, units, a->index) == WINDOW_CLOSED)
        return (struct reach){0};
    return (struct reach){.at = core_bytes(engine, units.first)};
}

/* A message that does not join the run before it, because of its mode or its place, is checked
 * once too. */
static void each_message_is_checked_once(void **state)
{
    struct ferry_desc small = core_inline(b->id, 1);
    struct units units = core_alloc(a, 8, true);

    (void)state;
    for (uint32_t i = 0; i < 4; i++) {
        core_queue(a, &small);
        queue_units(FERRY_LEND, (struct units){units.first + 7 - 2 * i, 1});
        queue_units(FERRY_LEND, (struct units){units.first + 6 - 2 * i, 1});
    }
    locks_of_drain(a);
    assert_int_equal(core_waiting(b), 12);
    assert_int_equal(decodes, 12);
}

/* One message is refused amid others that would go together. */
static void what_follows_a_refused_one_is_checked_once(void **state)
{
    struct ferry_desc small = core_inline(b->id, 1);
    struct units units = core_alloc(a, 4, true);
    static const int32_t status[] = {0, -EPERM, 0, 0, 0};

    (void)state;
    assert_int_equal(units_free(a, (struct units){units.first + 1, 1}), 0);
    for (uint32_t i = 0; i < 4; i++)
        queue_units(FERRY_LEND, (struct units){units.first + i, 1});
    core_queue(a, &small);
    locks_of_drain(a);
    assert_int_equal(decodes, 5);
    assert_memory_equal(a->control->out_status, status, sizeof status);
}

/* The sender moves units away and then wants to copy from them: at the copy it no longer has
 * them. */
static void a_message_is_checked_after_those_ahead_of_it(void **state)
{
    struct units units = core_alloc(a, 1, true);
    struct ferry_desc copy =
        core_payload(FERRY_COPY, b->id, core_units(FERRY_MOVE, a, b->id, units).payload.addr, 16);
    static const int32_t status[] = {0, 0, -EFAULT};

    (void)state;
    a->memory = window_memory;
    core_queue(a, &copy);
    queue_units(FERRY_MOVE, units);
    core_queue(a, &copy);
    locks_of_drain(a);
    assert_memory_equal(a->control->out_status, status, sizeof status);
}

/* --- direct rings --- */

static struct ferry_direct ring __attribute__((aligned(4096)));
static uint32_t looks;

static void on_look(uintptr_t at, bool write)
{
    (void)at;
    (void)write;
    looks++;
}

static uint32_t looks_of_direct_sent(uint32_t filled)
{
    for (uint32_t i = 0; i < filled; i++)
        ring.slots[i].turn = i + 1;
    looks = 0;
    link_ab->direct = &ring;
    watch_begin(&ring, sizeof ring, on_look);
    uint32_t sent = direct_sent(link_ab);
    watch_end();
    link_ab->direct = NULL; /* it is not a mapping */
    assert_int_equal(sent, filled);
    return looks;
}

static void what_a_direct_ring_holds(void **state)
{
    (void)state;
    assert_int_equal(looks_of_direct_sent(0), 2); /* the tail, and its slot */
    assert_in_range(looks_of_direct_sent(300), 3, 13);
    assert_in_range(looks_of_direct_sent(FERRY_RING_ENTRIES), 3, 13);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, trio_teardown)
    const struct CMUnitTest tests[] = {
        CASE(nothing_to_do),
        CASE(what_the_guest_took),
        CASE(inline_messages),
        CASE(one_copy),
        CASE(one_loan),
        CASE(eight_loans_side_by_side),
        CASE(eight_that_are_refused),
        CASE(one_move),
        CASE(each_message_is_checked_once),
        CASE(what_follows_a_refused_one_is_checked_once),
        CASE(a_message_is_checked_after_those_ahead_of_it),
        CASE(what_a_direct_ring_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
