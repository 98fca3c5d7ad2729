/* SPDX-License-Identifier: BSD-2-Clause */
/* How much of the pool each may own, and what is kept for the host. */
#include "core_trio.h"

#include <errno.h>

#include "ipc/loan.h"

enum { A = 1, B = 2, H = 3 };

static struct shares shares;
static const struct pool books = {.pages = 512, .extents = 64};

static void in_pool(void **state)
{
    (void)state;
    assert_int_equal(shares_create(&shares, &books), 0);
    assert_int_equal(shares_take(&shares, A, false, 40, 40), 0);
    assert_int_equal(shares_take(&shares, A, false, 1, 40), -EDQUOT);
    assert_int_equal(shares_take(&shares, B, false, UINT32_MAX, UINT32_MAX), -ENOMEM);
    assert_int_equal(shares_take(&shares, B, false, 24, 40), 0); /* nothing is kept yet */
    assert_int_equal(shares_take(&shares, B, true, 512, 512), 0);
    shares_give_back(&shares, B, true, 512);
    shares_give_back(&shares, B, false, 24);

    shares_keep_for(&shares, H);
    assert_int_equal(shares_take(&shares, B, false, 17, 40), -ENOMEM);
    assert_int_equal(shares_owned(&shares, B, false), 0);
    assert_int_equal(shares_take(&shares, B, false, 16, 40), 0);
    assert_int_equal(shares_take(&shares, B, true, 449, 512), -ENOMEM);
    assert_int_equal(shares_take(&shares, B, true, 448, 512), 0);
    assert_int_equal(shares_take(&shares, H, false, 8, 64), 0);
    assert_int_equal(shares_take(&shares, H, true, 64, 512), 0);
    shares_destroy(&shares);
}

/* Units change hands, and the sums stay the same. */
static void moved(void **state)
{
    (void)state;
    assert_int_equal(shares_create(&shares, &books), 0);
    shares_keep_for(&shares, H);
    assert_int_equal(shares_take(&shares, A, false, 56, 64), 0);
    assert_false(shares_promise(&shares, B, false, 9, 8));
    assert_true(shares_promise(&shares, B, false, 8, 8));
    assert_int_equal(shares_owned(&shares, B, false), 8);
    shares_break(&shares, B, false, 8);
    assert_true(shares_promise(&shares, B, false, 8, 8));
    shares_moved(&shares, A, B, false, 8);
    assert_int_equal(shares_owned(&shares, A, false), 48);
    assert_int_equal(shares_take(&shares, A, false, 1, 64), -ENOMEM);
    shares_give_back(&shares, B, false, 8);
    assert_int_equal(shares_take(&shares, A, false, 8, 64), 0);

    /* Units that the host moves count for their new owner. */
    assert_int_equal(shares_take(&shares, H, false, 8, 64), 0);
    assert_true(shares_promise(&shares, B, false, 8, 8));
    shares_moved(&shares, H, B, false, 8);
    shares_give_back(&shares, A, false, 8);
    assert_int_equal(shares_take(&shares, A, false, 1, 64), -ENOMEM);
    shares_give_back(&shares, B, false, 8);
    assert_int_equal(shares_take(&shares, A, false, 8, 64), 0);
    shares_destroy(&shares);
}

/* Units that an owner lent before it died are not free yet. */
static void orphans(void **state)
{
    const uint16_t owners[] = {A, H};

    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(shares_create(&shares, &books), 0);
        shares_keep_for(&shares, H);
        assert_int_equal(shares_take(&shares, owners[i], false, 2, 64), 0);
        shares_orphan(&shares, owners[i], false);
        shares_orphan(&shares, owners[i], false);
        assert_int_equal(shares_owned(&shares, owners[i], false), 0);
        assert_int_equal(shares_take(&shares, B, false, 55, 64), -ENOMEM);
        shares_orphans_home(&shares, false, 2);
        assert_int_equal(shares_take(&shares, B, false, 56, 64), 0);
        shares_forget(&shares, H);
        assert_int_equal(shares_take(&shares, H, false, 1, 64), -ENOMEM); /* a VM's by now */
        shares_destroy(&shares);
    }
}

