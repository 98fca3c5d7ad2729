/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns how many processors a program has, and which of them it runs on. They are those that the
 * host's process might use when the VM was made, without their numbers there, but no more than the
 * program may have threads. Whatever tells a number of processors takes it from here.
 */
#include <errno.h>
#include <sched.h>

#include "linux/calls.h"
#include "linux/state.h"

void processors_init(struct linux_state *state, unsigned threads)
{
    struct processors *processors = &state->processors;
    unsigned count;

    CPU_ZERO(&processors->host);
    if (sched_getaffinity(0, sizeof(processors->host), &processors->host))
        CPU_SET(0, &processors->host); /* there are more than a set of this size can name */
    count = (unsigned)CPU_COUNT(&processors->host);
    processors->count = threads && threads < count ? threads : count;
}

unsigned processors_count(const struct linux_state *state)
{
    return state->processors.count;
}

/* Where fewer threads than processors are allowed, several of the host's are one to the program. */
unsigned processors_current(const struct linux_state *state)
{
    int here = sched_getcpu();
    unsigned before = 0;

    for (int cpu = 0; cpu < here && cpu < CPU_SETSIZE; cpu++)
        before += CPU_ISSET(cpu, &state->processors.host) != 0;
    return before % state->processors.count;
}

int64_t sys_getcpu(struct linux_state *state, const uint64_t arg[6])
{
    const uint32_t cpu = processors_current(state), node = 0;

    if (arg[0] && guest_put(state, arg[0], &cpu, sizeof(cpu)))
        return -EFAULT;
    return arg[1] ? guest_put(state, arg[1], &node, sizeof(node)) : 0;
}
