/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns waiting for descriptors: poll and select in their variants. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/select.h>
#include <time.h>

#include "lib/clock.h"
#include "linux/calls.h"
#include "linux/file_type.h"
#include "linux/state.h"

#define NS_PER_S 1000000000ull
#define US_PER_S 1000000

/* What a call waits for. */
struct poll_wait {
    struct linux_state *state;
    struct pollfd *entries;
    unsigned count;
    int ready;      /* how many entries have events */
    uint32_t wakes; /* what wakes it */
};

/* Fills in the events of each entry. The descriptors are looked up anew each time, as another
 * thread may have closed one meanwhile. */
static bool look_at_entries(void *arg, uint64_t *again_ns)
{
    struct poll_wait *wait = arg;

    wait->ready = 0;
    wait->wakes = WAKES_NONE;
    for (unsigned i = 0; i < wait->count; i++) {
        struct pollfd *entry = &wait->entries[i];
        struct open_file *file =
            entry->fd >= 0 ? descriptor_look(wait->state, (uint32_t)entry->fd) : NULL;
        struct readiness readiness = {.again_ns = UINT64_MAX};

        entry->revents = entry->fd >= 0 ? POLLNVAL : 0;
        if (file && !(file->status & O_PATH)) { /* that stands for a name only */
            entry->revents = (short)file_poll(wait->state, file, entry->events, &readiness);
            wait->wakes |= file_wakes(file);
        }
        if (readiness.again_ns < *again_ns)
            *again_ns = readiness.again_ns;
        wait->ready += entry->revents != 0;
    }
    return wait->ready;
}

/* Waits until something holds for one of the entries; returns for how many. */
static int wait_ready(struct linux_state *state, struct pollfd *entries, unsigned count,
                      uint64_t timeout_ns)
{
    struct poll_wait wait = {.state = state, .entries = entries, .count = count};
    int result;

    for (unsigned i = 0; i < count; i++) {
        const struct open_file *file =
            entries[i].fd >= 0 ? descriptor_file(state, (uint32_t)entries[i].fd) : NULL;

        if (file)
            file_first_look(state, file);
    }
    result = vm_wait_for(state->vm, look_at_entries, &wait, timeout_ns, &wait.wakes);
    if (!wait.ready && signal_interrupts(state))
        return -EINTR;
    return result && result != -ETIMEDOUT ? result : wait.ready;
}

static int64_t poll_entries(struct linux_state *state, uint64_t addr, uint64_t count,
                            uint64_t timeout_ns)
{
    struct pollfd entries[DESCRIPTORS_MAX];
    int ready, result;

    if (count > descriptors_limit(state))
        return -EINVAL;
    result = guest_get(state, addr, entries, count * sizeof(entries[0]));
    if (result)
        return result;
    ready = wait_ready(state, entries, (unsigned)count, timeout_ns);
    if (ready < 0)
        return ready;
    result = guest_put(state, addr, entries, count * sizeof(entries[0]));
    return result ? result : ready;
}

int64_t sys_poll(struct linux_state *state, const uint64_t arg[6])
{
    int timeout_ms = (int)(uint32_t)arg[2];

    return poll_entries(state, arg[0], arg[1],
                        timeout_ms < 0 ? UINT64_MAX : (uint64_t)timeout_ms * 1000000);
}

/* Writes back the rest of a time limit, as calls do that take one by reference. */
static uint64_t time_left(uint64_t deadline)
{
    uint64_t now = clock_now();

    return deadline > now ? deadline - now : 0;
}

/* A time limit of 0 is not written back, and neither is one to memory that cannot be written: the
 * result of the call counts. */
static void put_left(struct linux_state *state, uint64_t addr, uint64_t timeout_ns,
                     uint64_t deadline)
{
    uint64_t left = time_left(deadline);
    struct timespec time = {.tv_sec = (time_t)(left / NS_PER_S),
                            .tv_nsec = (long)(left % NS_PER_S)};

    if (addr && timeout_ns && timeout_ns != UINT64_MAX)
        guest_put(state, addr, &time, sizeof(time));
}

int64_t sys_ppoll(struct linux_state *state, const uint64_t arg[6])
{
    uint64_t timeout_ns, deadline;
    int64_t result = time_get(state, arg[2], &timeout_ns);

    if (!result)
        result = signals_let_through(state, arg[3], arg[4]);
    if (result)
        return result;
    deadline = clock_deadline(timeout_ns);
    result = poll_entries(state, arg[0], arg[1], timeout_ns);
    signals_wait_over(state, result);
    put_left(state, arg[2], timeout_ns, deadline);
    return result;
}

/* The three sets of select, in the order of its arguments. */
static const struct {
    int events; /* asked for */
    int ready;  /* which events make the bit come back */
} select_sets[3] = {
    {POLLIN, POLLIN | POLLHUP | POLLERR},
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
        if (!descriptor_look(state, fd))
            return -EBADF;
        entries[count++] = (struct pollfd){.fd = (int)fd, .events = (short)events};
    }
    return count;
}

/* Leaves the ready descriptors in the sets; returns how many bits these are. */
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

/* The timeval at `addr` in nanoseconds, UINT64_MAX if there is none. As in Linux, its microseconds may
 * be more than a second. */
static int timeval_get(struct linux_state *state, uint64_t addr, uint64_t *nanoseconds)
{
    struct timeval time;

    *nanoseconds = UINT64_MAX;
    if (!addr)
        return 0;
    if (guest_get(state, addr, &time, sizeof(time)))
        return -EFAULT;
    if (__builtin_add_overflow(time.tv_sec, time.tv_usec / US_PER_S, &time.tv_sec) ||
        time.tv_sec < 0 || time.tv_usec % US_PER_S < 0)
        return -EINVAL;
    if (__builtin_mul_overflow((uint64_t)time.tv_sec, NS_PER_S, nanoseconds) ||
        __builtin_add_overflow(*nanoseconds, (uint64_t)(time.tv_usec % US_PER_S) * 1000,
                               nanoseconds))
        *nanoseconds = UINT64_MAX;
    return 0;
}

int64_t sys_select(struct linux_state *state, const uint64_t arg[6])
{
    uint64_t timeout_ns, deadline, left;
    int64_t result = timeval_get(state, arg[4], &timeout_ns);

    if (result)
        return result;
    deadline = clock_deadline(timeout_ns);
    result = select_fds(state, arg, timeout_ns);
    left = time_left(deadline);
    struct timeval time = {.tv_sec = (time_t)(left / NS_PER_S),
                           .tv_usec = (suseconds_t)(left % NS_PER_S / 1000)};
    if (arg[4] && timeout_ns && timeout_ns != UINT64_MAX)
        guest_put(state, arg[4], &time, sizeof(time));
    return result;
}

int64_t sys_pselect6(struct linux_state *state, const uint64_t arg[6])
{
    uint64_t timeout_ns, deadline, mask[2] = {0}; /* address, bytes */
    int64_t result = arg[5] ? guest_get(state, arg[5], mask, sizeof(mask)) : 0;

    if (!result)
        result = time_get(state, arg[4], &timeout_ns);
    if (!result)
        result = signals_let_through(state, mask[0], mask[1]);
    if (result)
        return result;
    deadline = clock_deadline(timeout_ns);
    result = select_fds(state, arg, timeout_ns);
    signals_wait_over(state, result);
    put_left(state, arg[4], timeout_ns, deadline);
    return result;
}
