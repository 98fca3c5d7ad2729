/* SPDX-License-Identifier: BSD-2-Clause */
/* The personality: time, signals and what else makes a process. */
#include "lib/clock.h"
#include "linux_fixture.h"

#include <asm/prctl.h>
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <time.h>

/* ---- time ---------------------------------------------------------------- */

static uint64_t put_time(struct ferry_vm *vm, int64_t seconds, int64_t nanoseconds)
{
    memcpy(guest(vm, SCRATCH), (int64_t[]){seconds, nanoseconds}, 16);
    return SCRATCH;
}

static void test_clocks(void **state)
{
    struct ferry_vm *vm = *state;
    struct timespec *got = guest(vm, SCRATCH), before, after;

    clock_gettime(CLOCK_MONOTONIC, &before);
    assert_int_equal(CALL(vm, clock_gettime, CLOCK_MONOTONIC, SCRATCH), 0);
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_true(got->tv_sec >= before.tv_sec && got->tv_sec <= after.tv_sec);
    assert_int_equal(CALL(vm, clock_gettime, CLOCK_PROCESS_CPUTIME_ID, SCRATCH), 0);
    assert_int_equal(CALL(vm, clock_gettime, 99, SCRATCH), -EINVAL);
    /* Of this process and thread, by 0 and by number; of another; of a device. */
    assert_int_equal(CALL(vm, clock_gettime, (uint64_t)-6, SCRATCH), 0);
    assert_int_equal(CALL(vm, clock_gettime, (uint64_t)-2, SCRATCH), 0);
    assert_int_equal(CALL(vm, clock_getres, ~2ull << 3 | 6, SCRATCH), 0);
    assert_int_equal(CALL(vm, clock_gettime, ~3ull << 3 | 6, SCRATCH), -EINVAL);
    assert_int_equal(CALL(vm, clock_gettime, ~2ull << 3 | 3, SCRATCH), -EINVAL);
    memset(got, 0, sizeof(*got));
    assert_int_equal(CALL(vm, clock_settime, CLOCK_REALTIME, SCRATCH), -EPERM);
    assert_int_equal(CALL(vm, clock_settime, CLOCK_MONOTONIC, SCRATCH), -EINVAL);
    assert_int_equal(CALL(vm, clock_settime, CLOCK_REALTIME, 0), -EFAULT);
    assert_int_equal(CALL(vm, clock_gettime, CLOCK_REALTIME, NOWHERE), -EFAULT);
    assert_int_equal(CALL(vm, clock_getres, CLOCK_REALTIME, SCRATCH), 0);
    assert_true(CALL(vm, time, 0) >= before.tv_sec);
    assert_int_equal(CALL(vm, gettimeofday, SCRATCH, 0), 0);
    assert_true(got->tv_nsec < 1000000); /* microseconds */
    assert_true(CALL(vm, times, SCRATCH) > 0);
}

static void test_sleep(void **state)
{
    struct ferry_vm *vm = *state;
    struct timespec now;
    uint64_t begun;

    assert_int_equal(CALL(vm, nanosleep, put_time(vm, 3, 4), 0), 0);
    assert_int_equal(vm->slept_ns, 3000000004);
    assert_int_equal(CALL(vm, nanosleep, put_time(vm, 0, 1000000000), 0), -EINVAL);
    assert_int_equal(CALL(vm, nanosleep, put_time(vm, -1, 0), 0), -EINVAL);
    assert_int_equal(CALL(vm, nanosleep, 0, 0), -EFAULT);
    assert_int_equal(CALL(vm, clock_nanosleep, CLOCK_MONOTONIC_RAW, 0, put_time(vm, 1, 0), 0),
                     -EOPNOTSUPP);
    assert_int_equal(CALL(vm, nanosleep, put_time(vm, INT64_MAX, 0), 0), 0);
    assert_true(vm->slept_ns == UINT64_MAX);
    begun = clock_now();
    clock_gettime(CLOCK_MONOTONIC, &now);
    assert_int_equal(CALL(vm, clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME,
                          put_time(vm, now.tv_sec + 1000, now.tv_nsec), 0),
                     0);
    assert_true(vm->slept_ns <= 1000000000000);
    assert_true(vm->slept_ns >= 1000000000000 - (clock_now() - begun));
    vm->sleeps = 0;
    assert_int_equal(
        CALL(vm, clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, put_time(vm, 0, 1), 0), 0);
    assert_int_equal(vm->sleeps, 0);
    vm->stop = true;
    CALL(vm, nanosleep, put_time(vm, 1, 0), 0);
    assert_int_equal(vm->next, LINUX_STOPPED);
}

