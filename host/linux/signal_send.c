/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the calls that send signals. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "linux/calls.h"
#include "linux/signal_state.h"
#include "linux/state.h"

#define CODE_LOWEST (-7) /* SI_DETHREAD */

static struct signal_info from_itself(const struct linux_state *state, int signo, int code)
{
    return (struct signal_info){.signo = signo, .code = code, .pid = state->pid, .uid = LINUX_USER};
}

void signal_send(struct linux_state *state, int signo)
{
    struct signal_info info = from_itself(state, signo, SI_USER);

    signal_post(state, NULL, &info);
}

/* To any process: another one may wait, or run. */
static int signal_post_to(struct linux_state *state, struct linux_state *to,
                          const struct signal_info *info)
{
    int result = signal_post(to, NULL, info);

    if (to != state)
        vm_interrupt(state->vm);
    return result;
}

/* As from a terminal: to all that are in the group of the first process. */
void signals_from_outside(struct linux_state *state)
{
    uint64_t sent = vm_take_signals(state->vm);

    for (int signo = 1; sent; signo++, sent >>= 1) {
        const struct signal_info info = {.signo = signo, .code = SI_USER};

        for (struct linux_state *to = state->common->processes; to && sent & 1;
             to = to->next_process)
            if (to->group == LINUX_PID)
                signal_post_to(state, to, &info);
    }
}

int64_t signal_broken_pipe(struct linux_state *state)
{
    struct signal_info info = from_itself(state, SIGPIPE, SI_USER);

    signal_post(state, state->thread, &info);
    return -EPIPE;
}

/* There is only one to send to. */
static int64_t send_to(struct linux_state *state, struct linux_thread *thread, bool self,
                       uint64_t number, int code)
{
    struct signal_info info = from_itself(state, (int)(uint32_t)number, code);

    if (!self)
        return -ESRCH;
    if (info.signo < 0 || info.signo > SIGNALS)
        return -EINVAL;
    return info.signo ? signal_post(state, thread, &info) : 0;
}

static bool is_meant(const struct linux_state *state, const struct linux_state *to, int32_t pid)
{
    if (pid > 0)
        return to == process_find(state, pid); /* the number of any thread names the process */
    return pid == -1 ? to != state : to->group == (pid ? -pid : state->group);
}

int64_t sys_kill(struct linux_state *state, const uint64_t arg[6])
{
    int64_t result = -ESRCH;

    for (struct linux_state *to = state->common->processes, *next; to; to = next) {
        next = to->next_process;
        if (!is_meant(state, to, (int32_t)arg[0]))
            continue;
        struct signal_info info = from_itself(state, (int)(uint32_t)arg[1], SI_USER);
        if (info.signo < 0 || info.signo > SIGNALS)
            return -EINVAL;
        result = info.signo ? signal_post_to(state, to, &info) : 0;
    }
    return result;
}

int64_t sys_tkill(struct linux_state *state, const uint64_t arg[6])
{
    struct linux_thread *to;

    if ((int32_t)arg[0] <= 0)
        return -EINVAL;
    to = thread_find(state, (int32_t)arg[0]);
    return send_to(state, to, to, arg[1], SI_TKILL);
}

int64_t sys_tgkill(struct linux_state *state, const uint64_t arg[6])
{
    struct linux_thread *to = thread_find(state, (int32_t)arg[1]);

    if ((int32_t)arg[0] <= 0 || (int32_t)arg[1] <= 0)
        return -EINVAL;
    return send_to(state, to, to && (int32_t)arg[0] == state->pid, arg[2], SI_TKILL);
}

/* The bytes after the first fields have a meaning only with the codes that Linux knows. */
static bool is_known(const struct signal_info *info)
{
    static const struct signal_info none;

    return (info->code <= SI_USER && info->code >= CODE_LOWEST) || info->code == SI_KERNEL ||
           memcmp(info->rest, none.rest, sizeof(none.rest)) == 0;
}

/* Sends a signal with details that the program gives. One that claims to be from the kernel, or from
 * kill or tgkill, may go only to the calling thread, by the number `id`. */
static int64_t queue_to(struct linux_state *state, struct linux_thread *thread, bool self,
                        int32_t id, uint64_t number, uint64_t addr)
{
    struct signal_info info;

    if (guest_get(state, addr, &info, sizeof(info)))
        return -EFAULT;
    if (!is_known(&info))
        return -E2BIG;
    if (id != state->thread->id && (info.code >= 0 || info.code == SI_TKILL))
        return -EPERM;
    if (!self)
        return -ESRCH;
    info.signo = (int)(uint32_t)number;
    if (info.signo < 0 || info.signo > SIGNALS)
        return -EINVAL;
    return info.signo ? signal_post(state, thread, &info) : 0;
}

int64_t sys_rt_sigqueueinfo(struct linux_state *state, const uint64_t arg[6])
{
    int32_t id = (int32_t)arg[0];

    return queue_to(state, NULL, thread_find(state, id), id, arg[1], arg[2]);
}

int64_t sys_rt_tgsigqueueinfo(struct linux_state *state, const uint64_t arg[6])
{
    struct linux_thread *to = thread_find(state, (int32_t)arg[1]);

    if ((int32_t)arg[0] <= 0 || (int32_t)arg[1] <= 0)
        return -EINVAL;
    return queue_to(state, to, to && (int32_t)arg[0] == state->pid, (int32_t)arg[1], arg[2],
                    arg[3]);
}
