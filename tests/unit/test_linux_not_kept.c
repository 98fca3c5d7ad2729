/* SPDX-License-Identifier: BSD-2-Clause */
/* The personality: which programs cannot be had again, and why. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#include "linux/state.h"
#include "write_fixture.h"

static int64_t close_fd(struct ferry_vm *vm, int64_t fd)
{
    return CALL(vm, close, (uint64_t)fd);
}

static void expect_kept(const struct tree *tree)
{
    const char *why = linux_why_not_kept(tree->vm->linux_state);

    if (why)
        fail_msg("it cannot be kept: %s", why);
}

static void expect_refused(const struct tree *tree, const char *text)
{
    const char *why = linux_why_not_kept(tree->vm->linux_state);

    if (!why || !strstr(why, text))
        fail_msg("not '%s': %s", text, why ? why : "it can be kept");
}

static void a_plain_program_can_be_kept(void **state)
{
    struct tree *tree = *state;

    expect_kept(tree);
    assert_int_equal(open_name(tree, "ro/file", O_RDONLY), 3);
    assert_int_equal(open_name(tree, "rw/file", O_CREAT | O_RDWR), 4);
    assert_int_equal(open_name(tree, "rw", O_RDONLY | O_DIRECTORY), 5);
    assert_int_equal(open_name(tree, "/dev/null", O_RDWR), 6);
    assert_int_equal(CALL(tree->vm, dup, 3), 7);
    assert_int_equal(CALL(tree->vm, access, name(tree, "/private"), W_OK), 0); /* and is empty */
    expect_kept(tree);
}

static void objects_are_refused(void **state)
{
    struct tree *tree = *state;
    struct ferry_vm *vm = tree->vm;
    const int64_t made[] = {
        CALL(vm, eventfd2, 0, 0), CALL(vm, epoll_create1, 0),
        CALL(vm, timerfd_create, CLOCK_MONOTONIC, 0), CALL(vm, inotify_init1, 0),
        CALL(vm, signalfd4, UINT64_MAX, guest_string(vm, SCRATCH, "signals"), 8, 0)};

    for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
        assert_true(made[i] > 2);
        expect_refused(tree, "a pipe, a socket");
        assert_int_equal(close_fd(vm, made[i]), 0);
    }
    expect_kept(tree);
    for (int sockets = 0; sockets < 2; sockets++) {
        int *ends = guest(vm, SCRATCH);

        assert_int_equal(sockets ? CALL(vm, socketpair, AF_UNIX, SOCK_STREAM, 0, SCRATCH)
                                 : CALL(vm, pipe2, SCRATCH, 0),
                         0);
        expect_refused(tree, "a pipe, a socket");
        assert_int_equal(close_fd(vm, ends[0]), 0);
        expect_refused(tree, "a pipe, a socket");
        assert_int_equal(close_fd(vm, ends[1]), 0);
        expect_kept(tree);
    }
}

static void files_in_memory_are_refused(void **state)
{
    struct tree *tree = *state;
    struct ferry_vm *vm = tree->vm;
    int64_t fd = CALL(vm, memfd_create, guest_string(vm, SCRATCH, "m"), 0);

    assert_true(fd > 2);
    expect_refused(tree, "in memory");
    assert_int_equal(close_fd(vm, fd), 0);
    expect_kept(tree); /* what is gone is in nobody's way */
    fd = open_name(tree, "/private/file", O_CREAT | O_RDWR);
    expect_refused(tree, "in memory");
    assert_int_equal(CALL(vm, unlink, name(tree, "/private/file")), 0);
    expect_refused(tree, "in memory"); /* it is still open */
    assert_int_equal(close_fd(vm, fd), 0);
    expect_kept(tree);
    assert_int_equal(CALL(vm, mkdir, name(tree, "/private/directory"), 0755), 0);
    expect_refused(tree, "in memory");
    assert_int_equal(CALL(vm, rmdir, name(tree, "/private/directory")), 0);
    expect_kept(tree);
    open_name(tree, "/private", O_RDONLY | O_DIRECTORY); /* it is another one in the next run */
    expect_refused(tree, "in memory");
}