static void test_futex(void **state)
{
    struct ferry_vm *vm = *state;
    uint64_t word = SCRATCH + PAGE, before;

    *(uint32_t *)guest(vm, word) = 7;
    assert_int_equal(CALL(vm, futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1), 0);
    assert_int_equal(CALL(vm, futex, word, FUTEX_WAIT, 8, 0), -EAGAIN);
    before = clock_now();
    assert_int_equal(CALL(vm, futex, word, FUTEX_WAIT, 7, put_time(vm, 1, 0)), -ETIMEDOUT);
    assert_true(vm->suspended_until >= before + 1000000000);
    assert_true(vm->suspended_until <= clock_now() + 1000000000);
    assert_int_equal(CALL(vm, futex, word, FUTEX_WAIT_BITSET_PRIVATE, 7, put_time(vm, 1, 0), 0, 1),
                     -ETIMEDOUT);
    assert_true(vm->suspended_until <= clock_now()); /* that moment is past */
    assert_int_equal(
        CALL(vm, futex, word, FUTEX_WAIT_BITSET_PRIVATE, 7, put_time(vm, 1LL << 40, 0), 0, 1),
        -ETIMEDOUT);
    assert_true(vm->suspended_until > clock_now());
    assert_int_equal(CALL(vm, futex, word + 1, FUTEX_WAIT, 7, 0), -EINVAL);
    assert_int_equal(CALL(vm, futex, word + 1, FUTEX_WAKE_PRIVATE, 1), -EINVAL);
    assert_int_equal(CALL(vm, futex, NOWHERE, FUTEX_WAKE, 1), -EFAULT);
    assert_int_equal(CALL(vm, futex, NOWHERE, FUTEX_WAKE_PRIVATE, 1), 0);
    assert_int_equal(CALL(vm, futex, word, FUTEX_CMP_REQUEUE, 1, 1, word + 4, 8), -EAGAIN);
    assert_int_equal(CALL(vm, futex, word, FUTEX_CMP_REQUEUE, 1, 1, word + 4, 7), 0);
    assert_int_equal(CALL(vm, futex, word, FUTEX_WAIT_BITSET, 7, 0, 0, 0), -EINVAL);
    assert_int_equal(CALL(vm, futex, word, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 1), -ENOSYS);
    assert_int_equal(CALL(vm, futex, NOWHERE, FUTEX_WAIT, 7, 0), -EFAULT);
    assert_int_equal(CALL(vm, futex, word, FUTEX_WAIT_REQUEUE_PI, 7, 0, word), -EINVAL);
    assert_int_equal(CALL(vm, futex, word, FUTEX_WAIT_REQUEUE_PI, 8, 0, word + 4), -EAGAIN);
    assert_int_equal(CALL(vm, futex, word, FUTEX_WAIT_REQUEUE_PI, 7, 0, NOWHERE), -EFAULT);
    assert_int_equal(CALL(vm, futex, word, FUTEX_CMP_REQUEUE_PI, 2, 1, word + 4, 7), -EINVAL);
    assert_int_equal(CALL(vm, futex, word, FUTEX_CMP_REQUEUE_PI, 1, 1, word, 7), -EINVAL);
    assert_int_equal(CALL(vm, futex, word, FUTEX_CMP_REQUEUE_PI, 1, 1, word + 4, 8), -EAGAIN);
    assert_int_equal(CALL(vm, futex, word, FUTEX_CMP_REQUEUE_PI, 1, 1, word + 4, 7), 0);
    vm->stop = true;
    CALL(vm, futex, word, FUTEX_WAIT, 7, 0);
    assert_int_equal(vm->next, LINUX_STOPPED);
    assert_true(vm->suspended_until == UINT64_MAX);
}

/* The second word is changed, and what it was before decides whether its threads are woken. */
static void test_futex_wake_op(void **state)
{
    static const struct {
        int operation;
        uint32_t operand, before, after;
    } cases[] = {
        {FUTEX_OP_SET, 0xfff, 5, UINT32_MAX},
        {FUTEX_OP_ADD, 3, 5, 8},
        {FUTEX_OP_OR, 6, 5, 7},
        {FUTEX_OP_ANDN, 4, 5, 1},
        {FUTEX_OP_XOR, 1, 5, 4},
        {FUTEX_OP_OR | FUTEX_OP_OPARG_SHIFT, 31, 1, 1u << 31 | 1},
    };
    struct ferry_vm *vm = *state;
    uint64_t word = SCRATCH + PAGE;
    uint32_t *second = guest(vm, word + 4);

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t code = (uint32_t)cases[i].operation << 28 | cases[i].operand << 12;

        *second = cases[i].before;
        assert_int_equal(CALL(vm, futex, word, FUTEX_WAKE_OP, 1, 1, word + 4, code), 0);
        assert_int_equal(*second, cases[i].after);
    }
    assert_int_equal(CALL(vm, futex, word, FUTEX_WAKE_OP, 1, 1, word + 4, 5u << 28), -ENOSYS);
    assert_int_equal(CALL(vm, futex, word, FUTEX_WAKE_OP, 1, 1, word + 5, 0), -EINVAL);
    assert_int_equal(CALL(vm, futex, word, FUTEX_WAKE_OP, 1, 1, READ_ONLY, 0), -EFAULT);
}

/* As the kernel's struct futex_waitv. */
struct waitv {
    uint64_t value, addr;
    uint32_t flags, reserved;
};

