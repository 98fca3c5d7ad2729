/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the calls that are for sockets alone: messages, ends, names. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "linux/calls.h"
#include "linux/socket.h"
#include "linux/state.h"

/* Bytes of a stream pass through our memory in parts of this size. */
#define PART_BYTES 65536
#define SEND_FLAGS (MSG_DONTWAIT | MSG_NOSIGNAL | MSG_EOR | MSG_MORE)
#define RECEIVE_FLAGS \
    (MSG_DONTWAIT | MSG_PEEK | MSG_TRUNC | MSG_WAITALL | MSG_CMSG_CLOEXEC | MSG_NOSIGNAL)

static bool is_stream(const struct open_file *file)
{
    const struct socket *socket = file->object;

    return socket->type == SOCK_STREAM;
}

/* ---- sending ------------------------------------------------------------- */

/* With `rights` the first of it goes by itself, so that nobody gets the bytes without them. */
static int64_t put_part(struct linux_state *state, struct open_file *file, const void *from,
                        size_t bytes, bool waits, struct rights **rights)
{
    int64_t put;

    if (*rights) {
        do
            put = socket_put(state, file->object, from, bytes, rights);
        while (waits && file_waited(state, file, POLLOUT, &put));
        return put;
    }
    return waits ? file_write_bytes(state, file, from, bytes) : file_put(state, file, from, bytes);
}

int64_t socket_send(struct linux_state *state, struct open_file *file, const struct iovec *pieces,
                    uint64_t count, bool waits, struct rights **rights)
{
    uint64_t bytes = pieces_bytes(pieces, count), done = 0;
    size_t part = bytes < PART_BYTES || !is_stream(file) ? bytes : PART_BYTES;
    char *memory;
    int64_t put;

    if (!is_stream(file) && bytes > SOCKET_BYTES)
        return -EMSGSIZE;
    memory = malloc(part + 1);
    if (!memory)
        return -ENOMEM;
    do {
        size_t now = bytes - done < part ? bytes - done : part;

        put = pieces_copy(state, pieces, count, done, memory, now, false);
        if (!put)
            put = put_part(state, file, memory, now, waits, rights);
        done += put > 0 ? (uint64_t)put : 0;
    } while (put > 0 && done < bytes);
    free(memory);
    return done ? (int64_t)done : put;
}

static int64_t send_pieces(struct linux_state *state, struct open_file *file,
                           const struct iovec *pieces, uint64_t count, uint64_t flags,
                           struct rights **rights)
{
    int64_t result;

    if (flags & ~(uint64_t)SEND_FLAGS)
        return -EOPNOTSUPP;
    result = socket_send(state, file, pieces, count,
                         !(flags & MSG_DONTWAIT || file->status & O_NONBLOCK), rights);
    return result == -EPIPE && !(flags & MSG_NOSIGNAL) ? signal_broken_pipe(state) : result;
}

/* Those of a pair are connected, so no address may be given. */
int64_t sys_sendto(struct linux_state *state, const uint64_t arg[6])
{
    const struct iovec piece = {(void *)(uintptr_t)arg[1],
                                arg[2] < TRANSFER_MAX ? arg[2] : TRANSFER_MAX};
    struct rights *none = NULL;
    struct open_file *file;
    int error;

    if (!socket_of(state, arg[0], &file, &error))
        return error;
    return arg[4] ? -EISCONN : send_pieces(state, file, &piece, 1, (uint32_t)arg[3], &none);
}

/* Fetches the header at `addr` and its pieces. */
static int fetch_message(struct linux_state *state, uint64_t addr, struct msghdr *message,
                         struct iovec pieces[IOV_MAX])
{
    if (guest_get(state, addr, message, sizeof(*message)))
        return -EFAULT;
    if (message->msg_iovlen > IOV_MAX)
        return -EMSGSIZE;
    return pieces_fetch(state, (uintptr_t)message->msg_iov, message->msg_iovlen, pieces);
}

static int64_t send_message(struct linux_state *state, struct open_file *file, uint64_t addr,
                            uint64_t flags)
{
    struct iovec pieces[IOV_MAX];
    struct rights *rights = NULL;
    struct msghdr message;
    int64_t sent;
    int result = fetch_message(state, addr, &message, pieces);

    if (!result)
        result = rights_fetch(state, &message, &rights);
    if (!result && message.msg_name && message.msg_namelen)
        result = -EISCONN;
    sent = result ? result
                  : send_pieces(state, file, pieces, message.msg_iovlen, (uint32_t)flags, &rights);
    rights_drop(state, rights); /* if they did not go */
    return sent;
}

