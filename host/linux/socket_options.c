/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the options of sockets: the limits of their waits, and those that are kept and told. */
#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "linux/calls.h"
#include "linux/socket.h"
#include "linux/state.h"

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
