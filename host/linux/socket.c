/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns sockets: pairs of AF_UNIX within one program. There are no others. */
#include "linux/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "linux/calls.h"
#include "linux/file_type.h"
#include "linux/state.h"

_Static_assert(offsetof(struct socket, rights) == 0, "rights.c finds them there");

/* Before each message of a socket that keeps them apart. */
typedef uint32_t message_length;

/* There is room to write where the longest message fits, so that a wait for it is enough. */
#define RING_BYTES (SOCKET_BYTES + SOCKET_BYTES / 4)

static bool keeps_messages(const struct socket *socket)
{
    return socket->type != SOCK_STREAM;
}

struct socket *socket_of(struct linux_state *state, uint64_t fd, struct open_file **file,
                         int *result)
{
    *file = descriptor_file(state, fd);
    *result = !*file || (*file)->status & O_PATH ? -EBADF
              : (*file)->kind != FILE_SOCKET     ? -ENOTSOCK
                                                 : 0;
    return *result ? NULL : (*file)->object;
}

static bool has_room(const struct socket *peer)
{
    return byte_ring_room(&peer->ring) >= SOCKET_BYTES + sizeof(message_length);
}

/* ---- taking and putting -------------------------------------------------- */

/* Nothing is there: why. */
static int64_t nothing(struct socket *socket)
{
    int error = socket->error;

    socket->error = 0;
    return error ? -error : socket->no_more_in ? 0 : -EAGAIN;
}

static void drop_bytes(struct socket *socket, size_t bytes)
{
    byte_ring_drop(&socket->ring, bytes);
    socket->taken += bytes;
}

/* What came with bytes before this one. */
static struct rights *rights_before(struct socket *socket, uint64_t end, bool peek)
{
    if (!socket->rights.first || socket->rights.first->start >= end)
        return NULL;
    return peek ? socket->rights.first : rights_take(&socket->rights);
}

static size_t take_message(struct socket *socket, void *to, size_t bytes, struct socket_read *how)
{
    message_length length;
    size_t got;

    byte_ring_peek(&socket->ring, 0, &length, sizeof(length));
    got = length < bytes ? length : bytes;
    byte_ring_peek(&socket->ring, sizeof(length), to, got);
    how->rights = rights_before(socket, socket->taken + 1, how->peek);
    if (!how->peek) {
        drop_bytes(socket, sizeof(length) + length);
        socket->messages--;
    }
    how->length = length;
    return got;
}

/* Of a stream: not beyond the bytes that something came with. */
static size_t take_bytes(struct socket *socket, void *to, size_t bytes, struct socket_read *how)
{
    const struct rights *first = socket->rights.first;
    size_t got;

    if (first && first->end - socket->taken < bytes)
        bytes = (size_t)(first->end - socket->taken);
    got = byte_ring_peek(&socket->ring, 0, to, bytes);
    how->rights = rights_before(socket, socket->taken + got, how->peek);
    if (!how->peek)
        drop_bytes(socket, got);
    how->length = got;
    return got;
}

int64_t socket_take(struct linux_state *state, struct socket *socket, void *to, size_t bytes,
                    struct socket_read *how)
{
    size_t got;

    how->length = 0;
    how->rights = NULL;
    if (!socket->ring.fill)
        return nothing(socket);
    got = keeps_messages(socket) ? take_message(socket, to, bytes, how)
                                 : take_bytes(socket, to, bytes, how);
    if (!how->peek && socket->peer && has_room(socket)) {
        socket->peer->out_edges++;
        vm_wake_for(state->vm, wakes_of(socket->peer));
    }
    return (int64_t)got;
}

static int64_t put_message(struct linux_state *state, struct socket *peer, const void *from,
                           size_t bytes)
{
    message_length length = (message_length)bytes;
    int64_t put;

    if (bytes > SOCKET_BYTES)
        return -EMSGSIZE;
    if (byte_ring_room(&peer->ring) < sizeof(length) + bytes)
        return -EAGAIN;
    put = byte_ring_put(state, &peer->ring, &length, sizeof(length));
    if (put < 0)
        return put;
    byte_ring_put(state, &peer->ring, from, bytes); /* it has memory and room */
    peer->messages++;
    return (int64_t)bytes;
}

