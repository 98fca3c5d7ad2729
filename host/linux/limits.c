/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the program's resource limits. A limit that can be lowered is enforced: descriptors in
 * descriptors.c, queued signals in signal_list.c, the length of a file in writable.c, the rest here.
 * Limits of core dumps, processes and real-time priorities concern things that a VM does not have.
 */
#include <errno.h>
#include <signal.h>

#include "lib/bits.h"
#include "linux/calls.h"
#include "linux/mapped.h"
#include "linux/state.h"

#define NS_PER_S 1000000000ull
/* The stack may become so large a part of the memory: the half. */
#define STACK_SHARE 2
/* Bytes below RSP that a function may use without moving it. */
#define RED_ZONE 128

/* The host holds us to this one; our process cannot raise it for one program. */
static struct rlimit limit_of_host(int which)
{
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

    (void)getrlimit(which, &limit);
    limit.rlim_max = limit.rlim_cur;
    return limit;
}

void limits_init(struct linux_state *state, unsigned processes)
{
    uint64_t stack = FERRY_PROGRAM_HIGH - state->stack_start;
    uint64_t most = page_down(state->memory_bytes / STACK_SHARE);

    for (int i = 0; i < RLIM_NLIMITS; i++)
        state->limits[i] = (struct rlimit){RLIM_INFINITY, RLIM_INFINITY};
    state->limits[RLIMIT_STACK] = (struct rlimit){stack, most > stack ? most : stack};
    /* Addresses without memory cost nothing. */
    state->limits[RLIMIT_DATA] = (struct rlimit){state->memory_bytes, state->memory_bytes};
    state->limits[RLIMIT_NOFILE] = (struct rlimit){DESCRIPTORS_MAX, DESCRIPTORS_MAX};
    state->limits[RLIMIT_SIGPENDING] = (struct rlimit){QUEUED_SIGNALS_MAX, QUEUED_SIGNALS_MAX};
    state->limits[RLIMIT_NPROC] = (struct rlimit){processes, processes};
    state->limits[RLIMIT_CORE] = (struct rlimit){0, 0};
    state->limits[RLIMIT_FSIZE] = limit_of_host(RLIMIT_FSIZE);
    state->limits[RLIMIT_NICE] = (struct rlimit){0, 0};
    state->limits[RLIMIT_RTPRIO] = (struct rlimit){0, 0};
}

/* ---- memory -------------------------------------------------------------- */

static bool fits(const struct linux_state *state, int which, uint64_t used, uint64_t more)
{
    uint64_t limit = state->limits[which].rlim_cur;

    return more <= limit && used <= limit - more;
}

static uint64_t written_part(const struct space *space, uint64_t start, uint64_t end, uint64_t low,
                             uint64_t high)
{
    start = max_u64(start, low);
    end = min_u64(end, high);
    return start < end ? space_mapped_bytes(space, guest_addr(start), guest_addr(end), SPACE_WRITE,
                                            SPACE_SHARED)
                       : 0;
}

/* Private memory there that can be written, but for the stack. */
static uint64_t data_bytes(const struct linux_state *state, uint64_t start, uint64_t end)
{
    const struct space *space = vm_space(state->vm);

    return written_part(space, start, end, FERRY_PROGRAM_LOW, state->stack_start) +
           written_part(space, start, end, FERRY_PROGRAM_FAR_LOW, FERRY_PROGRAM_FAR_HIGH);
}

bool limits_allow(struct linux_state *state, uint64_t start, uint64_t bytes, unsigned prot)
{
    const struct space *space = vm_space(state->vm);
    const unsigned data = SPACE_WRITE | SPACE_SHARED;
    uint64_t end = start + bytes, low = FERRY_PROGRAM_LOW;

    if (state->limits[RLIMIT_AS].rlim_cur != RLIM_INFINITY &&
        !fits(state, RLIMIT_AS,
              space_mapped_bytes(space, guest_addr(low), guest_addr(FERRY_PROGRAM_FAR_HIGH), 0, 0) -
                  space_mapped_bytes(space, guest_addr(start), guest_addr(end), 0, 0),
              bytes))
        return false;
    /* From memory_bytes on the space's own limit is the stricter one. */
    return (prot & data) != SPACE_WRITE ||
           state->limits[RLIMIT_DATA].rlim_cur >= state->memory_bytes ||
           fits(state, RLIMIT_DATA,
                data_bytes(state, low, FERRY_PROGRAM_FAR_HIGH) - data_bytes(state, start, end),
                bytes);
}

/* The stack is mapped in full: a larger one is mapped now, or refused. If it becomes smaller, the
 * part that is not in use is unmapped. */
static int set_stack(struct linux_state *state, uint64_t bytes)
{
    struct space *space = vm_space(state->vm);
    uint64_t start = FERRY_PROGRAM_HIGH - page_down(bytes);
    uint64_t sp = vm_stack_pointer(state->thread->call->cpu);
    int result = 0;

    if (start < state->stack_start) {
        uint64_t more = state->stack_start - start;

        if (!space_is_unmapped(space, guest_addr(start), more) ||
            space_map(space, guest_addr(start), more,
                      space_prot(space, guest_addr(state->stack_start))))
            return -EPERM;
    } else {
        if (sp < state->stack_start || sp > FERRY_PROGRAM_HIGH)
            return 0; /* RSP is elsewhere, so nobody knows how much of the stack is in use */
        if (start > sp - RED_ZONE)
            start = page_down(sp - RED_ZONE);
        if (start > state->stack_start)
            result = space_unmap(space, guest_addr(state->stack_start), start - state->stack_start);
        else
            start = state->stack_start;
    }
    if (result)
        return result;
    if (start > state->stack_start) /* a file may have been mapped over it */
        mapped_settle(state, state->stack_start, start - state->stack_start);
    state->stack_start = start;
    vm_stack_is(state->vm, FERRY_PROGRAM_HIGH - start);
    return 0;
}

