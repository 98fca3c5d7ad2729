/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the calls about dispositions, masks, stacks and waits of signals. */
#include "linux/signal_state.h"

#include <errno.h>
#include <signal.h>

#include "linux/calls.h"
#include "linux/state.h"

#define MASK_BYTES 8
/* After so many questions the rest is worth the start of a guest kernel. */
#define ASKED_TO_START 4
#define ONSTACK_MIN    2048 /* MINSIGSTKSZ of the kernel's ABI; libc's is no constant */

void signals_init(struct linux_state *state, bool ignore_sigpipe)
{
    if (ignore_sigpipe) {
        state->signals.actions[SIGPIPE - 1].handler = HANDLER_IGNORE;
        state->signals.changed |= signal_bit(SIGPIPE);
    }
}

uint64_t linux_default_actions(const struct linux_state *state)
{
    return ~state->signals.changed;
}

bool linux_asks_actions(const struct linux_state *state)
{
    return !state->traced && state->signals.asked >= ASKED_TO_START;
}

int64_t sys_rt_sigaction(struct linux_state *state, const uint64_t arg[6])
{
    uint64_t signo = (uint32_t)arg[0];
    struct signal_action action, old;

    if (arg[3] != MASK_BYTES || signo < 1 || signo > SIGNALS)
        return -EINVAL;
    if (arg[1] && (signo == SIGKILL || signo == SIGSTOP))
        return -EINVAL;
    old = state->signals.actions[signo - 1];
    if (arg[1]) {
        if (guest_get(state, arg[1], &action, sizeof(action)))
            return -EFAULT;
        action.mask &= ~SIGNALS_NEVER_BLOCKED;
        state->signals.actions[signo - 1] = action;
        state->signals.changed |= signal_bit((int)signo);
        /* As in Linux, a pending signal is discarded when it becomes ignored. */
        if (signal_is_ignored(state, (int)signo))
            signal_drop(state, (int)signo);
    }
    if (!arg[1] && !(state->signals.changed & signal_bit((int)signo)))
        state->signals.asked++;
    return arg[2] ? guest_put(state, arg[2], &old, sizeof(old)) : 0;
}

int64_t sys_rt_sigprocmask(struct linux_state *state, const uint64_t arg[6])
{
    uint64_t old = state->thread->signals.blocked, set, blocked;

    if (arg[3] != MASK_BYTES)
        return -EINVAL;
    if (arg[1]) {
        if (guest_get(state, arg[1], &set, sizeof(set)))
            return -EFAULT;
        switch ((uint32_t)arg[0]) {
        case SIG_BLOCK:
            blocked = old | set;
            break;
        case SIG_UNBLOCK:
            blocked = old & ~set;
            break;
        case SIG_SETMASK:
            blocked = set;
            break;
        default:
            return -EINVAL;
        }
        state->thread->signals.blocked = blocked & ~SIGNALS_NEVER_BLOCKED;
    }
    return arg[2] ? guest_put(state, arg[2], &old, sizeof(old)) : 0;
}

int64_t sys_rt_sigpending(struct linux_state *state, const uint64_t arg[6])
{
    const struct linux_thread *self = state->thread;
    uint64_t set = signal_pending(state, self, self->signals.blocked);

    return arg[1] <= MASK_BYTES ? guest_put(state, arg[0], &set, arg[1]) : -EINVAL;
}

/* ---- waits --------------------------------------------------------------- */

int64_t signals_let_through(struct linux_state *state, uint64_t addr, uint64_t bytes)
{
    struct thread_signals *signals = &state->thread->signals;
    uint64_t blocked;

    if (!addr)
        return 0;
    if (bytes != MASK_BYTES)
        return -EINVAL;
    if (guest_get(state, addr, &blocked, sizeof(blocked)))
        return -EFAULT;
    signals->blocked_before = signals->blocked;
    signals->has_before = true;
    signals->blocked = blocked & ~SIGNALS_NEVER_BLOCKED;
    return 0;
}

void signals_wait_over(struct linux_state *state, int64_t result)
{
    struct thread_signals *signals = &state->thread->signals;

    if (result == -EINTR || !signals->has_before)
        return;
    signals->blocked = signals->blocked_before;
    signals->has_before = false;
}

int64_t sys_pause(struct linux_state *state, const uint64_t arg[6])
{
    (void)arg;
    return signal_interrupts(state) ? -EINTR : vm_sleep(state->vm, UINT64_MAX);
}

int64_t sys_rt_sigsuspend(struct linux_state *state, const uint64_t arg[6])
{
    int64_t result;

    if (!arg[0])
        return arg[1] == MASK_BYTES ? -EFAULT : -EINVAL;
    result = signals_let_through(state, arg[0], arg[1]);
    return result ? result : sys_pause(state, arg);
}

int64_t sys_rt_sigtimedwait(struct linux_state *state, const uint64_t arg[6])
{
    struct linux_thread *self = state->thread;
    uint64_t set, nanoseconds;
    struct signal_info info;
    int signo, result;

    if (arg[3] != MASK_BYTES)
        return -EINVAL;
    if (guest_get(state, arg[0], &set, sizeof(set)))
        return -EFAULT;
    result = time_get(state, arg[2], &nanoseconds);
    if (result)
        return result;
    set &= ~SIGNALS_NEVER_BLOCKED;
    signo = signal_take(state, self, set, &info);
    if (!signo && nanoseconds) {
        self->signals.awaited = set;
        result = vm_sleep(state->vm, nanoseconds);
        self->signals.awaited = 0;
        signo = signal_take(state, self, set, &info);
    }
    if (!signo)
        return result ? result : -EAGAIN;
    return arg[1] && guest_put(state, arg[1], &info, sizeof(info)) ? -EFAULT : signo;
}

/* ---- the alternate stack ------------------------------------------------- */

int signal_stack_set(struct linux_state *state, const struct signal_stack *stack, uint64_t sp)
{
    struct signal_stack *now = &state->thread->signals.stack;
    int32_t mode = stack->flags & ~SIGNAL_STACK_DISARMS;

    if (!(now->flags & SIGNAL_STACK_DISARMS) && signal_stack_flags(now, sp) == SS_ONSTACK)
        return -EPERM;
    if (mode != 0 && mode != SS_DISABLE && mode != SS_ONSTACK)
        return -EINVAL;
    if (mode == SS_DISABLE)
        *now = (struct signal_stack){.flags = stack->flags};
    else if (stack->bytes < ONSTACK_MIN)
        return -ENOMEM;
    else
        *now = *stack;
    now->zero = 0;
    return 0;
}

int64_t sys_sigaltstack(struct linux_state *state, const uint64_t arg[6])
{
    uint64_t sp = vm_stack_pointer(state->thread->call->cpu);
    struct signal_stack old = state->thread->signals.stack, stack;
    int result;

    old.flags = signal_stack_flags(&old, sp) | (old.flags & SIGNAL_STACK_DISARMS);
    if (arg[0]) {
        if (guest_get(state, arg[0], &stack, sizeof(stack)))
            return -EFAULT;
        result = signal_stack_set(state, &stack, sp);
        if (result)
            return result;
    }
    return arg[1] ? guest_put(state, arg[1], &old, sizeof(old)) : 0;
}
