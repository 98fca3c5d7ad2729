/* SPDX-License-Identifier: BSD-2-Clause */
/* The lock order is proved: built with FERRY_PROVE whatever the rest is built with. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/lock.h"

static struct lock tables, other_tables, vm, stream, leaf, other_leaf;

static int setup(void **state)
{
    (void)state;
    lock_init(&tables, LOCK_TABLES);
    lock_init(&other_tables, LOCK_TABLES);
    lock_init(&vm, LOCK_VM);
    lock_init(&stream, LOCK_STREAM);
    lock_init(&leaf, LOCK_LEAF);
    lock_init(&other_leaf, LOCK_LEAF);
    return 0;
}

/* Calls the function in a child, and returns whether an assert ended the child. */
static bool aborts(void (*what)(void))
{
    const struct rlimit none = {0, 0};
    int status;

    pid_t child = fork();
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGABRT, SIG_DFL);
        if (!freopen("/dev/null", "w", stderr))
            _exit(2);
        what();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT)
        return true;
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return false;
}

static void upwards(void)
{
    lock_take(&tables);
    lock_take(&vm);
    lock_drop(&vm);
    lock_take(&stream);
    lock_take(&leaf);
    lock_assert_held(&tables);
    lock_drop(&stream); /* not the last that was taken */
    lock_assert_held(&leaf);
    lock_drop(&leaf);
    lock_take(&other_leaf);
    lock_drop(&other_leaf);
    lock_drop(&tables);

    lock_take(&vm);
    if (!lock_try(&tables)) /* downwards, without waiting */
        abort();
    lock_take(&stream);
    lock_drop(&vm);
    lock_drop(&tables);
    lock_drop(&stream);
}

static void downwards(void)
{
    lock_take(&stream);
    lock_take(&vm);
}

static void downwards_past_one_in_order(void)
{
    lock_take(&vm);
    lock_take(&leaf);
    lock_take(&stream);
}

static void two_leaves(void)
{
    lock_take(&leaf);
    lock_take(&other_leaf);
}

static void two_tables(void)
{
    lock_take(&tables);
    lock_take(&other_tables);
}

static void twice(void)
{
    lock_take(&leaf);
    lock_take(&leaf);
}

/* A lock that was taken by lock_try counts as held. */
static void below_one_that_was_tried(void)
{
    lock_take(&vm);
    if (lock_try(&leaf))
        lock_take(&stream);
}

static void above_the_last_but_not_all(void)
{
    lock_take(&stream);
    if (lock_try(&tables))
        lock_take(&vm);
}

static void not_held(void)
{
    lock_take(&leaf);
    lock_assert_held(&stream);
}

static void dropped_twice(void)
{
    lock_take(&leaf);
    lock_drop(&leaf);
    lock_drop(&leaf);
}

static void never_made(void)
{
    static struct lock lock;

    lock_take(&lock);
}

static void the_order_holds(void **state)
{
    (void)state;
    assert_false(aborts(upwards));
    upwards(); /* and leaves nothing behind */
    assert_false(aborts(upwards));
}

static void each_break_of_it_is_noticed(void **state)
{
    static void (*const breaks[])(void) = {downwards,
                                           downwards_past_one_in_order,
                                           two_leaves,
                                           two_tables,
                                           twice,
                                           below_one_that_was_tried,
                                           above_the_last_but_not_all,
                                           not_held,
                                           dropped_twice,
                                           never_made};

    (void)state;
    for (size_t i = 0; i < sizeof breaks / sizeof breaks[0]; i++)
        if (!aborts(breaks[i]))
            fail_msg("break %zu went unnoticed", i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_order_holds),
        cmocka_unit_test(each_break_of_it_is_noticed),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
