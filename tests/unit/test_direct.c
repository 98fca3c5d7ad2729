/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the tests of host/ipc/direct.c, except the mapping, which needs KVM: turns, and waking. */
#include "core_fixture.h"

#include <linux/membarrier.h>
#include <string.h>
#include <sys/syscall.h>

#include "ipc/direct.h"
#include "ipc/queue.h"
#include "ipc/ring.h"

static struct ferry_engine *engine;
static struct ferry_vm *a, *b;
static struct ferry_link *to_b;
static struct ferry_direct ring;

static unsigned barriers;
static uint32_t shown_at_barrier; /* what the sender saw of the receiver then */

long __real_syscall(long number, ...);
long __wrap_syscall(long number, long arg0, long arg1, long arg2, long arg3, long arg4, long arg5);

static int setup(void **state)
{
    (void)state;
    engine = core_engine(8, 1);
    a = core_vm(engine, "a");
    b = core_vm(engine, "b");
    to_b = core_link(a, b, 0);
    memset(&ring, 0, sizeof ring);
    to_b->direct = &ring;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    to_b->direct = NULL; /* it is not a mapping */
    ferry_vm_destroy(a);
    ferry_vm_destroy(b);
    core_end(engine);
    return 0;
}

static void put(uint32_t from, uint32_t to)
{
    for (; from != to; from++)
        ring.slots[from & RING_MASK].turn = from + 1;
}

static void a_turn_is_carried(void **state)
{
    struct ferry_desc small = core_inline(b->endpoint->id, 9);
    struct ferry_desc copy = core_payload(FERRY_COPY, b->endpoint->id, CORE_MEMORY_ADDR, 10);

    (void)state;
    small.turn = 7;
    copy.turn = 0xfffffffe;
    assert_int_equal(core_send(a->endpoint, &small), 0);
    assert_int_equal(core_send(a->endpoint, &copy), 0);
    assert_int_equal(core_take(b->endpoint).turn, 7);
    assert_int_equal(core_take(b->endpoint).turn, 0xfffffffe);
}

static void what_was_sent_is_counted_from_the_tail(void **state)
{
    static const struct {
        uint32_t from, to, tail, sent;
    } rows[] = {
        {0, 0, 0, 0},
        {0, 5, 0, 5},
        {0, 5, 3, 5},
        {0, 5, 5, 5},
        {0, FERRY_RING_ENTRIES, 0, FERRY_RING_ENTRIES},
        {900, 900 + FERRY_RING_ENTRIES, 900, 900 + FERRY_RING_ENTRIES},
        {UINT32_MAX - 2, 4, UINT32_MAX - 1, 4},
        {0, 5, 77, 77}, /* a tail that cannot be */
        {3, 5, 0, 0},   /* what comes after a gap is not there */
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        memset(&ring, 0, sizeof ring);
        put(rows[i].from, rows[i].to);
        ring.receiver.tail = rows[i].tail;
        if (direct_sent(to_b) != rows[i].sent)
            fail_msg("row %zu: %u, not %u", i, direct_sent(to_b), rows[i].sent);
    }
    to_b->direct = NULL;
    assert_int_equal(direct_sent(to_b), 0);
}

static void a_hangup_comes_after_what_is_in_the_ring(void **state)
{
    (void)state;
    put(0, 6);
    ring.receiver.tail = 2;
    queue_hangup(to_b);
    struct ferry_desc desc = core_take(b->endpoint);
    assert_int_equal(desc.mode, FERRY_HANGUP);
    assert_int_equal(desc.turn, 6);
}

/* The receiver as the sender sees it. */
static const struct ferry_peer *link_shown(void)
{
    return a->endpoint->out[0]->sender_peer_entry;
}

static void who_waits_is_woken(void **state)
{
    uint32_t seen = atomic_load(&b->endpoint->events);

    (void)state;
    assert_false(direct_waiting(b->endpoint));
    put(0, 1);
    assert_true(direct_waiting(b->endpoint));
    assert_false(direct_waiting(a->endpoint));
    direct_announce(a->endpoint);
    assert_int_equal(atomic_load(&b->endpoint->events), seen); /* it does not wait */
    endpoint_prepare(b->endpoint);
    assert_int_equal(link_shown()->waiting, FERRY_WAITS);
    direct_announce(a->endpoint);
    assert_int_equal(atomic_load(&b->endpoint->events), seen); /* nor for this */
    direct_await(b->endpoint);
    assert_int_equal(link_shown()->waiting, FERRY_WAITS | FERRY_WAITS_DIRECT);
    direct_announce(b->endpoint);
    assert_int_equal(atomic_load(&b->endpoint->events), seen);
    direct_announce(a->endpoint);
    direct_announce(a->endpoint); /* once is enough */
    assert_int_equal(atomic_load(&b->endpoint->events), seen + 1);
    ring.receiver.tail = 1;
    direct_await(b->endpoint);
    direct_announce(a->endpoint);
    assert_int_equal(atomic_load(&b->endpoint->events), seen + 1);
    assert_false(direct_waiting(b->endpoint));
    ring.receiver.tail = 0;
    endpoint_finish(b->endpoint);
    assert_int_equal(link_shown()->waiting, 0);
    direct_announce(a->endpoint);
    assert_int_equal(atomic_load(&b->endpoint->events), seen + 1);
}

long __wrap_syscall(long number, long arg0, long arg1, long arg2, long arg3, long arg4, long arg5)
{
    if (number == SYS_membarrier && arg0 == MEMBARRIER_CMD_PRIVATE_EXPEDITED) {
        barriers++;
        shown_at_barrier = __atomic_load_n(&link_shown()->waiting, __ATOMIC_RELAXED);
    }
    return __real_syscall(number, arg0, arg1, arg2, arg3, arg4, arg5);
}

/* The sender has no fence, so the receiver makes all processors have one, once the sender can
 * see that it waits and before it looks at the ring. */
static void who_waits_stops_the_others_for_a_moment(void **state)
{
    (void)state;
    barriers = 0;
    direct_await(a->endpoint); /* nobody sends to it directly */
    assert_int_equal(barriers, 0);
    direct_await(b->endpoint);
    assert_int_equal(barriers, 1);
    assert_int_equal(shown_at_barrier, FERRY_WAITS | FERRY_WAITS_DIRECT);
    endpoint_finish(b->endpoint);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_turn_is_carried),
        CASE(what_was_sent_is_counted_from_the_tail),
        CASE(a_hangup_comes_after_what_is_in_the_ring),
        CASE(who_waits_is_woken),
        CASE(who_waits_stops_the_others_for_a_moment),
    };

    return cmocka_run_group_tests_name("direct", tests, NULL, NULL);
}