int64_t sys_sendmsg(struct linux_state *state, const uint64_t arg[6])
{
    struct open_file *file;
    int error;

    if (!socket_of(state, arg[0], &file, &error))
        return error;
    return send_message(state, file, arg[1], arg[2]);
}

/* ---- receiving ----------------------------------------------------------- */

int64_t socket_receive(struct linux_state *state, struct open_file *file,
                       const struct iovec *pieces, uint64_t count, uint64_t flags,
                       struct socket_read *how)
{
    uint64_t bytes = pieces_bytes(pieces, count), done = 0;
    bool waits = !(flags & MSG_DONTWAIT);
    bool all = flags & MSG_WAITALL && !(flags & MSG_PEEK) && is_stream(file);
    char *memory;
    int64_t got;

    *how = (struct socket_read){.peek = flags & MSG_PEEK};
    if (bytes > SOCKET_BYTES)
        bytes = SOCKET_BYTES;
    if (!bytes && is_stream(file))
        return 0;
    memory = malloc(bytes + 1);
    if (!memory)
        return -ENOMEM;
    do {
        got = socket_take(state, file->object, memory + done, bytes - done, how);
        done += got > 0 ? (uint64_t)got : 0;
        if (all && got > 0 && done < bytes && !how->rights)
            got = -EAGAIN;
    } while (waits && file_waited(state, file, POLLIN, &got));
    if (done)
        got = pieces_copy(state, pieces, count, 0, memory, done, true) ? -EFAULT : (int64_t)done;
    free(memory);
    return got;
}

/* *truncated: the message was longer; *rights: that came with it, which the caller drops. */
static int64_t receive_pieces(struct linux_state *state, struct open_file *file,
                              const struct iovec *pieces, uint64_t count, uint64_t flags,
                              bool *truncated, struct rights **rights)
{
    struct socket_read how;
    int64_t got;

    if (flags & ~(uint64_t)RECEIVE_FLAGS)
        return flags & MSG_OOB ? -EOPNOTSUPP : -EINVAL;
    got = socket_receive(state, file, pieces, count, flags, &how);
    *truncated = got >= 0 && how.length > (uint64_t)got;
    *rights = how.rights;
    return got >= 0 && flags & MSG_TRUNC && !is_stream(file) ? (int64_t)how.length : got;
}

/* Who sent has no name. */
static int put_no_name(struct linux_state *state, uint64_t addr, uint64_t length_addr)
{
    const uint32_t none = 0;

    return addr && length_addr ? guest_put(state, length_addr, &none, sizeof(none)) : 0;
}

int64_t sys_recvfrom(struct linux_state *state, const uint64_t arg[6])
{
    const struct iovec piece = {(void *)(uintptr_t)arg[1],
                                arg[2] < TRANSFER_MAX ? arg[2] : TRANSFER_MAX};
    struct rights *rights = NULL;
    struct open_file *file;
    bool truncated = false;
    int64_t got;
    int error;

    if (!socket_of(state, arg[0], &file, &error))
        return error;
    got = receive_pieces(state, file, &piece, 1, (uint32_t)arg[3], &truncated, &rights);
    if (!(arg[3] & MSG_PEEK))
        rights_drop(state, rights);
    return got >= 0 && put_no_name(state, arg[4], arg[5]) ? -EFAULT : got;
}

static int64_t receive_message(struct linux_state *state, struct open_file *file, uint64_t addr,
                               uint64_t flags)
{
    const struct socket *socket = file->object;
    struct iovec pieces[IOV_MAX];
    struct rights *rights = NULL;
    struct msghdr message;
    bool truncated = false;
    int64_t got;
    int result = fetch_message(state, addr, &message, pieces);

    if (result)
        return result;
    got = receive_pieces(state, file, pieces, message.msg_iovlen, (uint32_t)flags, &truncated,
                         &rights);
    message.msg_namelen = 0;
    message.msg_flags = (truncated ? MSG_TRUNC : 0) | (int)(flags & MSG_CMSG_CLOEXEC);
    if (got >= 0)
        result = rights_give(state, rights, socket->options[SO_PASSCRED], flags & MSG_CMSG_CLOEXEC,
                             &message);
    if (!(flags & MSG_PEEK))
        rights_drop(state, rights);
    if (got < 0 || result)
        return got < 0 ? got : result;
    return guest_put(state, addr, &message, sizeof(message)) ? -EFAULT : got;
}

