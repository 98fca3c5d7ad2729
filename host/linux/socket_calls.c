/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the calls that are for sockets alone: messages, options, names. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
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

/* ---- ends, names, options ------------------------------------------------ */

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

#define NS_PER_S 1000000000ull

/* As Linux counts such limits, in ticks: they are rounded up. */
#define TICK_NS 4000000ull

static struct timeval limit_told(uint64_t limit_ns)
{
    if (limit_ns == UINT64_MAX)
        return (struct timeval){0};
    return (struct timeval){.tv_sec = (time_t)(limit_ns / NS_PER_S),
                            .tv_usec = (suseconds_t)(limit_ns % NS_PER_S / 1000)};
}

/* A limit of 0 is none; one below 0 ends a wait at once. */
static int set_limit(struct linux_state *state, uint64_t addr, uint64_t bytes, uint64_t *limit_ns)
{
    const uint64_t most = UINT64_MAX / NS_PER_S - 2;
    struct timeval time;
    uint64_t ns;

    if (bytes < sizeof(time))
        return -EINVAL;
    if (guest_get(state, addr, &time, sizeof(time)))
        return -EFAULT;
    if (time.tv_usec < 0 || time.tv_usec >= 1000000)
        return -EDOM;
    ns = (uint64_t)time.tv_usec * 1000;
    if (time.tv_sec < 0)
        *limit_ns = 0;
    else if (!(time.tv_sec || ns) || (uint64_t)time.tv_sec > most)
        *limit_ns = UINT64_MAX;
    else
        *limit_ns = (uint64_t)time.tv_sec * NS_PER_S + (ns + TICK_NS - 1) / TICK_NS * TICK_NS;
    return 0;
}

/* The value of an option: how many bytes. */
static size_t option_value(struct socket *socket, uint32_t name, void *value)
{
    static const struct ucred anybody = {LINUX_PID, LINUX_USER, LINUX_USER};
    int *number = value;

    switch (name) {
    case SO_TYPE:
        *number = socket->type;
        break;
    case SO_DOMAIN:
        *number = AF_UNIX;
        break;
    case SO_ERROR:
        *number = socket->error;
        socket->error = 0;
        break;
    case SO_PEERCRED:
        *(struct ucred *)value = anybody;
        return sizeof(anybody);
    case SO_LINGER:
        *(struct linger *)value = (struct linger){0};
        return sizeof(struct linger);
    case SO_RCVTIMEO:
    case SO_SNDTIMEO:
        *(struct timeval *)value =
            limit_told(name == SO_RCVTIMEO ? socket->get_ns : socket->put_ns);
        return sizeof(struct timeval);
    default:
        *number = name < SOCKET_OPTIONS ? socket->options[name] : 0;
    }
    return sizeof(*number);
}

static bool is_option(uint32_t name)
{
    switch (name) {
    case SO_TYPE:
    case SO_DOMAIN:
    case SO_ERROR:
    case SO_PEERCRED:
    case SO_LINGER:
    case SO_RCVTIMEO:
    case SO_SNDTIMEO:
    case SO_PROTOCOL:
    case SO_ACCEPTCONN:
    case SO_PASSCRED:
        return true;
    default:
        return name >= SO_DEBUG && name <= SO_REUSEPORT && name != SO_BSDCOMPAT;
    }
}

int64_t sys_getsockopt(struct linux_state *state, const uint64_t arg[6])
{
    struct open_file *file;
    union {
        struct ucred anybody;
        struct timeval time;
    } value;
    uint32_t length, bytes;
    int result;
    struct socket *socket = socket_of(state, arg[0], &file, &result);

    if (!socket)
        return result;
    if (guest_get(state, arg[4], &length, sizeof(length)))
        return -EFAULT;
    if ((int32_t)length < 0)
        return -EINVAL;
    if ((uint32_t)arg[1] != SOL_SOCKET)
        return -EOPNOTSUPP;
    if (!is_option((uint32_t)arg[2]))
        return -ENOPROTOOPT;
    bytes = (uint32_t)option_value(socket, (uint32_t)arg[2], &value);
    length = length < bytes ? length : bytes;
    if (guest_put(state, arg[3], &value, length))
        return -EFAULT;
    return guest_put(state, arg[4], &length, sizeof(length));
}

/* Kept and given back; sizes as Linux gives them back, twice what was asked for. */
int64_t sys_setsockopt(struct linux_state *state, const uint64_t arg[6])
{
    uint32_t name = (uint32_t)arg[2];
    struct open_file *file;
    int value, result;
    struct socket *socket = socket_of(state, arg[0], &file, &result);

    if (!socket)
        return result;
    if ((uint32_t)arg[1] != SOL_SOCKET)
        return -EOPNOTSUPP;
    if (!is_option(name) || name == SO_TYPE || name == SO_ERROR || name == SO_DOMAIN ||
        name == SO_PROTOCOL || name == SO_ACCEPTCONN || name == SO_PEERCRED)
        return -ENOPROTOOPT;
    if (name == SO_RCVTIMEO || name == SO_SNDTIMEO)
        return set_limit(state, arg[3], arg[4],
                         name == SO_RCVTIMEO ? &socket->get_ns : &socket->put_ns);
    if (arg[4] < sizeof(value))
        return -EINVAL;
    if (guest_get(state, arg[3], &value, sizeof(value)))
        return -EFAULT;
    if (name == SO_SNDBUF || name == SO_RCVBUF)
        value = value >= 0 && value < SOCKET_BYTES ? 2 * value : 2 * SOCKET_BYTES;
    if (name < SOCKET_OPTIONS)
        socket->options[name] = value;
    return 0;
}
