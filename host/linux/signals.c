/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns signals: dispositions and masks are kept and given back as set, but no
 * handler ever runs. A program can end itself by a signal, or block it and take
 * it by a call that waits for it.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>

#include "linux/calls.h"
#include "linux/state.h"

#define HANDLER_DEFAULT 0
#define HANDLER_IGNORE  1
#define MASK_BYTES      8
#define ONSTACK_MIN     2048 /* MINSIGSTKSZ of the kernel's ABI; libc's is no constant */
#define AUTODISARM      ((int32_t)(1u << 31)) /* SS_AUTODISARM */
#define CODE_LOWEST     (-7)                  /* SI_DETHREAD */
#define REAL_TIME       32                    /* the first signal of which several may be pending */
#define NEVER_BLOCKED   (mask_of(SIGKILL) | mask_of(SIGSTOP))

void signals_init(struct linux_state *state, bool ignore_sigpipe)
{
    if (ignore_sigpipe)
        state->actions[SIGPIPE - 1].handler = HANDLER_IGNORE;
}

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

/* A signal that is not blocked: it was just sent, or just unblocked. */
static void take_effect(struct linux_state *state, int signo)
{
    uint64_t handler = state->actions[signo - 1].handler;

    if (handler == HANDLER_IGNORE || (handler == HANDLER_DEFAULT && harmless(signo)))
        return;
    /* abort() ends the program whatever its handler does. */
    if (handler != HANDLER_DEFAULT && signo != SIGABRT) {
        if (!(state->unhandled & mask_of(signo)))
            vm_debug(state->vm, "the program's handler of signal %d is not run", signo);
        state->unhandled |= mask_of(signo); /* said once, so that the log is not flooded */
        return;
    }
    state->thread->call->next = LINUX_SIGNAL;
    state->thread->call->status = signo;
}

/* Keeps a blocked signal. -EAGAIN: there is no room for its details, and it is not sent. */
static int enqueue(struct linux_state *state, const struct signal_info *info)
{
    uint64_t bit = mask_of(info->signo);
    bool full = state->queued >= QUEUED_SIGNALS_MAX ||
                state->queued >= state->limits[RLIMIT_SIGPENDING].rlim_cur;

    if (info->signo < REAL_TIME && state->pending & bit)
        return 0;
    /* A signal of the kernel or of kill() is delivered without its details then. */
    if (full && info->code < 0 && info->signo >= REAL_TIME)
        return -EAGAIN;
    state->pending |= bit;
    if (!full)
        state->queue[state->queued++] = *info;
    return 0;
}

/* Sends a signal with the details for the call that waits for it. */
static int64_t send_info(struct linux_state *state, const struct signal_info *info)
{
    uint64_t bit = mask_of(info->signo);

    /* A blocked signal is pending even if it is ignored: that may change before it is looked at. */
    if (!(state->thread->blocked & bit)) {
        take_effect(state, info->signo);
        return 0;
    }
    return enqueue(state, info);
}

static struct signal_info from_itself(int signo, int code)
{
    return (struct signal_info){.signo = signo, .code = code, .pid = LINUX_PID, .uid = LINUX_USER};
}

void signal_send(struct linux_state *state, int signo)
{
    struct signal_info info = from_itself(signo, SI_USER);

    send_info(state, &info);
}

/* Takes the first pending one of that number. */
static struct signal_info dequeue(struct linux_state *state, int signo)
{
    struct signal_info info = {.signo = signo, .code = SI_USER};
    bool found = false, more = false;
    unsigned kept = 0;

    for (unsigned i = 0; i < state->queued; i++) {
        if (state->queue[i].signo == signo && !found) {
            info = state->queue[i];
            found = true;
            continue;
        }
        more |= state->queue[i].signo == signo;
        state->queue[kept++] = state->queue[i];
    }
    state->queued = kept;
    if (!more)
        state->pending &= ~mask_of(signo);
    return info;
}

/* The lowest of these that is pending; 0: none. */
static int first_pending(const struct linux_state *state, uint64_t set)
{
    uint64_t pending = state->pending & set;

    return pending ? __builtin_ctzll(pending) + 1 : 0;
}

