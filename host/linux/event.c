/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns eventfd: a counter that can be waited for. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "linux/calls.h"
#include "linux/file_type.h"
#include "linux/objects.h"
#include "linux/state.h"

struct event {
    uint64_t count; /* at most UINT64_MAX - 1 */
    bool semaphore;
    uint32_t in_edges, out_edges;
};

static int64_t event_get(struct linux_state *state, struct open_file *file, void *to, size_t bytes)
{
    struct event *event = file->object;
    uint64_t count = event->semaphore && event->count ? 1 : event->count;

    if (bytes < sizeof(count))
        return -EINVAL;
    if (!count)
        return -EAGAIN;
    event->count -= count;
    event->out_edges++;
    memcpy(to, &count, sizeof(count));
    vm_wake_for(state->vm, wakes_of(event));
    return sizeof(count);
}

static int64_t event_put(struct linux_state *state, struct open_file *file, const void *from,
                         size_t bytes)
{
    struct event *event = file->object;
    uint64_t count;

    if (bytes < sizeof(count))
        return -EINVAL;
    memcpy(&count, from, sizeof(count));
    __asm__ volatile("" : "+r"(count)); /* fetched once: the program may change it meanwhile */
    if (count == UINT64_MAX)
        return -EINVAL;
    if (count >= UINT64_MAX - event->count)
        return -EAGAIN;
    event->count += count;
    event->in_edges++;
    vm_wake_for(state->vm, wakes_of(event));
    return sizeof(count);
}

static int event_poll(struct linux_state *state, struct open_file *file, int want,
                      struct readiness *readiness)
{
    const struct event *event = file->object;

    (void)state;
    readiness->in_edges = event->in_edges;
    readiness->out_edges = event->out_edges;
    return (event->count ? want & POLLIN : 0) |
           (event->count < UINT64_MAX - 1 ? want & POLLOUT : 0);
}

static void event_release(struct linux_state *state, const struct open_file *file)
{
    (void)state;
    free(file->object);
}

const struct file_type event_type = {
    .name = "anon_inode:[eventfd]",
    .mode = 0600,
    .stream = true,
    .get = event_get,
    .put = event_put,
    .poll = event_poll,
    .release = event_release,
};

int64_t sys_eventfd2(struct linux_state *state, const uint64_t arg[6])
{
    uint32_t flags = (uint32_t)arg[1];
    struct open_file like = {.kind = FILE_EVENT, .fd = -1};
    struct event *event;

    if (flags & ~(uint32_t)(EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE))
        return -EINVAL;
    event = calloc(1, sizeof(*event));
    if (!event)
        return -ENOMEM;
    event->count = (uint32_t)arg[0];
    event->semaphore = flags & EFD_SEMAPHORE;
    like.object = event;
    like.status = O_RDWR | (int)(flags & O_NONBLOCK);
    return install_object(state, &like, flags & EFD_CLOEXEC);
}

int64_t sys_eventfd(struct linux_state *state, const uint64_t arg[6])
{
    return sys_eventfd2(state, (const uint64_t[6]){arg[0], 0});
}
