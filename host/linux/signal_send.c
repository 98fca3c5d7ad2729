/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the calls that send signals. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "linux/calls.h"
#include "linux/processes.h"
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
                          struct linux_thread *thread, const struct signal_info *info)
{
    int result = signal_post(to, thread, info);

    if (to != state)
        vm_interrupt(state->vm);
    return result;
}

void signal_send_to(struct linux_state *state, struct linux_state *to, int signo)
{
    struct signal_info info = from_itself(state, signo, SI_USER);

    signal_post_to(state, to, NULL, &info);
}

/* What a keyboard sends goes to the group in the foreground of the terminal, all else to that of the first
 * process, or to all once that has ended. What else stops the program stops all of it, by the first process; so does a
 * key while that is in the foreground. */
static bool is_for(const struct linux_state *to, int signo)
{
    const uint64_t keys = signal_bit(SIGINT) | signal_bit(SIGQUIT) | signal_bit(SIGWINCH);

    if (signo == SIGTSTP && to->common->foreground != LINUX_PID)
        return to->group == to->common->foreground;
    if (SIGNALS_THAT_STOP & signal_bit(signo))
        return to->pid == LINUX_PID;
    if (keys & signal_bit(signo))
        return to->group == to->common->foreground;
    return to->group == LINUX_PID || to->common->first_ended;
}

void signals_from_outside(struct linux_state *state)
{
    uint64_t sent = vm_take_signals(state->vm);

    for (int signo = 1; sent; signo++, sent >>= 1) {
        const struct signal_info info = {.signo = signo, .code = SI_USER};

        for (struct linux_state *to = state->common->processes; to && sent & 1;
             to = to->next_process) {
            if (!is_for(to, signo))
                continue;
            if (!(SIGNALS_THAT_STOP & signal_bit(signo)))
                process_go_on(to, SIGCONT); /* perhaps nobody in the VM would make it do so */
            signal_post(to, NULL, &info);
            if (to != state)
                vm_interrupt(state->vm);
        }
    }
}

int64_t signal_broken_pipe(struct linux_state *state)
{
    struct signal_info info = from_itself(state, SIGPIPE, SI_USER);

    signal_post(state, state->thread, &info);
    return -EPIPE;
}

/* To the thread of that number, of whichever process; `of`: only if it is of that one, unless 0. */
static int64_t send_to(struct linux_state *state, int32_t of, int32_t id, uint64_t number)
{
    struct signal_info info = from_itself(state, (int)(uint32_t)number, SI_TKILL);
    struct linux_state *to = process_find(state, id);

    if (!to || (of && of != to->pid))
        return -ESRCH;
    if (info.signo < 0 || info.signo > SIGNALS)
        return -EINVAL;
    return info.signo ? signal_post_to(state, to, thread_find(to, id), &info) : 0;
}

static bool is_meant(const struct linux_state *state, const struct linux_state *to, int32_t pid)
{
    if (pid > 0)
        return to == process_find(state, pid); /* the number of any thread names the process */
    return pid == -1 ? to != state : to->group == (pid ? -(int64_t)pid : state->group);
}

/* Where nothing but zombies are meant, which take every signal without effect. */
static int64_t kill_zombies(const struct linux_state *state, int32_t pid)
{
    int32_t group = pid > 0 || pid == -1 || pid == INT32_MIN ? 0 : pid ? -pid : state->group;

    if (pid > 0)
        return zombie_find(state, pid, 0) ? 0 : -ESRCH;
    return group && zombie_find(state, 0, group) ? 0 : -ESRCH;
}

int64_t sys_kill(struct linux_state *state, const uint64_t arg[6])
{
    int64_t result = kill_zombies(state, (int32_t)arg[0]);

    for (struct linux_state *to = state->common->processes; to; to = to->next_process) {
        if (!is_meant(state, to, (int32_t)arg[0]))
            continue;
        struct signal_info info = from_itself(state, (int)(uint32_t)arg[1], SI_USER);
        if (info.signo < 0 || info.signo > SIGNALS)
            return -EINVAL;
        result = info.signo ? signal_post_to(state, to, NULL, &info) : 0;
    }
    return result;
}

int64_t sys_tkill(struct linux_state *state, const uint64_t arg[6])
{
    int32_t id = (int32_t)arg[0];

    return id <= 0 ? -EINVAL : send_to(state, 0, id, arg[1]);
}

int64_t sys_tgkill(struct linux_state *state, const uint64_t arg[6])
{
    int32_t of = (int32_t)arg[0], id = (int32_t)arg[1];

    return of <= 0 || id <= 0 ? -EINVAL : send_to(state, of, id, arg[2]);
}

/* The bytes after the first fields have a meaning only with the codes that Linux knows. */
static bool is_known(const struct signal_info *info)
{
    static const struct signal_info none;

    return (info->code <= SI_USER && info->code >= CODE_LOWEST) || info->code == SI_KERNEL ||
           memcmp(info->rest, none.rest, sizeof(none.rest)) == 0;
}

/* Sends a signal with details that the program gives, to the process or to its thread `id`. One that
 * claims to be from the kernel, or from kill or tgkill, may go only to the calling thread. */
static int64_t queue_to(struct linux_state *state, struct linux_state *to, bool to_thread,
                        int32_t id, const uint64_t arg[2])
{
    struct signal_info info;

    if (guest_get(state, arg[1], &info, sizeof(info)))
        return -EFAULT;
    if (!is_known(&info))
        return -E2BIG;
    if (id != state->thread->id && (info.code >= 0 || info.code == SI_TKILL))
        return -EPERM;
    if (!to)
        return -ESRCH;
    info.signo = (int)(uint32_t)arg[0];
    if (info.signo < 0 || info.signo > SIGNALS)
        return -EINVAL;
    if (!info.signo)
        return 0;
    return signal_post_to(state, to, to_thread ? thread_find(to, id) : NULL, &info);
}

int64_t sys_rt_sigqueueinfo(struct linux_state *state, const uint64_t arg[6])
{
    int32_t id = (int32_t)arg[0];

    return queue_to(state, process_find(state, id), false, id, arg + 1);
}

int64_t sys_rt_tgsigqueueinfo(struct linux_state *state, const uint64_t arg[6])
{
    int32_t of = (int32_t)arg[0], id = (int32_t)arg[1];
    struct linux_state *to = process_find(state, id);

    if (of <= 0 || id <= 0)
        return -EINVAL;
    return queue_to(state, to && to->pid == of ? to : NULL, true, id, arg + 2);
}
