/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the threads of a program: which there are, how they begin and end. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "linux/state.h"

int threads_init(struct linux_state *state)
{
    struct linux_thread *thread = calloc(1, sizeof(*thread));

    if (!thread)
        return -ENOMEM;
    thread->id = LINUX_PID;
    state->threads = state->thread = thread;
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
}