static void test_futex_waitv(void **state)
{
    struct ferry_vm *vm = *state;
    uint64_t word = SCRATCH + PAGE, list = SCRATCH;
    struct waitv *words = guest(vm, list);

    *(uint32_t *)guest(vm, word) = 7;
    words[0] = (struct waitv){7, word, 2, 0};
    words[1] = (struct waitv){0, word + 4, 2 | FUTEX_PRIVATE_FLAG, 0};
    assert_int_equal(CALL(vm, futex_waitv, list, 2, 0, 0, 0), -ETIMEDOUT);
    /* None of the words has a thread any more that waits for it. */
    assert_int_equal(CALL(vm, futex, word, FUTEX_WAKE, 1), 0);
    words[1].value = 1;
    assert_int_equal(CALL(vm, futex_waitv, list, 2, 0, 0, 0), -EAGAIN);
    assert_int_equal(CALL(vm, futex, word, FUTEX_WAKE, 1), 0);
    words[1].flags = 3;
    assert_int_equal(CALL(vm, futex_waitv, list, 2, 0, 0, 0), -EINVAL);
    assert_int_equal(CALL(vm, futex_waitv, list, 0, 0, 0, 0), -EINVAL);
    assert_int_equal(CALL(vm, futex_waitv, list, 129, 0, 0, 0), -EINVAL);
    assert_int_equal(CALL(vm, futex_waitv, NOWHERE, 1, 0, 0, 0), -EFAULT);
}

/* Locks with priority inheritance, of the only thread there is. */
static void test_futex_lock(void **state)
{
    struct ferry_vm *vm = *state;
    uint64_t word = SCRATCH + PAGE;
    uint32_t *value = guest(vm, word);

    assert_int_equal(CALL(vm, futex, word, FUTEX_LOCK_PI_PRIVATE, 0, 0), 0);
    assert_int_equal(*value, CALL(vm, gettid));
    assert_int_equal(CALL(vm, futex, word, FUTEX_LOCK_PI, 0, 0), -EDEADLK);
    assert_int_equal(CALL(vm, futex, word, FUTEX_UNLOCK_PI, 0, 0), 0);
    assert_int_equal(*value, 0);
    assert_int_equal(CALL(vm, futex, word, FUTEX_UNLOCK_PI, 0, 0), -EPERM);
    *value = 77;
    assert_int_equal(CALL(vm, futex, word, FUTEX_TRYLOCK_PI, 0, 0), -ESRCH);
    assert_int_equal(CALL(vm, futex, READ_ONLY, FUTEX_LOCK_PI, 0, 0), -EFAULT);
    assert_int_equal(CALL(vm, futex, word + 2, FUTEX_LOCK_PI, 0, 0), -EINVAL);
}

/* ---- signals ------------------------------------------------------------- */

static void set_action(struct ferry_vm *vm, int signo, uint64_t handler)
{
    const uint64_t restorer = 0x4000000; /* SA_RESTORER */

    memcpy(guest(vm, SCRATCH), (uint64_t[]){handler, restorer, 0x500000, 0}, 32);
    assert_int_equal(CALL(vm, rt_sigaction, (uint64_t)signo, SCRATCH, 0, 8), 0);
}

static void set_blocked(struct ferry_vm *vm, uint64_t mask)
{
    memcpy(guest(vm, SCRATCH), &mask, sizeof(mask));
    assert_int_equal(CALL(vm, rt_sigprocmask, SIG_SETMASK, SCRATCH, 0, 8), 0);
}

/* The program is at the start of this handler. */
static void expect_handler(struct ferry_vm *vm, int signo, uint64_t handler)
{
    assert_int_equal(vm->next, LINUX_RESUME);
    assert_int_equal(vm->cpu.regs.rip, handler);
    assert_int_equal(vm->cpu.regs.rdi, signo);
    vm->cpu.regs.rip = 0;
    set_blocked(vm, 0);
}

static void test_broken_pipe(void **state)
{
    struct ferry_vm *vm = *state;

    vm->cpu.regs.rsp = SCRATCH_END;

    vm->output_broken = true;
    CALL(vm, write, 1, SCRATCH, 1);
    assert_int_equal(vm->next, LINUX_SIGNAL);
    assert_int_equal(vm->status, SIGPIPE);
    set_action(vm, SIGPIPE, 1);
    assert_int_equal(CALL(vm, write, 1, SCRATCH, 1), -EPIPE);
    assert_int_equal(vm->next, LINUX_RESUME);
    set_action(vm, SIGPIPE, 0x400000);
    memcpy(guest(vm, SCRATCH), (uint64_t[]){SCRATCH, 1}, 16);
    assert_int_equal(CALL(vm, writev, 1, SCRATCH, 1), -EPIPE);
    expect_handler(vm, SIGPIPE, 0x400000);
    set_action(vm, SIGPIPE, 0);
    set_blocked(vm, 1ull << (SIGPIPE - 1));
    assert_int_equal(CALL(vm, write, 1, SCRATCH, 1), -EPIPE);
    assert_int_equal(vm->next, LINUX_RESUME);
}

/* Two signals come from outside at once, and the handler of SIGUSR1 blocks all others while it runs. */
static void send_beside_usr1(struct ferry_vm *vm, int signo)
{
    memcpy(guest(vm, SCRATCH), (uint64_t[]){0x400000, 0x4000000, 0x500000, ~0ull}, 32);
    assert_int_equal(CALL(vm, rt_sigaction, SIGUSR1, SCRATCH, 0, 8), 0);
    vm->cpu.regs.rsp = SCRATCH_END;
    vm->sent = 1ull << (SIGUSR1 - 1) | 1ull << (signo - 1);
}

/* One that ends the program does so whatever would be handled before it. */
static void test_a_fatal_signal_is_first(void **state)
{
    struct ferry_vm *vm = *state;

    send_beside_usr1(vm, SIGTERM);
    CALL(vm, getpid);
    assert_int_equal(vm->next, LINUX_SIGNAL);
    assert_int_equal(vm->status, SIGTERM);
}

