/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the threads of a program: which there are, how they begin and end. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>

#include "linux/calls.h"
#include "linux/futexes.h"
#include "linux/guest_rooms.h"
#include "linux/processes.h"
#include "linux/state.h"

/* As the kernel's highest. The words of locks have room for more. */
#define ID_MOST (4 << 20)

#ifndef CLONE_DETACHED
#define CLONE_DETACHED 0x00400000
#endif
/* What makes a thread and not a process; C libraries and languages set all of these. */
#define THREAD_FLAGS (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD)
#define OTHER_FLAGS                                                            \
    (CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | \
     CLONE_CHILD_CLEARTID | CLONE_DETACHED | CLONE_UNTRACED | CLONE_IO)

int threads_init(struct linux_state *state)
{
    struct linux_thread *thread = calloc(1, sizeof(*thread));

    if (!thread)
        return -ENOMEM;
    thread->id = state->pid;
    state->threads = state->thread = thread;
    state->thread_count = 1;
    state->common->last_id = thread->id;
    task_init(state);
    return 0;
}

void threads_fini(struct linux_state *state)
{
    while (state->threads) {
        struct linux_thread *thread = state->threads;

        state->threads = thread->next;
        free(thread);
    }
}

struct linux_thread *thread_find(struct linux_state *state, int32_t id)
{
    struct linux_thread *thread = state->threads;

    while (thread && thread->id != id)
        thread = thread->next;
    return thread;
}

struct linux_thread *linux_first_thread(struct linux_state *state)
{
    struct linux_thread *thread = state->threads;

    while (thread->next)
        thread = thread->next;
    return thread;
}

void linux_now_serves(struct linux_state *state, struct linux_thread *thread)
{
    state->thread = thread;
    guest_rooms_take_back(state);
}

/* ---- beginning ----------------------------------------------------------- */

int32_t thread_next_id(struct linux_state *state)
{
    do
        state->common->last_id =
            state->common->last_id < ID_MOST ? state->common->last_id + 1 : LINUX_PID + 1;
    while (process_find(state, state->common->last_id) ||
           zombie_find(state, state->common->last_id, 0));
    return state->common->last_id;
}

/* What begins as that of the thread that makes it: its mask of signals, its name. */
static struct linux_thread *thread_new(struct linux_state *state)
{
    struct linux_thread *thread = calloc(1, sizeof(*thread));

    if (!thread)
        return NULL;
    thread->id = thread_next_id(state);
    thread->signals.blocked = state->thread->signals.blocked;
    thread->task = state->thread->task;
    thread->task.robust_list = 0;
    thread->next = state->threads;
    state->threads = thread;
    state->thread_count++;
    return thread;
}

static int64_t begin_thread(struct linux_state *state, const struct clone_request *request)
{
    struct vcpu *caller = state->thread->call->cpu, *cpu;
    struct linux_thread *thread;
    int result;

    if (request->flags & CLONE_SETTLS && request->tls >= MEMORY_USER_END)
        return -EPERM;
    result = vm_new_cpu(state->vm, caller, &cpu);
    if (result)
        return result;
    thread = thread_new(state);
    if (!thread)
        return -EAGAIN;
    /* As on Linux the thread begins even where its number cannot be written. */
    if (request->flags & CLONE_PARENT_SETTID)
        guest_put(state, request->parent_id, &thread->id, sizeof(thread->id));
    if (request->flags & CLONE_CHILD_SETTID)
        guest_put(state, request->child_id, &thread->id, sizeof(thread->id));
    if (request->flags & CLONE_CHILD_CLEARTID)
        thread->clear_id = request->child_id;
    vm_start_cpu(state->vm, cpu, caller, thread, request->stack,
                 request->flags & CLONE_SETTLS ? request->tls : vm_fs(caller));
    if (state->keeps_to_some) /* its CPU may have been that of a thread with other processors */
        affinity_apply(state, thread);
    return thread->id;
}

static int64_t clone_any(struct linux_state *state, const struct clone_request *request)
{
    uint64_t flags = request->flags;

    if (flags & CLONE_THREAD && !(flags & CLONE_SIGHAND))
        return -EINVAL;
    if (flags & CLONE_SIGHAND && !(flags & CLONE_VM))
        return -EINVAL;
    if (!(flags & CLONE_THREAD))
        return fork_process(state, request);
    if ((flags & THREAD_FLAGS) != THREAD_FLAGS || flags & ~(uint64_t)(THREAD_FLAGS | OTHER_FLAGS))
        return -ENOSYS;
    return begin_thread(state, request);
}