/* ---- processor time ------------------------------------------------------ */

/* The moment, in processor time, at which the next signal is due. */
static uint64_t due_ns(const struct rlimit *limit)
{
    uint64_t seconds = limit->rlim_cur < limit->rlim_max ? limit->rlim_cur : limit->rlim_max, due;

    if (seconds == RLIM_INFINITY || __builtin_mul_overflow(seconds, NS_PER_S, &due))
        return UINT64_MAX;
    return due ? due : NS_PER_S; /* Linux takes 0 for a second */
}

/* The first one stays in the list when it has ended. */
static bool is_over(const struct linux_state *state)
{
    return state->pid == LINUX_PID && state->common->first_ended;
}

/* How much more a process has to use before something of its own can be due. */
static uint64_t rest_of(struct linux_state *state)
{
    uint64_t due = due_ns(&state->limits[RLIMIT_CPU]), alarm = alarms_cpu_rest(state), used;

    if (due == UINT64_MAX)
        return alarm;
    used = cpu_clock_ns(state, 0);
    due = due > used ? due - used : 0;
    return alarm < due ? alarm : due;
}

/* The VM has one watch, of the time of all processes: none is due before all together used so much. */
void limits_watch_cpu(struct linux_state *state)
{
    uint64_t least = UINT64_MAX, rest, due;

    for (struct linux_state *of = state->common->processes; of; of = of->next_process) {
        if (is_over(of))
            continue;
        rest = rest_of(of);
        least = rest < least ? rest : least;
    }
    if (least == UINT64_MAX || __builtin_add_overflow(vm_cpu_ns(state->vm), least, &due))
        due = UINT64_MAX;
    vm_watch_cpu(state->vm, due);
}

/* Whether a process has used all that it may ever have. */
static bool used_up(struct linux_state *state)
{
    struct rlimit *limit = &state->limits[RLIMIT_CPU];
    uint64_t used = cpu_clock_ns(state, 0);

    if (used >= due_ns(&(struct rlimit){limit->rlim_max, limit->rlim_max}))
        return true;
    if (used >= due_ns(limit)) {
        signal_send(state, SIGXCPU);
        limit->rlim_cur = used / NS_PER_S + 1; /* once a second from then on */
    }
    alarms_look_cpu(state); /* which watches for what is due next */
    return false;
}

/* Whichever process was interrupted, the time of any may be over. */
enum linux_next linux_interrupted(struct linux_state *state, struct linux_thread *thread,
                                  int *status)
{
    enum linux_next next = LINUX_RESUME;
    bool others = false;

    state->thread = thread;
    for (struct linux_state *of = state->common->processes; of; of = of->next_process) {
        uint32_t sent = of->signals.sent;

        if (!is_over(of) && used_up(of)) {
            *status = SIGKILL;
            if (of == state)
                next = LINUX_SIGNAL;
            else
                signal_send(of, SIGKILL);
        }
        others |= of != state && of->signals.sent != sent;
    }
    if (others)
        vm_interrupt(state->vm);
    return next;
}

/* ---- the calls ----------------------------------------------------------- */

/* The stack of another process stays as it is until that begins another program. */
static int64_t set_limit(struct linux_state *state, struct linux_state *of, uint64_t which,
                         const struct rlimit *limit)
{
    int result = 0;

    if (limit->rlim_cur > limit->rlim_max)
        return -EINVAL;
    if (limit->rlim_max > of->limits[which].rlim_max)
        return -EPERM;
    if (which == RLIMIT_STACK && of == state)
        result = set_stack(state, limit->rlim_cur);
    if (result)
        return result;
    of->limits[which] = *limit;
    if (which == RLIMIT_CPU)
        limits_watch_cpu(state);
    return 0;
}

int64_t sys_prlimit64(struct linux_state *state, const uint64_t arg[6])
{
    uint64_t which = (uint32_t)arg[1];
    struct linux_state *of = process_named(state, arg[0]);
    struct rlimit old, limit;
    int64_t result = 0;

    if (arg[2] && guest_get(state, arg[2], &limit, sizeof(limit)))
        return -EFAULT;
    if (!of)
        return -ESRCH;
    if (which >= RLIM_NLIMITS)
        return -EINVAL;
    old = of->limits[which];
    if (arg[2])
        result = set_limit(state, of, which, &limit);
    if (!result && arg[3])
        result = guest_put(state, arg[3], &old, sizeof(old));
    return result;
}

int64_t sys_getrlimit(struct linux_state *state, const uint64_t arg[6])
{
    return sys_prlimit64(state, (const uint64_t[6]){0, arg[0], 0, arg[1]});
}

int64_t sys_setrlimit(struct linux_state *state, const uint64_t arg[6])
{
    if (!arg[1])
        return -EFAULT;
    return sys_prlimit64(state, (const uint64_t[6]){0, arg[0], arg[1], 0});
}