static void test_one_with_a_core_waits_for_its_turn(void **state)
{
    struct ferry_vm *vm = *state;

    send_beside_usr1(vm, SIGXCPU);
    CALL(vm, getpid);
    assert_int_equal(vm->next, LINUX_RESUME);
    assert_int_equal(vm->cpu.regs.rip, 0x400000);
}

static void test_it_ends_nothing_while_it_is_blocked(void **state)
{
    struct ferry_vm *vm = *state;

    set_blocked(vm, ~0ull);
    send_beside_usr1(vm, SIGTERM);
    CALL(vm, getpid);
    assert_int_equal(vm->next, LINUX_RESUME);
    set_blocked(vm, 0);
    assert_int_equal(vm->next, LINUX_RESUME);
    assert_int_equal(vm->cpu.regs.rip, 0x400000);
    set_blocked(vm, 0);
    assert_int_equal(vm->next, LINUX_SIGNAL);
    assert_int_equal(vm->status, SIGTERM);
}

static void test_dispositions_are_kept(void **state)
{
    const uint64_t action[4] = {0x400000, 0x14000000, 0x500000, 0xff};
    struct ferry_vm *vm = *state;
    uint64_t *old = guest(vm, SCRATCH + 128);

    memcpy(guest(vm, SCRATCH), action, sizeof(action));
    assert_int_equal(CALL(vm, rt_sigaction, SIGINT, SCRATCH, SCRATCH + 128, 8), 0);
    assert_int_equal(old[0], 0);
    assert_int_equal(linux_default_actions(vm->linux_state), ~(1ull << (SIGINT - 1)));
    assert_int_equal(CALL(vm, rt_sigaction, SIGINT, 0, SCRATCH + 128, 8), 0);
    assert_memory_equal(old, action, sizeof(action));
    assert_int_equal(CALL(vm, rt_sigaction, SIGKILL, SCRATCH, 0, 8), -EINVAL);
    assert_int_equal(CALL(vm, rt_sigaction, 0, SCRATCH, 0, 8), -EINVAL);
    assert_int_equal(CALL(vm, rt_sigaction, 65, SCRATCH, 0, 8), -EINVAL);
    assert_int_equal(CALL(vm, rt_sigaction, 64, SCRATCH, 0, 8), 0);
    assert_int_equal(CALL(vm, rt_sigaction, SIGINT, SCRATCH, 0, 4), -EINVAL);
    assert_int_equal(CALL(vm, rt_sigaction, SIGINT, NOWHERE, 0, 8), -EFAULT);

    set_blocked(vm, UINT64_MAX);
    assert_int_equal(CALL(vm, rt_sigprocmask, SIG_BLOCK, 0, SCRATCH, 8), 0);
    assert_true(*(uint64_t *)guest(vm, SCRATCH) ==
                ~(1ull << (SIGKILL - 1) | 1ull << (SIGSTOP - 1)));
    assert_int_equal(CALL(vm, rt_sigprocmask, 3, SCRATCH, 0, 8), -EINVAL);

    assert_int_equal(CALL(vm, sigaltstack, 0, SCRATCH), 0);
    assert_int_equal(((stack_t *)guest(vm, SCRATCH))->ss_flags, SS_DISABLE);
    *(stack_t *)guest(vm, SCRATCH) = (stack_t){.ss_sp = (void *)SCRATCH, .ss_size = 8192};
    assert_int_equal(CALL(vm, sigaltstack, SCRATCH, 0), 0);
    assert_int_equal(CALL(vm, sigaltstack, 0, SCRATCH + 128), 0);
    assert_memory_equal(guest(vm, SCRATCH), guest(vm, SCRATCH + 128), sizeof(stack_t));
    ((stack_t *)guest(vm, SCRATCH))->ss_size = 100;
    assert_int_equal(CALL(vm, sigaltstack, SCRATCH, 0), -ENOMEM);
}

static void test_signal_to_itself(void **state)
{
    struct ferry_vm *vm = *state;
    uint64_t pid = (uint64_t)CALL(vm, getpid);

    assert_int_equal(CALL(vm, kill, pid, 0), 0);
    assert_int_equal(CALL(vm, kill, pid, 65), -EINVAL);
    assert_int_equal(CALL(vm, kill, pid + 1, SIGTERM), -ESRCH);
    assert_int_equal(CALL(vm, kill, pid, SIGCHLD), 0);
    assert_int_equal(vm->next, LINUX_RESUME);
    CALL(vm, kill, pid, SIGTERM);
    assert_int_equal(vm->next, LINUX_SIGNAL);
    assert_int_equal(vm->status, SIGTERM);
    CALL(vm, tgkill, pid, pid, SIGABRT);
    assert_int_equal(vm->next, LINUX_SIGNAL);
    assert_int_equal(vm->status, SIGABRT);
    set_action(vm, SIGTERM, 1);
    assert_int_equal(CALL(vm, kill, pid, SIGTERM), 0);
    assert_int_equal(vm->next, LINUX_RESUME);
    set_action(vm, SIGTERM, 0x400000);
    vm->cpu.regs.rsp = SCRATCH_END;
    assert_int_equal(CALL(vm, kill, pid, SIGTERM), 0);
    expect_handler(vm, SIGTERM, 0x400000);
    CALL(vm, tkill, pid, SIGTERM);
    expect_handler(vm, SIGTERM, 0x400000);
    /* Without room for its frame it is a SIGSEGV. */
    vm->cpu.regs.rsp = NOWHERE;
    CALL(vm, tkill, pid, SIGTERM);
    assert_int_equal(vm->next, LINUX_SIGNAL);
    assert_int_equal(vm->status, SIGSEGV);
}

