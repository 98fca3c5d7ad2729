/* SPDX-License-Identifier: BSD-2-Clause */
/* An embedder gives a program descriptors of its own and signals, and is told when one stops it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "kvm_fixture.h"

static void what_cannot_be_given(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "asks_given", "read", NULL);
    int b = world_add(world, "b", "nothing", NULL);
    struct ferry_error error;
    int path = open("/", O_PATH | O_CLOEXEC);

    assert_int_equal(ferry_vm_give_fd(world->vm[a], 3, 0, &error), -EINVAL);
    assert_int_equal(ferry_vm_give_fd(world->vm[a], -1, 0, &error), -EINVAL);
    assert_int_equal(ferry_vm_give_fd(world->vm[a], 0, -1, &error), -EBADF);
    assert_int_equal(ferry_vm_give_fd(world->vm[a], 0, path, &error), -EBADF);
    assert_int_equal(ferry_vm_start(world->vm[b], &error), 0);
    assert_int_equal(ferry_vm_give_fd(world->vm[b], 0, 0, &error), -EALREADY);
    close(path);
    ferry_vm_wait(world->vm[b], PATIENCE, NULL);
}

/* The program reads a byte of fd 0 and writes it to fd 1. */
static void bytes_of_a_pipe(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "asks_given", "read", NULL), in[2], out[2];
    struct ferry_error error;
    char byte = 0;

    assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(ferry_vm_give_fd(world->vm[a], 0, in[0], &error), 0);
    assert_int_equal(ferry_vm_give_fd(world->vm[a], 1, out[1], &error), 0);
    close(in[0]); /* the library has its own */
    close(out[1]);
    world_start(world);
    assert_int_equal(read(out[0], &byte, 1), 1);
    assert_int_equal(byte, '?'); /* it is about to read */
    assert_int_equal(write(in[1], "x", 1), 1);
    assert_int_equal(read(out[0], &byte, 1), 1);
    assert_int_equal(byte, 'x');
    world_wait(world);
    world_expect_ok(world, a);
    close(in[1]);
    close(out[0]);
}

/* One without a handler ends the wait for a byte that never comes. */
static void a_signal_from_outside(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "asks_given", "read", NULL), in[2], out[2];
    struct ferry_error error;
    char byte;

    assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(ferry_vm_give_fd(world->vm[a], 0, in[0], &error), 0);
    assert_int_equal(ferry_vm_give_fd(world->vm[a], 1, out[1], &error), 0);
    world_start(world);
    assert_int_equal(read(out[0], &byte, 1), 1);
    ferry_vm_signal(world->vm[a], 0);
    ferry_vm_signal(world->vm[a], SIGWINCH);
    ferry_vm_signal(world->vm[a], SIGUSR1);
    world_wait(world);
    assert_int_equal(world->exit[a].how, FERRY_ENDED_SIGNAL);
    assert_int_equal(world->exit[a].signo, SIGUSR1);
    ferry_vm_signal(world->vm[a], SIGUSR1); /* nobody is there */
    for (int i = 0; i < 2; i++) {
        close(in[i]);
        close(out[i]);
    }
}

/* It reaches a program that makes no call. */
static void a_signal_before_the_start(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "spin", NULL);

    ferry_vm_signal(world->vm[a], SIGUSR1);
    world_start(world);
    world_wait(world);
    assert_int_equal(world->exit[a].how, FERRY_ENDED_SIGNAL);
    assert_int_equal(world->exit[a].signo, SIGUSR1);
}

static void count(void *arg, int signo)
{
    assert_int_equal(signo, SIGTSTP);
    ++*(int *)arg;
}

static void a_signal_that_stops(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "asks_given", "stop", NULL);
    int b = world_add(world, "b", "asks_given", "stop", NULL);
    int pauses = 0;

    ferry_vm_on_pause(world->vm[a], count, &pauses);
    world_start(world);
    world_wait(world);
    world_expect_ok(world, a);
    world_expect_ok(world, b); /* of which nobody wants to know */
    assert_int_equal(pauses, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kvm_test(what_cannot_be_given),  kvm_test(bytes_of_a_pipe),
        kvm_test(a_signal_from_outside), kvm_test(a_signal_before_the_start),
        kvm_test(a_signal_that_stops),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
