/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the attributes of a program's threads, and their scheduling. A request succeeds if it asks
 * for what is true in a VM anyway: nobody dumps the program or gives it new rights, and it has an
 * ordinary share of its processors.
 */
#include <errno.h>
#include <linux/capability.h>
#include <linux/membarrier.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "linux/calls.h"
#include "linux/processes.h"
#include "linux/state.h"

#define TIMER_SLACK_NS      50000 /* Linux's default */
#define REAL_TIME_MOST      99
#define ROBUST_LIST_BYTES   24
#define NICE_ZERO           20 /* nice value 0, as getpriority encodes it */
#define CPU_SET_BYTES_MAX   1024
#define CAPABILITY_VERSION3 _LINUX_CAPABILITY_VERSION_3

void task_init(struct linux_state *state)
{
    state->thread->task = (struct task){.timer_slack_ns = TIMER_SLACK_NS};
    state->dumpable = 1;
}

void task_name(struct linux_state *state, const char *program)
{
    const char *slash = strrchr(program, '/');
    char *name = state->thread->task.name;

    memset(name, 0, TASK_NAME_BYTES);
    state->thread->task.named = false;
    strncpy(name, slash ? slash + 1 : program, TASK_NAME_BYTES - 1);
}

/* Whether there is a thread of that number, in any process: 0, -ESRCH or -EINVAL. */
static int check_thread(struct linux_state *state, uint64_t pid)
{
    int32_t id = (int32_t)pid;

    if (id < 0)
        return -EINVAL;
    return process_named(state, pid) || zombie_find(state, id, 0) ? 0 : -ESRCH;
}

/* ---- prctl --------------------------------------------------------------- */

static int64_t set_flag(uint32_t *flag, uint64_t value, uint64_t most)
{
    if (value > most)
        return -EINVAL;
    *flag = (uint32_t)value;
    return 0;
}

static int64_t set_name(struct linux_state *state, uint64_t addr)
{
    char name[TASK_NAME_BYTES] = {0};
    int result = guest_get_string(state, addr, name, sizeof(name));

    if (result == -EFAULT)
        return result;
    name[TASK_NAME_BYTES - 1] = 0; /* a longer one is cut */
    memcpy(state->thread->task.name, name, sizeof(name));
    state->thread->task.named = true;
    return 0;
}

void linux_describe_thread(const struct linux_state *state, const struct linux_thread *thread,
                           char *text, size_t bytes)
{
    char name[TASK_NAME_BYTES + 1] = {0};

    if (bytes > 0)
        text[0] = '\0';
    if (state->common->last_id == LINUX_PID && !thread->task.named)
        return;
    memcpy(name, thread->task.name, TASK_NAME_BYTES);
    for (char *p = name; *p; p++)
        if (*p < ' ' || *p > '~' || *p == '\'')
            *p = '?';
    snprintf(text, bytes, "thread %d '%s'", thread->id, name);
}

static int64_t get_into(struct linux_state *state, uint64_t addr, uint32_t value)
{
    return guest_put(state, addr, &value, sizeof(value));
}

static bool any(const uint64_t arg[6], int from)
{
    uint64_t all = 0;

    for (int i = from; i < 5; i++)
        all |= arg[i];
    return all != 0;
}

/* Of rights and capabilities: there are none, and none can be had. */
static int64_t prctl_rights(struct linux_state *state, const uint64_t arg[6])
{
    struct task *task = &state->thread->task;

    switch (arg[0]) {
    case PR_SET_NO_NEW_PRIVS:
        if (arg[1] != 1 || any(arg, 2))
            return -EINVAL;
        task->no_new_privileges = true;
        return 0;
    case PR_GET_NO_NEW_PRIVS:
        return any(arg, 1) ? -EINVAL : task->no_new_privileges;
    case PR_SET_KEEPCAPS:
        return set_flag(&task->keep_capabilities, arg[1], 1);
    case PR_GET_KEEPCAPS:
        return task->keep_capabilities;
    case PR_CAPBSET_READ:
        return arg[1] > CAP_LAST_CAP ? -EINVAL : 0;
    case PR_CAPBSET_DROP:
        return -EPERM;
    case PR_CAP_AMBIENT:
        if (any(arg, 3) ||
            (arg[1] == PR_CAP_AMBIENT_CLEAR_ALL ? arg[2] != 0 : arg[2] > CAP_LAST_CAP))
            return -EINVAL;
        if (arg[1] == PR_CAP_AMBIENT_RAISE)
            return -EPERM;
        return arg[1] >= PR_CAP_AMBIENT_IS_SET && arg[1] <= PR_CAP_AMBIENT_CLEAR_ALL ? 0 : -EINVAL;
    case PR_GET_SECUREBITS:
    case PR_GET_SECCOMP:
        return 0;
    default:
        return -EINVAL;
    }
}