/* As raise() of the libcs does it. */
static void test_blocked_signal_waits(void **state)
{
    struct ferry_vm *vm = *state;
    uint64_t pid = (uint64_t)CALL(vm, getpid);

    set_blocked(vm, UINT64_MAX);
    assert_int_equal(CALL(vm, tkill, pid, SIGUSR1), 0);
    assert_int_equal(vm->next, LINUX_RESUME);
    assert_int_equal(CALL(vm, rt_sigpending, SCRATCH, 8), 0);
    assert_int_equal(*(uint64_t *)guest(vm, SCRATCH), 1 << (SIGUSR1 - 1));
    memset(guest(vm, SCRATCH), 0, 8);
    CALL(vm, rt_sigprocmask, SIG_SETMASK, SCRATCH, 0, 8);
    assert_int_equal(vm->next, LINUX_SIGNAL);
    assert_int_equal(vm->status, SIGUSR1);
}

static uint64_t pending(struct ferry_vm *vm)
{
    assert_int_equal(CALL(vm, rt_sigpending, SCRATCH, 8), 0);
    return *(uint64_t *)guest(vm, SCRATCH);
}

static void test_stop_and_continue_cancel_each_other(void **state)
{
    struct ferry_vm *vm = *state;
    uint64_t pid = (uint64_t)CALL(vm, getpid);

    vm->pauses_at = 1;
    set_blocked(vm, UINT64_MAX);
    CALL(vm, kill, pid, SIGTSTP);
    CALL(vm, tkill, pid, SIGTTIN);
    CALL(vm, kill, pid, SIGUSR1);
    CALL(vm, kill, pid, SIGCONT);
    assert_int_equal(pending(vm), 1 << (SIGUSR1 - 1) | 1 << (SIGCONT - 1));
    CALL(vm, kill, pid, SIGTSTP);
    assert_int_equal(pending(vm), 1 << (SIGUSR1 - 1) | 1 << (SIGTSTP - 1));
    assert_int_equal(vm->pauses_at, 1);
}

/* Also by a program that never waits. */
static void test_a_signal_from_outside_comes_with_any_call(void **state)
{
    struct ferry_vm *vm = *state;

    vm->sent = 1 << (SIGUSR1 - 1);
    CALL(vm, getpid);
    assert_int_equal(vm->next, LINUX_SIGNAL);
    assert_int_equal(vm->status, SIGUSR1);
}

static void queue(struct ferry_vm *vm, int signo, int code, uint64_t value, int64_t result)
{
    struct {
        int32_t signo, error, code, zero, pid, uid;
        uint64_t value;
        uint8_t rest[96];
    } *info = guest(vm, SCRATCH);

    memset(info, 0, sizeof(*info));
    info->code = code;
    info->value = value;
    assert_int_equal(
        CALL(vm, rt_sigqueueinfo, (uint64_t)CALL(vm, getpid), (uint64_t)signo, SCRATCH), result);
}

static int64_t take(struct ferry_vm *vm, uint64_t mask)
{
    memcpy(guest(vm, SCRATCH + PAGE), &mask, sizeof(mask));
    return CALL(vm, rt_sigtimedwait, SCRATCH + PAGE, SCRATCH, 0, 8);
}

/* Real-time signals queue, up to a limit, and are taken in order; what is taken is gone. */
static void test_queued_signals(void **state)
{
    struct ferry_vm *vm = *state;
    const uint64_t mask = 1ull << (40 - 1);
    uint64_t *value = guest(vm, SCRATCH + 24);

    set_blocked(vm, UINT64_MAX);
    for (uint64_t i = 0; i < 64; i++)
        queue(vm, 40, SI_QUEUE, i, 0);
    queue(vm, 40, SI_QUEUE, 64, -EAGAIN);
    queue(vm, SIGUSR1, SI_QUEUE, 0, 0); /* pending nevertheless, as on Linux */
    for (uint64_t i = 0; i < 64; i++) {
        assert_int_equal(take(vm, mask), 40);
        assert_int_equal(*value, i);
    }
    assert_int_equal(take(vm, 1 << (SIGUSR1 - 1)), SIGUSR1);
    assert_int_equal(CALL(vm, rt_sigpending, SCRATCH, 8), 0);
    assert_int_equal(*(uint64_t *)guest(vm, SCRATCH), 0);
    /* Without room one that is refused is not pending; what kill() sends is. */
    for (uint64_t i = 0; i < 64; i++)
        queue(vm, 40, SI_QUEUE, i, 0);
    queue(vm, 41, SI_QUEUE, 0, -EAGAIN);
    assert_int_equal(CALL(vm, rt_sigpending, SCRATCH, 8), 0);
    assert_int_equal(*(uint64_t *)guest(vm, SCRATCH), mask);
    CALL(vm, kill, (uint64_t)CALL(vm, getpid), 42);
    assert_int_equal(take(vm, 1ull << (42 - 1)), 42);
    while (take(vm, mask) == 40)
        ;
    /* The last bytes mean something to Linux with codes it knows only. */
    queue(vm, SIGUSR1, SI_QUEUE, 0, 0);
    ((uint8_t *)guest(vm, SCRATCH))[127] = 1;
    assert_int_equal(CALL(vm, rt_sigqueueinfo, (uint64_t)CALL(vm, getpid), SIGUSR1, SCRATCH), 0);
    ((int32_t *)guest(vm, SCRATCH))[2] = 5000;
    assert_int_equal(CALL(vm, rt_sigqueueinfo, (uint64_t)CALL(vm, getpid), SIGUSR1, SCRATCH),
                     -E2BIG);
}

