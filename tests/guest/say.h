/* SPDX-License-Identifier: BSD-2-Clause */
/* Code that programs share which print what Linux answers: results, events, kinds of descriptors. */
#ifndef FERRY_TESTS_SAY_H
#define FERRY_TESTS_SAY_H

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest.h"

/* A result and, if it is -1, why. */
static inline void say(const char *what, long result)
{
    printf("%s: %ld", what, result);
    if (result == -1)
        printf(" (%s)", strerror(errno));
    putchar('\n');
}

/* The events that hold now. */
static inline void say_events(const char *what, int fd)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN | POLLOUT | POLLPRI | POLLRDHUP};
    int ready = poll(&entry, 1, 0);

    printf("%s: %d, events %#x\n", what, ready, (unsigned)entry.revents);
}

/* What stat and the link in /proc/self/fd tell, without the numbers. */
static inline void say_kind(const char *what, int fd)
{
    char name[32], text[64];
    struct stat stat;
    ssize_t length;

    say(what, fstat(fd, &stat));
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    length = readlink(name, text, sizeof text - 1);
    text[length < 0 ? 0 : length] = '\0';
    if (strncmp(text, "anon", 4) != 0)
        text[strcspn(text, "[")] = '\0';
    printf("mode %o, link %s, flags %#x %#x\n", stat.st_mode, text, fcntl(fd, F_GETFL),
           fcntl(fd, F_GETFD));
}

static inline void fill_up(int fd, size_t bytes)
{
    static char many[100000];

    say("fill", write(fd, many, bytes));
}

static inline void put_count(int fd, uint64_t count)
{
    say("put", write(fd, &count, sizeof count));
}

static inline void get_count(int fd)
{
    uint64_t count = 77;

    say("get", read(fd, &count, sizeof count));
    printf("count %llu\n", (unsigned long long)count);
}

/* What epoll tells within a while, in the order of the data. */
static inline void say_told(const char *what, int set, int timeout_ms)
{
    struct epoll_event told[8];
    int count = epoll_wait(set, told, 8, timeout_ms);

    say(what, count);
    for (uint64_t data = 0; data < 16; data++) {
        for (int i = 0; i < count; i++) {
            if (told[i].data.u64 == data)
                printf("  %d: %#x\n", (int)data, told[i].events);
        }
    }
}

static inline void watch(const char *what, int set, int how, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.u64 = (uint64_t)fd};

    say(what, epoll_ctl(set, how, fd, &event));
}

#endif