int64_t socket_put(struct linux_state *state, struct socket *socket, const void *from, size_t bytes,
                   struct rights **rights)
{
    struct socket *peer = socket->peer;
    uint64_t start;
    int64_t put;

    if (socket->type == SOCK_SEQPACKET && socket->error)
        return nothing(socket);
    if (socket->no_more_out)
        return -EPIPE;
    if (!peer)
        return socket->type == SOCK_DGRAM ? -ECONNREFUSED : -EPIPE;
    if (peer->no_more_in)
        return -EPIPE;
    put = rights && *rights ? rights_check(state, *rights, &peer->rights) : 0;
    if (put)
        return put;
    start = peer->taken + peer->ring.fill;
    if (keeps_messages(socket))
        put = put_message(state, peer, from, bytes);
    else if (bytes && !byte_ring_room(&peer->ring))
        put = -EAGAIN;
    else
        put = byte_ring_put(state, &peer->ring, from, bytes);
    if (rights && *rights && peer->taken + peer->ring.fill > start) {
        (*rights)->start = start;
        (*rights)->end = peer->taken + peer->ring.fill;
        rights_put(&peer->rights, *rights);
        *rights = NULL;
    }
    if (put >= 0) {
        peer->in_edges++;
        vm_wake_for(state->vm, wakes_of(peer));
    }
    return put;
}

/* ---- as a file ----------------------------------------------------------- */

static int64_t socket_get_op(struct linux_state *state, struct open_file *file, void *to,
                             size_t bytes)
{
    struct socket_read how = {0};
    int64_t got = socket_take(state, file->object, to, bytes, &how);

    rights_drop(state, how.rights);
    return got;
}

static int64_t socket_put_op(struct linux_state *state, struct open_file *file, const void *from,
                             size_t bytes)
{
    return socket_put(state, file->object, from, bytes, NULL);
}

/* A write ends at once: with an error. */
static bool never_waits(const struct socket *socket)
{
    return !socket->peer || socket->no_more_out || socket->peer->no_more_in;
}

static int socket_poll(struct linux_state *state, struct open_file *file, int want,
                       struct readiness *readiness)
{
    const struct socket *socket = file->object;
    bool gone = socket->no_more_in && socket->no_more_out;
    int holds = (socket->error ? POLLERR : 0) | (gone ? POLLHUP : 0);

    (void)state;
    readiness->in_edges = socket->in_edges;
    readiness->out_edges = socket->out_edges;
    if (socket->no_more_in)
        holds |= POLLRDHUP;
    if (socket->no_more_in || socket->ring.fill)
        holds |= want & POLLIN;
    if (never_waits(socket) || has_room(socket->peer))
        holds |= want & POLLOUT;
    return holds;
}

static uint64_t socket_patience(const struct open_file *file, int events)
{
    const struct socket *socket = file->object;

    return events & POLLOUT ? socket->put_ns : socket->get_ns;
}

static int socket_stat(struct linux_state *state, const struct open_file *file, struct stat *out)
{
    const struct socket *socket = file->object;

    (void)state;
    out->st_ino = socket->inode;
    return 0;
}

static int64_t socket_available(struct linux_state *state, struct open_file *file)
{
    const struct socket *socket = file->object;
    message_length length = 0;

    (void)state;
    if (socket->type != SOCK_DGRAM) /* all of them */
        return (int64_t)(socket->ring.fill - socket->messages * sizeof(length));
    byte_ring_peek(&socket->ring, 0, &length, sizeof(length));
    return length;
}

/* Those who wait for it, or to write to it, look again. */
static void changed(struct linux_state *state, struct socket *socket)
{
    socket->in_edges++;
    socket->out_edges++;
    vm_wake_for(state->vm, wakes_of(socket) | wakes_of(socket->peer));
}