int64_t sys_recvmsg(struct linux_state *state, const uint64_t arg[6])
{
    struct open_file *file;
    int error;

    if (!socket_of(state, arg[0], &file, &error))
        return error;
    return receive_message(state, file, arg[1], arg[2]);
}

/* ---- several messages ---------------------------------------------------- */

#define SEVERAL_MAX 1024

/* As the kernel's struct mmsghdr. */
struct one_of_several {
    struct msghdr message;
    uint32_t bytes, zero;
};

static int64_t put_length(struct linux_state *state, uint64_t addr, int64_t bytes)
{
    const uint32_t length = (uint32_t)bytes;

    return guest_put(state, addr + offsetof(struct one_of_several, bytes), &length, sizeof(length));
}

/* Sends or receives the message at an address, with these flags. */
typedef int64_t (*one_message)(struct linux_state *, struct open_file *, uint64_t, uint64_t);

/* How many went; why the first did not. The socket stays the same, also if its descriptor gets
 * another file meanwhile, as in Linux. */
static int64_t several(struct linux_state *state, const uint64_t arg[6], bool only_first_waits,
                       one_message one)
{
    struct open_file *file;
    int error;
    uint32_t count = (uint32_t)arg[2] < SEVERAL_MAX ? (uint32_t)arg[2] : SEVERAL_MAX;
    uint64_t flags = (uint32_t)arg[3] & ~(uint32_t)MSG_WAITFORONE;
    uint32_t done = 0;
    int64_t result = 0;

    if (!socket_of(state, arg[0], &file, &error))
        return error;
    while (done < count && result >= 0) {
        uint64_t addr = arg[1] + done * sizeof(struct one_of_several);

        result = one(state, file, addr, flags);
        if (result >= 0)
            result = put_length(state, addr, result);
        done += result >= 0;
        flags |= only_first_waits ? MSG_DONTWAIT : 0;
    }
    return done ? done : result;
}

int64_t sys_sendmmsg(struct linux_state *state, const uint64_t arg[6])
{
    return several(state, arg, false, send_message);
}

/* The time limit is looked at when a message came, so it does not end a wait: as in Linux. */
int64_t sys_recvmmsg(struct linux_state *state, const uint64_t arg[6])
{
    uint64_t timeout_ns;
    int result = time_get(state, arg[4], &timeout_ns);

    return result ? result : several(state, arg, arg[3] & MSG_WAITFORONE, receive_message);
}

/* ---- ends, names --------------------------------------------------------- */

int64_t sys_shutdown(struct linux_state *state, const uint64_t arg[6])
{
    struct open_file *file;
    int result;
    struct socket *socket = socket_of(state, arg[0], &file, &result);
    uint32_t how = (uint32_t)arg[1];

    if (!socket)
        return result;
    if (how > SHUT_RDWR)
        return -EINVAL;
    socket_shut(state, socket, how != SHUT_WR, how != SHUT_RD);
    return 0;
}

/* Neither end of a pair has a name: the address is its family alone. */
static int64_t put_name(struct linux_state *state, uint64_t addr, uint64_t length_addr)
{
    const uint16_t family = AF_UNIX;
    uint32_t length, whole = sizeof(family);

    if (guest_get(state, length_addr, &length, sizeof(length)))
        return -EFAULT;
    if ((int32_t)length < 0)
        return -EINVAL;
    if (guest_put(state, addr, &family, length < whole ? length : whole))
        return -EFAULT;
    return guest_put(state, length_addr, &whole, sizeof(whole));
}

int64_t sys_getsockname(struct linux_state *state, const uint64_t arg[6])
{
    struct open_file *file;
    int result;

    return socket_of(state, arg[0], &file, &result) ? put_name(state, arg[1], arg[2]) : result;
}

int64_t sys_getpeername(struct linux_state *state, const uint64_t arg[6])
{
    struct open_file *file;
    int result;
    const struct socket *socket = socket_of(state, arg[0], &file, &result);

    if (socket && !socket->peer)
        result = -ENOTCONN;
    return result ? result : put_name(state, arg[1], arg[2]);
}

int64_t sys_connect(struct linux_state *state, const uint64_t arg[6])
{
    struct open_file *file;
    int result;

    return socket_of(state, arg[0], &file, &result) ? -EISCONN : result;
}

int64_t sys_no_listener(struct linux_state *state, const uint64_t arg[6])
{
    struct open_file *file;
    int result;

    return socket_of(state, arg[0], &file, &result) ? -EINVAL : result;
}