int64_t sys_clone(struct linux_state *state, const uint64_t arg[6])
{
    const struct clone_request request = {.flags = (uint32_t)arg[0] & ~(uint64_t)CSIGNAL,
                                          .exit_signal = (int)(arg[0] & CSIGNAL),
                                          .stack = arg[1],
                                          .parent_id = arg[2],
                                          .child_id = arg[3],
                                          .tls = arg[4]};

    return clone_any(state, &request);
}

/* As the kernel's struct clone_args. */
struct clone_args3 {
    uint64_t flags, pidfd, child_id, parent_id, exit_signal, stack, stack_bytes, tls;
    uint64_t ids, id_count, cgroup;
};

/* Whether all bytes of [from, to) of the program are zero: 0, -E2BIG or -EFAULT. */
static int check_zero(struct linux_state *state, uint64_t from, uint64_t to)
{
    for (uint64_t at = from; at < to; at++) {
        uint8_t byte;

        if (guest_get(state, at, &byte, sizeof(byte)))
            return -EFAULT;
        if (byte)
            return -E2BIG;
    }
    return 0;
}

int64_t sys_clone3(struct linux_state *state, const uint64_t arg[6])
{
    struct clone_args3 wanted = {0};
    struct clone_request request;
    uint64_t bytes = arg[1];
    int result;

    if (bytes < offsetof(struct clone_args3, ids))
        return -EINVAL;
    if (bytes > FERRY_PAGE_BYTES)
        return -E2BIG;
    if (bytes > sizeof(wanted)) {
        result = check_zero(state, arg[0] + sizeof(wanted), arg[0] + bytes);
        if (result)
            return result;
        bytes = sizeof(wanted);
    }
    if (guest_get(state, arg[0], &wanted, bytes))
        return -EFAULT;
    if (!wanted.stack != !wanted.stack_bytes || wanted.ids || wanted.id_count)
        return -EINVAL;
    if (wanted.stack_bytes > MEMORY_USER_END || wanted.stack > MEMORY_USER_END - wanted.stack_bytes)
        return -EINVAL;
    if (wanted.exit_signal > CSIGNAL || (wanted.flags & CLONE_THREAD && wanted.exit_signal))
        return -EINVAL;
    request = (struct clone_request){.flags = wanted.flags,
                                     .exit_signal = (int)wanted.exit_signal,
                                     .stack = wanted.stack + wanted.stack_bytes,
                                     .parent_id = wanted.parent_id,
                                     .child_id = wanted.child_id,
                                     .tls = wanted.tls};
    return clone_any(state, &request);
}

/* ---- ending -------------------------------------------------------------- */

static void forget(struct linux_state *state, struct linux_thread *thread)
{
    struct linux_thread **at = &state->threads;

    while (*at != thread)
        at = &(*at)->next;
    *at = thread->next;
    if (state->thread == thread) /* who sends the process a signal looks there */
        state->thread = linux_first_thread(state);
    state->signals.queued -= thread->signals.list.queued;
    free(thread);
}

/* The first one stays as a record, since the process has its number. */
static void end(struct linux_state *state, struct linux_thread *thread)
{
    if (thread->id != state->pid) {
        forget(state, thread);
        return;
    }
    thread->took_ns = cpu_clock_ns(state, thread->id);
    thread->task.robust_list = 0;
    thread->call = NULL; /* it was of the calling thread of the host, which forgets it */
    thread->ended = true;
}

void linux_drop_thread(struct linux_state *state, struct linux_thread *thread)
{
    state->thread_count--;
    end(state, thread);
}

void threads_begin(struct linux_state *state)
{
    struct linux_thread *first = linux_first_thread(state);

    if (state->thread != first) {
        forget(state, first);
        state->thread->id = state->pid;
    }
    state->thread->clear_id = 0;
    state->thread->task.robust_list = 0;
}

/* The calling thread ends; with the last one the program does, with the status of the first. */
int64_t sys_exit(struct linux_state *state, const uint64_t arg[6])
{
    const uint32_t zero = 0;
    struct linux_thread *self = state->thread;
    struct current_call *call = self->call;
    int status = (int)(arg[0] & 0xff);

    if (self->id == state->pid)
        state->first_status = status;
    call->status = state->first_status;
    call->next = --state->thread_count ? LINUX_ENDED : LINUX_EXIT;
    if (call->next == LINUX_EXIT)
        return 0;
    futex_thread_ends(state, self);
    if (self->clear_id && !guest_put(state, self->clear_id, &zero, sizeof(zero)))
        futex_wake(state, self->clear_id, 1, UINT32_MAX);
    end(state, self);
    return 0;
}

/* ---- numbers ------------------------------------------------------------- */

int64_t sys_gettid(struct linux_state *state, const uint64_t arg[6])
{
    (void)arg;
    return state->thread->id;
}

int64_t sys_set_tid_address(struct linux_state *state, const uint64_t arg[6])
{
    state->thread->clear_id = arg[0];
    return state->thread->id;
}
