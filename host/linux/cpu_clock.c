/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns what a program is told of processor time: its clocks, times and getrusage. The VMM's work for
 * a thread counts as that thread's. It is not told apart whether the program or the VMM took the time:
 * all of it is told as the user's.
 */
#include <errno.h>
#include <sys/resource.h>
#include <sys/times.h>
#include <time.h>

#include "linux/calls.h"
#include "linux/state.h"

#define NS_PER_S    1000000000ull
#define NS_PER_TICK (NS_PER_S / 100)

/* In the number of a clock that clock_getcpuclockid and pthread_getcpuclockid make: the number of a
 * process or thread, inverted, above three bits. */
enum { KIND_SHIFT = 3, OF_THREAD = 4, KIND = 3, KIND_DEVICE = 3 };

int cpu_clock_find(struct linux_state *state, uint64_t clock, bool reads, int32_t *thread)
{
    int32_t number = (int32_t)clock, id = 0;

    *thread = 0;
    if (number == CLOCK_PROCESS_CPUTIME_ID)
        return 0;
    if (number != CLOCK_THREAD_CPUTIME_ID) {
        if (number >= 0 || (number & KIND) == KIND_DEVICE)
            return -EINVAL;
        id = ~number >> KIND_SHIFT;
        if (!(number & OF_THREAD))
            return id == 0 || id == state->pid || (reads && id == state->thread->id) ? 0 : -EINVAL;
    }
    *thread = id ? id : state->thread->id;
    return thread_find(state, *thread) ? 0 : -EINVAL;
}

uint64_t cpu_clock_ns(struct linux_state *state, int32_t thread)
{
    const struct linux_thread *one = thread ? thread_find(state, thread) : NULL;

    if (!thread)
        return vm_process_cpu_ns(state->vm, state);
    if (!one)
        return 0;
    return one->ended ? one->took_ns : vm_thread_cpu_ns(state->vm, one);
}

int64_t sys_times(struct linux_state *state, const uint64_t arg[6])
{
    struct tms used = {.tms_utime = (clock_t)(cpu_clock_ns(state, 0) / NS_PER_TICK),
                       .tms_cutime = (clock_t)(state->children.cpu_ns / NS_PER_TICK)};
    struct timespec up = {0};

    clock_gettime(CLOCK_BOOTTIME, &up);
    if (arg[0] && guest_put(state, arg[0], &used, sizeof(used)))
        return -EFAULT;
    return (int64_t)(((uint64_t)up.tv_sec * NS_PER_S + (uint64_t)up.tv_nsec) / NS_PER_TICK);
}

struct used used_until_now(struct linux_state *state)
{
    struct used used = {cpu_clock_ns(state, 0), vm_space(state->vm)->used_bytes};

    used_add(&used, state->children);
    return used;
}

void used_add(struct used *to, struct used used)
{
    to->cpu_ns += used.cpu_ns;
    if (to->memory_bytes < used.memory_bytes)
        to->memory_bytes = used.memory_bytes;
}

void put_used(struct rusage *usage, struct used used)
{
    usage->ru_utime = (struct timeval){.tv_sec = (time_t)(used.cpu_ns / NS_PER_S),
                                       .tv_usec = (suseconds_t)(used.cpu_ns % NS_PER_S / 1000)};
    usage->ru_stime = (struct timeval){0};
    usage->ru_maxrss = (long)(used.memory_bytes / 1024);
}

/* Faults and switches are those of the host's thread that runs the one which asks. */
int64_t sys_getrusage(struct linux_state *state, const uint64_t arg[6])
{
    struct rusage usage = {0};

    switch ((int32_t)arg[0]) {
    case RUSAGE_SELF:
    case RUSAGE_THREAD:
        getrusage(RUSAGE_THREAD, &usage);
        put_used(&usage,
                 (struct used){
                     cpu_clock_ns(state, (int32_t)arg[0] == RUSAGE_SELF ? 0 : state->thread->id),
                     vm_space(state->vm)->used_bytes});
        break;
    case RUSAGE_CHILDREN:
        put_used(&usage, state->children);
        break;
    default:
        return -EINVAL;
    }
    return guest_put(state, arg[1], &usage, sizeof(usage));
}
