/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns which calls ask for the program's input stream: there it has begun, and a snapshot is worth most. */
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "linux/linux.h"
#include "linux/state.h"

/* Which argument of a call is the descriptor that it reads. */
static const struct asking {
    uint64_t number;
    int file;
} askings[] = {{SYS_read, 0}, {SYS_readv, 0},           {SYS_preadv2, 0}, {SYS_splice, 0},
               {SYS_tee, 0},  {SYS_copy_file_range, 0}, {SYS_sendfile, 1}};

static bool is_input(const struct linux_state *state, uint64_t fd)
{
    const struct open_file *file = descriptor_look(state, fd);

    return file && file->kind == FILE_INPUT;
}

/* Whether a call with that limit at that address waits at all: seconds, and parts of one. */
static bool has_patience(struct linux_state *state, uint64_t limit_addr)
{
    uint64_t limit[2] = {0};

    return !limit_addr || guest_get(state, limit_addr, limit, sizeof(limit)) || limit[0] ||
           limit[1];
}

/* ---- what waits for several files ------------------------------------------------- */

static bool polls_input(struct linux_state *state, const struct linux_call *call)
{
    bool waits = call->number == SYS_poll ? (int)call->arg[2] : has_patience(state, call->arg[2]);
    struct pollfd entry;

    for (uint64_t i = 0; waits && call->arg[1] <= descriptors_limit(state) && i < call->arg[1]; i++)
        if (!guest_get(state, call->arg[0] + i * sizeof(entry), &entry, sizeof(entry)) &&
            entry.events & POLLIN && is_input(state, (uint64_t)entry.fd))
            return true;
    return false;
}

/* select and pselect6, of which the second set of arguments is that of files to read. */
static bool selects_input(struct linux_state *state, const struct linux_call *call)
{
    uint64_t word = 0;

    if (!call->arg[1] || !has_patience(state, call->arg[4]))
        return false;
    for (uint64_t fd = 0; fd < call->arg[0] && fd < DESCRIPTORS_MAX; fd++) {
        if (fd % 64 == 0 && guest_get(state, call->arg[1] + fd / 8, &word, sizeof(word)))
            return false;
        if (word >> fd % 64 & 1 && is_input(state, fd))
            return true;
    }
    return false;
}

/* Of whichever set. */
static bool watches_input(const struct linux_state *state)
{
    for (unsigned i = 0; i < DESCRIPTORS_MAX; i++)
        if (is_input(state, i) && state->descriptors[i].file->watches)
            return true;
    return false;
}

/* ---- all ---------------------------------------------------------------------------- */

/* How much there is. Other requests only ask what kind of file it is, as the C library does. */
static bool asks_amount(const struct linux_state *state, const struct linux_call *call)
{
    return (uint32_t)call->arg[1] == FIONREAD && is_input(state, call->arg[0]);
}

static bool reads_input(const struct linux_state *state, const struct linux_call *call)
{
    for (size_t i = 0; i < sizeof(askings) / sizeof(*askings); i++)
        if (askings[i].number == call->number)
            return is_input(state, call->arg[askings[i].file]);
    return false;
}

bool linux_asks_input(struct linux_state *state, const struct linux_call *call)
{
    if (call->from_int80)
        return false;
    switch (call->number) {
    case SYS_poll:
    case SYS_ppoll:
        return polls_input(state, call);
    case SYS_select:
    case SYS_pselect6:
        return selects_input(state, call);
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
        return (int)call->arg[3] && watches_input(state);
    case SYS_epoll_pwait2:
        return has_patience(state, call->arg[3]) && watches_input(state);
    case SYS_ioctl:
        return asks_amount(state, call);
    default:
        return reads_input(state, call);
    }
}
