/* SPDX-License-Identifier: BSD-2-Clause */
/* Prints what Linux answers about pipes, events and what else a program has descriptors of, so that
 * a run in a VM can be compared with one outside. */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "guest.h"

/* A result and, if it is -1, why. */
static void say(const char *what, long result)
{
    printf("%s: %ld", what, result);
    if (result == -1)
        printf(" (%s)", strerror(errno));
    putchar('\n');
}

/* The events that hold now. */
static void say_events(const char *what, int fd)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN | POLLOUT | POLLPRI | POLLRDHUP};
    int ready = poll(&entry, 1, 0);

    printf("%s: %d, events %#x\n", what, ready, (unsigned)entry.revents);
}

/* What stat and the link in /proc/self/fd tell, without the numbers. */
static void say_kind(const char *what, int fd)
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

static void fill_up(int fd, size_t bytes)
{
    static char many[100000];

    say("fill", write(fd, many, bytes));
}

static void pipes(void)
{
    struct iovec pieces[2] = {{(void *)(uintptr_t) "abc", 3}, {(void *)(uintptr_t) "defg", 4}};
    char text[100000];
    int ends[2], other, available;

    say("pipe", pipe(ends));
    say_kind("reader", ends[0]);
    say_kind("writer", ends[1]);
    say_events("empty, reader", ends[0]);
    say_events("empty, writer", ends[1]);
    say("nothing", write(ends[1], text, 0));
    say("pieces", writev(ends[1], pieces, 2));
    say("available", ioctl(ends[0], FIONREAD, &available));
    say("bytes", available);
    pieces[0] = (struct iovec){text, 2};
    pieces[1] = (struct iovec){text + 2, 90};
    say("back", readv(ends[0], pieces, 2));
    printf("%.7s\n", text);
    say("the wrong end", read(ends[1], text, 1));
    say("the other wrong end", write(ends[0], text, 1));
    say("seek", lseek(ends[0], 0, SEEK_SET));
    say("at", pread(ends[0], text, 1, 0));
    say("size", fcntl(ends[0], F_GETPIPE_SZ));
    say("without waiting", fcntl(ends[0], F_SETFL, O_NONBLOCK));
    say("empty", read(ends[0], text, 1));
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    fill_up(ends[1], 65536);
    say_events("full, writer", ends[1]);
    fill_up(ends[1], 1);
    say("a page", read(ends[0], text, 4096));
    say_events("a page free, writer", ends[1]);
    fill_up(ends[1], 4097);
    say("size, smaller", fcntl(ends[1], F_SETPIPE_SZ, 4096));
    say("size, larger", fcntl(ends[1], F_SETPIPE_SZ, 100000));
    fill_up(ends[1], 100000);
    say("all", read(ends[0], text, sizeof text));
    say("size, small", fcntl(ends[1], F_SETPIPE_SZ, 100));
    say("rest", read(ends[0], text, sizeof text));
    fill_up(ends[1], 5);
    say("another reader", other = open("/proc/self/fd/3", O_RDONLY | O_NONBLOCK));
    say("reads it", read(other, text, 3));
    close(ends[1]);
    say_events("hung up, reader", ends[0]);
    say("the last", read(ends[0], text, 10));
    say("end", read(ends[0], text, 10));
    say_events("hung up and empty", other);
    close(ends[0]);
    close(other);
    say("flags", pipe2(ends, 0x100));
    say("nowhere", syscall(SYS_pipe2, 1, 0));
    say("pipe2", pipe2(ends, O_CLOEXEC | O_NONBLOCK));
    say_kind("reader", ends[0]);
    close(ends[0]);
    say_events("no reader", ends[1]);
    signal(SIGPIPE, SIG_IGN);
    say("broken", write(ends[1], text, 1));
    close(ends[1]);
}

static void put_count(int fd, uint64_t count)
{
    say("put", write(fd, &count, sizeof count));
}

static void get_count(int fd)
{
    uint64_t count = 77;

    say("get", read(fd, &count, sizeof count));
    printf("count %llu\n", (unsigned long long)count);
}

