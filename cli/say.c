/* SPDX-License-Identifier: BSD-2-Clause */
/* One-line messages on standard error, and text that is written with the same patience. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "command.h"

/* A pipe that has any room takes so many bytes without blocking, and as one piece. */
#define PART_BYTES 4096
/* How often a waiting message checks whether it may wait longer. */
#define TURN_MS 20

/* So long a message waits for any room once it is to be soon, and so long for all the room it needs. */
#define SOON_NS     100000000ull
#define SOON_ALL_NS 1000000000ull

static _Atomic uint64_t until_ns = UINT64_MAX;
static _Atomic uint64_t soon_ns = UINT64_MAX; /* since when messages are to be soon */

void say_until(uint64_t moment_ns)
{
    until_ns = moment_ns;
}

static uint64_t now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void say_soon(void)
{
    uint64_t none = UINT64_MAX;

    atomic_compare_exchange_strong(&soon_ns, &none, now());
}

/* What waited already when messages were to be soon has its time from then on. */
static bool is_too_late(uint64_t begun_ns, uint64_t patience_ns)
{
    uint64_t since = soon_ns > begun_ns ? soon_ns : begun_ns, moment = now();

    return soon_ns != UINT64_MAX && moment > since && moment - since >= patience_ns;
}

/* Whether it takes a part now. */
static bool wait_for_room(int fd)
{
    struct pollfd room = {.fd = fd, .events = POLLOUT};
    uint64_t begun = now();

    while (poll(&room, 1, now() >= until_ns ? 0 : TURN_MS) <= 0)
        if (now() >= until_ns || is_too_late(begun, SOON_NS))
            return false;
    return true;
}

/* Somebody else may have taken the room meanwhile, so the write must not block: pipes and terminals were
 * opened anew for that, and a socket has a flag. */
static ssize_t write_now(int fd, const char *text, size_t bytes)
{
    ssize_t n = send(fd, text, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);

    return n < 0 && errno == ENOTSOCK ? write(fd, text, bytes) : n;
}

int say_to(int fd, const char *text, size_t bytes)
{
    uint64_t begun = now();

    while (bytes > 0 && !is_too_late(begun, SOON_ALL_NS) && wait_for_room(fd)) {
        ssize_t n = write_now(fd, text, bytes < PART_BYTES ? bytes : PART_BYTES);

        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return errno;
        text += n > 0 ? n : 0;
        bytes -= n > 0 ? (size_t)n : 0;
    }
    return bytes ? ETIMEDOUT : 0;
}

/* Standard error, of which the flags are shared with other processes. */
static int error_fd(void)
{
    static int fd = -1;
    struct stat stat;

    if (fd < 0 && fstat(STDERR_FILENO, &stat) == 0 &&
        (S_ISFIFO(stat.st_mode) || S_ISCHR(stat.st_mode)))
        fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return fd < 0 ? STDERR_FILENO : fd;
}

/* One thread writes at a time, so that lines stay whole. */
void say_text(const char *text, size_t bytes)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

    pthread_mutex_lock(&lock);
    (void)say_to(error_fd(), text, bytes); /* nobody to tell */
    pthread_mutex_unlock(&lock);
}

void say(const char *format, ...)
{
    char line[2048] = "ferry: ";
    size_t used = strlen(line);
    va_list args;

    va_start(args, format);
    int n = vsnprintf(line + used, sizeof(line) - used - 1, format, args);
    va_end(args);
    if (n < 0)
        return;
    size_t end = strlen(line);
    for (size_t i = used; i < end; i++) {
        unsigned char c = (unsigned char)line[i];

        if (c < 0x20 || c == 0x7f)
            line[i] = '?';
    }
    line[end++] = '\n';
    say_text(line, end);
}
