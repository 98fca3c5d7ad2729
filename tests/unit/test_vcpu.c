/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the tests of host/vm/guest_run.c: what is done at each exit of a VM, what it costs, and what is
 * reported of a guest that cannot go on. The virtual CPU is made up (vcpu_fixture.h); a test may act
 * when the VM's thread begins to wait.
 */
#include "vcpu_fixture.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include <ferry/abi/call.h>
#include <ferry/abi/layout.h>

#include "vm/guest_run.h"
#include "wait_calls.h"

int __real_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);

static uint32_t locks;

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    locks++;
    return __real_pthread_mutex_lock(mutex);
}

/* --- ends of a stay --- */

static void defer_one(void)
{
    struct ferry_desc desc = core_inline(b->id, 1);

    core_queue(a, &desc);
}

static int defer_and_mmio(void)
{
    defer_one();
    run->exit_reason = KVM_EXIT_MMIO;
    return 0;
}

static int defer_and_shutdown(void)
{
    defer_one();
    run->exit_reason = KVM_EXIT_SHUTDOWN;
    return 0;
}

static int defer_and_internal_error(void)
{
    defer_one();
    run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
    return 0;
}

static int defer_and_unknown(void)
{
    defer_one();
    run->exit_reason = KVM_EXIT_HYPERV;
    return 0;
}

static int defer_and_bad_error(void)
{
    defer_one();
    return EINVAL;
}

static int defer_and_kick(void)
{
    defer_one();
    return EINTR;
}

static int defer_and_healed_fault(void)
{
    defer_one();
    return EFAULT;
}

static int defer_and_doorbell(void)
{
    defer_one();
    return leave_by_port(FERRY_PORT_DOORBELL);
}

static int defer_and_call(void)
{
    defer_one();
    run->s.regs.regs.rax = FERRY_CALL_WAIT;
    run->s.regs.regs.rdi = 0;
    run->s.regs.regs.rsi = 0;
    return leave_by_port(FERRY_PORT_CALL);
}

/* The guest runs again: what it deferred must have arrived at the exit before. */
static int sees_it_gone(void)
{
    assert_int_equal(core_waiting(b), 1);
    assert_int_equal(a->control->vmm.out_tail, 1);
    return is_stopped();
}

/* --- what is queued leaves at every exit --- */

static void every_last_exit_drains(void **state)
{
    static const struct {
        stay stays[1];
        enum exit_cause cause;
    } ends[] = {{{defer_and_mmio}, CAUSE_MMIO},
                {{defer_and_shutdown}, CAUSE_OTHER},
                {{defer_and_internal_error}, CAUSE_OTHER},
                {{defer_and_unknown}, CAUSE_OTHER},
                {{defer_and_bad_error}, CAUSE_OTHER}};

    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        if (i) {
            vcpu_teardown(state);
            vcpu_setup(state);
        }
        run_guest(ends[i].stays);
        assert_int_equal(vm_a->exits[ends[i].cause], 1);
        if (core_waiting(b) != 1 || vm_a->runner.exits_natural != 1 ||
            vm_a->runner.exits_immediate != 0)
            fail_msg("row %zu: %u arrived, exits %llu natural, %llu immediate", i, core_waiting(b),
                     vm_a->runner.exits_natural, vm_a->runner.exits_immediate);
    }
}

/* A guest that goes on after the exit finds it gone: it was not left for the next. */
static void every_other_exit_drains(void **state)
{
    static const struct {
        stay stays[2];
        uint64_t immediate;
        enum exit_cause cause;
        unsigned count;
    } rows[] = {{{defer_and_kick, sees_it_gone}, 0, CAUSE_KICK, 2}, /* as that of the end */
                {{defer_and_healed_fault, sees_it_gone}, 0, CAUSE_REFUSED, 1},
                {{defer_and_call, sees_it_gone}, 0, CAUSE_CALL, 1},
                {{defer_and_doorbell, sees_it_gone}, 1, CAUSE_DOORBELL, 1}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (i) {
            vcpu_teardown(state);
            vcpu_setup(state);
        }
        run_guest(rows[i].stays);
        assert_int_equal(vm_a->exits[rows[i].cause], rows[i].count);
        if (vm_a->runner.exits_natural != 2 - rows[i].immediate ||
            vm_a->runner.exits_immediate != rows[i].immediate)
            fail_msg("row %zu: exits %llu natural, %llu immediate", i, vm_a->runner.exits_natural,
                     vm_a->runner.exits_immediate);
    }
}

/* --- a wait for room --- */