static void events(void)
{
    char text[16];
    int fd = eventfd(3, EFD_NONBLOCK);

    say("eventfd", fd);
    say_kind("it", fd);
    say_events("three", fd);
    put_count(fd, 4);
    get_count(fd);
    get_count(fd);
    say_events("none", fd);
    say("too short", read(fd, text, 7));
    say("too short", write(fd, text, 7));
    put_count(fd, UINT64_MAX);
    put_count(fd, UINT64_MAX - 1);
    say_events("full", fd);
    put_count(fd, 1);
    get_count(fd);
    say("seek in pages", pread(fd, text, 8, 0));
    close(fd);
    say("semaphore", fd = eventfd(2, EFD_NONBLOCK | EFD_SEMAPHORE | EFD_CLOEXEC));
    say_kind("it", fd);
    get_count(fd);
    get_count(fd);
    get_count(fd);
    close(fd);
    say("flags", eventfd(0, 16));
}

static void moves(void)
{
    int first[2], second[2], file = open("/etc/passwd", O_RDONLY);
    loff_t offset = 2;
    char text[16];

    say("pipe", pipe(first));
    say("pipe", pipe(second));
    say("to itself", splice(first[0], NULL, first[1], NULL, 5, 0));
    fcntl(first[0], F_SETFL, O_NONBLOCK);
    say("nothing there", splice(first[0], NULL, second[1], NULL, 5, SPLICE_F_NONBLOCK));
    say("from a file", splice(file, &offset, first[1], NULL, 4, 0));
    say("offset", offset);
    say("on", splice(first[0], NULL, second[1], NULL, 100, 0));
    say("a file is sent", sendfile(second[1], file, NULL, 4));
    say("all", read(second[0], text, sizeof text));
    printf("%.8s\n", text);
    fill_up(second[1], 65536);
    fill_up(first[1], 5);
    say("no room", splice(first[0], NULL, second[1], NULL, 100, SPLICE_F_NONBLOCK));
    say("not lost", read(first[0], text, sizeof text));
    close(first[0]);
    close(first[1]);
    close(second[0]);
    close(second[1]);
    close(file);
}

/* What epoll tells within a while, in the order of the data. */
static void say_told(const char *what, int set, int timeout_ms)
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

static void watch(const char *what, int set, int how, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.u64 = (uint64_t)fd};

    say(what, epoll_ctl(set, how, fd, &event));
}

static void sets(void)
{
    int set = epoll_create1(EPOLL_CLOEXEC), ends[2], other;
    char text[64];

    say("epoll", set);
    say_kind("it", set);
    say("flags", epoll_create1(1));
    say("size", epoll_create(0));
    say("pipe", pipe2(ends, O_NONBLOCK));
    watch("itself", set, EPOLL_CTL_ADD, set, EPOLLIN);
    watch("no set", ends[0], EPOLL_CTL_ADD, ends[1], EPOLLIN);
    watch("none", set, EPOLL_CTL_ADD, 77, EPOLLIN);
    watch("a change of none", set, EPOLL_CTL_MOD, ends[0], EPOLLIN);
    watch("no call", set, 9, ends[0], EPOLLIN);
    watch("a file", set, EPOLL_CTL_ADD, other = open("/dev/null", O_RDONLY), EPOLLIN);
    close(other);
    watch("reader", set, EPOLL_CTL_ADD, ends[0], EPOLLIN);
    watch("reader again", set, EPOLL_CTL_ADD, ends[0], EPOLLIN);
    watch("writer", set, EPOLL_CTL_ADD, ends[1], EPOLLIN);
    say_told("nothing", set, 0);
    say_told("nothing for a while", set, 10);
    fill_up(ends[1], 3);
    say_told("level", set, -1);
    say_told("level again", set, -1);
    watch("writer too", set, EPOLL_CTL_MOD, ends[1], EPOLLOUT | EPOLLET);
    say_told("both", set, -1);
    say_told("the edge is told", set, 0);
    say("read", read(ends[0], text, 10));
    watch("by edge", set, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLET);
    say_told("no edge", set, 0);
    fill_up(ends[1], 3);
    say_told("an edge", set, 0);
    say_told("no edge", set, 0);
    fill_up(ends[1], 3);
    say_told("another edge", set, 0);
    say("read", read(ends[0], text, 1));
    say_told("no edge", set, 0);
    watch("once", set, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLONESHOT);
    say_told("once", set, 0);
    say_told("not again", set, 0);
    watch("once more", set, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLONESHOT);
    say_told("once", set, 0);
    watch("exclusive", set, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLEXCLUSIVE);
    say("taken out", epoll_ctl(set, EPOLL_CTL_DEL, ends[0], NULL));
    say("taken out again", epoll_ctl(set, EPOLL_CTL_DEL, ends[0], NULL));
    watch("exclusive", set, EPOLL_CTL_ADD, ends[0], EPOLLIN | EPOLLEXCLUSIVE);
    watch("exclusive changed", set, EPOLL_CTL_MOD, ends[0], EPOLLIN);
    say_told("exclusive", set, 0);
    other = dup(ends[0]);
    close(ends[0]);
    say_told("closed and open elsewhere", set, 0);
    close(other);
    say_told("no reader", set, 0);
    say("room for none", epoll_wait(set, NULL, 0, 0));
    say("nowhere", syscall(SYS_epoll_wait, set, 1, 1, 0));
    close(ends[1]);
    say_told("empty", set, 0);
    close(set);
}

