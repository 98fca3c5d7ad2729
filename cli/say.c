/* SPDX-License-Identifier: BSD-2-Clause */
/* One-line messages on standard error, and text that is written with the same patience. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "command.h"

/* A pipe that has any room takes so many bytes without blocking, and as one piece. */
#define PART_BYTES 4096
/* How often a waiting message checks whether it may wait longer. */
#define TURN_MS 20

static _Atomic uint64_t until_ns = UINT64_MAX;

void say_until(uint64_t moment_ns)
{
    until_ns = moment_ns;
}

static bool too_late(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec >= until_ns;
}

/* Whether it takes a part now. */
static bool wait_for_room(int fd)
{
    struct pollfd room = {.fd = fd, .events = POLLOUT};

    while (poll(&room, 1, too_late() ? 0 : TURN_MS) <= 0)
        if (too_late())
            return false;
    return true;
}

int say_to(int fd, const char *text, size_t bytes)
{
    while (bytes > 0 && wait_for_room(fd)) {
        ssize_t n = write(fd, text, bytes < PART_BYTES ? bytes : PART_BYTES);

        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return errno;
        text += n > 0 ? n : 0;
        bytes -= n > 0 ? (size_t)n : 0;
    }
    return bytes ? ETIMEDOUT : 0;
}

/* One thread writes at a time, or one would take the room that another saw. */
void say_text(const char *text, size_t bytes)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

    pthread_mutex_lock(&lock);
    (void)say_to(STDERR_FILENO, text, bytes); /* nobody to tell */
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