/* A wait for what is not pending lasts as long as it says, or until the VM is stopped. */
static void test_wait_for_a_signal(void **state)
{
    struct ferry_vm *vm = *state;

    *(uint64_t *)guest(vm, SCRATCH + PAGE) = 1;
    assert_int_equal(CALL(vm, rt_sigtimedwait, SCRATCH + PAGE, 0, put_time(vm, 2, 0), 8), -EAGAIN);
    assert_int_equal(vm->slept_ns, 2000000000);
    assert_int_equal(CALL(vm, rt_sigtimedwait, NOWHERE, 0, 0, 8), -EFAULT);
    vm->stop = true;
    take(vm, 1);
    assert_int_equal(vm->next, LINUX_STOPPED);
    assert_true(vm->slept_ns == UINT64_MAX);
    *(uint64_t *)guest(vm, SCRATCH) = 0;
    CALL(vm, rt_sigsuspend, SCRATCH, 8);
    assert_int_equal(vm->next, LINUX_STOPPED);
    assert_int_equal(CALL(vm, rt_sigsuspend, SCRATCH, 4), -EINVAL);
}

/* A mask for the time of a wait: what it lets through ends the program, else the one before is
 * back after it. */
static void test_masks_of_waits(void **state)
{
    struct ferry_vm *vm = *state;
    uint64_t *mask = guest(vm, SCRATCH + 2 * PAGE), *pack = guest(vm, SCRATCH + PAGE);

    set_blocked(vm, 1ull << (SIGTERM - 1));
    assert_int_equal(CALL(vm, ppoll, 0, 0, put_time(vm, 0, 1), NOWHERE, 8), -EFAULT);
    assert_int_equal(CALL(vm, ppoll, 0, 0, put_time(vm, 0, 1), SCRATCH + 2 * PAGE, 4), -EINVAL);
    assert_int_equal(CALL(vm, pselect6, 0, 0, 0, 0, put_time(vm, 0, 1), NOWHERE), -EFAULT);
    CALL(vm, kill, (uint64_t)CALL(vm, getpid), SIGTERM);
    *mask = UINT64_MAX;
    pack[0] = SCRATCH + 2 * PAGE;
    pack[1] = 8;
    assert_int_equal(CALL(vm, pselect6, 0, 0, 0, 0, put_time(vm, 0, 1), SCRATCH + PAGE), 0);
    assert_int_equal(CALL(vm, rt_sigprocmask, SIG_BLOCK, 0, SCRATCH + 2 * PAGE, 8), 0);
    assert_int_equal(*mask, 1ull << (SIGTERM - 1));
    assert_int_equal(vm->next, LINUX_RESUME);
    *mask = 0;
    CALL(vm, ppoll, 0, 0, 0, SCRATCH + 2 * PAGE, 8);
    assert_int_equal(vm->next, LINUX_SIGNAL);
}

static void test_suspend_lets_a_signal_through(void **state)
{
    struct ferry_vm *vm = *state;

    set_blocked(vm, UINT64_MAX);
    CALL(vm, kill, (uint64_t)CALL(vm, getpid), SIGTERM);
    assert_int_equal(vm->next, LINUX_RESUME);
    *(uint64_t *)guest(vm, SCRATCH) = ~(1ull << (SIGTERM - 1));
    CALL(vm, rt_sigsuspend, SCRATCH, 8);
    assert_int_equal(vm->next, LINUX_SIGNAL);
    assert_int_equal(vm->status, SIGTERM);
    assert_int_equal(vm->sleeps, 0);
}

/* One that is due again at once interrupts the program no more often than others; one with an interval
 * that has no end is due once. */
static void test_intervals(void **state)
{
    struct ferry_vm *vm = *state;
    struct itimerspec *spec = guest(vm, SCRATCH), *now = guest(vm, SCRATCH + 64);
    uint64_t before;

    set_blocked(vm, UINT64_MAX);
    assert_int_equal(CALL(vm, timer_create, CLOCK_MONOTONIC, 0, SCRATCH), 0);
    *spec = (struct itimerspec){.it_value.tv_nsec = 1, .it_interval.tv_nsec = 1};
    assert_int_equal(CALL(vm, timer_settime, 0, 0, SCRATCH, 0), 0);
    before = clock_now();
    assert_int_equal(CALL(vm, timer_gettime, 0, SCRATCH + 64), 0);
    assert_true(vm->alarm_ns >= before + 100000);
    *spec = (struct itimerspec){.it_value.tv_nsec = 1, .it_interval.tv_sec = INT64_MAX};
    assert_int_equal(CALL(vm, timer_settime, 0, 0, SCRATCH, 0), 0);
    while (clock_now() < vm->alarm_ns)
        ;
    assert_int_equal(CALL(vm, timer_gettime, 0, SCRATCH + 64), 0);
    assert_int_equal(now->it_value.tv_sec | now->it_value.tv_nsec, 0);
    assert_true(vm->alarm_ns == UINT64_MAX);
}

