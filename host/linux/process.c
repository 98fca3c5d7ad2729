/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the questions of a program about itself and its machine, and its end. */
#include <asm/prctl.h>
#include <errno.h>
#include <sys/random.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>

#include "linux/calls.h"
#include "linux/processes.h"
#include "linux/state.h"

/* getrandom gives at most so much in one call. */
#define RANDOM_MAX ((32ull << 20) - 1)

int64_t sys_exit_group(struct linux_state *state, const uint64_t arg[6])
{
    state->thread->call->next = LINUX_EXIT;
    state->thread->call->status = (int)(arg[0] & 0xff);
    return 0;
}

/* ---- identity ----------------------------------------------------------- */

int64_t sys_pid(struct linux_state *state, const uint64_t arg[6])
{
    (void)arg;
    return state->pid;
}

int64_t sys_getpgrp(struct linux_state *state, const uint64_t arg[6])
{
    (void)arg;
    return state->group;
}

int64_t sys_getpgid(struct linux_state *state, const uint64_t arg[6])
{
    const struct linux_state *of = process_named(state, arg[0]);
    const struct zombie *zombie = zombie_find(state, (int32_t)arg[0], 0);

    return of ? of->group : zombie ? zombie->group : -ESRCH;
}

int64_t sys_getsid(struct linux_state *state, const uint64_t arg[6])
{
    const struct linux_state *of = process_named(state, arg[0]);
    const struct zombie *zombie = zombie_find(state, (int32_t)arg[0], 0);

    return of ? of->session : zombie ? zombie->session : -ESRCH;
}

bool process_is_group(const struct linux_state *state, int32_t group, int32_t session)
{
    const struct linux_state *of = state->common->processes;
    const struct zombie *zombie = zombie_find(state, 0, group);

    while (of && !(of->group == group && (!session || of->session == session)))
        of = of->next_process;
    return of || (zombie && (!session || zombie->session == session));
}

int64_t sys_setpgid(struct linux_state *state, const uint64_t arg[6])
{
    struct linux_state *of = process_named(state, arg[0]);
    int32_t group = (int32_t)arg[1];

    if (group < 0 || (!group && (int32_t)arg[0] < 0))
        return -EINVAL;
    if (!of || (of != state && of->parent != state))
        return -ESRCH;
    if (!group)
        group = of->pid;
    if ((int32_t)arg[0] && (int32_t)arg[0] != of->pid)
        return -EINVAL; /* a thread's number */
    if (of->session != state->session || of->session == of->pid ||
        (group != of->pid && !process_is_group(state, group, state->session)))
        return -EPERM;
    of->group = group;
    return 0;
}

int64_t sys_setsid(struct linux_state *state, const uint64_t arg[6])
{
    (void)arg;
    for (const struct linux_state *of = state->common->processes; of; of = of->next_process)
        if (of->group == state->pid)
            return -EPERM;
    return state->group = state->session = state->pid;
}

int32_t process_parent(const struct linux_state *state)
{
    return state->parent ? state->parent->pid : LINUX_PARENT;
}

int64_t sys_ppid(struct linux_state *state, const uint64_t arg[6])
{
    (void)arg;
    return process_parent(state);
}

int64_t sys_user(struct linux_state *state, const uint64_t arg[6])
{
    (void)state;
    (void)arg;
    return LINUX_USER;
}

/* A change to the user that the program already is; busybox makes it at each start. */
int64_t sys_set_user(struct linux_state *state, const uint64_t arg[6])
{
    (void)state;
    return (uint32_t)arg[0] == LINUX_USER ? 0 : -EPERM;
}

/* The same for two or three of the kind at once, of which -1 leaves one as it is. */
static int64_t set_users(const uint64_t *user, int count)
{
    for (int i = 0; i < count; i++) {
        if ((uint32_t)user[i] != LINUX_USER && (uint32_t)user[i] != UINT32_MAX)
            return -EPERM;
    }
    return 0;
}

int64_t sys_set_two_users(struct linux_state *state, const uint64_t arg[6])
{
    (void)state;
    return set_users(arg, 2);
}

int64_t sys_set_three_users(struct linux_state *state, const uint64_t arg[6])
{
    (void)state;
    return set_users(arg, 3);
}

