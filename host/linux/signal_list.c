/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the signals that were sent and not yet taken, of each thread and of the process. */
#include <errno.h>

#include "linux/processes.h"
#include "linux/signal_state.h"
#include "linux/state.h"

#define REAL_TIME 32 /* the first signal of which several may be pending */
/* Those of faults: taken before all others. */
#define OF_FAULTS                                                                         \
    (signal_bit(SIGSEGV) | signal_bit(SIGBUS) | signal_bit(SIGFPE) | signal_bit(SIGILL) | \
     signal_bit(SIGTRAP) | signal_bit(SIGSYS))

#define LEAVE_A_CORE                                                               \
    (OF_FAULTS | signal_bit(SIGQUIT) | signal_bit(SIGABRT) | signal_bit(SIGXCPU) | \
     signal_bit(SIGXFSZ))

static bool can_stop(const struct linux_state *state)
{
    return vm_can_pause(state->vm) || state->common->processes->next_process;
}

bool signal_is_ignored(const struct linux_state *state, int signo)
{
    const uint64_t harmless = signal_bit(SIGCHLD) | signal_bit(SIGURG) | signal_bit(SIGWINCH) |
                              signal_bit(SIGCONT) | (can_stop(state) ? 0 : SIGNALS_THAT_STOP);
    uint64_t handler = state->signals.actions[signo - 1].handler;

    return handler == HANDLER_IGNORE ||
           (handler == HANDLER_DEFAULT && harmless & signal_bit(signo));
}

/* -EAGAIN: there is no room for its details, and it is not sent. */
static int enqueue(struct linux_state *state, struct signal_list *list,
                   const struct signal_info *info)
{
    uint64_t bit = signal_bit(info->signo);
    bool full = list->queued >= QUEUED_SIGNALS_MAX ||
                state->signals.queued >= state->limits[RLIMIT_SIGPENDING].rlim_cur;

    if (info->signo < REAL_TIME && list->pending & bit)
        return 0;
    /* A signal of the kernel or of kill() is delivered without its details then. */
    if (full && info->code < 0 && info->signo >= REAL_TIME)
        return -EAGAIN;
    list->pending |= bit;
    state->signals.sent++;
    if (full)
        return 0;
    list->queue[list->queued++] = *info;
    state->signals.queued++;
    return 0;
}

/* A signal that stops the program and one that makes it go on cancel each other. */
static void cancel_others(struct linux_state *state, int signo)
{
    if (SIGNALS_THAT_STOP & signal_bit(signo))
        signal_drop(state, SIGCONT);
    for (int other = 1; signo == SIGCONT && other <= SIGNALS; other++) {
        if (SIGNALS_THAT_STOP & signal_bit(other))
            signal_drop(state, other);
    }
}

static bool takes(const struct linux_thread *thread, int signo)
{
    return !thread->ended && !(thread->signals.blocked & signal_bit(signo));
}

/* As Linux does: a program that is sent such a signal ends, whatever else is pending for it. */
static bool ends_program(const struct linux_state *state, const struct linux_thread *thread,
                         int signo)
{
    const struct linux_thread *taker = state->threads;

    if (state->signals.actions[signo - 1].handler != HANDLER_DEFAULT ||
        (LEAVE_A_CORE | SIGNALS_THAT_STOP) & signal_bit(signo) || signal_is_ignored(state, signo))
        return false;
    if (thread)
        return takes(thread, signo);
    while (taker && !takes(taker, signo))
        taker = taker->next;
    return taker;
}

int signal_post(struct linux_state *state, struct linux_thread *thread,
                const struct signal_info *info)
{
    const struct linux_thread *taker = thread ? thread : state->thread;
    int result;

    cancel_others(state, info->signo);
    if (info->signo == SIGCONT || info->signo == SIGKILL)
        process_go_on(state, info->signo); /* whatever else becomes of it */
    /* One that is blocked is pending even if it is ignored: that may change before it is looked
     * at. */
    if (!(taker->signals.blocked & signal_bit(info->signo)) &&
        signal_is_ignored(state, info->signo))
        return 0;
    if (taker != state->thread || taker->signals.blocked & signal_bit(info->signo))
        vm_interrupt(state->vm); /* another thread may take it, or wait for it */
    result = enqueue(state, thread ? &thread->signals.list : &state->signals.list, info);
    if (!result && !state->signals.fatal.signo && ends_program(state, thread, info->signo))
        state->signals.fatal = *info;
    return result;
}

/* Takes the first one of that number. */
static struct signal_info dequeue(struct linux_state *state, struct signal_list *list, int signo)
{
    struct signal_info info = {.signo = signo, .code = SI_USER};
    bool found = false, more = false;
    unsigned kept = 0;

    for (unsigned i = 0; i < list->queued; i++) {
        if (list->queue[i].signo == signo && !found) {
            info = list->queue[i];
            found = true;
            continue;
        }
        more |= list->queue[i].signo == signo;
        list->queue[kept++] = list->queue[i];
    }
    state->signals.queued -= list->queued - kept;
    list->queued = kept;
    if (!more)
        list->pending &= ~signal_bit(signo);
    return info;
}

static int lowest(uint64_t set)
{
    return __builtin_ctzll(set) + 1;
}

int signal_take(struct linux_state *state, struct linux_thread *thread, uint64_t set,
                struct signal_info *info)
{
    struct signal_list *list = &thread->signals.list;
    uint64_t pending = list->pending & set;

    if (pending & OF_FAULTS)
        pending &= OF_FAULTS;
    if (!pending) {
        list = &state->signals.list;
        pending = list->pending & set;
    }
    if (!pending)
        return 0;
    *info = dequeue(state, list, lowest(pending));
    if (info->code == SI_TIMER)
        alarms_taken(state, info);
    return info->signo;
}

uint64_t signal_pending(const struct linux_state *state, const struct linux_thread *thread,
                        uint64_t set)
{
    return (thread->signals.list.pending | state->signals.list.pending) & set;
}

static bool add_overrun(struct signal_list *list, int32_t timer, uint64_t times)
{
    for (unsigned i = 0; i < list->queued; i++) {
        struct signal_info *info = &list->queue[i];
        uint64_t room = (uint64_t)(INT32_MAX - info->overrun);

        if (info->code != SI_TIMER || info->timer != timer)
            continue;
        info->overrun += (int32_t)(times < room ? times : room);
        return true;
    }
    return false;
}

bool signal_add_overrun(struct linux_state *state, int32_t timer, uint64_t times)
{
    bool found = add_overrun(&state->signals.list, timer, times);

    for (struct linux_thread *thread = state->threads; thread && !found; thread = thread->next)
        found = add_overrun(&thread->signals.list, timer, times);
    return found;
}

static void drop(struct linux_state *state, struct signal_list *list, int signo)
{
    while (list->pending & signal_bit(signo))
        dequeue(state, list, signo);
}

void signal_drop(struct linux_state *state, int signo)
{
    drop(state, &state->signals.list, signo);
    for (struct linux_thread *thread = state->threads; thread; thread = thread->next)
        drop(state, &thread->signals.list, signo);
}
