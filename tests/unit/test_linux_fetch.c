/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the test that each argument in memory is fetched once. Another thread of the program is
 * pretended, which overwrites every byte at the moment it was fetched: a call that read the memory
 * a second time would decide by bytes that were not checked. Whatever it writes, the outcome must
 * be that of a call without another thread, and no byte may be fetched twice.
 */
#include "linux_fixture.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>

#define DATA  (SCRATCH + 8 * PAGE)  /* bytes that are moved, and no argument */
#define LOOK  (SCRATCH + 16 * PAGE) /* where a second call shows what the first one set */
#define SHOWN 128

struct call {
    uint64_t number, arg[6];
};

/* All that a call can do here. */
struct outcome {
    int64_t result;
    enum linux_next next;
    int status;
    uint64_t slept_ns, poll_timeout;
    short poll_want;
    size_t output_bytes;
    char output[16], input[16];
    unsigned char shown[SHOWN];
};

static void outcome_of(struct ferry_vm *vm, const struct call *call, const struct call *look,
                       struct outcome *out)
{
    out->result = linux_call(vm, call->number, call->arg);
    vm->hostile = 0;
    out->next = vm->next;
    out->status = vm->status;
    out->slept_ns = vm->slept_ns;
    out->poll_timeout = vm->poll_timeout;
    out->poll_want = vm->poll_want;
    out->output_bytes = vm->output_bytes;
    memcpy(out->output, vm->output, sizeof out->output);
    memcpy(out->input, guest(vm, DATA), sizeof out->input);
    if (look->number)
        assert_int_equal(linux_call(vm, look->number, look->arg), 0);
    memcpy(out->shown, guest(vm, LOOK), sizeof out->shown);
}

static bool same(const struct outcome *a, const struct outcome *b)
{
    return a->result == b->result && a->next == b->next && a->status == b->status &&
           a->slept_ns == b->slept_ns && a->poll_timeout == b->poll_timeout &&
           a->poll_want == b->poll_want && a->output_bytes == b->output_bytes &&
           memcmp(a->output, b->output, sizeof a->output) == 0 &&
           memcmp(a->input, b->input, sizeof a->input) == 0 &&
           memcmp(a->shown, b->shown, sizeof a->shown) == 0;
}

/* `fill` puts the arguments, so many bytes of them, into memory. */
static void fetches_once(void (*fill)(struct ferry_vm *vm), uint64_t bytes, struct call call,
                         struct call look)
{
    static const int others[] = {0, 0xff, 0x01, 0x7f};
    struct outcome alone, now;

    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct ferry_vm *vm = linux_vm_create(NULL, -1);
        fill(vm);
        vm->hostile = others[i];
        outcome_of(vm, &call, &look, &now);
        if (i == 0)
            alone = now;
        if (vm->fetched != bytes)
            fail_msg("call %llu fetched %llu bytes instead of %llu",
                     (unsigned long long)call.number, (unsigned long long)vm->fetched,
                     (unsigned long long)bytes);
        if (!same(&alone, &now))
            fail_msg(
                "call %llu: %lld instead of %lld, or another effect, beside one that writes 0x%x",
                (unsigned long long)call.number, (long long)now.result, (long long)alone.result,
                others[i]);
        linux_vm_destroy(vm);
    }
    /* The call had worked: a refusal would say nothing. */
    assert_true(alone.result >= 0);
}

static const struct call nothing = {0};

/* --- pieces --- */

static void fill_pieces(struct ferry_vm *vm)
{
    const struct iovec pieces[] = {{(void *)DATA, 2}, {(void *)(DATA + 4), 3}};

    memcpy(guest(vm, SCRATCH), pieces, sizeof pieces);
    memcpy(guest(vm, DATA), "ab..cde.", 8);
    vm->input = "vwxyz";
}

static void pieces_are_fetched_once(void **state)
{
    (void)state;
    fetches_once(fill_pieces, 32, (struct call){SYS_writev, {1, SCRATCH, 2}}, nothing);
    fetches_once(fill_pieces, 32, (struct call){SYS_pwritev2, {1, SCRATCH, 2, (uint64_t)-1}},
                 nothing);
    fetches_once(fill_pieces, 32, (struct call){SYS_readv, {0, SCRATCH, 2}}, nothing);
}

/* --- times --- */

static void fill_time(struct ferry_vm *vm)
{
    const struct timespec time = {2, 3};

    memcpy(guest(vm, SCRATCH), &time, sizeof time);
}

static void fill_timer(struct ferry_vm *vm)
{
    memset(guest(vm, SCRATCH), 0, sizeof(struct itimerval));
}

static void times_are_fetched_once(void **state)
{
    (void)state;
    fetches_once(fill_time, 16, (struct call){SYS_nanosleep, {SCRATCH, 0}}, nothing);
    fetches_once(fill_time, 16, (struct call){SYS_clock_nanosleep, {CLOCK_MONOTONIC, 0, SCRATCH}},
                 nothing);
    fetches_once(fill_timer, 32, (struct call){SYS_setitimer, {ITIMER_REAL, SCRATCH, 0}}, nothing);
}

/* --- waits --- */

#define SET   (SCRATCH + 0x100)
#define TIME  (SCRATCH + 0x200)
#define MASK  (SCRATCH + 0x300)
#define MASKS (SCRATCH + 0x400)

static void fill_wait(struct ferry_vm *vm)
{
    const struct pollfd entries[] = {{0, POLLIN, 0}, {1, POLLOUT, 0}};
    const struct timespec time = {2, 3};
    const uint64_t set = 1, mask = 1ull << (SIGUSR1 - 1), masks[] = {MASK, 8};

    vm->input = "x";
    memcpy(guest(vm, SCRATCH), entries, sizeof entries);
    memcpy(guest(vm, SET), &set, sizeof set);
    memcpy(guest(vm, TIME), &time, sizeof time);
    memcpy(guest(vm, MASK), &mask, sizeof mask);
    memcpy(guest(vm, MASKS), masks, sizeof masks);
}

