/* SPDX-License-Identifier: BSD-2-Clause */
/* Prints what Linux answers about pipes, events, sets of them and timers, so that a run in a VM can be
 * compared with one outside. */
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

#include "say.h"

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
    printf("had much %d, interval %ld\n", spec.it_value.tv_sec > 400, spec.it_interval.tv_nsec);
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
    printf("left much %d, interval %ld\n", spec.it_value.tv_sec > 400, spec.it_interval.tv_nsec);
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

/* Reads and writes with memory that is not there: at the end, with nothing there, and with a byte. */
static void nowhere(const char *what, int in, int out)
{
    void *const places[] = {NULL, (void *)8, (void *)-4096};

    printf("nowhere, %s\n", what);
    for (unsigned i = 0; i < 3; i++) {
        struct iovec pieces[2] = {{places[i], 0}, {places[i], 3}};

        say("read", read(in, places[i], 3));
        say("no bytes", read(in, places[i], 0));
        say("pieces", readv(in, pieces, 2));
        say("empty pieces", readv(in, pieces, 1));
        say("write", out < 0 ? 0 : write(out, places[i], 3));
        say("write nothing", out < 0 ? 0 : write(out, places[i], 0));
        say("pread", pread(in, places[i], 3, 5));
    }
}

static void reads_nowhere(void)
{
    int file = open("/proc/self/exe", O_RDONLY), ends[2], pair[2];

    nowhere("a file", file, -1);
    lseek(file, 0, SEEK_END);
    nowhere("the end of a file", file, -1);
    say("pipe", pipe2(ends, O_NONBLOCK));
    nowhere("an empty pipe", ends[0], ends[1]);
    say("put", write(ends[1], "a", 1));
    nowhere("a pipe", ends[0], ends[1]);
    say("get", read(ends[0], (char[1]){0}, 1));
    close(ends[1]);
    nowhere("the end of a pipe", ends[0], -1);
    say("pair", socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair));
    nowhere("an empty socket", pair[0], pair[1]);
    shutdown(pair[1], SHUT_WR);
    nowhere("the end of a socket", pair[0], -1);
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
    odds();
    reads_nowhere();
    waits();
    return 0;
}
