/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns how processes end, stop and go on, and what their parents are sent then. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "linux/calls.h"
#include "linux/futexes.h"
#include "linux/processes.h"
#include "linux/state.h"

#define NO_CHILD_STOP 1 /* SA_NOCLDSTOP */
#define NO_CHILD_WAIT 2 /* SA_NOCLDWAIT */

struct linux_state *process_find(const struct linux_state *state, int32_t id)
{
    struct linux_state *process = state->common->processes;

    while (process && process->pid != id && !thread_find(process, id))
        process = process->next_process;
    return process;
}

struct linux_state *process_named(struct linux_state *state, uint64_t id)
{
    return (int32_t)id ? process_find(state, (int32_t)id) : state;
}

const struct zombie *zombie_find(const struct linux_state *state, int32_t pid, int32_t group)
{
    for (const struct linux_state *of = state->common->processes; of; of = of->next_process)
        for (const struct zombie *zombie = of->zombies; zombie; zombie = zombie->next)
            if ((!pid || zombie->pid == pid) && (!group || zombie->group == group))
                return zombie;
    return NULL;
}

void zombies_free(struct linux_state *state, struct zombie *zombies)
{
    while (zombies) {
        struct zombie *next = zombies->next;

        state->common->zombie_count--;
        free(zombies);
        zombies = next;
    }
}

void process_runs_apart(struct linux_state *state)
{
    atomic_bool *apart = state->runs_apart;

    state->runs_apart = NULL;
    if (!apart)
        return;
    atomic_store(apart, true);
    vm_wake_for(state->vm, wakes_of(apart));
}

/* ---- stopping -------------------------------------------------------------- */

static void tell_change(struct linux_state *state)
{
    const struct signal_info info = child_info(state->pid, state->changed, SIGCHLD);
    struct linux_state *parent = state->parent;

    if (parent && !(parent->signals.actions[SIGCHLD - 1].flags & NO_CHILD_STOP))
        signal_post(parent, NULL, &info);
    /* Its threads leave the guest, or enter it again; its parent may wait. */
    vm_interrupt(state->vm);
}

bool process_stops_alone(const struct linux_state *state, const struct signal_info *info)
{
    bool by_others = info->pid && info->pid != state->pid;

    return state->common->processes->next_process && (state->pid != LINUX_PID || by_others);
}

void process_stop(struct linux_state *state, int signo)
{
    if (!state->parent && state->pid != LINUX_PID)
        return; /* its parent has ended: nobody is told, and the VM could wait for it without end */
    state->stopped = true;
    state->changed = W_STOPCODE(signo);
    tell_change(state);
}

void process_go_on(struct linux_state *state, int signo)
{
    if (!state->stopped)
        return;
    state->stopped = false;
    state->changed = signo == SIGCONT ? __W_CONTINUED : 0;
    if (state->changed)
        tell_change(state);
    else
        vm_interrupt(state->vm);
}

/* What comes from outside and from timers is taken meanwhile, as nobody else may be there to do so. */
bool linux_stands_still(struct linux_state *state, struct linux_thread *thread)
{
    if (!state->stopped)
        return false;
    state->thread = thread;
    signals_from_outside(state);
    alarms_look(state);
    return state->stopped;
}

/* ---- ending ---------------------------------------------------------------- */

static int wait_status(const struct ferry_vm_exit *end)
{
    if (end->how == FERRY_ENDED_EXIT)
        return (end->status & 0xff) << 8;
    return end->signo ? end->signo : SIGKILL;
}

/* Nobody here is the parent of its children any more, nor would make those go on that are stopped. */
static void leave_children(struct linux_state *state)
{
    for (struct linux_state *of = state->common->processes; of; of = of->next_process) {
        const struct linux_thread *thread = of->parent == state ? linux_first_thread(of) : NULL;

        if (!thread)
            continue;
        of->parent = NULL;
        if (of->stopped || signal_pending(of, thread, SIGNALS_THAT_STOP)) {
            signal_send_to(state, of, SIGHUP);
            signal_send_to(state, of, SIGCONT);
        }
        if (thread->task.death_signal)
            signal_send_to(state, of, (int)thread->task.death_signal);
    }
    zombies_free(state, state->zombies);
    state->zombies = NULL;
}

static void unlink_process(struct linux_state *state)
{
    struct linux_state **at = &state->common->processes;

    while (*at != state)
        at = &(*at)->next_process;
    *at = state->next_process;
    state->common->process_count--;
}

struct signal_info child_info(int32_t pid, int status, int signo)
{
    struct signal_info info = {.signo = signo, .pid = pid, .uid = LINUX_USER};

    if (WIFEXITED(status)) {
        info.code = CLD_EXITED;
        info.value = (uint64_t)WEXITSTATUS(status);
    } else if (WIFSTOPPED(status) || WIFCONTINUED(status)) {
        info.code = WIFSTOPPED(status) ? CLD_STOPPED : CLD_CONTINUED;
        info.value = (uint64_t)(WIFSTOPPED(status) ? WSTOPSIG(status) : SIGCONT);
    } else {
        info.code = CLD_KILLED;
        info.value = (uint64_t)WTERMSIG(status);
    }
    return info;
}

static void tell_parent(struct linux_state *parent, struct zombie *zombie, int signo)
{
    const struct signal_action *action = &parent->signals.actions[SIGCHLD - 1];
    const struct signal_info info = child_info(zombie->pid, zombie->status, signo);
    bool kept =
        signo != SIGCHLD || (action->handler != HANDLER_IGNORE && !(action->flags & NO_CHILD_WAIT));

    if (kept) {
        struct zombie **last = &parent->zombies;

        while (*last)
            last = &(*last)->next;
        *last = zombie;
        parent->common->zombie_count++;
    } else {
        free(zombie);
    }
    if (signo)
        signal_post(parent, NULL, &info);
    vm_interrupt(parent->vm);
}

/* What others wait for, in memory that they share and in files. */
static void let_go(struct linux_state *state)
{
    for (struct linux_thread *thread = state->threads; thread; thread = thread->next)
        if (!thread->ended)
            futex_thread_ends(state, thread);
    locks_fini(state);
}

void linux_process_ends(struct linux_state *state, const struct ferry_vm_exit *end)
{
    struct linux_state *parent;
    struct zombie *zombie = state->own_zombie;
    int signo = state->exit_signal;

    state->own_zombie = NULL;
    state->thread = linux_first_thread(state);
    zombie->pid = state->pid;
    zombie->group = state->group;
    zombie->session = state->session;
    zombie->status = wait_status(end);
    zombie->used = used_until_now(state);
    if (state->runs_apart) /* it has run no other program, and its parent waits for that */
        vm_return_memory(state->vm);
    let_go(state);
    descriptors_fini(state); /* it may wait; others are served meanwhile */
    process_runs_apart(state);
    leave_children(state);
    unlink_process(state);
    alarms_end(state);
    parent = state->parent;
    process_free(state);
    if (parent)
        tell_parent(parent, zombie, signo);
    else
        free(zombie);
}

void linux_first_ends(struct linux_state *state)
{
    state->common->first_ended = true;
    state->thread = linux_first_thread(state);
    let_go(state);
    descriptors_fini(state);
    leave_children(state);
    alarms_end(state);
}
