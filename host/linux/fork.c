/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns how processes begin: fork, vfork, and clone where it makes no thread. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "linux/calls.h"
#include "linux/futexes.h"
#include "linux/mapped.h"
#include "linux/processes.h"
#include "linux/state.h"

/* What may be asked of a process. With CLONE_VM only where its parent waits meanwhile: its memory is a
 * copy, and the parent is given what it stored when it ends. */
#define PROCESS_FLAGS                                                                   \
    (CLONE_VM | CLONE_VFORK | CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | \
     CLONE_CHILD_CLEARTID | CLONE_UNTRACED | CLONE_IO)

static char *copy_text(const char *text, bool *failed)
{
    char *copy = text ? strdup(text) : NULL;

    *failed |= text && !copy;
    return copy;
}

static int copy_words(struct kept_words *to, const struct kept_words *from)
{
    to->text = from->text ? malloc(from->bytes + 1) : NULL;
    if (!to->text)
        return from->text ? -ENOMEM : 0;
    memcpy(to->text, from->text, from->bytes);
    to->bytes = from->bytes;
    return 0;
}

static void copy_descriptors(struct linux_state *to, const struct linux_state *from)
{
    for (unsigned i = 0; i < DESCRIPTORS_MAX; i++) {
        to->descriptors[i] = from->descriptors[i];
        if (to->descriptors[i].file)
            to->descriptors[i].file->references++;
    }
}

static void copy_signals(struct linux_state *to, const struct linux_state *from)
{
    memcpy(to->signals.actions, from->signals.actions, sizeof(to->signals.actions));
    to->signals.changed = from->signals.changed;
    to->threads->signals.blocked = from->thread->signals.blocked;
    to->threads->signals.stack = from->thread->signals.stack;
}

static int copy_thread(struct linux_state *to, const struct linux_state *from)
{
    struct linux_thread *thread = calloc(1, sizeof(*thread));

    if (!thread)
        return -ENOMEM;
    thread->id = to->pid;
    thread->task = from->thread->task;
    to->threads = to->thread = thread;
    to->thread_count = 1;
    return 0;
}

struct linux_state *process_copy_bare(const struct linux_state *from,
                                      const struct linux_state *where, int32_t pid)
{
    struct linux_state *to = calloc(1, sizeof(*to));
    bool failed = false;

    if (!to)
        return NULL;
    to->vm = where->vm;
    to->common = where->common;
    to->common->references++;
    clock_gettime(CLOCK_REALTIME, &to->started);
    to->begun = from->begun;
    to->umask = from->umask;
    to->processors = from->processors;
    to->memory_bytes = from->memory_bytes;
    to->stack_start = from->stack_start;
    to->stack_top = from->stack_top;
    memcpy(to->vector, from->vector, sizeof(to->vector));
    to->vector_words = from->vector_words;
    to->heap_start = from->heap_start;
    to->heap_break = from->heap_break;
    to->heap_mapped = from->heap_mapped;
    memcpy(to->limits, from->limits, sizeof(to->limits));
    to->dumpable = from->dumpable;
    to->no_huge_pages = from->no_huge_pages;
    to->membarrier_registered = from->membarrier_registered;
    to->keeps_to_some = from->keeps_to_some;
    to->traced = from->traced;
    to->pid = pid;
    to->group = from->group;
    to->session = from->session;
    to->parent = from->parent;
    futex_init(to);
    to->program = copy_text(from->program, &failed);
    to->cwd = copy_text(from->cwd, &failed);
    failed |= copy_words(&to->arguments, &from->arguments) ||
              copy_words(&to->environment, &from->environment);
    to->own_zombie = calloc(1, sizeof(*to->own_zombie));
    failed |= !to->own_zombie || copy_thread(to, from);
    if (failed) {
        process_free(to);
        return NULL;
    }
    copy_signals(to, from);
    return to;
}

struct linux_state *process_copy(const struct linux_state *from, int32_t pid)
{
    struct linux_state *to = process_copy_bare(from, from, pid);

    if (to && mapped_copy(to, from)) {
        process_free(to);
        return NULL;
    }
    if (to)
        copy_descriptors(to, from);
    return to;
}

/* What a process begins with that is forked from the thread that makes the call. NULL: there is no
 * memory. */
static struct linux_state *copy_state(struct linux_state *from)
{
    struct linux_state *to = process_copy(from, thread_next_id(from));

    if (!to)
        return NULL;
    to->parent = from;
    to->threads->task.robust_list = 0;
    to->threads->task.death_signal = 0;
    return to;
}

/* The parent of a vfork goes on once the child needs its memory no more. Nothing but its own end ends
 * the wait before. */
static void await_apart(struct linux_state *state, int32_t pid, atomic_bool *apart)
{
    struct linux_state *child;

    state->thread->signals.patient = true;
    vm_await(state->vm, apart);
    state->thread->signals.patient = false;
    child = process_find(state, pid);
    if (child && child->runs_apart == apart)
        child->runs_apart = NULL;
}

static int64_t begin(struct linux_state *state, const struct clone_request *request)
{
    struct linux_state *child = copy_state(state);
    atomic_bool apart = false;
    int32_t pid;
    int result;

    if (!child)
        return -ENOMEM;
    pid = child->pid;
    child->exit_signal = request->exit_signal;
    if (request->flags & CLONE_CHILD_CLEARTID)
        child->threads->clear_id = request->child_id;
    if (request->flags & CLONE_VFORK)
        child->runs_apart = &apart;
    const struct vm_fork fork = {
        .state = child,
        .thread = child->threads,
        .caller = state->thread->call->cpu,
        .stack = request->stack,
        .fs = request->flags & CLONE_SETTLS ? request->tls : vm_fs(state->thread->call->cpu),
        .id_addr = request->flags & CLONE_CHILD_SETTID ? request->child_id : 0,
        .id = pid,
        .parent_waits = request->flags & CLONE_VFORK,
        .left = state->common->zombie_count};
    child->next_process = state->common->processes;
    state->common->processes = child;
    state->common->process_count++;
    result = vm_fork(state->vm, &fork);
    if (result) {
        state->common->processes = child->next_process;
        state->common->process_count--;
        process_free(child);
        return result;
    }
    if (request->flags & CLONE_PARENT_SETTID)
        guest_put(state, request->parent_id, &pid, sizeof(pid));
    if (request->flags & CLONE_VFORK)
        await_apart(state, pid, &apart);
    return pid;
}

int64_t fork_process(struct linux_state *state, const struct clone_request *request)
{
    uint64_t flags = request->flags;

    if (flags & ~(uint64_t)PROCESS_FLAGS || (flags & CLONE_VM && !(flags & CLONE_VFORK)))
        return -ENOSYS;
    if (request->exit_signal > SIGNALS)
        return -EINVAL;
    if (flags & CLONE_SETTLS && request->tls >= MEMORY_USER_END)
        return -EPERM;
    /* Or a signal that is sent to all processes would miss one that is being made. */
    if (signal_interrupts(state))
        return -EINTR;
    return begin(state, request);
}

int64_t sys_fork(struct linux_state *state, const uint64_t arg[6])
{
    const struct clone_request request = {.exit_signal = SIGCHLD};

    (void)arg;
    return fork_process(state, &request);
}

int64_t sys_vfork(struct linux_state *state, const uint64_t arg[6])
{
    const struct clone_request request = {.flags = CLONE_VM | CLONE_VFORK, .exit_signal = SIGCHLD};

    (void)arg;
    return fork_process(state, &request);
}
