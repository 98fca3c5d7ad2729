/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the calls by which a process learns what became of its children. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "linux/calls.h"
#include "linux/processes.h"
#include "linux/state.h"

#define KINDS (uint32_t)(WEXITED | WSTOPPED | WCONTINUED)
/* Whichever signal a child ends with, and whichever thread made it. */
#define OF_ANY_KIND (uint32_t)(__WALL | __WCLONE | __WNOTHREAD)

/* Which children a wait is about, and what of them: of KINDS. */
struct waiting {
    struct linux_state *state;
    int32_t pid, group; /* -1: any */
    uint32_t kinds;
};

/* What became of one. pid 0: nothing that is awaited. */
struct change {
    int32_t pid;
    int status; /* as wait4 tells it */
    struct used used;
    struct zombie **zombie;    /* where what is left of it is; or NULL: */
    struct linux_state *child; /* it stopped, or went on */
};

static bool is_awaited(const struct waiting *waiting, int32_t pid, int32_t group)
{
    return (waiting->pid == -1 || waiting->pid == pid) &&
           (waiting->group == -1 || waiting->group == group);
}

static struct change ended(const struct waiting *waiting)
{
    struct zombie **at = &waiting->state->zombies;

    while (*at && !is_awaited(waiting, (*at)->pid, (*at)->group))
        at = &(*at)->next;
    return *at && waiting->kinds & WEXITED
               ? (struct change){(*at)->pid, (*at)->status, (*at)->used, at, NULL}
               : (struct change){0};
}

/* The next child, from this process on in the list. */
static struct linux_state *next_child(const struct waiting *waiting, struct linux_state *of)
{
    while (of && (of->parent != waiting->state || !is_awaited(waiting, of->pid, of->group)))
        of = of->next_process;
    return of;
}

static struct linux_state *first_child(const struct waiting *waiting)
{
    return next_child(waiting, waiting->state->common->processes);
}

/* Its memory is not looked at here. */
static struct used used_by(struct linux_state *of)
{
    struct used used = {.cpu_ns = cpu_clock_ns(of, 0)};

    used_add(&used, of->children);
    return used;
}

static struct change changed(const struct waiting *waiting)
{
    const struct change end = ended(waiting);

    if (end.pid)
        return end;
    for (struct linux_state *of = first_child(waiting); of;
         of = next_child(waiting, of->next_process)) {
        uint32_t kind = WIFSTOPPED(of->changed) ? WSTOPPED : WCONTINUED;

        if (of->changed && waiting->kinds & kind)
            return (struct change){of->pid, of->changed, used_by(of), NULL, of};
    }
    return (struct change){0};
}

static bool has_child(const struct waiting *waiting)
{
    return first_child(waiting) || ended(waiting).pid;
}

static bool is_over(void *arg, uint64_t *again_ns)
{
    const struct waiting *waiting = arg;

    (void)again_ns;
    return changed(waiting).pid || !has_child(waiting);
}

/* 0: what came is in *out, if anything: else the call does not wait. */
static int await_child(struct waiting *waiting, bool waits, struct change *out)
{
    int result;

    *out = changed(waiting);
    if (!out->pid && !has_child(waiting))
        return -ECHILD;
    if (out->pid || !waits)
        return 0;
    result = signal_interrupts(waiting->state)
                 ? -EINTR
                 : vm_wait(waiting->state->vm, is_over, waiting, UINT64_MAX);
    *out = changed(waiting);
    if (out->pid)
        return 0;
    return result ? result : -ECHILD;
}

/* It is told once. */
static void take(struct linux_state *state, const struct change *change)
{
    struct zombie *zombie = change->zombie ? *change->zombie : NULL;

    if (change->child)
        change->child->changed = 0;
    if (!zombie)
        return;
    *change->zombie = zombie->next;
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
    struct waiting waiting = {state, pid > 0 ? pid : -1, group,
                              WEXITED | ((uint32_t)arg[2] & KINDS)};
    struct change change;
    int result;

    if ((uint32_t)arg[2] & ~(uint32_t)(WNOHANG | WUNTRACED | WCONTINUED | OF_ANY_KIND))
        return -EINVAL;
    if (pid == INT32_MIN)
        return -ESRCH;
    result = await_child(&waiting, !(arg[2] & WNOHANG), &change);
    if (result || !change.pid)
        return result;
    take(state, &change); /* also where the answer cannot be written */
    if ((arg[1] && guest_put(state, arg[1], &change.status, sizeof(change.status))) ||
        put_usage(state, arg[3], change.used))
        return -EFAULT;
    return change.pid;
}

static int waiting_for(struct linux_state *state, const uint64_t arg[6], struct waiting *out)
{
    int32_t id = (int32_t)arg[1];

    *out = (struct waiting){state, -1, -1, (uint32_t)arg[3] & KINDS};
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
    struct change change;
    int result = waiting_for(state, arg, &waiting);

    if (result || !waiting.kinds || (uint32_t)arg[3] & ~(KINDS | WNOHANG | WNOWAIT | OF_ANY_KIND))
        return -EINVAL;
    result = await_child(&waiting, !(arg[3] & WNOHANG), &change);
    if (result)
        return result;
    if (change.pid)
        info = child_info(change.pid, change.status, SIGCHLD);
    if ((arg[2] && guest_put(state, arg[2], &info, sizeof(info))) ||
        (change.pid && put_usage(state, arg[4], change.used)))
        return -EFAULT;
    if (!(arg[3] & WNOWAIT))
        take(state, &change);
    return 0;
}