/* Only the moment of the next one is asked for; when it comes is the VM's business. */
static void test_timers(void **state)
{
    struct ferry_vm *vm = *state;

    memset(guest(vm, SCRATCH), 0, 32);
    assert_int_equal(CALL(vm, setitimer, ITIMER_REAL, SCRATCH, SCRATCH + 32), 0);
    ((uint64_t *)guest(vm, SCRATCH))[2] = 1000;
    assert_int_equal(CALL(vm, setitimer, ITIMER_REAL, SCRATCH, 0), 0);
    assert_true(vm->alarm_ns != 0 && vm->alarm_ns != UINT64_MAX);
    assert_int_equal(CALL(vm, alarm, 500), 1000);
    assert_int_equal(CALL(vm, alarm, 0), 500);
    assert_true(vm->alarm_ns == UINT64_MAX);
    assert_int_equal(CALL(vm, alarm, 0), 0);
    /* Processor time is watched. */
    assert_int_equal(CALL(vm, setitimer, ITIMER_PROF, SCRATCH, 0), 0);
    assert_int_equal(vm->cpu_watch_ns, 1000000000000);
    assert_int_equal(CALL(vm, setitimer, 3, SCRATCH, 0), -EINVAL);
    ((uint64_t *)guest(vm, SCRATCH))[3] = 1000000;
    assert_int_equal(CALL(vm, setitimer, ITIMER_PROF, SCRATCH, 0), -EINVAL);
    assert_int_equal(CALL(vm, timer_delete, 0), -EINVAL);
    assert_int_equal(CALL(vm, timer_create, CLOCK_MONOTONIC, 0, NOWHERE), -EFAULT);
    assert_int_equal(CALL(vm, timer_create, CLOCK_MONOTONIC_RAW, 0, SCRATCH), -EOPNOTSUPP);
    for (int i = 0; i < 61; i++)
        assert_int_equal(CALL(vm, timer_create, CLOCK_MONOTONIC, 0, SCRATCH), 0);
    assert_int_equal(CALL(vm, timer_create, CLOCK_MONOTONIC, 0, SCRATCH), -EAGAIN);
}

/* ---- the process --------------------------------------------------------- */

static void test_exit(void **state)
{
    struct ferry_vm *vm = *state;

    CALL(vm, exit, 3);
    assert_int_equal(vm->next, LINUX_EXIT);
    assert_int_equal(vm->status, 3);
    CALL(vm, exit_group, 0x1ff);
    assert_int_equal(vm->next, LINUX_EXIT);
    assert_int_equal(vm->status, 255);
}

