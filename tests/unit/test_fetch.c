/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VMM reads memory that a guest may change at any moment only once: the test sees each access
 * to the out ring, and the guest changes its message between them.
 */
#include "core_fixture.h"

#include <errno.h>
#include <string.h>

#include "watch.h"

#define ACCESSES_MAX 64

static struct ferry_engine *engine;
static struct ferry_vm *vm_a, *vm_b, *vm_c;
static struct endpoint *a, *b, *c;

static struct ferry_desc *slot;
static struct ferry_desc later; /* what the guest makes of its message */
static uint32_t changes_at;     /* before which access */
static uintptr_t accesses[ACCESSES_MAX];
static uint32_t count;

static int setup(void **state)
{
    (void)state;
    engine = core_engine(512, 2);
    vm_a = core_vm(engine, "a");
    vm_b = core_vm(engine, "b");
    a = vm_a->endpoint;
    b = vm_b->endpoint;
    vm_c = core_vm(engine, "c");
    c = vm_c->endpoint;
    core_link(vm_a, vm_b, 0);
    core_link(vm_b, vm_c, 0);
    slot = &a->control->out[0];
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ferry_vm_destroy(vm_a);
    ferry_vm_destroy(vm_b);
    ferry_vm_destroy(vm_c);
    core_end(engine);
    return 0;
}

static void on_access(uintptr_t at, bool write)
{
    (void)write;
    if (count == changes_at)
        *slot = later;
    if (count < ACCESSES_MAX)
        accesses[count] = at;
    count++;
}

/* The drain of one message that changes at the given access; its status. */
static int drain_changing(const struct ferry_desc *first, uint32_t at)
{
    core_queue(a, first);
    count = 0;
    changes_at = at;
    watch_begin(a->control->out, sizeof a->control->out, on_access);
    drain_ring(a);
    watch_end();
    assert_int_equal(a->control->vmm.out_tail, 1);
    return a->control->out_status[0];
}

static void a_descriptor_is_read_once(void **state)
{
    struct ferry_desc small = core_inline(b->id, 1);

    (void)state;
    assert_int_equal(drain_changing(&small, UINT32_MAX), 0);
    assert_in_range(count, 1, sizeof small / sizeof(uint64_t));
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t j = 0; j < i; j++)
            assert_int_not_equal(accesses[i], accesses[j]);
}

/* The other half of the test above, by what arrives: good, or nothing. */
static void a_length_that_grows_is_refused_or_not_seen(void **state)
{
    struct ferry_desc small = core_inline(b->id, 1);
    uint32_t refused = 0, arrived = 0;

    for (uint32_t at = 0; at <= sizeof small / sizeof(uint64_t); at++) {
        if (at) {
            teardown(state);
            setup(state);
        }
        later = small;
        later.inline_bytes = 255;
        int status = drain_changing(&small, at);
        if (status == 0) {
            assert_int_equal(core_take(b).inline_bytes, small.inline_bytes);
            arrived++;
        } else {
            assert_int_equal(status, -EMSGSIZE);
            assert_int_equal(core_waiting(b), 0);
            refused++;
        }
    }
    assert_true(refused > 0 && arrived > 0);
}

/* The address changes from a page of the sender to one of another VM. */
static void an_address_that_changes_hands_over_only_what_is_its_own(void **state)
{
    uint32_t refused = 0, arrived = 0;

    for (uint32_t at = 0; at <= sizeof later / sizeof(uint64_t); at++) {
        if (at) {
            teardown(state);
            setup(state);
        }
        struct units own = core_alloc(a, 1, true), others = core_alloc(b, 1, true);
        struct ferry_desc lend = core_units(FERRY_LEND, a, b->id, own);
        later = core_units(FERRY_LEND, a, b->id, others);
        int status = drain_changing(&lend, at);
        if (status == 0) {
            assert_int_equal(core_take(b).payload.addr, lend.payload.addr);
            assert_int_equal(core_rights(b, own.first), WINDOW_READ);
            arrived++;
        } else {
            assert_int_equal(status, -EPERM);
            refused++;
        }
        assert_int_equal(core_rights(b, others.first), WINDOW_WRITE);
    }
    assert_true(refused > 0 && arrived > 0);
}

static void take_and_release(uintptr_t at, bool write)
{
    (void)at;
    (void)write;
    if (count++ == changes_at)
        core_release(b, core_take(b).payload.token);
}

