/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the moment at which signals take effect: just before the program goes on after a call, a
 * fault or a kick. It also decides whether a call that a signal interrupted is made again.
 */
#include <errno.h>
#include <linux/futex.h>
#include <linux/kvm.h>
#include <signal.h>
#include <sys/syscall.h>

#include "linux/futexes.h"
#include "linux/processes.h"
#include "linux/signal_state.h"
#include "linux/state.h"
#include "linux/told.h"
#include "linux/trace.h"

#define CALL_BYTES 2 /* of `syscall`, and of `int $0x80` */

bool signal_interrupts(struct linux_state *state)
{
    const struct linux_thread *self = state->thread;
    uint64_t pending;

    alarms_look(state);
    signals_from_outside(state);
    pending = signal_pending(state, self, ~self->signals.blocked | self->signals.awaited);
    /* One that was sent while it was blocked may be ignored: that disturbs no call. */
    for (int signo = 1; pending && signo <= SIGNALS; signo++) {
        if (!(self->signals.awaited & signal_bit(signo)) && signal_is_ignored(state, signo))
            pending &= ~signal_bit(signo);
    }
    return pending;
}

/* No caller of these expects to be interrupted. */
static bool makes_process(const struct linux_call *call)
{
    return call->number == SYS_fork || call->number == SYS_vfork || call->number == SYS_clone ||
           call->number == SYS_clone3;
}

/* Whatever the handler was set up for. Waits for a lock are of this kind: their time limit is a
 * moment, and who locks has no use for an error. */
static bool must_restart(const struct linux_call *call)
{
    uint64_t command = call->arg[1] & FUTEX_CMD_MASK & UINT32_MAX;

    if (makes_process(call))
        return true;
    return call->number == SYS_futex &&
           (command == FUTEX_LOCK_PI || command == LOCK_PI2 || command == FUTEX_WAIT_REQUEUE_PI);
}

/* Waits that say how long they last are never made again: the time would begin anew. */
bool signal_may_restart(const struct linux_call *call)
{
    if (call->timed)
        return false;
    switch (call->number) {
    case SYS_pause:
    case SYS_rt_sigsuspend:
    case SYS_rt_sigtimedwait:
    case SYS_nanosleep:
    case SYS_clock_nanosleep:
    case SYS_poll:
    case SYS_ppoll:
    case SYS_select:
    case SYS_pselect6:
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
    case SYS_epoll_pwait2:
    case SYS_rt_sigreturn: /* its result is a register of the program */
        return false;
    case SYS_futex:
        return must_restart(call) || !call->arg[3]; /* for calls that wait: no time limit */
    default:
        return true;
    }
}

/* The call was interrupted, and is made again when the program goes on. */
static void restart(struct vcpu *cpu, const struct linux_call *call)
{
    struct kvm_regs regs = *vm_regs(cpu);

    regs.rax = call->given;
    regs.rip -= CALL_BYTES;
    vm_set_regs(cpu, &regs);
}

void signal_force_segv(struct linux_state *state)
{
    const struct signal_info info = {.signo = SIGSEGV, .code = SI_KERNEL};
    struct signal_action *action = &state->signals.actions[SIGSEGV - 1];
    struct linux_thread *self = state->thread;

    if (self->signals.blocked & signal_bit(SIGSEGV) || action->handler == HANDLER_IGNORE) {
        action->handler = HANDLER_DEFAULT;
        self->signals.blocked &= ~signal_bit(SIGSEGV);
    }
    signal_post(state, self, &info);
}

/* Runs the handler of a signal that was taken. False: the program cannot go on. */
static bool run_handler(struct linux_state *state, struct vcpu *cpu, const struct signal_info *info)
{
    struct linux_thread *self = state->thread;
    struct signal_action *set = &state->signals.actions[info->signo - 1], action = *set;

    if (action.flags & SA_RESETHAND)
        set->handler = HANDLER_DEFAULT;
    if (signal_frame_push(state, cpu, info, &action) < 0) {
        if (info->signo == SIGSEGV)
            return false;
        signal_force_segv(state);
        return true;
    }
    self->signals.has_before = false;
    self->signals.blocked |= action.mask;
    if (!(action.flags & SA_NODEFER))
        self->signals.blocked |= signal_bit(info->signo);
    self->signals.blocked &= ~SIGNALS_NEVER_BLOCKED;
    return true;
}

static enum linux_next end_at_once(struct linux_state *state, int *status)
{
    if (state->traced)
        trace_signal(state, &state->signals.fatal);
    *status = state->signals.fatal.signo;
    state->signals.fatal.signo = 0;
    return LINUX_SIGNAL;
}

static void stand_still(struct linux_state *state)
{
    struct linux_thread *self = state->thread;

    vm_stand_still(state->vm);
    state->thread = self; /* others were served meanwhile */
}

static void stop(struct linux_state *state, const struct signal_info *info)
{
    if (!process_stops_alone(state, info)) {
        if (vm_can_pause(state->vm))
            vm_pause(state->vm, info->signo);
        return;
    }
    process_stop(state, info->signo);
    stand_still(state);
}

