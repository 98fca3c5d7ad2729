/* SPDX-License-Identifier: BSD-2-Clause */
/* The personality: which calls ask for the input stream, and so are where a snapshot is taken. */
#include "linux_fixture.h"

#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "linux/linux.h"

#define SET   SCRATCH
#define LIMIT (SCRATCH + 1024)

static bool asks(struct ferry_vm *vm, uint64_t number, uint64_t a, uint64_t b, uint64_t c,
                 uint64_t d, uint64_t e)
{
    const struct linux_call call = {.number = number, .arg = {a, b, c, d, e}};

    return linux_asks_input(vm->linux_state, &call);
}

static void reads_do(void **state)
{
    struct ferry_vm *vm = *state;

    assert_true(asks(vm, SYS_read, 0, SCRATCH, 1, 0, 0));
    assert_true(asks(vm, SYS_sendfile, 1, 0, 0, 1, 0));
    assert_false(asks(vm, SYS_read, 1, SCRATCH, 1, 0, 0));
    assert_false(asks(vm, SYS_write, 0, SCRATCH, 1, 0, 0));
    assert_false(asks(vm, SYS_fstat, 0, SCRATCH, 0, 0, 0));
}

/* The C library asks what kind of file it is before a program does anything. */
static void of_requests_only_that_for_the_amount(void **state)
{
    struct ferry_vm *vm = *state;

    assert_true(asks(vm, SYS_ioctl, 0, FIONREAD, SCRATCH, 0, 0));
    assert_false(asks(vm, SYS_ioctl, 0, TCGETS, SCRATCH, 0, 0));
    assert_false(asks(vm, SYS_ioctl, 1, FIONREAD, SCRATCH, 0, 0));
}

static void polls_that_wait_do(void **state)
{
    struct ferry_vm *vm = *state;
    struct pollfd *entry = guest(vm, SET);
    uint64_t *limit = guest(vm, LIMIT);

    *entry = (struct pollfd){.fd = 0, .events = POLLIN};
    assert_true(asks(vm, SYS_poll, SET, 1, UINT64_MAX, 0, 0));
    assert_true(asks(vm, SYS_ppoll, SET, 1, 0, 0, 0));
    assert_false(asks(vm, SYS_poll, SET, 1, 0, 0, 0));
    limit[0] = limit[1] = 0;
    assert_false(asks(vm, SYS_ppoll, SET, 1, LIMIT, 0, 0));
    entry->events = POLLOUT;
    assert_false(asks(vm, SYS_poll, SET, 1, UINT64_MAX, 0, 0));
    assert_false(asks(vm, SYS_poll, SET, UINT64_MAX, UINT64_MAX, 0, 0));
}

static void selects_that_wait_do(void **state)
{
    struct ferry_vm *vm = *state;
    uint64_t *set = guest(vm, SET), *limit = guest(vm, LIMIT);

    set[0] = 1;
    limit[0] = limit[1] = 0;
    assert_true(asks(vm, SYS_select, 1, SET, 0, 0, 0));
    assert_true(asks(vm, SYS_pselect6, 1, SET, 0, 0, 0));
    assert_false(asks(vm, SYS_select, 1, SET, 0, 0, LIMIT));
    limit[1] = 1;
    assert_true(asks(vm, SYS_select, 1, SET, 0, 0, LIMIT));
    assert_false(asks(vm, SYS_select, 0, SET, 0, 0, 0));
    assert_false(asks(vm, SYS_select, 1, 0, SET, 0, 0));
    set[0] = 2;
    assert_false(asks(vm, SYS_select, UINT64_MAX, SET, 0, 0, 0));
}

static void sets_that_watch_it_do(void **state)
{
    struct ferry_vm *vm = *state;
    struct epoll_event *event = guest(vm, SET);

    assert_int_equal(CALL(vm, epoll_create1, 0), 3);
    *event = (struct epoll_event){.events = EPOLLIN};
    assert_false(asks(vm, SYS_epoll_wait, 3, SET, 1, UINT64_MAX, 0));
    assert_int_equal(CALL(vm, epoll_ctl, 3, EPOLL_CTL_ADD, 0, SET), 0);
    assert_true(asks(vm, SYS_epoll_wait, 3, SET, 1, UINT64_MAX, 0));
    assert_true(asks(vm, SYS_epoll_pwait2, 3, SET, 1, 0, 0));
    assert_false(asks(vm, SYS_epoll_pwait, 3, SET, 1, 0, 0));
}

static int setup(void **state)
{
    *state = linux_vm_create(NULL, -1);
    return 0;
}

static int teardown(void **state)
{
    linux_vm_destroy(*state);
    return 0;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reads_do),
        TEST(of_requests_only_that_for_the_amount),
        TEST(polls_that_wait_do),
        TEST(selects_that_wait_do),
        TEST(sets_that_watch_it_do),
    };

    return cmocka_run_group_tests_name("linux_asks_input", tests, NULL, NULL);
}