/* Those that end a run are of another mode, or apart from the one ahead of them. */
static void a_descriptor_that_ends_a_run_is_read_once(void **state)
{
    struct ferry_desc small = core_inline(b->id, 1);
    struct units units = core_alloc(a, 4, true);
    struct ferry_desc lend[] = {
        core_units(FERRY_LEND, a, b->id, (struct units){units.first, 1}),
        core_units(FERRY_LEND, a, b->id, (struct units){units.first + 2, 1})};

    (void)state;
    core_queue(a, &small);
    core_queue(a, &lend[0]);
    core_queue(a, &lend[1]);
    core_queue(a, &small);
    count = 0;
    changes_at = UINT32_MAX;
    watch_begin(a->control->out, sizeof a->control->out, on_access);
    drain_ring(a);
    watch_end();
    assert_int_equal(core_waiting(b), 4);
    assert_in_range(count, 4, 4 * sizeof small / sizeof(uint64_t));
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t j = 0; j < i; j++)
            assert_int_not_equal(accesses[i], accesses[j]);
}

/* The guest takes and releases between any two of the VMM's looks at its indexes: what it
 * released by then it took before, so the release is found, now or at the next look. */
static void take_and_release_between(void (*look)(struct endpoint *))
{
    bool acted = true;

#ifdef __SANITIZE_THREAD__
    skip(); /* its own lock is held at the access, and wanted again by what the guest does */
#endif
    for (uint32_t at = 0; acted; at++) {
        struct ferry_desc small = core_inline(b->id, 1);
        struct units units = core_alloc(a, 1, true);
        assert_int_equal(core_send(a, &small), 0);
        core_take(b); /* so that there is something new at each look */
        struct ferry_desc lend = core_units(FERRY_LEND, a, b->id, units);
        assert_int_equal(core_send(a, &lend), 0);
        count = 0;
        changes_at = at;
        watch_begin(&b->control->guest, sizeof b->control->guest, take_and_release);
        look(b);
        watch_end();
        acted = count > at;
        if (!acted)
            core_release(b, core_take(b).payload.token);
        look(b);
        assert_int_equal(core_rights(a, units.first), WINDOW_WRITE);
        assert_int_equal(core_rights(b, units.first), WINDOW_CLOSED);
        assert_true(at < ACCESSES_MAX && (acted || at > 2));
    }
}

static void a_release_between_two_looks_is_not_lost(void **state)
{
    (void)state;
    take_and_release_between(loan_collect);
}

/* The same holds for the look that is left out when nothing is new. */
static void what_is_new_is_not_lost(void **state)
{
    (void)state;
    take_and_release_between(loan_collect_new);
}

static void forward_next(void)
{
    struct ferry_desc loan = core_take(b);
    struct ferry_desc lend = core_payload(FERRY_LEND, c->id, loan.payload.addr, loan.payload.bytes);

    core_queue(b, &lend);
}

static void take_and_forward(uintptr_t at, bool write)
{
    (void)at;
    (void)write;
    if (count++ == changes_at)
        forward_next();
}

/* The guest takes a loan and forwards it between any two of the VMM's looks at its indexes, as it may
 * while a poller drains its rings, or another CPU of it makes an exit. */
static void a_loan_is_forwarded_between_two_looks(void **state)
{
    bool acted = true;

    (void)state;
#ifdef __SANITIZE_THREAD__
    skip(); /* its own lock is held at the access, and wanted again by what the guest does */
#endif
    for (uint32_t at = 0; acted; at++) {
        struct units units = core_alloc(a, 1, true);
        struct ferry_desc lend = core_units(FERRY_LEND, a, b->id, units);
        assert_int_equal(core_send(a, &lend), 0);
        count = 0;
        changes_at = at;
        watch_begin(&b->control->guest, sizeof b->control->guest, take_and_forward);
        drain_ring(b);
        watch_end();
        acted = count > at;
        if (!acted)
            forward_next();
        drain_ring(b);
        assert_int_equal(b->control->vmm.out_tail, at + 1);
        assert_int_equal(b->control->out_status[at], 0);
        assert_int_equal(core_rights(c, units.first), WINDOW_READ);
        core_release(c, core_take(c).payload.token);
        loan_collect(c);
        assert_int_equal(core_rights(a, units.first), WINDOW_WRITE);
        assert_true(at < ACCESSES_MAX && (acted || at > 2));
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_descriptor_is_read_once),
        CASE(a_length_that_grows_is_refused_or_not_seen),
        CASE(an_address_that_changes_hands_over_only_what_is_its_own),
        CASE(a_descriptor_that_ends_a_run_is_read_once),
        CASE(a_release_between_two_looks_is_not_lost),
        CASE(what_is_new_is_not_lost),
        CASE(a_loan_is_forwarded_between_two_looks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
