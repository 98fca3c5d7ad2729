/* SPDX-License-Identifier: BSD-2-Clause */
/* Private to the personality: a socket, and what its calls do to it. */
#ifndef FERRY_HOST_LINUX_SOCKET_H
#define FERRY_HOST_LINUX_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "linux/objects.h"
#include "linux/rights.h"

struct iovec;
struct linux_state;
struct open_file;

/* What SO_SNDBUF tells; no message can be longer. */
#define SOCKET_BYTES 212992

/* Of SOL_SOCKET those that are below this number. */
#define SOCKET_OPTIONS 32

/* One of a pair of AF_UNIX; it belongs to one open file. */
struct socket {
    struct rights_queue rights;   /* that came with what is there; the first member */
    struct socket *peer;          /* NULL: it is closed */
    int type;                     /* SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET */
    int error;                    /* to be told once: ECONNRESET */
    bool no_more_in, no_more_out; /* shut down */
    uint32_t in_edges, out_edges;
    uint64_t inode;
    int options[SOCKET_OPTIONS]; /* that change nothing */
    uint64_t get_ns, put_ns;     /* how long a call waits; UINT64_MAX: for ever */
    uint32_t messages;           /* how many arrived that are kept apart */
    uint64_t taken;              /* bytes that ever left the ring */
    struct byte_ring ring;       /* what arrived; each message after its length, but of a stream */
};

/* Of a message, how it is taken. */
struct socket_read {
    bool peek;     /* it stays there */
    size_t length; /* out: of all of the message */
    /* out: that came with it, or NULL; the caller's, unless it stays there */
    struct rights *rights;
};

/* The socket behind a descriptor; else NULL and *result is -EBADF or -ENOTSOCK. */
struct socket *socket_of(struct linux_state *state, uint64_t fd, struct open_file **file,
                         int *result);
/* As read(2) and write(2) that never wait. */
int64_t socket_take(struct linux_state *state, struct socket *socket, void *to, size_t bytes,
                    struct socket_read *how);
/* *rights, if there are any, go along with the first byte, and are NULL then. */
int64_t socket_put(struct linux_state *state, struct socket *socket, const void *from, size_t bytes,
                   struct rights **rights);
/* The pieces go as one message where messages are kept apart. Waits as `waits` and the flags of the
 * file say. */
int64_t socket_send(struct linux_state *state, struct open_file *file, const struct iovec *pieces,
                    uint64_t count, bool waits, struct rights **rights);
/* flags: MSG_PEEK, MSG_DONTWAIT, MSG_WAITALL. */
int64_t socket_receive(struct linux_state *state, struct open_file *file,
                       const struct iovec *pieces, uint64_t count, uint64_t flags,
                       struct socket_read *how);
/* Ends one direction or both, as shutdown(2) does. */
void socket_shut(struct linux_state *state, struct socket *socket, bool in, bool out);

#endif