static void test_what_a_program_asks(void **state)
{
    struct ferry_vm *vm = *state;
    struct utsname *name = guest(vm, SCRATCH);
    struct sysinfo *info = guest(vm, SCRATCH);
    uint64_t *words = guest(vm, SCRATCH);
    cpu_set_t here;

    assert_int_equal(CALL(vm, uname, SCRATCH), 0);
    assert_string_equal(name->nodename, "ferry");
    assert_string_equal(name->machine, "x86_64");
    assert_int_equal(CALL(vm, uname, SCRATCH_END - 10), -EFAULT);
    assert_int_equal(CALL(vm, sysinfo, SCRATCH), 0);
    assert_int_equal(info->totalram, MEMORY);
    assert_true(info->freeram < MEMORY && info->freeram > MEMORY / 2);
    memset(words, 0xff, 16);
    assert_int_equal(CALL(vm, sched_getaffinity, 0, 16, SCRATCH), 8);
    assert_int_equal(sched_getaffinity(0, sizeof(here), &here), 0);
    assert_int_equal(__builtin_popcountll(words[0]), CPU_COUNT(&here));
    assert_int_equal(words[0] & (words[0] + 1), 0); /* from 0 on */
    assert_int_equal(CALL(vm, sched_setaffinity, 0, 8, SCRATCH), 0);
    assert_true(CPU_EQUAL(&vm->kept_to, &here));
    words[0] = 1;
    assert_int_equal(CALL(vm, sched_setaffinity, (uint64_t)CALL(vm, gettid), 8, SCRATCH), 0);
    assert_int_equal(CPU_COUNT(&vm->kept_to), 1);
    memset(words, 0xff, 16);
    assert_int_equal(CALL(vm, sched_getaffinity, 0, 16, SCRATCH), 8);
    assert_int_equal(words[0], 1);
    words[0] = 1ull << 63; /* one that it has not */
    assert_int_equal(CALL(vm, sched_setaffinity, 0, 8, SCRATCH), -EINVAL);
    assert_int_equal(CALL(vm, sched_setaffinity, 77, 8, SCRATCH), -ESRCH);
    assert_int_equal(CALL(vm, sched_getaffinity, 0, 4, SCRATCH), -EINVAL);
    words[0] = 1;
    assert_int_equal(CALL(vm, sched_setaffinity, (uint64_t)-1, 8, SCRATCH), -ESRCH);
    assert_int_equal(CALL(vm, sched_getaffinity, (uint64_t)-1, 8, SCRATCH), -ESRCH);
    assert_int_equal(CALL(vm, set_robust_list, NOWHERE, 24), 0);
    assert_int_equal(
        other_call(vm, SYS_get_robust_list,
                   (const uint64_t[6]){(uint64_t)CALL(vm, getpid), SCRATCH, SCRATCH + 8}),
        0);
    assert_int_equal(words[0], NOWHERE);
    assert_int_equal(CALL(vm, get_robust_list, (uint64_t)-1, SCRATCH, SCRATCH + 8), -ESRCH);
    assert_int_equal(CALL(vm, gettid), CALL(vm, getpid));
    assert_int_equal(CALL(vm, wait4, (uint64_t)-1, 0, 0, 0), -ECHILD);
    assert_int_equal(CALL(vm, waitid, 0, 0, SCRATCH, 4), -ECHILD);
    assert_int_equal(CALL(vm, waitid, 0, 0, SCRATCH, 0), -EINVAL);
    assert_int_equal(CALL(vm, setuid, (uint64_t)CALL(vm, getuid)), 0);
    assert_int_equal(CALL(vm, setuid, 0), -EPERM);
    assert_int_equal(CALL(vm, setresuid, UINT32_MAX, (uint64_t)CALL(vm, getuid), UINT32_MAX), 0);
    assert_int_equal(CALL(vm, setresuid, UINT32_MAX, UINT32_MAX, 0), -EPERM);
    assert_int_equal(CALL(vm, setregid, UINT32_MAX, 0), -EPERM);
    assert_int_equal(CALL(vm, setgroups, 0, 0), 0);
    assert_int_equal(CALL(vm, setgroups, 1, SCRATCH), -EPERM);
    assert_int_equal(CALL(vm, setpriority, 0, 0, 5), -EPERM);
    memset(guest(vm, SCRATCH), 0, 64);
    *(uint32_t *)guest(vm, SCRATCH) = 0x20080522; /* the version of capabilities */
    assert_int_equal(CALL(vm, capget, SCRATCH, SCRATCH + 64), 0);
    assert_int_equal(CALL(vm, capset, SCRATCH, SCRATCH + 64), 0);
    *(uint32_t *)guest(vm, SCRATCH + 64) = 1;
    assert_int_equal(CALL(vm, capset, SCRATCH, SCRATCH + 64), -EPERM);
    assert_int_equal(CALL(vm, prctl, PR_GET_NAME, SCRATCH), 0);
    assert_string_equal(guest(vm, SCRATCH), "program-with-a-");
    assert_int_equal(CALL(vm, umask, 077), 022);
    assert_int_equal(CALL(vm, umask, 0), 077);
    assert_int_equal(CALL(vm, getrusage, 0, SCRATCH), 0);
    assert_int_equal(CALL(vm, getrusage, 7, SCRATCH), -EINVAL);
}

static void test_segments(void **state)
{
    struct ferry_vm *vm = *state;

    assert_int_equal(CALL(vm, arch_prctl, ARCH_SET_FS, 0x1234), 0);
    assert_int_equal(CALL(vm, arch_prctl, ARCH_SET_GS, 0x5678), 0);
    assert_int_equal(vm->cpu.fs, 0x1234);
    assert_int_equal(vm->cpu.gs, 0x5678);
    assert_int_equal(CALL(vm, arch_prctl, ARCH_GET_FS, SCRATCH), 0);
    assert_int_equal(*(uint64_t *)guest(vm, SCRATCH), 0x1234);
    assert_int_equal(CALL(vm, arch_prctl, ARCH_SET_FS, 1ull << 63), -EPERM);
    assert_int_equal(CALL(vm, arch_prctl, 0x3001, SCRATCH), -EINVAL);
}

static void test_random(void **state)
{
    struct ferry_vm *vm = *state;
    uint64_t *words = guest(vm, SCRATCH);

    assert_int_equal(CALL(vm, getrandom, SCRATCH, 16, 0), 16);
    assert_true(words[0] != words[1]);
    assert_int_equal(words[2], 0);
    assert_int_equal(CALL(vm, getrandom, READ_ONLY, 16, 0), -EFAULT);
    assert_int_equal(CALL(vm, getrandom, SCRATCH, 16, 8), -EINVAL);
    assert_int_equal(CALL(vm, getrandom, SCRATCH, UINT64_MAX, 0), -EFAULT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, linux_setup, linux_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_clocks),
        TEST(test_sleep),
        TEST(test_futex),
        TEST(test_futex_wake_op),
        TEST(test_futex_waitv),
        TEST(test_futex_lock),
        TEST(test_broken_pipe),
        TEST(test_a_fatal_signal_is_first),
        TEST(test_one_with_a_core_waits_for_its_turn),
        TEST(test_it_ends_nothing_while_it_is_blocked),
        TEST(test_dispositions_are_kept),
        TEST(test_signal_to_itself),
        TEST(test_blocked_signal_waits),
        TEST(test_stop_and_continue_cancel_each_other),
        TEST(test_a_signal_from_outside_comes_with_any_call),
        TEST(test_queued_signals),
        TEST(test_wait_for_a_signal),
        TEST(test_masks_of_waits),
        TEST(test_suspend_lets_a_signal_through),
        TEST(test_intervals),
        TEST(test_timers),
        TEST(test_exit),
        TEST(test_what_a_program_asks),
        TEST(test_segments),
        TEST(test_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
