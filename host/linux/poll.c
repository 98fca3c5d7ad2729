/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns waiting for descriptors: poll and select in their variants. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/select.h>

#include "calls.h"
#include "state.h"

#define READ_EVENTS  (POLLIN | POLLRDNORM)
#define WRITE_EVENTS (POLLOUT | POLLWRNORM)
#define NS_PER_S     1000000000ull

/* What the streams are asked for on behalf of one entry. */
static int stream_want(const struct open_file *file, int events)
{
    if (file && file->kind == FILE_INPUT)
        return POLLHUP | (events & READ_EVENTS ? POLLIN : 0);
    if (file && file->kind == FILE_OUTPUT)
        return POLLERR | (events & WRITE_EVENTS ? POLLOUT : 0);
    return 0;
}

/* What holds for one entry, given what holds for the streams. */
static int entry_events(const struct open_file *file, int events, int stream)
{
    if (!file)
        return POLLNVAL;
    if (file->kind == FILE_INPUT)
        return (stream & POLLIN ? events & READ_EVENTS : 0) | (stream & POLLHUP);
    if (file->kind == FILE_OUTPUT)
        return (stream & POLLOUT ? events & WRITE_EVENTS : 0) | (stream & POLLERR);
    return events & (READ_EVENTS | WRITE_EVENTS);
}

/* Fills in what holds for each entry; returns for how many something does. */
static int count_ready(struct linux_state *state, struct pollfd *entries, unsigned count,
                       int stream)
{
    int ready = 0;

    for (unsigned i = 0; i < count; i++) {
        struct pollfd *entry = &entries[i];
        int holds = 0;

        if (entry->fd >= 0)
            holds =
                entry_events(descriptor_file(state, (uint32_t)entry->fd), entry->events, stream);
        entry->revents = (short)holds;
        ready += holds != 0;
    }
    return ready;
}

/* Waits until something holds for one of the entries; returns for how many. */
static int wait_ready(struct linux_state *state, struct pollfd *entries, unsigned count,
                      uint64_t timeout_ns)
{
    int want = 0, stream = 0;

    for (unsigned i = 0; i < count; i++) {
        if (entries[i].fd >= 0)
            want |= stream_want(descriptor_file(state, (uint32_t)entries[i].fd), entries[i].events);
    }
    if (count_ready(state, entries, count, 0))
        timeout_ns = 0;
    if (want)
        stream = stream_poll(state->vm, (short)want, timeout_ns);
    else if (timeout_ns)
        stream = vm_sleep(state->vm, timeout_ns);
    return stream < 0 ? stream : count_ready(state, entries, count, stream);
}

static int64_t poll_entries(struct linux_state *state, uint64_t addr, uint64_t count,
                            uint64_t timeout_ns)
{
    struct pollfd entries[DESCRIPTORS_MAX];
    int ready, err;

    if (count > DESCRIPTORS_MAX)
        return -EINVAL;
    err = guest_get(state, addr, entries, count * sizeof(entries[0]));
    if (err)
        return err;
    ready = wait_ready(state, entries, (unsigned)count, timeout_ns);
    if (ready < 0)
        return ready;
    err = guest_put(state, addr, entries, count * sizeof(entries[0]));
    return err ? err : ready;
}

int64_t sys_poll(struct linux_state *state, const uint64_t arg[6])
{
    int timeout_ms = (int)(uint32_t)arg[2];

    return poll_entries(state, arg[0], arg[1],
                        timeout_ms < 0 ? UINT64_MAX : (uint64_t)timeout_ms * 1000000);
}

int64_t sys_ppoll(struct linux_state *state, const uint64_t arg[6])
{
    uint64_t timeout_ns;
    int err = time_get(state, arg[2], &timeout_ns);

    return err ? err : poll_entries(state, arg[0], arg[1], timeout_ns);
}