/* The one message that b may have in flight, and one more, which waits. */
static int fill_and_wait(void)
{
    for (int i = 0; i < 2; i++) {
        struct ferry_desc move = core_units(FERRY_MOVE, a, b->id, core_alloc(a, 1, true));
        core_queue(a, &move);
    }
    run->s.regs.regs.rax = FERRY_CALL_WAIT;
    run->s.regs.regs.rdi = FERRY_EVENT_OUT;
    run->s.regs.regs.rsi = 1000000000;
    return leave_by_port(FERRY_PORT_CALL);
}

/* b takes the first after a's last look and before a says that it waits. */
static void make_room(void)
{
    uint32_t seen = atomic_load(&a->events);

    assert_true(a->out_parked);
    core_take(b);
    loan_collect(b);
    assert_int_not_equal(atomic_load(&a->events), seen); /* the wake-up came too early to be seen */
}

static int has_room(void)
{
    assert_int_equal(run->s.regs.regs.rax, FERRY_EVENT_OUT);
    assert_int_equal(core_waiting(b), 1);
    return is_stopped();
}

static void room_made_before_the_wait_is_found(void **state)
{
    static const stay ends[] = {fill_and_wait, has_room};

    (void)state;
    before_prepare = make_room;
    blocks = 0;
    run_guest(ends);
    assert_null(before_prepare);
    assert_int_equal(blocks, 0);
    assert_int_equal(a->control->vmm.out_tail, 2);
}

/* --- a kick --- */

/* The thread of a CPU that has none would be whatever its memory holds. */
static void a_vm_without_a_thread_is_not_kicked(void **state)
{
    (void)state;
    atomic_store(&vm_a->runner.in_guest, 1);
    runner_kick(&vm_a->runner);
    vm_a->started = vm_a->ended = true;
    runner_kick(&vm_a->runner);
    vm_kick(vm_a);
    vm_a->started = vm_a->ended = false;
    atomic_store(&vm_a->runner.in_guest, 0);
}

static void a_kick_is_pending_until_it_is_taken(void **state)
{
    sigset_t kick, before, pending;

    (void)state;
    sigemptyset(&kick);
    sigaddset(&kick, vcpu_kick_signal());
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &kick, &before), 0);
    vm_a->started = true;
    vm_a->guest->vcpus[0]->thread = pthread_self();
    vm_stop(vm_a, SIGTERM);
    vm_a->started = false;
    sigpending(&pending);
    assert_int_equal(sigismember(&pending, vcpu_kick_signal()), 1);
    vcpu_take_kick();
    sigpending(&pending);
    assert_int_equal(sigismember(&pending, vcpu_kick_signal()), 0);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
}

/* --- what KVM does not do --- */

static unsigned tries;

static int has_no_thread(void)
{
    tries++;
    return tries < 1000 ? EAGAIN : is_stopped();
}

static void a_run_that_is_always_to_be_tried_again_ends(void **state)
{
    stay without_end[1001];

    (void)state;
    for (size_t i = 0; i < sizeof without_end / sizeof *without_end; i++)
        without_end[i] = has_no_thread;
    tries = 0;
    run_guest(without_end);
    assert_true(tries > 1 && tries < 100);
    assert_int_equal(vm_a->process->exit.how, FERRY_ENDED_FAULT);
    assert_non_null(strstr(vm_a->process->exit.text, "Resource temporarily unavailable; raise "));
}

static int entry_fails(void)
{
    run->exit_reason = KVM_EXIT_FAIL_ENTRY;
    run->fail_entry.hardware_entry_failure_reason = 0x80000021;
    return 0;
}

static void a_refused_entry_tells_its_reason(void **state)
{
    static const stay ends[] = {entry_fails};

    (void)state;
    run_guest(ends);
    assert_int_equal(vm_a->process->exit.how, FERRY_ENDED_FAULT);
    assert_non_null(strstr(vm_a->process->exit.text, "hardware reason 0x80000021"));
}

/* --- another kind of guest --- */

#define DEVICE_PORT   0x3f8
#define DEVICE_MEMORY 0xd0000000ull

static unsigned device_exits;

static bool serve_device(struct ferry_vm *vm, struct vcpu *vcpu)
{
    assert_ptr_equal(vm, vm_a);
    assert_ptr_equal(vcpu, vm_a->guest->vcpus[0]);
    device_exits++;
    return true;
}

static bool goes_on(struct ferry_vm *vm, struct vcpu *vcpu)
{
    (void)vm;
    (void)vcpu;
    return true;
}

static int first_port(void)
{
    return leave_by_port(DEVICE_PORT);
}