/* The other side of what is shut is told, unless it has no connection. */
void socket_shut(struct linux_state *state, struct socket *socket, bool in, bool out)
{
    struct socket *peer = socket->peer;

    socket->no_more_in |= in;
    socket->no_more_out |= out;
    changed(state, socket);
    if (peer && socket->type != SOCK_DGRAM) {
        peer->no_more_in |= out;
        peer->no_more_out |= in;
        changed(state, peer);
    }
}

static void socket_release(struct linux_state *state, const struct open_file *file)
{
    struct socket *socket = file->object;

    if (socket->peer) {
        if (socket->ring.fill && socket->type != SOCK_DGRAM)
            socket->peer->error = ECONNRESET;
        socket_shut(state, socket, true, true);
        socket->peer->peer = NULL;
    }
    while (socket->rights.first)
        rights_drop(state, rights_take(&socket->rights));
    byte_ring_fini(state, &socket->ring);
    free(socket);
}

const struct file_type socket_type = {
    .name = "socket",
    .mode = S_IFSOCK | 0777,
    .stream = true,
    .get = socket_get_op,
    .put = socket_put_op,
    .poll = socket_poll,
    .patience = socket_patience,
    .stat = socket_stat,
    .available = socket_available,
    .release = socket_release,
};

/* ---- making them --------------------------------------------------------- */

#define TYPE_MASK 0xf

/* A pair, or -ENOMEM. */
static int make_two(struct linux_state *state, int type, struct socket *two[2])
{
    for (unsigned i = 0; i < 2; i++) {
        two[i] = calloc(1, sizeof(*two[i]));
        if (!two[i]) {
            free(i ? two[0] : NULL);
            return -ENOMEM;
        }
        two[i]->type = type;
        two[i]->get_ns = two[i]->put_ns = UINT64_MAX;
        two[i]->inode = object_number(state);
        two[i]->options[SO_SNDBUF] = two[i]->options[SO_RCVBUF] = SOCKET_BYTES;
        byte_ring_init(&two[i]->ring, RING_BYTES);
    }
    two[0]->peer = two[1];
    two[1]->peer = two[0];
    return 0;
}

int64_t sys_socketpair(struct linux_state *state, const uint64_t arg[6])
{
    uint32_t flags = (uint32_t)arg[1] & ~(uint32_t)TYPE_MASK;
    int type = (int)((uint32_t)arg[1] & TYPE_MASK), result;
    struct open_file like[2] = {{.kind = FILE_SOCKET, .fd = -1}, {.kind = FILE_SOCKET, .fd = -1}};
    struct socket *two[2];

    if (flags & ~(uint32_t)(SOCK_CLOEXEC | SOCK_NONBLOCK))
        return -EINVAL;
    if ((uint32_t)arg[0] != AF_UNIX)
        return (uint32_t)arg[0] == AF_INET || (uint32_t)arg[0] == AF_INET6 ? -EOPNOTSUPP
                                                                           : -EAFNOSUPPORT;
    if ((uint32_t)arg[2] != 0 && (uint32_t)arg[2] != AF_UNIX)
        return -EPROTONOSUPPORT;
    if (type == SOCK_RAW)
        type = SOCK_DGRAM; /* as Linux does */
    if (type != SOCK_STREAM && type != SOCK_DGRAM && type != SOCK_SEQPACKET)
        return -ESOCKTNOSUPPORT;
    result = make_two(state, type, two);
    if (result)
        return result;
    for (unsigned i = 0; i < 2; i++) {
        like[i].object = two[i];
        like[i].status = O_RDWR | (int)(flags & SOCK_NONBLOCK);
    }
    return install_pair(state, like, arg[3], flags & SOCK_CLOEXEC);
}

/* A VM has no network, and nobody listens at a name. Programs that can do without a family of
 * addresses go on at this error. */
int64_t sys_socket(struct linux_state *state, const uint64_t arg[6])
{
    (void)state;
    (void)arg;
    return -EAFNOSUPPORT;
}
