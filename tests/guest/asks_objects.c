/* SPDX-License-Identifier: BSD-2-Clause */
/* Prints what Linux answers about pipes, events and what else a program has descriptors of, so that
 * a run in a VM can be compared with one outside. */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

int main(void)
{
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    pipes();
    events();
    moves();
    waits();
    return 0;
}
