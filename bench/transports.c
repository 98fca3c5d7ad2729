/* SPDX-License-Identifier: BSD-2-Clause */
/* Transports that the kernel carries: pipes, sockets, vmsplice. */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "processes.h"

#define PIPE_BYTES   (1 << 20) /* the most an ordinary user may ask for */
#define SOCKET_BYTES (1 << 20)
#define READ_BYTES   (256u << 10) /* at once: what was read is still in the cache */
#define PACKET_BYTES (64u << 10)

static int open_pipe(struct pair *pair)
{
    int flags = pair->work->transport->spinning ? O_NONBLOCK : 0;

    if (pipe2(pair->fds, O_CLOEXEC | flags) != 0)
        return -errno;
    if (flags && fcntl(pair->fds[1], F_SETPIPE_SZ, PIPE_BYTES) < 0)
        return -errno;
    return 0;
}

static int open_vmsplice(struct pair *pair)
{
    if (pipe2(pair->fds, O_CLOEXEC | O_NONBLOCK) != 0 ||
        fcntl(pair->fds[1], F_SETPIPE_SZ, PIPE_BYTES) < 0)
        return -errno;
    return 0;
}

static int open_socket(struct pair *pair)
{
    const struct transport *transport = pair->work->transport;
    int bytes = SOCKET_BYTES;
    int flags = transport->spinning ? SOCK_NONBLOCK : 0;

    if (socketpair(AF_UNIX, transport->socket_type | SOCK_CLOEXEC | flags, 0, pair->fds) != 0)
        return -errno;
    for (int i = 0; i < 2; i++)
        if (setsockopt(pair->fds[i], SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) != 0)
            setsockopt(pair->fds[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    return 0;
}

static bool again(void)
{
    return errno == EAGAIN || errno == EINTR || errno == ENOBUFS;
}

/* All of it, in pieces of at most `piece`. */
static int write_all(int fd, const char *data, size_t bytes, size_t piece)
{
    while (bytes > 0) {
        ssize_t done = write(fd, data, bytes < piece ? bytes : piece);

        if (done < 0 && !again())
            return -errno;
        if (done > 0) {
            data += done;
            bytes -= (size_t)done;
        }
    }
    return 0;
}

static int send_bytes(struct pair *pair, size_t piece)
{
    size_t bytes = pair->work->bytes;
    char *message = pair_memory(bytes, false);
    int result = message ? 0 : -ENOMEM;

    while (result == 0 && pair_more(pair)) {
        pair_fill(pair, message);
        result = write_all(pair->fds[1], message, bytes, piece);
    }
    return result;
}

static int send_stream(struct pair *pair)
{
    return send_bytes(pair, SIZE_MAX);
}

static int send_packets(struct pair *pair)
{
    return send_bytes(pair, PACKET_BYTES);
}

static int receive_bytes(struct pair *pair)
{
    char *buffer = pair_memory(READ_BYTES, false);

    if (!buffer)
        return -ENOMEM;
    for (;;) {
        ssize_t got = read(pair->fds[0], buffer, READ_BYTES);

        if (got == 0)
            return 0;
        if (got > 0)
            pair_take(pair, buffer, (size_t)got);
        else if (!again())
            return -errno;
    }
}

static int splice_all(int fd, char *data, size_t bytes)
{
    struct iovec vec = {data, bytes};

    while (vec.iov_len > 0) {
        ssize_t done = vmsplice(fd, &vec, 1, 0);

        if (done < 0 && !again())
            return -errno;
        if (done > 0) {
            vec.iov_base = (char *)vec.iov_base + done;
            vec.iov_len -= (size_t)done;
        }
    }
    return 0;
}

/* A page in the pipe must not be written again before it was read: so many messages that the pipe
 * cannot hold the one that is next. */
static int send_spliced(struct pair *pair)
{
    size_t bytes = pair->work->bytes, slots = PIPE_BYTES / bytes + 2;
    char *messages = pair_memory(slots * bytes, false);
    int result = messages ? 0 : -ENOMEM;

    for (size_t slot = 0; result == 0 && pair_more(pair); slot = (slot + 1) % slots) {
        pair_fill(pair, messages + slot * bytes);
        result = splice_all(pair->fds[1], messages + slot * bytes, bytes);
    }
    return result;
}

const struct transport transport_pipe = {open_pipe, send_stream, receive_bytes, .spinning = false};
const struct transport transport_pipe_spinning = {open_pipe, send_stream, receive_bytes,
                                                  .spinning = true};
const struct transport transport_stream = {open_socket, send_stream, receive_bytes,
                                           .socket_type = SOCK_STREAM};
const struct transport transport_stream_spinning = {open_socket, send_stream, receive_bytes,
                                                    .spinning = true, .socket_type = SOCK_STREAM};
const struct transport transport_seqpacket = {open_socket, send_packets, receive_bytes,
                                              .socket_type = SOCK_SEQPACKET};
const struct transport transport_seqpacket_spinning = {
    open_socket, send_packets, receive_bytes, .spinning = true, .socket_type = SOCK_SEQPACKET};
const struct transport transport_vmsplice = {open_vmsplice, send_spliced, receive_bytes,
                                             .spinning = true};
