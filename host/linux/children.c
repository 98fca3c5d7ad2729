/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns how processes end, and the calls by which their parents learn of it. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "linux/calls.h"
#include "linux/futexes.h"
#include "linux/processes.h"
#include "linux/state.h"

#define NO_CHILD_WAIT 2 /* SA_NOCLDWAIT */
#define KINDS         (uint32_t)(WEXITED | WSTOPPED | WCONTINUED)
/* Whichever signal a child ends with, and whichever thread made it. */
#define OF_ANY_KIND (uint32_t)(__WALL | __WCLONE | __WNOTHREAD)

struct linux_state *process_find(const struct linux_state *state, int32_t id)
{
    struct linux_state *process = state->common->processes;

    while (process && process->pid != id && !thread_find(process, id))
        process = process->next_process;
    return process;
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

/* ---- ending ---------------------------------------------------------------- */

static int wait_status(const struct ferry_vm_exit *end)
{
    if (end->how == FERRY_ENDED_EXIT)
        return (end->status & 0xff) << 8;
    return end->signo ? end->signo : SIGKILL;
}

/* Nobody here is the parent of its children any more. */
static void leave_children(struct linux_state *state)
{
    for (struct linux_state *of = state->common->processes; of; of = of->next_process) {
        const struct linux_thread *thread = of->parent == state ? linux_first_thread(of) : NULL;

        if (!thread)
            continue;
        of->parent = NULL;
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

/* As a signal and waitid tell it. */
static struct signal_info info_of(const struct zombie *zombie, int signo)
{
    bool exited = WIFEXITED(zombie->status);
    int value = exited ? WEXITSTATUS(zombie->status) : WTERMSIG(zombie->status);

    return (struct signal_info){.signo = signo,
                                .code = exited ? CLD_EXITED : CLD_KILLED,
                                .pid = zombie->pid,
                                .uid = LINUX_USER,
                                .value = (uint64_t)value};
}

static void tell_parent(struct linux_state *parent, struct zombie *zombie, int signo)
{
    const struct signal_action *action = &parent->signals.actions[SIGCHLD - 1];
    const struct signal_info info = info_of(zombie, signo);
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

/* ---- waiting ----------------------------------------------------------------- */

/* Which children a wait is about. */
struct waiting {
    struct linux_state *state;
    int32_t pid, group; /* -1: any */
};

static bool is_awaited(const struct waiting *waiting, int32_t pid, int32_t group)
{
    return (waiting->pid == -1 || waiting->pid == pid) &&
           (waiting->group == -1 || waiting->group == group);
}

static struct zombie **awaited(const struct waiting *waiting)
{
    struct zombie **at = &waiting->state->zombies;

    while (*at && !is_awaited(waiting, (*at)->pid, (*at)->group))
        at = &(*at)->next;
    return at;
}

static bool has_child(const struct waiting *waiting)
{
    for (const struct linux_state *of = waiting->state->common->processes; of;
         of = of->next_process)
        if (of->parent == waiting->state && is_awaited(waiting, of->pid, of->group))
            return true;
    return false;
}

static bool is_over(void *arg, uint64_t *again_ns)
{
    const struct waiting *waiting = arg;

    (void)again_ns;
    return *awaited(waiting) || !has_child(waiting);
}

/* 0: *out is where one is that has ended, or NULL: none has yet, and the call does not wait. */
static int await_child(struct waiting *waiting, bool waits, struct zombie ***out)
{
    *out = awaited(waiting);
    if (!**out && !has_child(waiting))
        return -ECHILD;
    if (!**out && waits) {
        int result = signal_interrupts(waiting->state)
                         ? -EINTR
                         : vm_wait(waiting->state->vm, is_over, waiting, UINT64_MAX);

        *out = awaited(waiting);
        if (result && !**out)
            return result;
        if (!**out)
            return -ECHILD;
    }
    return 0;
}

static void take_zombie(struct linux_state *state, struct zombie **at)
{
    struct zombie *zombie = *at;

    *at = zombie->next;
    state->common->zombie_count--;
    used_add(&state->children, zombie->used);
    free(zombie);
}

static int put_usage(struct linux_state *state, uint64_t addr, struct used used)
{
    struct rusage usage = {0};

    put_used(&usage, used);
    return addr ? guest_put(state, addr, &usage, sizeof(usage)) : 0;
}

int64_t sys_wait4(struct linux_state *state, const uint64_t arg[6])
{
    int32_t pid = (int32_t)arg[0];
    int32_t group = pid == 0 ? state->group : pid < -1 && pid != INT32_MIN ? -pid : -1;
    struct waiting waiting = {state, pid > 0 ? pid : -1, group};
    struct used used;
    struct zombie **at;
    int result, status;

    if ((uint32_t)arg[2] & ~(uint32_t)(WNOHANG | WUNTRACED | WCONTINUED | OF_ANY_KIND))
        return -EINVAL;
    if (pid == INT32_MIN)
        return -ESRCH;
    result = await_child(&waiting, !(arg[2] & WNOHANG), &at);
    if (result || !*at)
        return result;
    pid = (*at)->pid;
    status = (*at)->status;
    used = (*at)->used;
    take_zombie(state, at); /* also where the answer cannot be written */
    if ((arg[1] && guest_put(state, arg[1], &status, sizeof(status))) ||
        put_usage(state, arg[3], used))
        return -EFAULT;
    return pid;
}

static int waiting_for(struct linux_state *state, const uint64_t arg[6], struct waiting *out)
{
    int32_t id = (int32_t)arg[1];

    *out = (struct waiting){state, -1, -1};
    switch ((uint32_t)arg[0]) {
    case P_ALL:
        return 0;
    case P_PID:
        out->pid = id;
        return id > 0 ? 0 : -EINVAL;
    case P_PGID:
        out->group = id ? id : state->group;
        return id >= 0 ? 0 : -EINVAL;
    default:
        return -EINVAL;
    }
}

int64_t sys_waitid(struct linux_state *state, const uint64_t arg[6])
{
    struct signal_info info = {0};
    struct waiting waiting;
    struct zombie **at;
    int result = waiting_for(state, arg, &waiting);

    if (result || !(arg[3] & KINDS) ||
        (uint32_t)arg[3] & ~(KINDS | WNOHANG | WNOWAIT | OF_ANY_KIND))
        return -EINVAL;
    result = await_child(&waiting, !(arg[3] & WNOHANG), &at);
    if (result)
        return result;
    if (*at)
        info = info_of(*at, SIGCHLD);
    if ((arg[2] && guest_put(state, arg[2], &info, sizeof(info))) ||
        (*at && put_usage(state, arg[4], (*at)->used)))
        return -EFAULT;
    if (*at && !(arg[3] & WNOWAIT))
        take_zombie(state, at);
    return 0;
}
