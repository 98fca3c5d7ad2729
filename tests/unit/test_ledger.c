/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the tests of host/pool/ledger.c: every change of hands, begun, committed, aborted. */
#include "core_fixture.h"

#include <errno.h>

#define A 1
#define B 2
#define C 3

static struct pool pool = {.fd = -1, .pages = 512, .extents = 4};
static struct ledger ledger;

static int setup(void **state)
{
    (void)state;
    return ledger_create(&ledger, &pool);
}

static int teardown(void **state)
{
    (void)state;
    ledger_destroy(&ledger);
    return 0;
}

static struct units owned(uint16_t owner, uint32_t count)
{
    struct units units;

    assert_int_equal(ledger_alloc(&ledger, owner, true, count, 512, &units), 0);
    ledger_commit_owned(&ledger, units, false);
    return units;
}

static void give(struct units units, uint16_t from, uint16_t to, enum unit_state prior_state,
                 bool move)
{
    assert_int_equal(move ? ledger_begin_move(&ledger, units, from, to, 512)
                          : ledger_begin_send(&ledger, units, from, prior_state),
                     0);
    ledger_commit_send(&ledger, units, to, move, 7);
}

static void assert_unit(uint32_t unit, enum unit_state state, uint16_t owner, uint16_t holder)
{
    struct ledger_unit found = ledger_look(&ledger, unit);

    assert_int_equal(found.state, state);
    assert_int_equal(found.owner, owner);
    assert_int_equal(found.holder, holder);
}

static void assert_count(uint64_t free, uint64_t owned_, uint64_t lent, uint64_t transit)
{
    struct ledger_count count = ledger_prove(&ledger);

    assert_int_equal(count.free, free);
    assert_int_equal(count.owned, owned_);
    assert_int_equal(count.lent, lent);
    assert_int_equal(count.transit, transit);
}

static void starts_free(void **state)
{
    (void)state;
    assert_count(516, 0, 0, 0);
    assert_unit(0, UNIT_FREE, LEDGER_NOBODY, LEDGER_NOBODY);
}

static void alloc_is_in_transit_until_committed(void **state)
{
    struct units units;

    (void)state;
    assert_int_equal(ledger_alloc(&ledger, A, false, 2, 4, &units), 0);
    assert_int_equal(units.first, 512);
    assert_int_equal(units.count, 2);
    assert_count(514, 0, 0, 2);
    assert_int_equal(ledger_begin_send(&ledger, units, A, UNIT_OWNED), -EPERM);
    assert_int_equal(ledger_begin_free(&ledger, units, A), -EPERM);
    assert_int_equal(ledger_access(&ledger, units, A), WINDOW_CLOSED);
    ledger_commit_owned(&ledger, units, false);
    assert_unit(513, UNIT_OWNED, A, A);
    assert_int_equal(ledger_access(&ledger, units, A), WINDOW_WRITE);
    assert_int_equal(ledger_access(&ledger, units, B), WINDOW_CLOSED);
}

static void alloc_obeys_limits(void **state)
{
    struct units units;

    (void)state;
    assert_int_equal(ledger_alloc(&ledger, A, false, 0, 4, &units), -EINVAL);
    assert_int_equal(ledger_alloc(&ledger, A, false, 5, 9, &units), -ENOMEM);
    assert_int_equal(ledger_alloc(&ledger, A, false, UINT32_MAX, UINT32_MAX, &units), -ENOMEM);
    assert_int_equal(ledger_alloc(&ledger, A, false, 3, 2, &units), -EDQUOT);
    assert_int_equal(ledger_alloc(&ledger, A, false, 2, 2, &units), 0);
    assert_int_equal(ledger_alloc(&ledger, A, false, 1, 2, &units), -EDQUOT);
    /* The share counts one size at a time, and only its own. */
    assert_int_equal(ledger_alloc(&ledger, A, true, 1, 2, &units), 0);
    assert_int_equal(ledger_alloc(&ledger, B, false, 2, 2, &units), 0);
    assert_int_equal(ledger_alloc(&ledger, C, false, 1, 2, &units), -ENOMEM);
}

static void lent_units_count_for_their_owner(void **state)
{
    struct units units = owned(A, 3);

    (void)state;
    give(units, A, B, UNIT_OWNED, false);
    assert_int_equal(ledger_alloc(&ledger, A, true, 1, 3, &units), -EDQUOT);
    assert_int_equal(ledger_alloc(&ledger, B, true, 1, 1, &units), 0);
}

static void alloc_finds_a_run_anywhere(void **state)
{
    struct units units, all = owned(A, 512);
    struct units hole = {100, 5}, other = {300, 4};

    (void)state;
    assert_int_equal(all.count, 512);
    assert_int_equal(ledger_begin_free(&ledger, hole, A), 0);
    ledger_commit_free(&ledger, hole);
    assert_int_equal(ledger_begin_free(&ledger, other, A), 0);
    ledger_commit_free(&ledger, other);
    assert_int_equal(ledger_alloc(&ledger, B, true, 6, 512, &units), -ENOMEM);
    assert_int_equal(ledger_alloc(&ledger, B, true, 5, 512, &units), 0);
    assert_int_equal(units.first, 100);
    /* The search goes on behind, then from the start again. */
    assert_int_equal(ledger_alloc(&ledger, B, true, 3, 512, &units), 0);
    assert_int_equal(units.first, 300);
    ledger_commit_free(&ledger, (struct units){100, 5});
    assert_int_equal(ledger_alloc(&ledger, B, true, 2, 512, &units), 0);
    assert_int_equal(units.first, 100);
}

