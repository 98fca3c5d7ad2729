/* SPDX-License-Identifier: BSD-2-Clause */
/* Waiting on an endpoint: for a message, a completion or room. */
#include "ipc/endpoint_wait.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>

#include "ipc/link.h"
#include "ipc/room.h"
#include "lib/clock.h"

void endpoint_show_waiting(struct endpoint *endpoint, uint32_t waiting)
{
    atomic_store(&endpoint->waiting, waiting != 0);
    for (uint32_t i = 0; i < endpoint->in_count; i++) {
        struct ferry_link *link = endpoint->in[i];
        if (!link->sender_peer_entry)
            continue;
        /* The sender's control structure lives as long as the sender does. */
        endpoint_lock(link->from);
        if (link->from->live) {
            __atomic_store_n(&link->sender_peer_entry->waiting, waiting, __ATOMIC_RELEASE);
            if (link->sender_waited)
                __atomic_store_n(link->sender_waited, waiting != 0, __ATOMIC_SEQ_CST);
        }
        endpoint_unlock(link->from);
    }
}

uint32_t endpoint_prepare(struct endpoint *endpoint)
{
    uint32_t seen = atomic_load(&endpoint->events);

    atomic_fetch_add(&endpoint->waiters, 1);
    endpoint_show_waiting(endpoint, FERRY_WAITS);
    room_unpark(endpoint);
    /* The receiver waits too: the bytes it waits for must not stay gathered here. */
    if (endpoint->stream_out && atomic_load(&endpoint->stream_out->to->waiting))
        endpoint_pull_stream(endpoint);
    if (endpoint->stream_in)
        endpoint_pull_stream(endpoint->stream_in->from);
    return seen;
}

void endpoint_finish(struct endpoint *endpoint)
{
    if (atomic_fetch_sub(&endpoint->waiters, 1) != 1)
        return; /* another thread waits on */
    atomic_store(&endpoint->wants_direct, false);
    endpoint_show_waiting(endpoint, 0);
}

static bool wait_is_over(const struct endpoint *endpoint, uint32_t seen)
{
    return endpoint->stopping || atomic_load(&endpoint->events) != seen;
}

/* No wake is lost: either this thread sees the new count, here or in the kernel's check, or the
 * thread that counts up sees `asleep`. Each stores before it loads. Who clears `asleep` counts once more,
 * since it may be late and clear that of another wait. Who was woken looks again, even if the count has
 * come around to what it was. models/wake.pml tries all orders of these steps. */
static int block(struct endpoint *endpoint, uint32_t seen, uint64_t deadline_ns, uint32_t what)
{
    int result = 0;

    atomic_fetch_or(&endpoint->asleep, what);
    if (!wait_is_over(endpoint, seen))
        result = clock_futex_wait_for(&endpoint->events, seen, deadline_ns, what);
    return endpoint->stopping ? -EINTR : atomic_load(&endpoint->events) != seen ? 0 : result;
}

/* As block: `polls` comes before `asleep`, so that who sees that one sees this one as well. What a
 * late wake writes is read by a later wait, which looks once too often. */
static int block_on(struct endpoint *endpoint, uint32_t seen, uint64_t deadline_ns,
                    struct pollfd *entries, unsigned count)
{
    eventfd_t unused;
    int result = 0;

    entries[0] = (struct pollfd){.fd = endpoint->waker, .events = POLLIN};
    atomic_store(&endpoint->polls, true);
    atomic_store(&endpoint->asleep, UINT32_MAX);
    if (!wait_is_over(endpoint, seen))
        result = clock_poll(entries, count, deadline_ns);
    atomic_store(&endpoint->asleep, 0);
    atomic_store(&endpoint->polls, false);
    if (entries[0].revents)
        eventfd_read(endpoint->waker, &unused);
    return endpoint->stopping ? -EINTR : atomic_load(&endpoint->events) != seen ? 0 : result;
}

/* What a wait is for: bits, or descriptors. */
struct wanted {
    uint32_t what;
    struct pollfd *entries; /* with room for the waker; NULL: none */
    unsigned count;
};

static int wait_once(struct endpoint *endpoint, uint32_t seen, uint64_t deadline_ns,
                     const struct wanted *wanted)
{
    return wanted->entries ? block_on(endpoint, seen, deadline_ns, wanted->entries, wanted->count)
                           : block(endpoint, seen, deadline_ns, wanted->what);
}

static int let_others_in(struct endpoint *endpoint, uint32_t seen, uint64_t deadline_ns,
                         const struct wanted *wanted)
{
    const struct endpoint_waits *waits = endpoint->waits;
    void *who = NULL;

    if (!waits)
        return wait_once(endpoint, seen, deadline_ns, wanted);
    if (!waits->begin(endpoint->vm, &who))
        return -EINTR;
    int result = wait_once(endpoint, seen, deadline_ns, wanted);
    return waits->end(endpoint->vm, who) ? result : -EINTR;
}

int endpoint_block_on(struct endpoint *endpoint, uint32_t seen, uint64_t deadline_ns,
                      struct pollfd *entries, unsigned count)
{
    const struct wanted wanted = {.entries = entries, .count = count};

    return let_others_in(endpoint, seen, deadline_ns, &wanted);
}

int endpoint_block_for(struct endpoint *endpoint, uint32_t seen, uint64_t deadline_ns,
                       uint32_t what)
{
    const struct wanted wanted = {.what = what};

    return let_others_in(endpoint, seen, deadline_ns, &wanted);
}

int endpoint_block(struct endpoint *endpoint, uint32_t seen, uint64_t deadline_ns)
{
    return endpoint_block_for(endpoint, seen, deadline_ns, UINT32_MAX);
}

bool endpoint_keeps(const struct endpoint *endpoint, const void *at, uint64_t bytes, bool write)
{
    return !endpoint->waits || endpoint->waits->keeps(endpoint->vm, at, bytes, write);
}