/* As in Linux, a pending signal is discarded when it becomes ignored. */
static void flush_ignored(struct linux_state *state, int signo)
{
    const uint64_t ignored =
        mask_of(SIGCHLD) | mask_of(SIGURG) | mask_of(SIGWINCH) | mask_of(SIGCONT);
    uint64_t handler = state->actions[signo - 1].handler;

    if (handler == HANDLER_IGNORE || (handler == HANDLER_DEFAULT && ignored & mask_of(signo))) {
        while (state->pending & mask_of(signo))
            dequeue(state, signo);
    }
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
        flush_ignored(state, (int)signo);
    }
    return arg[2] ? guest_put(state, arg[2], &old, sizeof(old)) : 0;
}

/* Signals that were blocked and are no more take effect. */
static void deliver_pending(struct linux_state *state)
{
    int signo;

    while (state->thread->call->next == LINUX_RESUME &&
           (signo = first_pending(state, ~state->thread->blocked)) != 0) {
        dequeue(state, signo);
        take_effect(state, signo);
    }
}

int64_t sys_rt_sigprocmask(struct linux_state *state, const uint64_t arg[6])
{
    uint64_t old = state->thread->blocked, set, blocked;

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
        state->thread->blocked = blocked & ~NEVER_BLOCKED;
        deliver_pending(state);
    }
    return arg[2] ? guest_put(state, arg[2], &old, sizeof(old)) : 0;
}

int64_t sys_rt_sigpending(struct linux_state *state, const uint64_t arg[6])
{
    uint64_t set = state->pending & state->thread->blocked;

    return arg[1] <= MASK_BYTES ? guest_put(state, arg[0], &set, arg[1]) : -EINVAL;
}

int64_t signals_let_through(struct linux_state *state, uint64_t addr, uint64_t bytes)
{
    uint64_t blocked;

    if (!addr)
        return 0;
    if (bytes != MASK_BYTES)
        return -EINVAL;
    if (guest_get(state, addr, &blocked, sizeof(blocked)))
        return -EFAULT;
    state->thread->blocked = blocked & ~NEVER_BLOCKED;
    deliver_pending(state);
    return 0;
}

/* Until the VM is stopped, or a signal that is let through ends the program: no handler runs that
 * the call could return from. */
int64_t sys_rt_sigsuspend(struct linux_state *state, const uint64_t arg[6])
{
    int64_t result;

    if (!arg[0])
        return arg[1] == MASK_BYTES ? -EFAULT : -EINVAL;
    result = signals_let_through(state, arg[0], arg[1]);
    return result || state->thread->call->next != LINUX_RESUME ? result
                                                               : vm_sleep(state->vm, UINT64_MAX);
}

/* Takes a pending signal. While the only thread waits, no signal can become pending: it just
 * sleeps. */
int64_t sys_rt_sigtimedwait(struct linux_state *state, const uint64_t arg[6])
{
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
    signo = first_pending(state, set & ~NEVER_BLOCKED);
    if (!signo) {
        result = nanoseconds ? vm_sleep(state->vm, nanoseconds) : 0;
        return result ? result : -EAGAIN;
    }
    info = dequeue(state, signo);
    return arg[1] && guest_put(state, arg[1], &info, sizeof(info)) ? -EFAULT : signo;
}

int64_t sys_sigaltstack(struct linux_state *state, const uint64_t arg[6])
{
    struct signal_stack old = state->thread->signal_stack, stack;

    if (arg[0]) {
        if (guest_get(state, arg[0], &stack, sizeof(stack)))
            return -EFAULT;
        stack.zero = 0;
        if (stack.flags & ~(AUTODISARM | SS_DISABLE | SS_ONSTACK) ||
            (stack.flags & SS_DISABLE && stack.flags & SS_ONSTACK))
            return -EINVAL;
        if (stack.flags & SS_DISABLE)
            stack = (struct signal_stack){.flags = SS_DISABLE};
        else if (stack.bytes < ONSTACK_MIN)
            return -ENOMEM;
        state->thread->signal_stack = stack;
    }
    return arg[1] ? guest_put(state, arg[1], &old, sizeof(old)) : 0;
}

