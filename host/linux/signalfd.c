/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns signalfd: signals that are read instead of run. Each read takes them from those that are
 * pending for the thread that reads. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>

#include "linux/calls.h"
#include "linux/file_type.h"
#include "linux/objects.h"
#include "linux/state.h"

#define MASK_BYTES 8

struct signals_wanted {
    uint64_t set;
};

/* As the kernel tells it: which details there are depends on who sent it. */
static struct signalfd_siginfo told(const struct signal_info *info)
{
    struct signalfd_siginfo out = {
        .ssi_signo = (uint32_t)info->signo,
        .ssi_errno = info->error,
        .ssi_code = info->code,
    };

    if (info->code == SI_TIMER) {
        out.ssi_tid = (uint32_t)info->timer;
        out.ssi_overrun = (uint32_t)info->overrun;
    } else if (info->code <= SI_USER) {
        out.ssi_pid = (uint32_t)info->pid;
        out.ssi_uid = info->uid;
    }
    if (info->code < SI_USER && info->code != SI_TKILL) {
        out.ssi_ptr = info->value;
        out.ssi_int = (int32_t)info->value;
    }
    return out;
}

static int64_t signals_get(struct linux_state *state, struct open_file *file, void *to,
                           size_t bytes)
{
    const struct signals_wanted *wanted = file->object;
    size_t done = 0;

    if (bytes < sizeof(struct signalfd_siginfo))
        return -EINVAL;
    while (bytes - done >= sizeof(struct signalfd_siginfo)) {
        struct signal_info info;
        struct signalfd_siginfo out;

        if (!signal_take(state, state->thread, wanted->set, &info))
            break;
        out = told(&info);
        memcpy((char *)to + done, &out, sizeof(out));
        done += sizeof(out);
    }
    return done ? (int64_t)done : -EAGAIN;
}

static int signals_poll(struct linux_state *state, struct open_file *file, int want,
                        struct readiness *readiness)
{
    const struct signals_wanted *wanted = file->object;

    readiness->in_edges = state->signals.sent;
    return signal_pending(state, state->thread, wanted->set) ? want & POLLIN : 0;
}

static void signals_release(struct linux_state *state, const struct open_file *file)
{
    (void)state;
    free(file->object);
}

const struct file_type signals_type = {
    .name = "anon_inode:[signalfd]",
    .mode = 0600,
    .stream = true,
    .get = signals_get,
    .poll = signals_poll,
    .release = signals_release,
};

static int64_t make(struct linux_state *state, uint64_t set, uint32_t flags)
{
    struct open_file like = {.kind = FILE_SIGNALS, .fd = -1, .status = O_RDWR};
    struct signals_wanted *wanted = malloc(sizeof(*wanted));

    if (!wanted)
        return -ENOMEM;
    wanted->set = set;
    like.object = wanted;
    like.status |= (int)(flags & SFD_NONBLOCK);
    return install_object(state, &like, flags & SFD_CLOEXEC);
}

/* What those who wait for it are told changes with the set. */
static int64_t change(struct linux_state *state, uint64_t fd, uint64_t set)
{
    struct open_file *file = descriptor_file(state, fd);
    struct signals_wanted *wanted;

    if (!file || file->status & O_PATH)
        return -EBADF;
    if (file->kind != FILE_SIGNALS)
        return -EINVAL;
    wanted = file->object;
    wanted->set = set;
    vm_wake(state->vm);
    return (int64_t)(uint32_t)fd;
}

int64_t sys_signalfd4(struct linux_state *state, const uint64_t arg[6])
{
    uint32_t flags = (uint32_t)arg[3];
    uint64_t set;

    if (arg[2] != MASK_BYTES)
        return -EINVAL;
    if (guest_get(state, arg[1], &set, sizeof(set)))
        return -EFAULT;
    if (flags & ~(uint32_t)(SFD_CLOEXEC | SFD_NONBLOCK))
        return -EINVAL;
    set &= ~SIGNALS_NEVER_BLOCKED;
    return (int32_t)arg[0] == -1 ? make(state, set, flags) : change(state, arg[0], set);
}

int64_t sys_signalfd(struct linux_state *state, const uint64_t arg[6])
{
    return sys_signalfd4(state, (const uint64_t[6]){arg[0], arg[1], arg[2]});
}
