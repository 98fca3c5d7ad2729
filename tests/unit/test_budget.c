/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the tests of host/lib/budget.c: each VM has its floor, however much others take. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/budget.h"

#define MANY 64

static struct budget budget;
static struct budget_share shares[MANY];

static int begin(void **state)
{
    (void)state;
    budget_init(&budget, 4000, 512);
    for (int i = 0; i < MANY; i++)
        shares[i] = (struct budget_share){0};
    return 0;
}

static int end(void **state)
{
    (void)state;
    budget_fini(&budget);
    return 0;
}

/* Takes as much as it gets, one by one. */
static uint32_t take_all(struct budget_share *share)
{
    while (budget_set(&budget, share, share->used + 1))
        assert_true(share->used <= 4000);
    return share->used;
}

static void one_takes_what_is_not_sure_to_others(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        assert_true(budget_join(&budget, &shares[i], 100));
    assert_int_equal(take_all(&shares[0]), 2025);
    for (int i = 1; i < 4; i++)
        assert_int_equal(take_all(&shares[i]), 225);
    /* A VM may have what another gives back. */
    assert_true(budget_set(&budget, &shares[0], 1925));
    assert_int_equal(take_all(&shares[3]), 325);
    assert_false(budget_set(&budget, &shares[0], 1926));
    budget_leave(&budget, &shares[3]);
    budget_leave(&budget, &shares[3]); /* twice does nothing */
    assert_int_equal(budget.count, 3);
    assert_int_equal(budget.floor, 308);
    assert_true(budget_set(&budget, &shares[0], 1926));
}

/* VMs that came first and took all they could do not keep others out. */
static void who_comes_late_has_a_floor(void **state)
{
    (void)state;
    budget.most = 100;
    for (int i = 0; i < 4; i++) {
        assert_true(budget_join(&budget, &shares[i], 10));
        take_all(&shares[i]);
    }
    for (int i = 4; i < 20; i++)
        assert_true(budget_join(&budget, &shares[i], 10));
    assert_int_equal(budget.floor, 47);
    for (int i = 4; i < 20; i++)
        assert_int_equal(take_all(&shares[i]), 47);
}

/* This holds even if the VMs' own parts are more than a quarter of the whole. */
static void a_floor_is_beside_what_a_vm_has_anyway(void **state)
{
    (void)state;
    budget.whole = 200;
    for (int i = 0; i < 16; i++)
        assert_true(budget_join(&budget, &shares[i], 4));
    for (int i = 0; i < 15; i++)
        take_all(&shares[i]);
    assert_int_equal(take_all(&shares[15]), 2);
}

static void a_floor_is_bounded(void **state)
{
    (void)state;
    assert_true(budget_join(&budget, &shares[0], 1));
    assert_int_equal(budget.floor, 512);
    budget_leave(&budget, &shares[0]);
    assert_int_equal(budget.count, 0);
    assert_int_equal(budget.borrowed, 0);
}

/* One more VM would take from the floors of the others. */
static void too_many_are_refused(void **state)
{
    (void)state;
    assert_true(budget_join(&budget, &shares[0], 10));
    assert_int_equal(take_all(&shares[0]), 2507);
    assert_false(budget_join(&budget, &shares[1], 2000));
    assert_false(budget_join(&budget, &shares[1], 4000));
    assert_null(shares[1].link);
    assert_int_equal(budget.floor, 512);
    assert_false(budget_set(&budget, &shares[0], 2508));
    assert_true(budget_set(&budget, &shares[0], 1700));
    assert_true(budget_join(&budget, &shares[1], 2000));
}

static uint32_t below(uint64_t *seed, uint32_t bound)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33) % bound;
}

/* At any time all VMs could have their floors, beside what others have. */
static void it_is_never_more_than_there_is(void **state)
{
    uint64_t seed = 1;

    (void)state;
    for (int step = 0; step < 20000; step++) {
        struct budget_share *share = &shares[below(&seed, MANY)];
        if (!share->link)
            budget_join(&budget, share, below(&seed, 60));
        else if (below(&seed, 8) == 0)
            budget_leave(&budget, share);
        else
            budget_set(&budget, share, below(&seed, 2000));
        uint64_t sum = 0, count = 0, own = 0, borrowed = 0;
        for (struct budget_share *s = budget.shares; s; s = s->next) {
            sum += s->own + (s->used > budget.floor ? s->used : budget.floor);
            own += s->own;
            borrowed += s->used > budget.floor ? s->used - budget.floor : 0;
            count++;
        }
        assert_true(sum <= 4000);
        assert_int_equal(count, budget.count);
        assert_int_equal(own, budget.own);
        assert_int_equal(borrowed, budget.borrowed);
    }
}

static void what_there_is_follows_the_limits(void **state)
{
    struct rlimit before, small = {.rlim_cur = 256};

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    small.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &small), 0);
    uint32_t files = budget_files();
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(budget_files(), files - 2);
    close(fds[0]);
    close(fds[1]);
    assert_in_range(files, 64, 256 - 32);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(budget_mappings(100) - budget_mappings(200), 200);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(one_takes_what_is_not_sure_to_others),
        CASE(who_comes_late_has_a_floor),
        CASE(a_floor_is_beside_what_a_vm_has_anyway),
        CASE(a_floor_is_bounded),
        CASE(too_many_are_refused),
        CASE(it_is_never_more_than_there_is),
        CASE(what_there_is_follows_the_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
