/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * In which order windows are closed and opened, and what is left where a call in the middle
 * fails. The end is the same in either order; only the moment between shows a page open to two.
 */
#include <errno.h>
#include <sys/mman.h>

#include "core_trio.h"
#include "page_calls.h"

static struct endpoint *all[3];

static int setup(void **state)
{
    (void)state;
    trio_setup();
    core_link(vm_a, vm_b, 8);
    core_link(vm_b, vm_c, 8);
    all[0] = a;
    all[1] = b;
    all[2] = c;
    return 0;
}

static int teardown(void **state)
{
    page_calls_stop();
    return trio_teardown(state);
}

static void assert_call(uint32_t number, const struct endpoint *of, int rights)
{
    assert_true(number < page_call_count);
    assert_ptr_equal(page_calls[number].of, of);
    assert_int_equal(page_calls[number].rights, rights);
}

/* b has a loan of a's, taken. */
static struct units lend_to_b(void)
{
    struct units units = core_alloc(a, 1, true);

    assert_int_equal(send_units(FERRY_LEND, a, b, units), 0);
    core_take(b);
    loan_collect(b);
    return units;
}

static void a_send_closes_before_it_opens(void **state)
{
    struct units lent = core_alloc(a, 2, true), moved = core_alloc(a, 1, false);

    (void)state;
    page_calls_record(all, 3, 0);
    assert_int_equal(send_units(FERRY_LEND, a, b, lent), 0);
    assert_int_equal(send_units(FERRY_MOVE, a, b, moved), 0);
    assert_int_equal(page_call_count, 4);
    assert_call(0, a, PROT_NONE);
    assert_call(1, b, PROT_READ);
    assert_call(2, a, PROT_NONE);
    assert_call(3, b, PROT_READ | PROT_WRITE);
}

static void a_loan_passed_on_is_closed_before_it_opens(void **state)
{
    struct units units = lend_to_b();

    (void)state;
    page_calls_record(all, 3, 0);
    assert_int_equal(send_units(FERRY_LEND, b, c, units), 0);
    assert_int_equal(page_call_count, 2);
    assert_call(0, b, PROT_NONE);
    assert_call(1, c, PROT_READ);
}

static void a_loan_is_closed_before_it_comes_home(void **state)
{
    struct units units = core_alloc(a, 1, true);

    (void)state;
    assert_int_equal(send_units(FERRY_LEND, a, b, units), 0);
    core_release(b, core_take(b).payload.token);
    page_calls_record(all, 3, 0);
    loan_collect(b);
    assert_int_equal(core_home(a), 1);
    assert_int_equal(page_call_count, 2);
    assert_call(0, b, PROT_NONE);
    assert_call(1, a, PROT_READ | PROT_WRITE);
}

static void what_cannot_be_closed_is_opened_to_nobody(void **state)
{
    struct units units = core_alloc(a, 1, true);

    (void)state;
    page_calls_record(all, 3, 1);
    assert_int_equal(send_units(FERRY_LEND, a, b, units), -ENOMEM);
    for (uint32_t i = 0; i < page_call_count; i++)
        assert_ptr_equal(page_calls[i].of, a);
    assert_int_equal(core_rights(a, units.first), WINDOW_WRITE);
    assert_int_equal(core_rights(b, units.first), WINDOW_CLOSED);
    core_assert_books(engine, pool_units(&engine->exchange.pool) - 1, 1, 0);
}

/* The sender gets back what it had: to write if it is the owner, to read if it is a borrower. */
static void the_way_back_opens_no_wider_than_before(void **state)
{
    struct units own = core_alloc(b, 1, true), borrowed = lend_to_b();

    (void)state;
    page_calls_record(all, 3, 2);
    assert_int_equal(send_units(FERRY_LEND, b, c, own), -ENOMEM);
    assert_int_equal(core_rights(b, own.first), WINDOW_WRITE);
    assert_int_equal(core_rights(c, own.first), WINDOW_CLOSED);
    page_calls_record(all, 3, 2);
    assert_int_equal(send_units(FERRY_LEND, b, c, borrowed), -ENOMEM);
    assert_int_equal(core_rights(b, borrowed.first), WINDOW_READ);
    assert_int_equal(core_rights(c, borrowed.first), WINDOW_CLOSED);
    page_calls_stop();
    assert_int_equal(send_units(FERRY_LEND, b, c, borrowed), 0);
}

static uint32_t shown;
static int show_result;

static int show(void *arg)
{
    struct endpoint *of = arg;

    assert_ptr_equal(of, b);
    assert_int_equal(core_rights(b, 0), WINDOW_CLOSED);
    shown++;
    atomic_store(&of->window.hidden, show_result < 0);
    return show_result;
}

/* The window is shown before the first opening, by whoever opens; if that is refused, all is as
 * it was. */
static void a_hidden_window_is_shown_once(void **state)
{
    struct units units[2] = {core_alloc(a, 1, true), core_alloc(a, 1, true)};

    (void)state;
    b->window.show = show;
    b->window.show_arg = b;
    atomic_store(&b->window.hidden, true);
    show_result = -ENOMEM;
    assert_int_equal(send_units(FERRY_LEND, a, b, units[0]), -ENOMEM);
    assert_int_equal(core_rights(a, units[0].first), WINDOW_WRITE);
    assert_int_equal(core_rights(b, units[0].first), WINDOW_CLOSED);
    assert_int_equal(shown, 1);
    show_result = 0;
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(send_units(FERRY_LEND, a, b, units[i]), 0);
        assert_int_equal(core_rights(b, units[i].first), WINDOW_READ);
    }
    assert_int_equal(shown, 2);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_send_closes_before_it_opens),
        CASE(a_loan_passed_on_is_closed_before_it_opens),
        CASE(a_loan_is_closed_before_it_comes_home),
        CASE(what_cannot_be_closed_is_opened_to_nobody),
        CASE(the_way_back_opens_no_wider_than_before),
        CASE(a_hidden_window_is_shown_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
