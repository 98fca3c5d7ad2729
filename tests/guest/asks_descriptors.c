/* SPDX-License-Identifier: BSD-2-Clause */
/* Asks about descriptors of signals and of sockets, and copies between pipes. The same lines come from
 * a process and from a VM. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

static void say(const char *what, long result)
{
    if (result < 0)
        printf("%s: %s\n", what, strerrorname_np(errno));
    else
        printf("%s: %ld\n", what, result);
}

static void say_events(const char *what, int fd)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN | POLLOUT};
    int ready = poll(&entry, 1, 0);

    printf("%s: %d ready, %#x\n", what, ready, (unsigned)entry.revents);
}

/* ---- signalfd -------------------------------------------------------------- */

static sigset_t set_of(int first, int second)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, first);
    if (second)
        sigaddset(&set, second);
    return set;
}

static void read_signals(const char *what, int fd, size_t most)
{
    struct signalfd_siginfo told[4];
    ssize_t bytes = read(fd, told, most * sizeof(told[0]));

    say(what, bytes);
    for (ssize_t i = 0; i < bytes / (ssize_t)sizeof(told[0]); i++)
        printf("signal %u, code %d, from me %d, user %d, value %d, timer %u\n", told[i].ssi_signo,
               told[i].ssi_code, told[i].ssi_pid == (uint32_t)getpid(),
               told[i].ssi_code > 0 || told[i].ssi_uid == getuid(), told[i].ssi_int,
               told[i].ssi_overrun);
}

/* Sooner or later than the other waits: the lines are the same. */
static void *send_later(void *arg)
{
    usleep(20000);
    kill(getpid(), SIGUSR2);
    return arg;
}

static void signals(void)
{
    sigset_t set = set_of(SIGUSR1, SIGRTMIN), other = set_of(SIGUSR2, SIGCHLD);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC), events = epoll_create1(0);
    struct itimerval soon = {.it_value.tv_usec = 1000};
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    struct stat stat;
    pthread_t thread;
    char name[64], link[128];

    say("signalfd", fd);
    say("flags", signalfd(-1, &set, 1));
    say("size", syscall(SYS_signalfd4, -1, &set, 4L, 0));
    say("no mask", syscall(SYS_signalfd4, -1, NULL, 8L, 0));
    say("no signalfd", signalfd(1, &set, 0));
    say("closed", signalfd(77, &set, 0));
    say("close on exec", fcntl(fd, F_GETFD));
    say("status", fcntl(fd, F_GETFL));
    say("stat", fstat(fd, &stat));
    printf("mode %o\n", stat.st_mode);
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(name, link, sizeof link);
    printf("%.*s\n", (int)length, link);
    sigprocmask(SIG_BLOCK, &set, NULL);
    sigprocmask(SIG_BLOCK, &other, NULL);
    say_events("nothing", fd);
    read_signals("nothing", fd, 4);
    say("short", read(fd, link, 100));
    say("write", write(fd, name, 64));
    say("watch", epoll_ctl(events, EPOLL_CTL_ADD, fd, &event));
    say("no event", epoll_wait(events, &event, 1, 0));
    raise(SIGUSR1);
    kill(getpid(), SIGUSR1);
    sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 5});
    sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 6});
    kill(getpid(), SIGUSR2);
    say("an event", epoll_wait(events, &event, 1, 0));
    say("no edge", epoll_wait(events, &event, 1, 0));
    say_events("some", fd);
    read_signals("two", fd, 2);
    read_signals("the rest", fd, 4);
    read_signals("no more", fd, 4);
    say("other set", signalfd(fd, &other, 0));
    read_signals("was pending", fd, 4);
    fcntl(fd, F_SETFL, 0);
    pthread_create(&thread, NULL, send_later, NULL);
    read_signals("waiting", fd, 4);
    pthread_join(thread, NULL);
    set = set_of(SIGALRM, SIGPIPE);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signalfd(fd, &set, 0);
    setitimer(ITIMER_REAL, &soon, NULL);
    read_signals("a timer", fd, 1);
    say("broken", write(-1, "", 1));
    close(events);
    close(fd);
}

/* ---- limits of waits --------------------------------------------------------- */