static void locks_and_timers_are_refused(void **state)
{
    const struct flock lock = {.l_type = F_WRLCK, .l_len = 1};
    const struct itimerval never = {0}, later = {.it_value = {.tv_sec = 1000}};
    struct tree *tree = *state;
    struct ferry_vm *vm = tree->vm;
    int64_t fd = open_name(tree, "rw/file", O_CREAT | O_RDWR);

    memcpy(guest(vm, BUFFER), &lock, sizeof(lock));
    assert_int_equal(CALL(vm, fcntl, (uint64_t)fd, F_SETLK, BUFFER), 0);
    expect_refused(tree, "locks");
    assert_int_equal(close_fd(vm, fd), 0);
    expect_kept(tree);

    assert_int_equal(CALL(vm, timer_create, CLOCK_MONOTONIC, 0, SCRATCH), 0);
    expect_refused(tree, "timer");
    assert_int_equal(CALL(vm, timer_delete, (uint64_t) * (int *)guest(vm, SCRATCH)), 0);
    expect_kept(tree);
    memcpy(guest(vm, SCRATCH), &later, sizeof(later));
    assert_int_equal(CALL(vm, setitimer, ITIMER_REAL, SCRATCH, 0), 0);
    expect_refused(tree, "timer");
    memcpy(guest(vm, SCRATCH), &never, sizeof(never));
    assert_int_equal(CALL(vm, setitimer, ITIMER_REAL, SCRATCH, 0), 0);
    expect_kept(tree);
}

static void set_blocked(struct ferry_vm *vm, uint64_t mask)
{
    memcpy(guest(vm, SCRATCH), &mask, sizeof(mask));
    assert_int_equal(CALL(vm, rt_sigprocmask, SIG_SETMASK, SCRATCH, 0, 8), 0);
}

static void a_signal_that_waits_is_refused(void **state)
{
    struct tree *tree = *state;
    struct ferry_vm *vm = tree->vm;
    uint64_t pid = (uint64_t)CALL(vm, getpid), tid = (uint64_t)CALL(vm, gettid);

    set_blocked(vm, signal_bit(SIGUSR1));
    for (int thread = 0; thread < 2; thread++) {
        assert_int_equal(
            thread ? CALL(vm, tgkill, pid, tid, SIGUSR1) : CALL(vm, kill, pid, SIGUSR1), 0);
        expect_refused(tree, "signal");
        /* A signal that is ignored is dropped where it waits. */
        memcpy(guest(vm, SCRATCH), (uint64_t[4]){HANDLER_IGNORE}, 32);
        assert_int_equal(CALL(vm, rt_sigaction, SIGUSR1, SCRATCH, 0, 8), 0);
        expect_kept(tree);
        memcpy(guest(vm, SCRATCH), (uint64_t[4]){HANDLER_DEFAULT}, 32);
        assert_int_equal(CALL(vm, rt_sigaction, SIGUSR1, SCRATCH, 0, 8), 0);
    }
}

static void others_and_watchers_are_refused(void **state)
{
    struct tree *tree = *state;
    struct linux_state *linux_state = tree->vm->linux_state;

    linux_state->thread_count++;
    expect_refused(tree, "threads");
    linux_state->thread_count--;
    linux_state->common->process_count++;
    expect_refused(tree, "processes");
    linux_state->common->process_count--;
    linux_state->common->zombie_count++; /* of which it may ask */
    expect_refused(tree, "processes");
    linux_state->common->zombie_count--;
    linux_state->traced = true;
    expect_refused(tree, "watched");
    linux_state->traced = false;
    expect_kept(tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_plain_program_can_be_kept),    TEST(objects_are_refused),
        TEST(files_in_memory_are_refused),    TEST(locks_and_timers_are_refused),
        TEST(a_signal_that_waits_is_refused), TEST(others_and_watchers_are_refused),
    };

    return cmocka_run_group_tests_name("linux_not_kept", tests, NULL, NULL);
}