int64_t sys_prctl(struct linux_state *state, const uint64_t arg[6])
{
    struct task *task = &state->thread->task;

    switch (arg[0]) {
    case PR_SET_NAME:
        return set_name(state, arg[1]);
    case PR_GET_NAME:
        return guest_put(state, arg[1], task->name, sizeof(task->name));
    case PR_SET_DUMPABLE:
        return set_flag(&state->dumpable, arg[1], 1);
    case PR_GET_DUMPABLE:
        return state->dumpable;
    case PR_SET_PDEATHSIG: /* the parent outlives it */
        return set_flag(&task->death_signal, arg[1], SIGNALS);
    case PR_GET_PDEATHSIG:
        return get_into(state, arg[1], task->death_signal);
    case PR_SET_CHILD_SUBREAPER:
        state->child_subreaper = arg[1] != 0;
        return 0;
    case PR_GET_CHILD_SUBREAPER:
        return get_into(state, arg[1], state->child_subreaper);
    case PR_SET_TIMERSLACK:
        task->timer_slack_ns = (int64_t)arg[1] > 0 ? arg[1] : TIMER_SLACK_NS;
        return 0;
    case PR_GET_TIMERSLACK:
        return (int64_t)task->timer_slack_ns;
    case PR_SET_THP_DISABLE:
        if (any(arg, 2))
            return -EINVAL;
        state->no_huge_pages = arg[1] != 0;
        return 0;
    case PR_GET_THP_DISABLE:
        return any(arg, 1) ? -EINVAL : (int)state->no_huge_pages;
    case PR_GET_TSC:
        return get_into(state, arg[1], PR_TSC_ENABLE);
    case PR_SET_TSC:
        return arg[1] == PR_TSC_ENABLE ? 0 : -EINVAL;
    default:
        return prctl_rights(state, arg);
    }
}

/* ---- capabilities -------------------------------------------------------- */

/* Checks the header; *words: how many times 32 capabilities follow; *id: of which thread. */
static int64_t capability_header(struct linux_state *state, uint64_t addr, size_t *words,
                                 int32_t *id)
{
    struct __user_cap_header_struct header;

    if (guest_get(state, addr, &header, sizeof(header)))
        return -EFAULT;
    *words = 2;
    switch (header.version) {
    case _LINUX_CAPABILITY_VERSION_1:
        *words = 1;
        break;
    case _LINUX_CAPABILITY_VERSION_2:
    case _LINUX_CAPABILITY_VERSION_3:
        break;
    default:
        *words = 0;
        header.version = CAPABILITY_VERSION3;
        return guest_put(state, addr, &header, sizeof(header)) ? -EFAULT : -EINVAL;
    }
    *id = header.pid;
    return 0;
}

int64_t sys_capget(struct linux_state *state, const uint64_t arg[6])
{
    const struct __user_cap_data_struct none[2] = {{0}, {0}};
    size_t words;
    int32_t id;
    int64_t result = capability_header(state, arg[0], &words, &id);

    if (!result)
        result = check_thread(state, (uint32_t)id);
    if (!arg[1])
        return result == -EINVAL && !words ? 0 : result; /* a question for the version */
    return result ? result : guest_put(state, arg[1], none, words * sizeof(none[0]));
}

int64_t sys_capset(struct linux_state *state, const uint64_t arg[6])
{
    struct __user_cap_data_struct data[2] = {{0}, {0}};
    size_t words;
    int32_t id;
    int64_t result = capability_header(state, arg[0], &words, &id);

    if (result)
        return result;
    if (id && id != state->thread->id)
        return -EPERM;
    if (guest_get(state, arg[1], data, words * sizeof(data[0])))
        return -EFAULT;
    for (size_t i = 0; i < words; i++) {
        if (data[i].effective | data[i].permitted | data[i].inheritable)
            return -EPERM;
    }
    return 0;
}

/* ---- scheduling ---------------------------------------------------------- */

int64_t sys_get_scheduler(struct linux_state *state, const uint64_t arg[6])
{
    (void)state;
    return check_thread(state, arg[0]); /* SCHED_OTHER is 0 */
}