static void nested_sets(void)
{
    int set[7], fd = eventfd(0, EFD_NONBLOCK);

    for (int i = 0; i < 7; i++)
        set[i] = epoll_create1(0);
    watch("event", set[0], EPOLL_CTL_ADD, fd, EPOLLIN);
    watch("set", set[1], EPOLL_CTL_ADD, set[0], EPOLLIN);
    watch("set", set[2], EPOLL_CTL_ADD, set[1], EPOLLIN | EPOLLET);
    watch("circle", set[0], EPOLL_CTL_ADD, set[2], EPOLLIN);
    say_events("a set", set[1]);
    put_count(fd, 1);
    say_events("a set with something", set[1]);
    say_told("outer", set[2], -1);
    say_told("outer again", set[2], 0);
    put_count(fd, 1);
    say_told("outer", set[2], 0);
    say_told("middle", set[1], 0);
    for (int i = 0; i < 7; i++)
        close(set[i]);
    close(fd);
}

static void set_timer(const char *what, int fd, int flags, long value_ms, long interval_ms)
{
    struct itimerspec spec = {{interval_ms / 1000, interval_ms % 1000 * 1000000},
                              {value_ms / 1000, value_ms % 1000 * 1000000}};

    say(what, timerfd_settime(fd, flags, &spec, &spec));
    printf("had %ld, interval %ld\n", (long)spec.it_value.tv_sec, spec.it_interval.tv_nsec);
}

static void timers(void)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC), set = epoll_create1(0);
    struct itimerspec spec;
    struct pollfd entry = {fd, POLLIN, 0};

    say("timerfd", fd);
    say_kind("it", fd);
    say("clock", timerfd_create(77, 0));
    say("flags", timerfd_create(CLOCK_REALTIME, 1));
    say("no timer", timerfd_gettime(1, &spec));
    say_events("not set", fd);
    get_count(fd);
    put_count(fd, 1);
    set_timer("bad", fd, 0, -1, 0);
    set_timer("flags", fd, 8, 1, 0);
    set_timer("far", fd, 0, 500500, 7);
    say("get", timerfd_gettime(fd, &spec));
    printf("left %ld, interval %ld\n", (long)spec.it_value.tv_sec, spec.it_interval.tv_nsec);
    watch("timer", set, EPOLL_CTL_ADD, fd, EPOLLIN);
    say_told("not yet", set, 5);
    set_timer("near", fd, 0, 20, 0);
    say_told("expired", set, -1);
    say("poll", poll(&entry, 1, -1));
    get_count(fd);
    get_count(fd);
    say_told("once", set, 30);
    set_timer("past", fd, TFD_TIMER_ABSTIME, 1, 0);
    /* Also a timer whose moment is past expires by an interrupt, so a little later. */
    say("poll", poll(&entry, 1, -1));
    get_count(fd);
    set_timer("off", fd, 0, 0, 1);
    say_told("off", set, 5);
    fcntl(fd, F_SETFL, 0);
    set_timer("waiting", fd, 0, 20, 0);
    get_count(fd);
    close(fd);
    fd = timerfd_create(CLOCK_REALTIME, 0);
    set_timer("far past, by the clock on the wall", fd, TFD_TIMER_ABSTIME, 1000, 0);
    get_count(fd);
    close(fd);
    close(set);
}