static void search_wraps_to_the_start(void **state)
{
    struct units first = owned(A, 1), units;

    (void)state;
    assert_int_equal(ledger_begin_free(&ledger, first, A), 0);
    ledger_commit_free(&ledger, first);
    owned(A, 511); /* the search starts behind the first: it wraps to unit 0 */
    assert_int_equal(ledger_alloc(&ledger, A, true, 1, 512, &units), 0);
    assert_int_equal(units.first, 0);
}

static void move_changes_the_owner(void **state)
{
    struct units units = owned(A, 2);

    (void)state;
    assert_int_equal(ledger_begin_move(&ledger, units, A, B, 512), 0);
    assert_unit(units.first, UNIT_TRANSIT, A, A);
    ledger_commit_send(&ledger, units, B, true, 42);
    assert_unit(units.first + 1, UNIT_OWNED, B, B);
    struct ledger_unit unit = ledger_look(&ledger, units.first);
    assert_int_equal(unit.from, A);
    assert_int_equal(unit.to, B);
    assert_int_equal(unit.message, 42);
    assert_int_equal(ledger_access(&ledger, units, A), WINDOW_CLOSED);
    assert_int_equal(ledger_access(&ledger, units, B), WINDOW_WRITE);
}

static void loan_is_read_only_and_comes_home(void **state)
{
    struct units units = owned(A, 2);
    uint16_t owner = 0;

    (void)state;
    give(units, A, B, UNIT_OWNED, false);
    assert_unit(units.first, UNIT_LENT, A, B);
    assert_count(514, 0, 2, 0);
    assert_int_equal(ledger_access(&ledger, units, A), WINDOW_CLOSED);
    assert_int_equal(ledger_access(&ledger, units, B), WINDOW_READ);
    ledger_begin_home(&ledger, units, B, &owner);
    assert_int_equal(owner, A);
    assert_int_equal(ledger_access(&ledger, units, B), WINDOW_CLOSED);
    ledger_commit_home(&ledger, units);
    assert_unit(units.first, UNIT_OWNED, A, A);
}

static void nobody_sends_what_is_not_his(void **state)
{
    struct units units = owned(A, 2), lent = owned(A, 1), mixed = {units.first, 3};

    (void)state;
    assert_int_equal(ledger_begin_send(&ledger, units, B, UNIT_OWNED), -EPERM);
    assert_int_equal(ledger_begin_send(&ledger, units, A, UNIT_LENT), -EPERM);
    assert_int_equal(ledger_begin_send(&ledger, (struct units){500, 1}, A, UNIT_OWNED), -EPERM);
    assert_int_equal(ledger_begin_free(&ledger, units, B), -EPERM);
    give(lent, A, B, UNIT_OWNED, false);
    assert_int_equal(ledger_begin_send(&ledger, mixed, A, UNIT_OWNED), -EPERM);
    assert_int_equal(ledger_begin_send(&ledger, lent, B, UNIT_OWNED), -EPERM);
    assert_int_equal(ledger_begin_free(&ledger, lent, B), -EPERM);
    assert_int_equal(ledger_begin_free(&ledger, lent, A), -EPERM);
    assert_count(513, 2, 1, 0); /* a refusal leaves nothing in transit */
}

static void loans_of_two_owners_do_not_go_on_as_one(void **state)
{
    struct units first = owned(A, 1), second = owned(B, 1);

    (void)state;
    give(first, A, C, UNIT_OWNED, false);
    give(second, B, C, UNIT_OWNED, false);
    assert_int_equal(ledger_begin_send(&ledger, (struct units){first.first, 2}, C, UNIT_LENT),
                     -EPERM);
}

static void abort_goes_back(void **state)
{
    struct units units = owned(A, 1);

    (void)state;
    assert_int_equal(ledger_begin_send(&ledger, units, A, UNIT_OWNED), 0);
    ledger_abort(&ledger, units, UNIT_OWNED);
    assert_unit(units.first, UNIT_OWNED, A, A);
    give(units, A, B, UNIT_OWNED, false);
    assert_int_equal(ledger_begin_send(&ledger, units, B, UNIT_LENT), 0);
    ledger_abort(&ledger, units, UNIT_LENT);
    assert_unit(units.first, UNIT_LENT, A, B);
}