static void say_limit(const char *what, int fd, int name)
{
    struct timeval limit = {-1, -1};
    socklen_t length = sizeof limit;

    say(what, getsockopt(fd, SOL_SOCKET, name, &limit, &length));
    printf("%ld s, %ld us, %d\n", (long)limit.tv_sec, (long)limit.tv_usec, (int)length);
}

static void set_limit(const char *what, int fd, int name, long s, long us, socklen_t length)
{
    struct timeval limit = {s, us};

    say(what, setsockopt(fd, SOL_SOCKET, name, &limit, length));
    say_limit("told", fd, name);
}

static void on_alarm(int signo)
{
    (void)signo;
}

static void limits(int type)
{
    const socklen_t whole = sizeof(struct timeval);
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    struct itimerval soon = {.it_value.tv_usec = 10000};
    sigset_t set = set_of(SIGALRM, 0);
    struct timespec before, after;
    static char text[60000];
    int pair[2];

    say("pair", socketpair(AF_UNIX, type, 0, pair));
    say_limit("none", pair[0], SO_RCVTIMEO);
    set_limit("short", pair[0], SO_RCVTIMEO, 1, 0, 4);
    set_limit("much", pair[0], SO_RCVTIMEO, 0, 1000000, whole);
    set_limit("below", pair[0], SO_RCVTIMEO, 0, -1, whole);
    set_limit("long", pair[0], SO_SNDTIMEO, 3, 500000, whole);
    set_limit("off", pair[0], SO_SNDTIMEO, 0, 0, whole);
    set_limit("set", pair[0], SO_RCVTIMEO, 0, 40000, whole);
    clock_gettime(CLOCK_MONOTONIC, &before);
    say("read", read(pair[0], text, 1));
    clock_gettime(CLOCK_MONOTONIC, &after);
    printf("waited %d\n",
           (after.tv_sec - before.tv_sec) * 1000000000L + after.tv_nsec - before.tv_nsec >=
               40000000L);
    say("receive", recv(pair[0], text, 1, 0));
    say("at once", recv(pair[0], text, 1, MSG_DONTWAIT));
    say("something", send(pair[1], "abc", 3, 0));
    say("all, some of it", recv(pair[0], text, 5, MSG_WAITALL));
    set_limit("a wait", pair[0], SO_RCVTIMEO, 10, 0, whole);
    sigaction(SIGALRM, &action, NULL);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    setitimer(ITIMER_REAL, &soon, NULL);
    say("is not made again", read(pair[0], text, 1));
    set_limit("room", pair[0], SO_SNDTIMEO, 0, 40000, whole);
    while (send(pair[0], text, sizeof text, 0) > 0)
        continue;
    say("full", send(pair[0], text, sizeof text, 0));
    close(pair[0]);
    close(pair[1]);
}

/* ---- tee ------------------------------------------------------------------- */

static void tees(void)
{
    static char text[70000];
    int from[2], to[2];

    say("pipes", pipe(from) + pipe(to));
    say("empty", tee(from[0], to[1], 10, SPLICE_F_NONBLOCK));
    say("write", write(from[1], "hello", 5));
    say("tee", tee(from[0], to[1], 3, 0));
    say("again", tee(from[0], to[1], 100, 0));
    say("to itself", tee(from[0], from[1], 100, 0));
    say("wrong way", tee(from[1], to[1], 100, 0));
    say("flags", tee(from[0], to[1], 100, 64));
    say("no pipe", tee(from[0], 77, 100, 0));
    say("nothing", tee(from[0], to[1], 0, 0));
    say("there", read(to[0], text, sizeof text));
    printf("%.8s\n", text);
    say("still", read(from[0], text, sizeof text));
    say("full", write(to[1], text, 65536));
    say("write", write(from[1], "hello", 5));
    say("no room", tee(from[0], to[1], 5, SPLICE_F_NONBLOCK));
    say("room", read(to[0], text, sizeof text));
    say("now", tee(from[0], to[1], 5, SPLICE_F_NONBLOCK));
    close(from[1]);
    say("read", read(from[0], text, 5));
    say("end", tee(from[0], to[1], 5, 0));
    close(from[0]);
    close(to[0]);
    close(to[1]);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    signals();
    limits(SOCK_STREAM);
    limits(SOCK_DGRAM);
    limits(SOCK_SEQPACKET);
    tees();
    return 0;
}
