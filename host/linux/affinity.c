/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns on which processors the threads of a program may run: their threads of the host are kept to
 * those that stand for them (processors.c). */
#include <errno.h>
#include <string.h>

#include "linux/calls.h"
#include "linux/state.h"

#define WORD_BITS 64

/* Of any process, whose state `of` is then. NULL: there is none. */
static struct linux_thread *thread_of(struct linux_state *state, uint64_t pid,
                                      struct linux_state **of)
{
    *of = process_named(state, pid);
    if (!*of)
        return NULL;
    return (int32_t)pid ? thread_find(*of, (int32_t)pid) : state->thread;
}

static bool is_in(const struct affinity *affinity, unsigned cpu)
{
    return !affinity->is_set || affinity->set[cpu / WORD_BITS] >> (cpu % WORD_BITS) & 1;
}

void affinity_apply(struct linux_state *state, struct linux_thread *thread)
{
    const struct processors *processors = &state->processors;
    cpu_set_t host;
    unsigned before = 0;

    CPU_ZERO(&host);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &processors->host))
            continue;
        if (is_in(&thread->task.affinity, before++ % processors->count))
            CPU_SET(cpu, &host);
    }
    vm_keep_to(state->vm, thread, &host);
}

int64_t sys_sched_getaffinity(struct linux_state *state, const uint64_t arg[6])
{
    struct linux_state *of;
    const struct linux_thread *thread = thread_of(state, arg[0], &of);
    uint64_t set[CPU_SETSIZE / WORD_BITS] = {0}, bytes;
    unsigned count = processors_count(state);

    bytes = (count + WORD_BITS - 1) / WORD_BITS * sizeof(set[0]);
    if ((uint32_t)arg[1] % sizeof(set[0]) || (uint32_t)arg[1] < bytes)
        return -EINVAL;
    if (!thread)
        return -ESRCH;
    for (unsigned cpu = 0; cpu < count; cpu++)
        set[cpu / WORD_BITS] |= (uint64_t)is_in(&thread->task.affinity, cpu) << (cpu % WORD_BITS);
    return guest_put(state, arg[2], set, bytes) ? -EFAULT : (int64_t)bytes;
}

/* Processors that the program has not are left out, as on Linux. */
int64_t sys_sched_setaffinity(struct linux_state *state, const uint64_t arg[6])
{
    struct linux_state *of;
    struct linux_thread *thread = thread_of(state, arg[0], &of);
    struct affinity wanted = {.is_set = true};
    uint64_t bytes = (uint32_t)arg[1], any = 0;

    if (bytes > sizeof(wanted.set))
        bytes = sizeof(wanted.set);
    if (bytes && guest_get(state, arg[2], wanted.set, bytes))
        return -EFAULT;
    if (!thread)
        return -ESRCH;
    for (unsigned cpu = 0; cpu < processors_count(state); cpu++)
        any |= is_in(&wanted, cpu);
    if (!any)
        return -EINVAL;
    thread->task.affinity = wanted;
    of->keeps_to_some = true;
    vm_look_at_process(state->vm, of);
    affinity_apply(of, thread);
    vm_look_at_process(state->vm, state);
    return 0;
}

/* Other threads of the program, and of the host, may run instead. */
int64_t sys_yield(struct linux_state *state, const uint64_t arg[6])
{
    struct vcpu *aside = vm_step_aside(state->vm, NULL);

    (void)arg;
    sched_yield();
    vm_step_back(state->vm, aside);
    return 0;
}