/* There is only one to send to. */
static int64_t send_to(struct linux_state *state, bool self, uint64_t number, int code)
{
    struct signal_info info = from_itself((int)(uint32_t)number, code);

    if (info.signo < 0 || info.signo > SIGNALS)
        return -EINVAL;
    if (!self)
        return -ESRCH;
    return info.signo ? send_info(state, &info) : 0;
}

int64_t sys_kill(struct linux_state *state, const uint64_t arg[6])
{
    int32_t pid = (int32_t)arg[0];

    return send_to(state, pid == LINUX_PID || pid == 0 || pid == -LINUX_PID, arg[1], SI_USER);
}

int64_t sys_tkill(struct linux_state *state, const uint64_t arg[6])
{
    if ((int32_t)arg[0] <= 0)
        return -EINVAL;
    return send_to(state, (int32_t)arg[0] == LINUX_PID, arg[1], SI_TKILL);
}

int64_t sys_tgkill(struct linux_state *state, const uint64_t arg[6])
{
    if ((int32_t)arg[0] <= 0 || (int32_t)arg[1] <= 0)
        return -EINVAL;
    return send_to(state, (int32_t)arg[0] == LINUX_PID && (int32_t)arg[1] == LINUX_PID, arg[2],
                   SI_TKILL);
}

/* The bytes after the first fields have a meaning only with the codes that Linux knows. */
static bool is_known(const struct signal_info *info)
{
    static const struct signal_info none;

    return (info->code <= SI_USER && info->code >= CODE_LOWEST) || info->code == SI_KERNEL ||
           memcmp(info->rest, none.rest, sizeof(none.rest)) == 0;
}

/* Sends a signal with details that the program gives. A signal that claims to be from the kernel
 * may go only to the program itself. */
static int64_t queue_to(struct linux_state *state, bool self, uint64_t number, uint64_t addr)
{
    struct signal_info info;

    if (guest_get(state, addr, &info, sizeof(info)))
        return -EFAULT;
    if (!is_known(&info))
        return -E2BIG;
    if (!self)
        return info.code >= 0 || info.code == SI_TKILL ? -EPERM : -ESRCH;
    info.signo = (int)(uint32_t)number;
    if (info.signo < 0 || info.signo > SIGNALS)
        return -EINVAL;
    return info.signo ? send_info(state, &info) : 0;
}

int64_t sys_rt_sigqueueinfo(struct linux_state *state, const uint64_t arg[6])
{
    return queue_to(state, (int32_t)arg[0] == LINUX_PID, arg[1], arg[2]);
}

int64_t sys_rt_tgsigqueueinfo(struct linux_state *state, const uint64_t arg[6])
{
    if ((int32_t)arg[0] <= 0 || (int32_t)arg[1] <= 0)
        return -EINVAL;
    return queue_to(state, (int32_t)arg[0] == LINUX_PID && (int32_t)arg[1] == LINUX_PID, arg[2],
                    arg[3]);
}

/* ---- timers -------------------------------------------------------------- */

/* A timer that is not running can be asked for and stopped. To start one would be to promise a
 * signal whose handler does not run. */
int64_t sys_getitimer(struct linux_state *state, const uint64_t arg[6])
{
    const struct itimerval none = {0};

    return (uint32_t)arg[0] > ITIMER_PROF ? -EINVAL : guest_put(state, arg[1], &none, sizeof(none));
}

int64_t sys_setitimer(struct linux_state *state, const uint64_t arg[6])
{
    struct itimerval timer = {0};

    if ((uint32_t)arg[0] > ITIMER_PROF)
        return -EINVAL;
    if (arg[1] && guest_get(state, arg[1], &timer, sizeof(timer)))
        return -EFAULT;
    if (timer.it_value.tv_sec || timer.it_value.tv_usec)
        return -ENOSYS;
    return arg[2] ? sys_getitimer(state, (const uint64_t[6]){arg[0], arg[2]}) : 0;
}

int64_t sys_alarm(struct linux_state *state, const uint64_t arg[6])
{
    (void)state;
    return (uint32_t)arg[0] ? -ENOSYS : 0;
}