static int last_port(void)
{
    return leave_by_port(DEVICE_PORT + 7);
}

static int port_beside(void)
{
    return leave_by_port(DEVICE_PORT + 8);
}

static int leave_by_mmio(uint64_t addr)
{
    run->exit_reason = KVM_EXIT_MMIO;
    run->mmio.phys_addr = addr;
    return 0;
}

static int last_address(void)
{
    return leave_by_mmio(DEVICE_MEMORY + 0xfff);
}

static int address_beside(void)
{
    return leave_by_mmio(DEVICE_MEMORY + 0x1000);
}

/* All that it takes is a table: the loop that runs the guest is the same. */
static void a_kind_of_guest_serves_its_own_exits(void **state)
{
    static const struct guest_exit table[] = {
        {KVM_EXIT_IO, DEVICE_PORT, 8, serve_device, EXIT_IMMEDIATE, CAUSE_DOORBELL},
        {KVM_EXIT_MMIO, DEVICE_MEMORY, 0x1000, serve_device, EXIT_NATURAL, CAUSE_MMIO},
    };
    static const struct guest_kind machine = {
        .exits = table, .exit_count = sizeof table / sizeof *table, .interrupted = goes_on};
    static const stay rows[][5] = {
        {first_port, last_port, last_address, is_kicked, port_beside},
        {first_port, last_port, last_address, is_kicked, address_beside}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (i) {
            vcpu_teardown(state);
            vcpu_setup(state);
        }
        device_exits = 0;
        vm_a->kind = &machine;
        run_guest(rows[i]);
        assert_int_equal(device_exits, 3);
        assert_int_equal(vm_a->runner.exits_immediate, 2);
        assert_int_equal(vm_a->runner.exits_natural, 3);
        assert_int_equal(vm_a->exits[CAUSE_DOORBELL], 2);
        assert_int_equal(vm_a->exits[CAUSE_MMIO], 1);
        assert_int_equal(vm_a->exits[CAUSE_KICK], 1);
        assert_int_equal(vm_a->exits[CAUSE_OTHER], 1);
        assert_int_equal(vm_a->process->exit.how, FERRY_ENDED_FAULT);
    }
}

/* --- calls --- */

static int wait_for_unknown(void)
{
    run->s.regs.regs.rax = FERRY_CALL_WAIT;
    run->s.regs.regs.rdi = FERRY_EVENT_OUT | 8;
    run->s.regs.regs.rsi = UINT64_MAX;
    return leave_by_port(FERRY_PORT_CALL);
}

static int is_refused(void)
{
    assert_int_equal((int64_t)run->s.regs.regs.rax, -EINVAL);
    return is_stopped();
}

static void unknown_events_are_refused(void **state)
{
    static const stay ends[] = {wait_for_unknown, is_refused};

    (void)state;
    run_guest(ends);
}

static int call_unknown(void)
{
    static const uint64_t numbers[] = {0, FERRY_CALL_READY + 1, UINT64_MAX};
    static unsigned next;

    if (next)
        assert_int_equal((int64_t)run->s.regs.regs.rax, -ENOSYS);
    run->s.regs.regs.rax = numbers[next++ % 3];
    return next > 3 ? is_stopped() : leave_by_port(FERRY_PORT_CALL);
}

static void unknown_calls_are_refused(void **state)
{
    static const stay ends[] = {call_unknown, call_unknown, call_unknown, call_unknown};

    (void)state;
    run_guest(ends);
}

/* --- what an exit costs --- */

static int ring_and_count(void)
{
    locks = 0;
    return leave_by_port(FERRY_PORT_DOORBELL);
}

static int came_back_by_one_lock(void)
{
    assert_int_equal(locks, 1);
    return is_stopped();
}

/* The lock of the thread that serves the VM. */
static void an_exit_with_nothing_queued_takes_one_lock(void **state)
{
    static const stay stays_of_it[] = {ring_and_count, came_back_by_one_lock};

    (void)state;
    run_guest(stays_of_it);
    assert_int_equal(vm_a->runner.exits_immediate, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_last_exit_drains),
        TEST(every_other_exit_drains),
        TEST(an_exit_with_nothing_queued_takes_one_lock),
        TEST(room_made_before_the_wait_is_found),
        TEST(a_vm_without_a_thread_is_not_kicked),
        TEST(a_kick_is_pending_until_it_is_taken),
        TEST(a_refused_entry_tells_its_reason),
        TEST(a_run_that_is_always_to_be_tried_again_ends),
        TEST(a_kind_of_guest_serves_its_own_exits),
        TEST(unknown_events_are_refused),
        TEST(unknown_calls_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