enum linux_next signals_deliver(struct linux_state *state, struct vcpu *cpu,
                                const struct linux_call *call, int *status)
{
    struct linux_thread *self = state->thread;
    bool interrupted = call && call->result == -EINTR && signal_may_restart(call);
    struct signal_info info;
    int signo;

    signals_from_outside(state); /* also if the program never waits */
    if (state->signals.fatal.signo)
        return end_at_once(state, status);
    while ((signo = signal_take(state, self, ~self->signals.blocked, &info))) {
        const struct signal_action *action = &state->signals.actions[signo - 1];

        told_take_back(state); /* who sent it may have changed the file before */
        if (signal_is_ignored(state, signo))
            continue;
        if (state->traced)
            trace_signal(state, &info);
        if (action->handler == HANDLER_DEFAULT && SIGNALS_THAT_STOP & signal_bit(signo)) {
            stop(state, &info);
            continue;
        }
        if (interrupted && (action->flags & SA_RESTART || must_restart(call)))
            restart(cpu, call);
        interrupted = false; /* the first handler has decided */
        if (action->handler == HANDLER_DEFAULT || !run_handler(state, cpu, &info)) {
            *status = signo;
            return LINUX_SIGNAL;
        }
    }
    if (interrupted)
        restart(cpu, call); /* by a signal that had no effect */
    if (self->signals.has_before)
        self->signals.blocked = self->signals.blocked_before;
    self->signals.has_before = false;
    return LINUX_RESUME;
}

enum linux_next linux_fault(struct linux_state *state, struct linux_thread *self, struct vcpu *cpu,
                            const struct linux_fault *fault, int *status)
{
    const struct signal_info info = {
        .signo = fault->signo, .code = fault->code, .addr = fault->addr};
    uint64_t handler = state->signals.actions[fault->signo - 1].handler;

    state->thread = self;
    self->signals.trapno = fault->trapno;
    self->signals.error = fault->error;
    if (fault->sets_cr2)
        self->signals.cr2 = fault->cr2;
    *status = fault->signo;
    if (state->traced)
        trace_signal(state, &info);
    if (handler == HANDLER_DEFAULT || handler == HANDLER_IGNORE ||
        self->signals.blocked & signal_bit(fault->signo))
        return LINUX_SIGNAL;
    return run_handler(state, cpu, &info) ? signals_deliver(state, cpu, NULL, status)
                                          : LINUX_SIGNAL;
}

bool linux_has_signal(struct linux_state *state, struct linux_thread *thread)
{
    state->thread = thread;
    return signal_interrupts(state);
}

enum linux_next linux_deliver(struct linux_state *state, struct linux_thread *thread,
                              struct vcpu *cpu, int *status)
{
    state->thread = thread;
    return signals_deliver(state, cpu, NULL, status);
}

/* Whether one is pending that ends the program: Linux waits for a disk no longer then. */
static bool is_fatal(const struct linux_state *state, const struct linux_thread *thread)
{
    uint64_t pending = signal_pending(state, thread, ~thread->signals.blocked);

    for (int signo = 1; pending; signo++, pending >>= 1) {
        if (pending & 1 && state->signals.actions[signo - 1].handler == HANDLER_DEFAULT &&
            !signal_is_ignored(state, signo) && !(SIGNALS_THAT_STOP & signal_bit(signo)))
            return true;
    }
    return false;
}

/* The next signal to take, if it is one that stops the program by itself; else 0. */
static int next_stops(const struct linux_state *state, const struct linux_thread *thread)
{
    uint64_t pending = signal_pending(state, thread, ~thread->signals.blocked);

    if (!pending || pending & ~SIGNALS_THAT_STOP)
        return 0;
    for (int signo = 1; signo <= SIGNALS; signo++) {
        if (pending & signal_bit(signo) &&
            state->signals.actions[signo - 1].handler != HANDLER_DEFAULT)
            return 0;
    }
    return __builtin_ctzll(pending) + 1;
}

/* A wait goes on after the program was stopped and went on, as on Linux. Waiting for that is a wait as
 * well, in which this is called again. */
static void pause_in_wait(struct linux_state *state, struct linux_thread *thread)
{
    struct signal_info info;
    int signo;

    thread->signals.pausing = true;
    while (!vm_stopping(state->vm) && (signo = next_stops(state, thread))) {
        signal_take(state, thread, signal_bit(signo), &info);
        if (signal_is_ignored(state, signo))
            continue;
        if (state->traced)
            trace_signal(state, &info);
        stop(state, &info);
        signals_from_outside(state);
    }
    thread->signals.pausing = false;
}

bool linux_ends_wait(struct linux_state *state, struct linux_thread *thread)
{
    state->thread = thread;
    if (!thread->call || thread->signals.pausing)
        return false;
    /* Another thread took a signal that stops: what this one waits for it must not take. One whose call is done
     * by somebody else stops after it. */
    if (state->stopped && !thread->signals.patient) {
        thread->signals.pausing = true;
        stand_still(state);
        thread->signals.pausing = false;
    }
    if (!signal_interrupts(state))
        return false;
    pause_in_wait(state, thread);
    if (!signal_interrupts(state))
        return false;
    return !thread->signals.patient || is_fatal(state, thread);
}