/* --- in the pool ---------------------------------------------------------------------- */

static struct ferry_link *to_host, *from_host;

static int setup(void **state)
{
    (void)state;
    engine = core_engine(512, 16);
    vm_a = core_vm(engine, "a");
    vm_b = core_vm(engine, "b");
    vm_c = core_vm(engine, "c");
    a = vm_a->endpoint;
    b = vm_b->endpoint;
    c = vm_c->endpoint;
    a->most_extents = a->most_pages = 2;
    to_host = core_link(vm_a, NULL, 0);
    from_host = core_link(NULL, vm_b, 0);
    core_link(vm_b, vm_c, 0);
    return 0;
}

static void guests_leave_the_host_some(void **state)
{
    struct units units;
    void *extents;

    (void)state;
    core_alloc(b, 14, false);
    assert_int_equal(units_alloc(b, 1, false, &units), -ENOMEM);
    assert_int_equal(units_alloc(c, 1, false, &units), -ENOMEM);
    assert_int_equal(ferry_link_alloc(from_host, 2, false, &extents), 0);
    assert_int_equal(ferry_link_free(from_host, extents, 2 * FERRY_EXTENT_BYTES), 0);
    core_alloc(b, 448, true);
    assert_int_equal(units_alloc(c, 1, true, &units), -ENOMEM);
    assert_int_equal(ferry_link_alloc(from_host, 64, true, &extents), 0);
    assert_int_equal(ferry_link_free(from_host, extents, 64 * FERRY_PAGE_BYTES), 0);
}

/* VMs that died while others hold what they lent do not use up what is kept for the host,
 * either. */
static void loans_of_the_dead_are_counted(void **state)
{
    struct units lent = core_alloc(b, 14, false), units;
    void *extents;

    (void)state;
    assert_int_equal(send_units(FERRY_LEND, b, c, lent), 0);
    ferry_vm_destroy(vm_b);
    vm_b = core_vm(engine, "b");
    from_host = core_link(NULL, vm_b, 0); /* the other went with its VM */
    assert_int_equal(units_alloc(c, 1, false, &units), -ENOMEM);
    assert_int_equal(ferry_link_alloc(from_host, 2, false, &extents), 0);
    assert_int_equal(ferry_link_free(from_host, extents, 2 * FERRY_EXTENT_BYTES), 0);
    core_release(c, core_take(c).payload.token);
    loan_collect(c);
    core_alloc(c, 14, false);
}

/* A sender may move to the host as much as it may own itself. What is more waits until the host
 * frees some. */
static void the_host_takes_a_share(void **state)
{
    struct ferry_message message;

    (void)state;
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(send_units(FERRY_MOVE, a, to_host->to, core_alloc(a, 1, false)), 0);
    struct ferry_desc desc = core_units(FERRY_MOVE, a, 0, core_alloc(a, 2, false));
    core_queue(a, &desc);
    drain_ring(a);
    assert_true(a->out_parked);

    unsigned events = a->events;
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(ferry_link_recv(to_host, 0, &message), 0);
        assert_int_equal(a->events, events); /* taken is not freed */
        drain_ring(a);
        assert_true(a->out_parked);
        assert_int_equal(ferry_link_free(to_host, message.data, FERRY_EXTENT_BYTES), 0);
    }
    assert_int_not_equal(a->events, events);
    drain_ring(a);
    assert_false(a->out_parked);
    assert_int_equal(ferry_link_recv(to_host, 0, &message), 0);
    assert_int_equal(ferry_link_free(to_host, message.data, 2 * FERRY_EXTENT_BYTES), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, trio_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_pool),           cmocka_unit_test(moved),
        cmocka_unit_test(orphans),           CASE(guests_leave_the_host_some),
        CASE(loans_of_the_dead_are_counted), CASE(the_host_takes_a_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