static void waits_are_fetched_once(void **state)
{
    (void)state;
    fetches_once(fill_wait, 16, (struct call){SYS_poll, {SCRATCH, 2, 7}}, nothing);
    fetches_once(fill_wait, 16 + 16 + 8, (struct call){SYS_ppoll, {SCRATCH, 2, TIME, MASK, 8}},
                 nothing);
    fetches_once(fill_wait, 8 + 16, (struct call){SYS_select, {1, SET, 0, 0, TIME}}, nothing);
    fetches_once(fill_wait, 8 + 16 + 16 + 8,
                 (struct call){SYS_pselect6, {1, SET, 0, 0, TIME, MASKS}}, nothing);
}

/* --- signals --- */

static void fill_signals(struct ferry_vm *vm)
{
    const struct {
        uint64_t handler, flags, restorer, mask;
    } action = {(uint64_t)(uintptr_t)SIG_IGN, 0x04000000, 5, 6};
    const uint64_t mask = 1ull << (SIGUSR1 - 1);
    const struct {
        uint64_t sp;
        uint64_t flags;
        uint64_t bytes;
    } stack = {SCRATCH, 0, 8 * PAGE};

    memcpy(guest(vm, SCRATCH), &action, sizeof action);
    memcpy(guest(vm, MASK), &mask, sizeof mask);
    memcpy(guest(vm, SET), &stack, sizeof stack);
}

static void signals_are_fetched_once(void **state)
{
    (void)state;
    fetches_once(fill_signals, 32, (struct call){SYS_rt_sigaction, {SIGUSR1, SCRATCH, 0, 8}},
                 (struct call){SYS_rt_sigaction, {SIGUSR1, 0, LOOK, 8}});
    fetches_once(fill_signals, 8, (struct call){SYS_rt_sigprocmask, {SIG_BLOCK, MASK, 0, 8}},
                 (struct call){SYS_rt_sigprocmask, {SIG_BLOCK, 0, LOOK, 8}});
    fetches_once(fill_signals, 24, (struct call){SYS_sigaltstack, {SET, 0}},
                 (struct call){SYS_sigaltstack, {0, LOOK}});
}

/* --- limits and names --- */

static void fill_limit(struct ferry_vm *vm)
{
    const struct rlimit limit = {100, 200};

    memcpy(guest(vm, SCRATCH), &limit, sizeof limit);
}

#define NAME      "/dev/null"
#define NAME_ADDR (SCRATCH + PAGE - sizeof NAME) /* what is behind it is on another page */

static void fill_name(struct ferry_vm *vm)
{
    guest_string(vm, NAME_ADDR, NAME);
}

static void limits_and_names_are_fetched_once(void **state)
{
    (void)state;
    fetches_once(fill_limit, 16, (struct call){SYS_setrlimit, {RLIMIT_NOFILE, SCRATCH}},
                 (struct call){SYS_getrlimit, {RLIMIT_NOFILE, LOOK}});
    fetches_once(fill_limit, 16, (struct call){SYS_prlimit64, {0, RLIMIT_NOFILE, SCRATCH, 0}},
                 (struct call){SYS_getrlimit, {RLIMIT_NOFILE, LOOK}});
    fetches_once(fill_name, sizeof NAME, (struct call){SYS_open, {NAME_ADDR, 0}}, nothing);
    fetches_once(fill_name, sizeof NAME, (struct call){SYS_access, {NAME_ADDR, 0}}, nothing);
}

/* --- objects --- */

enum { EPOLL = 3, TIMER, ONE, OTHER };

static void fill_objects(struct ferry_vm *vm)
{
    const struct epoll_event event = {.events = EPOLLIN, .data.u64 = 5};
    const struct itimerspec spec = {.it_interval = {5, 6}};
    const struct iovec piece = {(void *)(SCRATCH + 0x600), 3};
    const struct msghdr message = {.msg_iov = (void *)SET, .msg_iovlen = 1};

    assert_int_equal(CALL(vm, epoll_create1, 0), EPOLL);
    assert_int_equal(CALL(vm, timerfd_create, CLOCK_MONOTONIC, 0), TIMER);
    assert_int_equal(CALL(vm, socketpair, AF_UNIX, SOCK_SEQPACKET, 0, LOOK), 0);
    memcpy(guest(vm, SCRATCH), &event, sizeof event);
    memcpy(guest(vm, TIME), &spec, sizeof spec);
    memcpy(guest(vm, SET), &piece, sizeof piece);
    memcpy(guest(vm, MASKS), &message, sizeof message);
}

static void objects_are_fetched_once(void **state)
{
    (void)state;
    fetches_once(fill_objects, 12,
                 (struct call){SYS_epoll_ctl, {EPOLL, EPOLL_CTL_ADD, ONE, SCRATCH}}, nothing);
    fetches_once(fill_objects, 32, (struct call){SYS_timerfd_settime, {TIMER, 0, TIME, 0}},
                 (struct call){SYS_timerfd_gettime, {TIMER, LOOK}});
    fetches_once(fill_objects, 56 + 16 + 3, (struct call){SYS_sendmsg, {ONE, MASKS, 0}},
                 (struct call){SYS_ioctl, {OTHER, FIONREAD, LOOK}});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_fetched_once),
        cmocka_unit_test(times_are_fetched_once),
        cmocka_unit_test(waits_are_fetched_once),
        cmocka_unit_test(signals_are_fetched_once),
        cmocka_unit_test(limits_and_names_are_fetched_once),
        cmocka_unit_test(objects_are_fetched_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