static void say_option(const char *what, int fd, int name)
{
    socklen_t length = sizeof(int);
    int value = -1;

    say(what, getsockopt(fd, SOL_SOCKET, name, &value, &length));
    printf("value %d, length %d\n", value, (int)length);
}

static void receive_some(const char *what, int fd, size_t bytes, int flags)
{
    char first[4] = "", second[16] = "";
    struct iovec pieces[2] = {{first, 3}, {second, bytes - 3}};
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2, .msg_name = second};

    say(what, recvmsg(fd, &message, flags));
    printf("%.3s|%.12s, name %d, flags %#x\n", first, second, (int)message.msg_namelen,
           (unsigned)message.msg_flags);
}

static void sockets_of(int type)
{
    struct iovec pieces[2] = {{(void *)(uintptr_t) "abc", 3}, {(void *)(uintptr_t) "defg", 4}};
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
    struct mmsghdr several[2] = {{.msg_hdr = message}, {.msg_hdr = message}};
    struct sockaddr_storage name;
    socklen_t length = sizeof name;
    struct ucred peer;
    char text[300000];
    int pair[2], available;
    long total = 0;

    printf("type %d\n", type);
    say("pair", socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair));
    say_kind("one", pair[0]);
    say_events("empty", pair[0]);
    say_option("type", pair[0], SO_TYPE);
    say_option("family", pair[0], SO_DOMAIN);
    say_option("error", pair[0], SO_ERROR);
    say_option("room", pair[0], SO_SNDBUF);
    say_option("none", pair[0], 250);
    say("reuse", setsockopt(pair[0], SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)));
    length = sizeof peer;
    say("peer", getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &peer, &length));
    printf("me: %d %d\n", peer.pid == getpid(), peer.uid == getuid());
    length = sizeof name;
    say("name", getsockname(pair[0], (struct sockaddr *)&name, &length));
    say("peer's name", getpeername(pair[0], (struct sockaddr *)&name, &length));
    printf("family %d, length %d\n", name.ss_family, (int)length);
    say("nothing", read(pair[0], text, 10));
    say("send", send(pair[0], "hello", 5, 0));
    say("sendmsg", sendmsg(pair[0], &message, MSG_NOSIGNAL));
    say("writev", writev(pair[0], pieces, 2));
    say_events("there", pair[1]);
    say("available", ioctl(pair[1], FIONREAD, &available));
    say("bytes", available);
    receive_some("peek", pair[1], 10, MSG_PEEK);
    receive_some("receive", pair[1], 4, MSG_TRUNC);
    receive_some("receive", pair[1], 15, 0);
    say("read", read(pair[1], text, sizeof text));
    say("nothing", recv(pair[1], text, 10, 0));
    say("seek", lseek(pair[0], 0, SEEK_SET));
    say("at", pwrite(pair[0], text, 1, 0));
    say("to nobody", sendto(pair[0], text, 1, 0, NULL, 0));
    say("long", send(pair[0], text, sizeof text, 0) == sizeof text);
    for (ssize_t put; (put = send(pair[0], text, 60000, 0)) > 0;)
        total += put;
    say("many", total > 100000 && errno == EAGAIN);
    say_events("full", pair[0]);
    while (read(pair[1], text, sizeof text) > 0)
        continue;
    say_events("empty again", pair[0]);
    say("several", sendmmsg(pair[0], several, 2, 0));
    printf("%u %u\n", several[0].msg_len, several[1].msg_len);
    pieces[0].iov_base = pieces[1].iov_base = text;
    say("back", recvmmsg(pair[1], several, 2, MSG_WAITFORONE, NULL));
    printf("%u\n", several[0].msg_len);
    while (read(pair[1], text, sizeof text) > 0)
        continue;
    say("shut", shutdown(pair[0], SHUT_WR));
    say_events("shut, one", pair[0]);
    say_events("shut, other", pair[1]);
    say("no more", send(pair[0], text, 1, MSG_NOSIGNAL));
    say("the other way", write(pair[1], "back", 4));
    say("it", read(pair[0], text, 10));
    say("no way", shutdown(pair[0], 3));
    close(pair[0]);
    say_events("closed", pair[1]);
    say("closed", send(pair[1], text, 1, MSG_NOSIGNAL));
    close(pair[1]);
}