/* The three sets of select, in the order of its arguments. */
static const struct {
    int events; /* asked for */
    int ready;  /* which events make the bit come back */
} select_sets[3] = {
    {POLLIN, POLLIN | POLLHUP},
    {POLLOUT, POLLOUT | POLLERR},
    {POLLPRI, 0},
};

static bool set_has(const fd_set *set, unsigned fd)
{
    return FD_ISSET(fd, set);
}

/* One entry for each descriptor that is in a set. */
static int select_entries(struct linux_state *state, const fd_set sets[3], unsigned fds,
                          struct pollfd *entries)
{
    int count = 0;

    for (unsigned fd = 0; fd < fds; fd++) {
        int events = 0;

        for (int i = 0; i < 3; i++)
            events |= set_has(&sets[i], fd) ? select_sets[i].events : 0;
        if (!events)
            continue;
        if (!descriptor_file(state, fd))
            return -EBADF;
        entries[count++] = (struct pollfd){.fd = (int)fd, .events = (short)events};
    }
    return count;
}

/* Leaves in the sets what is ready; returns how many bits that are. */
static int select_result(fd_set sets[3], const struct pollfd *entries, int count)
{
    fd_set asked[3];
    int bits = 0;

    memcpy(asked, sets, sizeof(asked));
    memset(sets, 0, sizeof(asked));
    for (int e = 0; e < count; e++) {
        for (int i = 0; i < 3; i++) {
            if (!set_has(&asked[i], (unsigned)entries[e].fd) ||
                !(entries[e].revents & select_sets[i].ready))
                continue;
            FD_SET(entries[e].fd, &sets[i]);
            bits++;
        }
    }
    return bits;
}

static int64_t select_fds(struct linux_state *state, const uint64_t arg[6], uint64_t timeout_ns)
{
    int nfds = (int)(uint32_t)arg[0];
    unsigned fds = nfds < DESCRIPTORS_MAX ? (unsigned)nfds : DESCRIPTORS_MAX;
    size_t bytes = ((size_t)fds + 63) / 64 * 8; /* sets are arrays of longs */
    struct pollfd entries[DESCRIPTORS_MAX];
    fd_set sets[3];
    int count, ready, bits;

    if (nfds < 0)
        return -EINVAL;
    memset(sets, 0, sizeof(sets));
    for (int i = 0; i < 3; i++) {
        if (arg[1 + i] && guest_get(state, arg[1 + i], &sets[i], bytes))
            return -EFAULT;
    }
    count = select_entries(state, sets, fds, entries);
    if (count < 0)
        return count;
    ready = wait_ready(state, entries, (unsigned)count, timeout_ns);
    if (ready < 0)
        return ready;
    bits = select_result(sets, entries, count);
    for (int i = 0; i < 3; i++) {
        if (arg[1 + i] && guest_put(state, arg[1 + i], &sets[i], bytes))
            return -EFAULT;
    }
    return bits;
}

int64_t sys_select(struct linux_state *state, const uint64_t arg[6])
{
    struct timeval timeout;
    uint64_t timeout_ns = UINT64_MAX;

    if (arg[4]) {
        if (guest_get(state, arg[4], &timeout, sizeof(timeout)))
            return -EFAULT;
        if (timeout.tv_sec < 0 || timeout.tv_usec < 0 || timeout.tv_usec >= 1000000)
            return -EINVAL;
        if (!__builtin_mul_overflow((uint64_t)timeout.tv_sec, NS_PER_S, &timeout_ns) &&
            !__builtin_add_overflow(timeout_ns, (uint64_t)timeout.tv_usec * 1000, &timeout_ns))
            return select_fds(state, arg, timeout_ns);
        timeout_ns = UINT64_MAX;
    }
    return select_fds(state, arg, timeout_ns);
}

int64_t sys_pselect6(struct linux_state *state, const uint64_t arg[6])
{
    uint64_t timeout_ns;
    int err = time_get(state, arg[4], &timeout_ns);

    return err ? err : select_fds(state, arg, timeout_ns);
}