static int64_t set_scheduler(struct linux_state *state, uint64_t pid, uint64_t policy,
                             uint64_t addr)
{
    int32_t priority;
    int result = check_thread(state, pid);

    if (!addr)
        return -EINVAL;
    if (guest_get(state, addr, &priority, sizeof(priority)))
        return -EFAULT;
    if (result)
        return result;
    if (policy == SCHED_OTHER || policy == SCHED_BATCH)
        return priority ? -EINVAL : 0; /* to the host every VM is batch work */
    return policy == SCHED_FIFO || policy == SCHED_RR ? -EPERM : -EINVAL;
}

int64_t sys_set_scheduler(struct linux_state *state, const uint64_t arg[6])
{
    return set_scheduler(state, arg[0], (uint32_t)arg[1], arg[2]);
}

int64_t sys_sched_setparam(struct linux_state *state, const uint64_t arg[6])
{
    return set_scheduler(state, arg[0], SCHED_OTHER, arg[1]);
}

int64_t sys_sched_getparam(struct linux_state *state, const uint64_t arg[6])
{
    int result = check_thread(state, arg[0]);

    if (!arg[1])
        return -EINVAL;
    return result ? result : get_into(state, arg[1], 0);
}

static int64_t priority_bound(uint64_t policy, int real_time)
{
    switch ((uint32_t)policy) {
    case SCHED_FIFO:
    case SCHED_RR:
        return real_time;
    case SCHED_OTHER:
    case SCHED_BATCH:
    case SCHED_IDLE:
    case SCHED_DEADLINE:
        return 0;
    default:
        return -EINVAL;
    }
}

int64_t sys_priority_max(struct linux_state *state, const uint64_t arg[6])
{
    (void)state;
    return priority_bound(arg[0], REAL_TIME_MOST);
}

int64_t sys_priority_min(struct linux_state *state, const uint64_t arg[6])
{
    (void)state;
    return priority_bound(arg[0], 1);
}

/* The priority that the host gives the thread that runs the VM. */
int64_t sys_rr_interval(struct linux_state *state, const uint64_t arg[6])
{
    struct timespec slice = {0};
    int result = check_thread(state, arg[0]);

    if (result)
        return result;
    sched_rr_get_interval(0, &slice);
    return guest_put(state, arg[1], &slice, sizeof(slice));
}

static int check_priority(struct linux_state *state, uint64_t which, uint64_t who)
{
    bool there = !(uint32_t)who;

    switch ((uint32_t)which) {
    case PRIO_PROCESS: /* of one thread, on Linux */
        there |= check_thread(state, who) == 0;
        break;
    case PRIO_PGRP:
        there |= process_is_group(state, (int32_t)who, 0);
        break;
    case PRIO_USER:
        there |= (uint32_t)who == LINUX_USER;
        break;
    default:
        return -EINVAL;
    }
    return there ? 0 : -ESRCH;
}

int64_t sys_getpriority(struct linux_state *state, const uint64_t arg[6])
{
    int result = check_priority(state, arg[0], arg[1]);

    return result ? result : NICE_ZERO;
}

/* A VM that lowers its priority would delay the peers that wait for its messages and releases. */
int64_t sys_setpriority(struct linux_state *state, const uint64_t arg[6])
{
    int result = check_priority(state, arg[0], arg[1]);

    if (result)
        return result;
    return (int32_t)arg[2] == 0 ? 0 : (int32_t)arg[2] < 0 ? -EACCES : -EPERM;
}

/* No class was set. */
int64_t sys_ioprio_get(struct linux_state *state, const uint64_t arg[6])
{
    (void)state;
    return arg[0] < 1 || arg[0] > 3 ? -EINVAL : arg[0] == 1 ? check_thread(state, arg[1]) : 0;
}

/* As the kernel's struct sched_attr in its first version, which is 48 bytes. */
struct scheduling {
    uint32_t bytes, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t deadline[3];
};

int64_t sys_sched_getattr(struct linux_state *state, const uint64_t arg[6])
{
    struct scheduling answer = {.bytes = sizeof(answer)};
    int result = check_thread(state, arg[0]);

    if (!arg[1] || (int32_t)arg[0] < 0 || (uint32_t)arg[2] < sizeof(answer) ||
        (uint32_t)arg[2] > FERRY_PAGE_BYTES || (uint32_t)arg[3])
        return -EINVAL;
    return result ? result : guest_put(state, arg[1], &answer, sizeof(answer));
}