/* It has no further groups. */
int64_t sys_getgroups(struct linux_state *state, const uint64_t arg[6])
{
    (void)state;
    return (int32_t)arg[0] < 0 ? -EINVAL : 0;
}

int64_t sys_setgroups(struct linux_state *state, const uint64_t arg[6])
{
    (void)state;
    return (int32_t)arg[0] == 0 ? 0 : -EPERM;
}

int64_t sys_three_users(struct linux_state *state, const uint64_t arg[6])
{
    const uint32_t user = LINUX_USER;

    for (int i = 0; i < 3; i++) {
        if (guest_put(state, arg[i], &user, sizeof(user)))
            return -EFAULT;
    }
    return 0;
}

int64_t sys_umask(struct linux_state *state, const uint64_t arg[6])
{
    uint32_t old = state->umask;

    state->umask = (uint32_t)arg[0] & 0777;
    return old;
}

/* ---- the machine -------------------------------------------------------- */

int64_t sys_uname(struct linux_state *state, const uint64_t arg[6])
{
    static const struct utsname name = {
        .sysname = "Linux",
        .nodename = "ferry",
        .release = "6.1.0", /* some libcs refuse to run on kernels they think too old */
        .version = "#1 Ferry",
        .machine = "x86_64",
        .domainname = "(none)",
    };

    return guest_put(state, arg[0], &name, sizeof(name));
}

int64_t sys_sysinfo(struct linux_state *state, const uint64_t arg[6])
{
    uint64_t used = space_used_by_all(vm_space(state->vm));
    struct sysinfo info = {
        .totalram = state->memory_bytes,
        .freeram = state->memory_bytes > used ? state->memory_bytes - used : 0,
        .procs = 1,
        .mem_unit = 1,
    };
    struct timespec up = {0};

    clock_gettime(CLOCK_BOOTTIME, &up);
    info.uptime = up.tv_sec;
    return guest_put(state, arg[0], &info, sizeof(info));
}

int64_t sys_getrandom(struct linux_state *state, const uint64_t arg[6])
{
    size_t bytes = arg[1] < RANDOM_MAX ? arg[1] : RANDOM_MAX, done = 0;
    char *to;

    if (arg[2] & ~(uint64_t)(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE) ||
        (arg[2] & GRND_RANDOM && arg[2] & GRND_INSECURE))
        return -EINVAL;
    to = vm_memory(state->vm, guest_addr(arg[0]), bytes, true).at; /* for the kernel only */
    if (!to)
        return -EFAULT;
    while (done < bytes) {
        ssize_t got = getrandom(to + done, bytes - done, 0);

        if (got > 0)
            done += (size_t)got;
        else if (errno != EINTR || vm_stopping(state->vm))
            return -errno;
    }
    return (int64_t)bytes;
}

/* ---- the thread --------------------------------------------------------- */

int64_t sys_arch_prctl(struct linux_state *state, const uint64_t arg[6])
{
    uint64_t base;

    switch (arg[0]) {
    case ARCH_SET_FS:
    case ARCH_SET_GS:
        if (arg[1] >= MEMORY_USER_END)
            return -EPERM;
        (arg[0] == ARCH_SET_FS ? vm_set_fs : vm_set_gs)(state->thread->call->cpu, arg[1]);
        return 0;
    case ARCH_GET_FS:
    case ARCH_GET_GS:
        base = (arg[0] == ARCH_GET_FS ? vm_fs : vm_gs)(state->thread->call->cpu);
        return guest_put(state, arg[1], &base, sizeof(base));
    default:
        return -EINVAL;
    }
}

/* ---- answers that never change ------------------------------------------ */

int64_t sys_zero(struct linux_state *state, const uint64_t arg[6])
{
    (void)state;
    (void)arg;
    return 0;
}

int64_t sys_not_permitted(struct linux_state *state, const uint64_t arg[6])
{
    (void)state;
    (void)arg;
    return -EPERM;
}

/* Every libc asks at its start and does without: not worth a line in the log. */
int64_t sys_no_rseq(struct linux_state *state, const uint64_t arg[6])
{
    (void)state;
    (void)arg;
    return -ENOSYS;
}
