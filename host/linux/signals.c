/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns signals: dispositions and masks are kept and given back as set, but no
 * handler ever runs. A program can end itself by a signal, no more.
 */
#include <errno.h>
#include <signal.h>

#include "calls.h"
#include "state.h"

#define HANDLER_DEFAULT 0
#define HANDLER_IGNORE  1
#define MASK_BYTES      8
#define ONSTACK_MIN     2048 /* MINSIGSTKSZ of the kernel's ABI; libc's is no constant */

static uint64_t mask_of(int signo)
{
    return 1ull << (signo - 1);
}

/* Whether the default action is to do nothing, or to stop, which here is the same. */
static bool harmless(int signo)
{
    return mask_of(signo) &
           (mask_of(SIGCHLD) | mask_of(SIGURG) | mask_of(SIGWINCH) | mask_of(SIGCONT) |
            mask_of(SIGSTOP) | mask_of(SIGTSTP) | mask_of(SIGTTIN) | mask_of(SIGTTOU));
}

void signal_send(struct linux_state *state, int signo)
{
    uint64_t handler = state->actions[signo - 1].handler;

    if (handler == HANDLER_IGNORE || (handler == HANDLER_DEFAULT && harmless(signo)))
        return;
    if (state->blocked & mask_of(signo)) {
        state->pending |= mask_of(signo);
        return;
    }
    /* abort() ends the program whatever its handler does. */
    if (handler != HANDLER_DEFAULT && signo != SIGABRT) {
        if (!(state->unhandled & mask_of(signo)))
            vm_debug(state->vm, "the program's handler of signal %d is not run", signo);
        state->unhandled |= mask_of(signo); /* said once, so that the log is not flooded */
        return;
    }
    state->next = LINUX_SIGNAL;
    state->status = signo;
}

int64_t signal_broken_pipe(struct linux_state *state)
{
    signal_send(state, SIGPIPE);
    return -EPIPE;
}

int64_t sys_rt_sigaction(struct linux_state *state, const uint64_t arg[6])
{
    uint64_t signo = (uint32_t)arg[0];
    struct signal_action action, old;

    if (arg[3] != MASK_BYTES || signo < 1 || signo > SIGNALS)
        return -EINVAL;
    if (arg[1] && (signo == SIGKILL || signo == SIGSTOP))
        return -EINVAL;
    old = state->actions[signo - 1];
    if (arg[1]) {
        if (guest_get(state, arg[1], &action, sizeof(action)))
            return -EFAULT;
        state->actions[signo - 1] = action;
    }
    return arg[2] ? guest_put(state, arg[2], &old, sizeof(old)) : 0;
}

/* Signals that were blocked and are no more take effect. */
static void deliver_pending(struct linux_state *state)
{
    for (int signo = 1; signo <= SIGNALS && state->next == LINUX_RESUME; signo++) {
        if (!(state->pending & ~state->blocked & mask_of(signo)))
            continue;
        state->pending &= ~mask_of(signo);
        signal_send(state, signo);
    }
}

int64_t sys_rt_sigprocmask(struct linux_state *state, const uint64_t arg[6])
{
    uint64_t old = state->blocked, set, blocked;

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
        state->blocked = blocked & ~(mask_of(SIGKILL) | mask_of(SIGSTOP));
        deliver_pending(state);
    }
    return arg[2] ? guest_put(state, arg[2], &old, sizeof(old)) : 0;
}

int64_t sys_rt_sigpending(struct linux_state *state, const uint64_t arg[6])
{
    uint64_t set = state->pending & state->blocked;

    return arg[1] == MASK_BYTES ? guest_put(state, arg[0], &set, sizeof(set)) : -EINVAL;
}

int64_t sys_sigaltstack(struct linux_state *state, const uint64_t arg[6])
{
    struct signal_stack old = state->signal_stack, stack;

    if (arg[0]) {
        if (guest_get(state, arg[0], &stack, sizeof(stack)))
            return -EFAULT;
        stack.zero = 0;
        if (stack.flags & SS_DISABLE)
            stack = (struct signal_stack){.flags = SS_DISABLE};
        else if (stack.bytes < ONSTACK_MIN)
            return -ENOMEM;
        state->signal_stack = stack;
    }
    return arg[1] ? guest_put(state, arg[1], &old, sizeof(old)) : 0;
}

/* There is only one to send to. */
static int64_t send_to(struct linux_state *state, bool self, uint64_t number)
{
    int signo = (int)(uint32_t)number;

    if (signo < 0 || signo > SIGNALS)
        return -EINVAL;
    if (!self)
        return -ESRCH;
    if (signo)
        signal_send(state, signo);
    return 0;
}

int64_t sys_kill(struct linux_state *state, const uint64_t arg[6])
{
    int32_t pid = (int32_t)arg[0];

    return send_to(state, pid == LINUX_PID || pid == 0 || pid == -LINUX_PID, arg[1]);
}

int64_t sys_tkill(struct linux_state *state, const uint64_t arg[6])
{
    return send_to(state, (int32_t)arg[0] == LINUX_PID, arg[1]);
}

int64_t sys_tgkill(struct linux_state *state, const uint64_t arg[6])
{
    return send_to(state, (int32_t)arg[0] == LINUX_PID && (int32_t)arg[1] == LINUX_PID, arg[2]);
}