/* ---- protection keys ------------------------------------------------------ */

/* There are none, as on a processor without them. */
int64_t sys_pkey_alloc(struct linux_state *state, const uint64_t arg[6])
{
    (void)state;
    return arg[0] || arg[1] & ~3ull ? -EINVAL : -ENOSPC;
}

int64_t sys_pkey_free(struct linux_state *state, const uint64_t arg[6])
{
    (void)state;
    (void)arg;
    return -EINVAL;
}

int64_t sys_pkey_mprotect(struct linux_state *state, const uint64_t arg[6])
{
    return (int32_t)arg[3] == -1 ? sys_mprotect(state, arg) : -EINVAL;
}

/* ---- memory of several nodes and threads --------------------------------- */

/* There is one node. */
int64_t sys_get_mempolicy(struct linux_state *state, const uint64_t arg[6])
{
    uint64_t words = (arg[2] + 63) / 64;
    const uint64_t none = 0;

    if (arg[4])
        return -EINVAL;
    if (arg[0] && get_into(state, arg[0], MPOL_DEFAULT))
        return -EFAULT;
    if (!arg[1])
        return 0;
    if (arg[2] > CPU_SET_BYTES_MAX * 8ull)
        return -EINVAL;
    for (uint64_t i = 0; i < words; i++) {
        if (guest_put(state, arg[1] + i * sizeof(none), &none, sizeof(none)))
            return -EFAULT;
    }
    return 0;
}

int64_t sys_set_mempolicy(struct linux_state *state, const uint64_t arg[6])
{
    (void)state;
    return arg[0] == MPOL_DEFAULT && !arg[1] ? 0 : -EINVAL;
}

int64_t sys_mbind(struct linux_state *state, const uint64_t arg[6])
{
    uint64_t bytes = page_up(arg[1]);

    if (arg[0] & (FERRY_PAGE_BYTES - 1) || arg[2] != MPOL_DEFAULT || arg[3] || arg[5])
        return -EINVAL;
    return !bytes || space_reach(vm_space(state->vm), guest_addr(arg[0]), bytes, 0).at ? 0
                                                                                       : -EFAULT;
}

/* The host's interrupts every processor that runs a thread of this process, also in a guest. */
int64_t sys_membarrier(struct linux_state *state, const uint64_t arg[6])
{
    const uint32_t registrations =
        MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED;
    const uint32_t all = MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED |
                         MEMBARRIER_CMD_PRIVATE_EXPEDITED | registrations;
    uint32_t command = (uint32_t)arg[0];

    if (arg[1] || command & ~all || command & (command - 1))
        return -EINVAL;
    if (command == MEMBARRIER_CMD_QUERY)
        return all;
    if (command == MEMBARRIER_CMD_PRIVATE_EXPEDITED && !state->membarrier_registered)
        return -EPERM;
    if (command == MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)
        state->membarrier_registered = true;
    if (state->thread_count == 1 || command & registrations)
        return 0; /* with one thread there is always order */
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) ||
        syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0))
        return -ENOSYS;
    return 0;
}

int64_t sys_set_robust_list(struct linux_state *state, const uint64_t arg[6])
{
    if (arg[1] != ROBUST_LIST_BYTES)
        return -EINVAL;
    state->thread->task.robust_list = arg[0];
    return 0;
}

int64_t sys_get_robust_list(struct linux_state *state, const uint64_t arg[6])
{
    const uint64_t bytes = ROBUST_LIST_BYTES;
    const struct linux_thread *thread =
        (int32_t)arg[0] ? thread_find(state, (int32_t)arg[0]) : state->thread;

    if (!thread)
        return -ESRCH;
    if (guest_put(state, arg[2], &bytes, sizeof(bytes)) ||
        guest_put(state, arg[1], &thread->task.robust_list, sizeof(uint64_t)))
        return -EFAULT;
    return 0;
}

/* ---- personality --------------------------------------------------------- */

/* Addresses are not random as it is. */
int64_t sys_personality(struct linux_state *state, const uint64_t arg[6])
{
    uint32_t old = state->thread->task.persona, wanted = (uint32_t)arg[0];

    if (wanted == UINT32_MAX)
        return old;
    if (wanted & ~(uint32_t)ADDR_NO_RANDOMIZE)
        return -EINVAL;
    state->thread->task.persona = wanted;
    return old;
}