static void sockets(void)
{
    int pair[2], set = epoll_create1(0);
    char text[16];

    sockets_of(SOCK_STREAM);
    sockets_of(SOCK_DGRAM);
    sockets_of(SOCK_SEQPACKET);
    say("family", socketpair(77, SOCK_STREAM, 0, pair));
    say("kind", socketpair(AF_UNIX, 9, 0, pair));
    say("protocol", socketpair(AF_UNIX, SOCK_STREAM, 5, pair));
    say("no socket", send(1, text, 1, 0));
    say("no socket", shutdown(1, 0));
    say("none", recv(77, text, 1, 0));
    say("unread", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    say("send", send(pair[0], "hello", 5, 0));
    close(pair[1]);
    say_events("reset", pair[0]);
    say("reset", read(pair[0], text, 1));
    say("end", read(pair[0], text, 1));
    close(pair[0]);
    say("pair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    watch("by edge", set, EPOLL_CTL_ADD, pair[0], EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    say_told("first", set, 0);
    say_told("no edge", set, 0);
    say("send", send(pair[1], "hello", 5, 0));
    say_told("an edge", set, 0);
    say("back", send(pair[0], "hello", 5, 0));
    say_told("no edge", set, 0);
    say("all of it", recv(pair[1], text, 5, MSG_WAITALL));
    say_told("room is an edge", set, 0);
    say("shut", shutdown(pair[1], SHUT_WR));
    say_told("shut", set, 0);
    close(pair[1]);
    say_told("closed", set, 0);
    close(pair[0]);
    close(set);
}

/* What would wait for ever does not, and a wait takes what comes with a time. */
static void waits(void)
{
    struct pollfd entries[2];
    int ends[2], fd = eventfd(0, 0);
    uint64_t one = 1;

    say("pipe", pipe(ends));
    entries[0] = (struct pollfd){ends[0], POLLIN, 0};
    entries[1] = (struct pollfd){fd, POLLIN, 0};
    say("none of them", poll(entries, 2, 20));
    say("put", write(fd, &one, sizeof one));
    say("one of them", poll(entries, 2, -1));
    printf("%#x %#x\n", (unsigned)entries[0].revents, (unsigned)entries[1].revents);
    close(fd);
    close(ends[0]);
    close(ends[1]);
}

/* Standard input, a pipe, an event and a timer in one wait; each comes in its turn. */
static void mixed(void)
{
    int ends[2], event = eventfd(0, EFD_NONBLOCK), timer = timerfd_create(CLOCK_MONOTONIC, 0);
    int set = epoll_create1(0);
    char text[16];

    say("pipe", pipe(ends));
    watch("input", set, EPOLL_CTL_ADD, STDIN_FILENO, EPOLLIN | EPOLLET);
    watch("reader", set, EPOLL_CTL_ADD, ends[0], EPOLLIN);
    watch("event", set, EPOLL_CTL_ADD, event, EPOLLIN);
    watch("timer", set, EPOLL_CTL_ADD, timer, EPOLLIN);
    printf("ready\n");
    fflush(stdout);
    say_told("input", set, -1);
    say("read", read(STDIN_FILENO, text, sizeof text));
    fill_up(ends[1], 3);
    say_told("reader", set, -1);
    say("read", read(ends[0], text, sizeof text));
    put_count(event, 1);
    say_told("event", set, -1);
    get_count(event);
    set_timer("timer", timer, 0, 20, 0);
    say_told("timer", set, -1);
    get_count(timer);
    printf("more\n");
    fflush(stdout);
    say_told("input", set, -1);
    say("read", read(STDIN_FILENO, text, sizeof text));
    printf("end\n");
    fflush(stdout);
    say_told("input", set, -1);
    say("read", read(STDIN_FILENO, text, sizeof text));
}

/* Waits for what nobody will do. */
static void wait_for_ever(const char *how)
{
    int ends[2], set = epoll_create1(0), timer = timerfd_create(CLOCK_MONOTONIC, 0);
    struct epoll_event event = {.events = EPOLLIN};
    struct pollfd entry;
    char text[1];

    if (pipe(ends) || epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event))
        fail("no pipe");
    printf("ready\n");
    fflush(stdout);
    entry = (struct pollfd){set, POLLIN, 0};
    if (strcmp(how, "read") == 0)
        say(how, read(ends[0], text, 1));
    else if (strcmp(how, "write") == 0)
        fill_up(ends[1], 65537);
    else if (strcmp(how, "event") == 0)
        get_count(eventfd(0, 0));
    else if (strcmp(how, "timer") == 0)
        get_count(timer);
    else if (strcmp(how, "receive") == 0 && !socketpair(AF_UNIX, SOCK_DGRAM, 0, ends))
        say(how, recv(ends[0], text, 1, MSG_PEEK));
    else if (strcmp(how, "splice") == 0)
        say(how, splice(ends[0], NULL, STDOUT_FILENO, NULL, 1, 0));
    else if (strcmp(how, "poll") == 0)
        say(how, poll(&entry, 1, -1));
    else
        say(how, epoll_wait(set, &event, 1, -1));
}

static void *map(int fd, size_t bytes, int prot, long offset)
{
    void *at = mmap(NULL, bytes, prot, MAP_SHARED, fd, offset);

    say("map", at == MAP_FAILED ? -1 : 0);
    return at;
}

static void memory_files(void)
{
    int fd = memfd_create("name", MFD_CLOEXEC | MFD_ALLOW_SEALING), other;
    char text[16] = "", *first, *second;
    struct stat stat;

    say("memfd", fd);
    say_kind("it", fd);
    say("flags", memfd_create("", 0x100));
    say("nowhere", syscall(SYS_memfd_create, 1, 0));
    say("write", write(fd, "hello", 5));
    say("at", pread(fd, text, 5, 0));
    say("seek", lseek(fd, 1, SEEK_SET));
    say("longer", ftruncate(fd, 10000));
    say("seals", fcntl(fd, F_GET_SEALS));
    first = map(fd, 12288, PROT_READ | PROT_WRITE, 0);
    second = map(fd, 4096, PROT_READ, 0);
    first[1] = 'a';
    first[9999] = 'z';
    printf("%.5s\n", second);
    say("read", read(fd, text, 4));
    say("at", pread(fd, text + 4, 4, 9996));
    printf("%.4s %d\n", text, text[7]);
    say("write", pwrite(fd, "b", 1, 2));
    printf("%.5s\n", first);
    say("into itself", pread(fd, first + 4096, 5, 0));
    printf("%.5s\n", first + 4096);
    say("read-only", mprotect(first, 4096, PROT_READ));
    say("writable", mprotect(first, 4096, PROT_READ | PROT_WRITE));
    first[3] = 'c';
    say("unmap", munmap(first, 12288));
    printf("%.5s\n", second);
    say("another", other = open("/proc/self/fd/3", O_RDONLY));
    say("its position", read(other, text, 5));
    printf("%.5s\n", text);
    say("read only", write(other, "x", 1));
    say("map to write", mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, other, 0) == MAP_FAILED ? -1 : 0);
    say("seal writing", fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
    say("grow", ftruncate(fd, 20000));
    munmap(second, 4096);
    say("seal writing", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL));
    say("write", write(fd, "x", 1));
    say("seals", fcntl(fd, F_GET_SEALS));
    say("no more seals", fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
    say("size", fstat(fd, &stat));
    printf("size %ld, links %d\n", (long)stat.st_size, (int)stat.st_nlink);
    close(other);
    close(fd);
    say("no seals", fd = memfd_create("", 0));
    say("seals", fcntl(fd, F_GET_SEALS));
    say("seal", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
    close(fd);
}

/* A file in /tmp, which is in memory in a VM. */
static void temporary_file(void)
{
    char name[] = "/tmp/asks_objects.XXXXXX", text[8] = "", *first, *second;
    int fd = mkstemp(name);

    say("file", fd);
    say("unlink", unlink(name));
    say("longer", ftruncate(fd, 8192));
    first = map(fd, 8192, PROT_READ | PROT_WRITE, 0);
    second = map(fd, 4096, PROT_READ, 4096);
    memcpy(first + 4096, "stored", 7);
    printf("%s\n", second);
    say("read", pread(fd, text, 7, 4096));
    printf("%s\n", text);
    say("sync", msync(first, 8192, MS_SYNC));
    say("longer still", ftruncate(fd, 12288));
    munmap(first, 8192);
    munmap(second, 4096);
    say("close", close(fd));
}

/* Bytes from any kind of descriptor to any other. */
static void moves_among_all(void)
{
    int memory = memfd_create("", 0), other = memfd_create("", 0), ends[2], pair[2];
    loff_t offset = 6, back = 2;
    char text[32] = "";

    say("memory", write(memory, "0123456789", 10));
    say("pipe", pipe(ends));
    say("pair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    say("to a socket", sendfile(pair[0], memory, &offset, 3));
    say("socket to pipe", splice(pair[1], NULL, ends[1], NULL, 100, 0));
    say("pipe to memory", splice(ends[0], NULL, other, &back, 2, 0));
    say("pipe to memory, on", splice(ends[0], NULL, other, NULL, 100, 0));
    printf("offsets %d %d %d\n", (int)offset, (int)back, (int)lseek(other, 0, SEEK_CUR));
    say("memory to memory", sendfile(other, memory, (back = 0, &back), 4));
    say("memory to pipe", splice(memory, (offset = 1, &offset), ends[1], NULL, 4, 0));
    say("pipe to socket", splice(ends[0], NULL, pair[0], NULL, 100, 0));
    say("no pipe", splice(pair[1], NULL, other, NULL, 4, 0));
    say("socket to memory", recv(pair[1], text, sizeof text, 0));
    printf("%s\n", text);
    say("memory", pread(other, text, sizeof text, 0));
    printf("%d %s\n", text[0], text + 1);
    say("at", copy_file_range(memory, (offset = 0, &offset), other, (back = 8, &back), 3, 0));
    say("memory", pread(other, text, sizeof text, 0));
    close(memory);
    close(other);
    for (int i = 0; i < 2; i++) {
        close(ends[i]);
        close(pair[i]);
    }
}

/* Calls that are no objects, and that programs try. */
static void odds(void)
{
    unsigned attributes[12] = {0};
    void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    say("key", syscall(SYS_pkey_alloc, 1, 0));
    say("no key", syscall(SYS_pkey_free, 99));
    say("without a key", syscall(SYS_pkey_mprotect, page, 4096, PROT_READ | PROT_WRITE, -1));
    say("with a wrong key", syscall(SYS_pkey_mprotect, page, 4096, PROT_READ, 99));
    say("scheduling", syscall(SYS_sched_getattr, 0, attributes, sizeof attributes, 0));
    printf("%u bytes, policy %u\n", attributes[0], attributes[1]);
    say("short", syscall(SYS_sched_getattr, 0, attributes, 40, 0));
    say("lock", mlock(page, 4096));
    say("unlock", munlock(page, 4096));
}

/* Tells of changes that others make in a directory, until the file there is gone. */
static void changes(const char *directory)
{
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), number, other, set = epoll_create1(0);
    char events[4096];
    uint32_t last = 0;

    say("inotify", fd);
    say_kind("it", fd);
    say("flags", inotify_init1(1));
    say("no events", inotify_add_watch(fd, directory, 0));
    say("no file", inotify_add_watch(fd, "/nowhere", IN_CREATE));
    say("no inotify", inotify_add_watch(1, directory, IN_CREATE));
    say("watch", number = inotify_add_watch(fd, directory, IN_CREATE | IN_MODIFY | IN_DELETE));
    say("again", inotify_add_watch(fd, directory, IN_CREATE | IN_MODIFY | IN_DELETE));
    say("another", other = inotify_add_watch(fd, "/etc/passwd", IN_MODIFY));
    say("off", inotify_rm_watch(fd, other));
    say("off again", inotify_rm_watch(fd, other));
    say("gone", read(fd, events, sizeof events));
    say("nothing", read(fd, events, sizeof events));
    watch("inotify", set, EPOLL_CTL_ADD, fd, EPOLLIN);
    printf("ready\n");
    fflush(stdout);
    while (!(last & IN_DELETE)) {
        struct epoll_event told;
        ssize_t bytes = epoll_wait(set, &told, 1, -1) == 1 ? read(fd, events, sizeof events) : -1;

        for (ssize_t at = 0; at < bytes;) {
            struct inotify_event event;

            memcpy(&event, events + at, sizeof event);
            printf("%#x %s %d\n", event.mask, events + at + sizeof event, event.wd == number);
            last = event.mask;
            at += (ssize_t)(sizeof event + event.len);
        }
    }
}

static int shared_pipe[2], shared_set;

static void *read_all(void *arg)
{
    char text[4];
    long *count = arg;

    while (read(shared_pipe[0], text, sizeof text) == sizeof text)
        ++*count;
    return NULL;
}

static void *write_many(void *arg)
{
    for (int i = 0; i < 1000; i++) {
        if (write(shared_pipe[1], "four", 4) != 4)
            fail("a write");
    }
    return arg;
}

static void *wait_in_set(void *arg)
{
    struct epoll_event told;

    *(long *)arg = epoll_wait(shared_set, &told, 1, -1);
    return NULL;
}

/* Several threads wait for one object, and each piece goes to one of them. */
static void threads(void)
{
    pthread_t readers[4], writers[2], waiter;
    long counts[4] = {0}, told = 0;
    int event = eventfd(0, 0);

    say("pipe", pipe(shared_pipe));
    for (int i = 0; i < 4; i++)
        say("reader", pthread_create(&readers[i], NULL, read_all, &counts[i]));
    for (int i = 0; i < 2; i++)
        say("writer", pthread_create(&writers[i], NULL, write_many, NULL));
    for (int i = 0; i < 2; i++)
        pthread_join(writers[i], NULL);
    close(shared_pipe[1]);
    for (int i = 0; i < 4; i++)
        pthread_join(readers[i], NULL);
    say("pieces", counts[0] + counts[1] + counts[2] + counts[3]);
    shared_set = epoll_create1(0);
    watch("event", shared_set, EPOLL_CTL_ADD, event, EPOLLIN);
    say("waiter", pthread_create(&waiter, NULL, wait_in_set, &told));
    put_count(event, 1);
    pthread_join(waiter, NULL);
    say("told", told);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    if (argc > 1 && strcmp(argv[1], "mixed") == 0) {
        mixed();
        return 0;
    }
    if (argc > 1 && strcmp(argv[1], "threads") == 0) {
        threads();
        return 0;
    }
    if (argc > 2) {
        changes(argv[2]);
        return 0;
    }
    if (argc > 1) {
        wait_for_ever(argv[1]);
        return 1;
    }
    pipes();
    events();
    moves();
    sets();
    nested_sets();
    timers();
    sockets();
    memory_files();
    temporary_file();
    moves_among_all();
    odds();
    waits();
    return 0;
}
