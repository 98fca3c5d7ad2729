/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns pipes between parts of one program. Their bytes are in memory of the VMM, counted as the
 * program's. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "linux/calls.h"
#include "linux/file_type.h"
#include "linux/objects.h"
#include "linux/state.h"

struct pipe {
    unsigned readers, writers; /* open files */
    uint32_t in_edges, out_edges;
    uint64_t inode;
    struct byte_ring ring;
};

static struct pipe *pipe_of(const struct open_file *file)
{
    return file->object;
}

static void pipe_hold(struct open_file *file)
{
    pipe_of(file)->readers += file_can_read(file);
    pipe_of(file)->writers += file_can_write(file);
}

static void pipe_release(struct linux_state *state, const struct open_file *file)
{
    struct pipe *pipe = pipe_of(file);

    pipe->readers -= file_can_read(file);
    pipe->writers -= file_can_write(file);
    if (pipe->readers || pipe->writers) {
        /* The other end sees the hang-up. */
        pipe->in_edges++;
        pipe->out_edges++;
        vm_wake_for(state->vm, wakes_of(pipe));
        return;
    }
    byte_ring_fini(state, &pipe->ring);
    free(pipe);
}

static int64_t pipe_get(struct linux_state *state, struct open_file *file, void *to, size_t bytes)
{
    struct pipe *pipe = pipe_of(file);
    bool was_full = byte_ring_room(&pipe->ring) < PIPE_BUF;
    size_t got = byte_ring_get(&pipe->ring, to, bytes);

    if (!got)
        return bytes && pipe->writers ? -EAGAIN : 0;
    pipe->out_edges += was_full && byte_ring_room(&pipe->ring) >= PIPE_BUF;
    vm_wake_for(state->vm, wakes_of(pipe));
    return (int64_t)got;
}

int64_t pipe_peek(const struct open_file *file, void *to, size_t bytes)
{
    size_t there = byte_ring_peek(&pipe_of(file)->ring, 0, to, bytes);

    return there || !pipe_of(file)->writers ? (int64_t)there : -EAGAIN;
}

/* Up to PIPE_BUF bytes go in as a whole. */
static int64_t pipe_put(struct linux_state *state, struct open_file *file, const void *from,
                        size_t bytes)
{
    struct pipe *pipe = pipe_of(file);
    size_t room = byte_ring_room(&pipe->ring);
    int64_t put;

    if (!bytes)
        return 0;
    if (!pipe->readers)
        return -EPIPE;
    if (room < bytes && (bytes <= PIPE_BUF || !room))
        return -EAGAIN;
    put = byte_ring_put(state, &pipe->ring, from, bytes);
    if (put > 0) {
        pipe->in_edges++;
        vm_wake_for(state->vm, wakes_of(pipe));
    }
    return put;
}

static int pipe_poll(struct linux_state *state, struct open_file *file, int want,
                     struct readiness *readiness)
{
    const struct pipe *pipe = pipe_of(file);
    int holds = 0;

    (void)state;
    readiness->in_edges = pipe->in_edges;
    readiness->out_edges = pipe->out_edges;
    if (file_can_read(file)) {
        holds |= pipe->ring.fill ? want & POLLIN : 0;
        holds |= pipe->writers ? 0 : POLLHUP;
    }
    if (file_can_write(file)) {
        holds |= byte_ring_room(&pipe->ring) >= PIPE_BUF ? want & POLLOUT : 0;
        holds |= pipe->readers ? 0 : POLLERR;
    }
    return holds;
}

static int pipe_stat(struct linux_state *state, const struct open_file *file, struct stat *out)
{
    (void)state;
    out->st_ino = pipe_of(file)->inode;
    return 0;
}

static int64_t pipe_available(struct linux_state *state, struct open_file *file)
{
    (void)state;
    return (int64_t)pipe_of(file)->ring.fill;
}

/* Opening it by /proc/self/fd makes another open file of the same pipe. */
static int pipe_reopen(struct linux_state *state, const struct open_file *file,
                       struct open_file *like)
{
    (void)state;
    like->object = file->object;
    pipe_hold(like);
    return 0;
}

static int64_t pipe_resize(struct linux_state *state, struct open_file *file, uint32_t bytes)
{
    struct pipe *pipe = pipe_of(file);
    int result = bytes ? byte_ring_resize(state, &pipe->ring, bytes) : 0;

    if (bytes && !result) {
        pipe->out_edges++;
        vm_wake_for(state->vm, wakes_of(pipe));
    }
    return result ? result : (int64_t)pipe->ring.capacity;
}

const struct file_type pipe_type = {
    .name = "pipe",
    .mode = S_IFIFO | 0600,
    .stream = true,
    .get = pipe_get,
    .put = pipe_put,
    .poll = pipe_poll,
    .stat = pipe_stat,
    .available = pipe_available,
    .reopen = pipe_reopen,
    .resize = pipe_resize,
    .release = pipe_release,
};

static int64_t make_pipe(struct linux_state *state, uint64_t addr, uint64_t flags)
{
    struct open_file ends[2] = {{.kind = FILE_PIPE, .fd = -1, .status = O_RDONLY},
                                {.kind = FILE_PIPE, .fd = -1, .status = O_WRONLY}};
    struct pipe *pipe;

    if (flags & ~(uint64_t)(O_CLOEXEC | O_NONBLOCK))
        return -EINVAL;
    pipe = calloc(1, sizeof(*pipe));
    if (!pipe)
        return -ENOMEM;
    pipe->inode = object_number(state);
    byte_ring_init(&pipe->ring, PIPE_BYTES);
    for (unsigned i = 0; i < 2; i++) {
        ends[i].status |= (int)(flags & O_NONBLOCK);
        ends[i].object = pipe;
        pipe_hold(&ends[i]);
    }
    return install_pair(state, ends, addr, flags & O_CLOEXEC);
}

int64_t sys_pipe(struct linux_state *state, const uint64_t arg[6])
{
    return make_pipe(state, arg[0], 0);
}

int64_t sys_pipe2(struct linux_state *state, const uint64_t arg[6])
{
    return make_pipe(state, arg[0], (uint32_t)arg[1]);
}