static void loan_passed_to_its_owner_stays_a_loan(void **state)
{
    struct units units = owned(A, 1);
    uint16_t owner;

    (void)state;
    give(units, A, B, UNIT_OWNED, false);
    give(units, B, A, UNIT_LENT, false);
    assert_unit(units.first, UNIT_LENT, A, A);
    assert_int_equal(ledger_access(&ledger, units, A), WINDOW_READ);
    assert_int_equal(ledger_begin_free(&ledger, units, A), -EPERM);
    assert_int_equal(ledger_begin_send(&ledger, units, A, UNIT_LENT), 0);
    ledger_abort(&ledger, units, UNIT_LENT);
    assert_unit(units.first, UNIT_LENT, A, A);
    ledger_begin_home(&ledger, units, A, &owner);
    assert_int_equal(owner, A);
    ledger_commit_home(&ledger, units);
    assert_unit(units.first, UNIT_OWNED, A, A);
}

static void evict_frees_and_orphans(void **state)
{
    struct units kept = owned(A, 2), lent = owned(A, 1), other = owned(B, 1);
    uint16_t owner = A;

    (void)state;
    give(lent, A, B, UNIT_OWNED, false);
    ledger_evict(&ledger, A);
    assert_unit(kept.first + 1, UNIT_FREE, LEDGER_NOBODY, LEDGER_NOBODY);
    assert_unit(lent.first, UNIT_LENT, LEDGER_NOBODY, B);
    assert_unit(other.first, UNIT_OWNED, B, B);
    assert_int_equal(ledger_access(&ledger, lent, B), WINDOW_READ);
    ledger_begin_home(&ledger, lent, B, &owner);
    assert_int_equal(owner, LEDGER_NOBODY);
    ledger_commit_home(&ledger, lent);
    assert_unit(lent.first, UNIT_FREE, LEDGER_NOBODY, LEDGER_NOBODY);
    assert_count(515, 1, 0, 0);
}

/* A share counts units that are owned, lent out, and on their way to the owner. */
static void shares_follow_every_change(void **state)
{
    struct units units = owned(A, 3), more = owned(A, 2), lent = owned(A, 1);
    uint16_t owner;

    (void)state;
    assert_int_equal(ledger_owned(&ledger, A, true), 6);
    assert_int_equal(ledger_owned(&ledger, A, false), 0);
    assert_int_equal(ledger_begin_move(&ledger, units, A, B, 2), -EMSGSIZE);
    assert_int_equal(ledger_begin_move(&ledger, units, C, B, 3), -EPERM);
    assert_int_equal(ledger_owned(&ledger, B, true), 0);
    assert_int_equal(ledger_begin_move(&ledger, units, A, B, 3), 0);
    assert_int_equal(ledger_owned(&ledger, B, true), 3);
    assert_int_equal(ledger_begin_move(&ledger, more, A, B, 4), -EAGAIN);
    ledger_abort(&ledger, units, UNIT_OWNED);
    assert_int_equal(ledger_owned(&ledger, B, true), 0);
    assert_int_equal(ledger_owned(&ledger, A, true), 6);
    give(units, A, B, UNIT_OWNED, true);
    assert_int_equal(ledger_owned(&ledger, A, true), 3);
    assert_int_equal(ledger_owned(&ledger, B, true), 3);
    give(lent, A, B, UNIT_OWNED, false);
    assert_int_equal(ledger_owned(&ledger, A, true), 3);
    assert_int_equal(ledger_begin_free(&ledger, more, A), 0);
    ledger_commit_free(&ledger, more);
    assert_int_equal(ledger_owned(&ledger, A, true), 1);
    ledger_evict(&ledger, A);
    assert_int_equal(ledger_owned(&ledger, A, true), 0);
    ledger_begin_home(&ledger, lent, B, &owner);
    ledger_commit_home(&ledger, lent);
    assert_int_equal(ledger_owned(&ledger, B, true), 3);
    ledger_evict(&ledger, B);
    assert_int_equal(ledger_owned(&ledger, B, true), 0);
    assert_count(516, 0, 0, 0);
}

static void owner_evicted_while_a_loan_is_on_its_way(void **state)
{
    struct units units = owned(A, 1);
    uint16_t owner;

    (void)state;
    give(units, A, B, UNIT_OWNED, false);
    ledger_begin_home(&ledger, units, B, &owner);
    assert_int_equal(owner, A);
    ledger_evict(&ledger, A);
    ledger_commit_home(&ledger, units);
    assert_unit(units.first, UNIT_FREE, LEDGER_NOBODY, LEDGER_NOBODY);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(starts_free),
        CASE(alloc_is_in_transit_until_committed),
        CASE(alloc_obeys_limits),
        CASE(lent_units_count_for_their_owner),
        CASE(alloc_finds_a_run_anywhere),
        CASE(search_wraps_to_the_start),
        CASE(move_changes_the_owner),
        CASE(loan_is_read_only_and_comes_home),
        CASE(nobody_sends_what_is_not_his),
        CASE(loans_of_two_owners_do_not_go_on_as_one),
        CASE(abort_goes_back),
        CASE(loan_passed_to_its_owner_stays_a_loan),
        CASE(evict_frees_and_orphans),
        CASE(shares_follow_every_change),
        CASE(owner_evicted_while_a_loan_is_on_its_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
