/* SPDX-License-Identifier: BSD-2-Clause */
/* Asks about descriptors of signals and of sockets, and copies between pipes. The same lines come from
 * a process and from a VM. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
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
    struct itimerval soon = {{0, 10000}, {0, 10000}}, none = {{0, 0}, {0, 0}};
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
    setitimer(ITIMER_REAL, &soon, NULL); /* the first may come before the read */
    ssize_t got = read(pair[0], text, 1);
    setitimer(ITIMER_REAL, &none, NULL);
    say("is not made again", got);
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

/* ---- descriptors that are sent ---------------------------------------------- */

#define SENT_MOST 300

/* Sends text and descriptors; `bytes` of control, or as many as they take. */
static long send_files(int to, const char *text, const int *fds, size_t count, size_t bytes)
{
    static _Alignas(struct cmsghdr) char control[CMSG_SPACE(SENT_MOST * sizeof(int))];
    struct iovec piece = {(void *)(uintptr_t)text, strlen(text)};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = bytes ? bytes : CMSG_SPACE(count * sizeof(int))};
    struct cmsghdr *part = (void *)control;

    memset(control, 0, sizeof control);
    *part = (struct cmsghdr){CMSG_LEN(count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    if (count)
        memcpy(CMSG_DATA(part), fds, count * sizeof(int));
    return sendmsg(to, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Says what came, and closes it but for the first, which is the result. */
static int receive_files(const char *what, int from, size_t bytes, size_t room, int flags)
{
    static _Alignas(struct cmsghdr) char control[1024];
    char text[64];
    struct iovec piece = {text, bytes};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = room ? control : NULL,
                             .msg_controllen = room};
    long got = recvmsg(from, &message, flags | MSG_DONTWAIT);
    int first = -1;

    say(what, got);
    if (got < 0)
        return -1;
    printf("%.*s, flags %#x, control %zu\n", (int)got, text, (unsigned)message.msg_flags,
           message.msg_controllen);
    for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part)) {
        size_t count = (part->cmsg_len - sizeof(*part)) / sizeof(int);
        int fds[SENT_MOST];

        printf("level %d, type %d, length %zu\n", part->cmsg_level, part->cmsg_type,
               part->cmsg_len);
        if (part->cmsg_type != SCM_RIGHTS)
            continue;
        memcpy(fds, CMSG_DATA(part), count * sizeof(int));
        for (size_t i = 0; i < count; i++) {
            printf("descriptor %d, flags %d\n", fds[i], fcntl(fds[i], F_GETFD));
            if (first < 0)
                first = fds[i];
            else
                close(fds[i]);
        }
    }
    return first;
}

static void sent(int type)
{
    int pair[2], ends[2], many[SENT_MOST], got;
    struct ucred me = {getpid(), getuid(), getgid()};
    char text[64] = "";

    say("pair", socketpair(AF_UNIX, type, 0, pair));
    say("pipe", pipe(ends));
    say("send one", send_files(pair[0], "hello", ends, 1, 0));
    got = receive_files("receive", pair[1], 60, 100, 0);
    close(ends[0]);
    say("through the pipe", write(ends[1], "bytes", 5));
    say("of it", read(got, text, sizeof text));
    close(got);
    close(ends[1]);
    say("gone", fcntl(got, F_GETFD));
    say("pipe", pipe(ends));
    say("two", send_files(pair[0], "two", ends, 2, 0));
    say("and text", send(pair[0], "text", 4, 0));
    say("one more", send_files(pair[0], "more", ends + 1, 1, 0));
    close(receive_files("peek", pair[1], 60, 100, MSG_PEEK));
    close(receive_files("part", pair[1], 2, 100, MSG_CMSG_CLOEXEC));
    close(receive_files("rest", pair[1], 60, 100, 0));
    close(receive_files("next", pair[1], 60, 100, 0));
    close(receive_files("last", pair[1], 60, 100, 0));
    close(receive_files("nothing", pair[1], 60, 100, 0));
    say("two", send_files(pair[0], "two", ends, 2, 0));
    close(receive_files("room for one", pair[1], 60, CMSG_LEN(sizeof(int)), 0));
    say("two", send_files(pair[0], "two", ends, 2, 0));
    close(receive_files("room for a header", pair[1], 60, sizeof(struct cmsghdr), 0));
    say("two", send_files(pair[0], "two", ends, 2, 0));
    close(receive_files("room for none", pair[1], 60, 5, 0));
    say("two", send_files(pair[0], "two", ends, 2, 0));
    close(receive_files("no room", pair[1], 60, 0, 0));
    say("to read", send_files(pair[0], "to read", ends, 1, 0));
    say("read", read(pair[1], text, sizeof text));
    say("to receive", send_files(pair[0], "to receive", ends, 1, 0));
    say("receive", recv(pair[1], text, sizeof text, 0));
    close(ends[0]);
    close(ends[1]);
    say("closed", send_files(pair[0], "closed", ends, 1, 0));
    ends[0] = -1;
    say("none", send_files(pair[0], "none", ends, 1, 0));
    say("no descriptors", send_files(pair[0], "empty", ends, 0, 0));
    say("short", send_files(pair[0], "short", pair, 1, 5));
    say("cut", send_files(pair[0], "cut", pair, 2, CMSG_LEN(sizeof(int))));
    for (int i = 0; i < SENT_MOST; i++)
        many[i] = 1;
    say("too many", send_files(pair[0], "many", many, 254, 0));
    say("many", send_files(pair[0], "many", many, 253, 0));
    close(receive_files("empty", pair[1], 60, 100, 0));
    close(receive_files("short", pair[1], 60, 100, 0));
    close(receive_files("many", pair[1], 60, 60, 0));
    say("credentials", setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int)));
    say("pipe", pipe(ends));
    say("both", send_files(pair[0], "both", ends, 2, 0));
    close(receive_files("both", pair[1], 60, 100, 0));
    say("to be closed", send_files(pair[0], "lost", ends, 1, 0));
    close(ends[0]);
    say("a reader", write(ends[1], "x", 1));
    close(pair[1]);
    signal(SIGPIPE, SIG_IGN);
    say("no reader", write(ends[1], "x", 1));
    say("nobody", send_files(pair[0], "nobody", ends + 1, 1, 0));
    close(ends[1]);
    close(pair[0]);
    printf("me: %d\n", me.pid > 0);
    /* A socket that has another one on its way to it, which is closed with it. */
    int outer[2], inner[2];
    say("outer", socketpair(AF_UNIX, type, 0, outer) + socketpair(AF_UNIX, type, 0, inner));
    say("inner", send_files(inner[0], "in", outer, 1, 0));
    say("it", send_files(outer[0], "socket", inner + 1, 1, 0) < 0 ? 1 : 1);
    for (int i = 0; i < 2; i++) {
        close(outer[i]);
        close(inner[i]);
    }
}

/* ---- what /proc says of descriptors and threads -------------------------------- */

/* The lines of a file that begin so. */
static void say_lines(const char *what, const char *name, const char *const *begins)
{
    char line[256];
    FILE *file = fopen(name, "r");

    printf("%s: %s\n", what, file ? "there" : strerrorname_np(errno));
    while (file && fgets(line, sizeof line, file)) {
        for (int i = 0; begins[i]; i++)
            if (strncmp(line, begins[i], strlen(begins[i])) == 0)
                fputs(line, stdout);
    }
    if (file)
        fclose(file);
}

static void say_info(const char *what, int fd)
{
    char name[64];

    snprintf(name, sizeof name, "/proc/self/fdinfo/%d", fd);
    say_lines(what, name, (const char *const[]){"pos:", "flags:", NULL});
}

#define THREADS 3
static pthread_barrier_t begun, looked_at;

static void *be_there(void *arg)
{
    static const char *const names[THREADS] = {"first worker", "another", "the last one"};
    int number = *(int *)arg;

    pthread_setname_np(pthread_self(), names[number]);
    if (number == 0)
        say_lines("itself", "/proc/thread-self/comm", (const char *const[]){"", NULL});
    pthread_barrier_wait(&begun);
    pthread_barrier_wait(&looked_at);
    return NULL;
}

static void look_at_threads(void)
{
    static int numbers[THREADS] = {0, 1, 2};
    pthread_t threads[THREADS];
    struct dirent *entry;
    char name[300];
    int count = 0;

    pthread_barrier_init(&begun, NULL, THREADS + 1);
    pthread_barrier_init(&looked_at, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, be_there, &numbers[i]);
    pthread_barrier_wait(&begun);
    DIR *tasks = opendir("/proc/self/task");
    for (int i = 1; tasks && (entry = readdir(tasks)); i++) {
        char pid[300], line[300];

        if (entry->d_name[0] == '.')
            continue;
        count++;
        snprintf(name, sizeof name, "/proc/self/task/%.20s/status", entry->d_name);
        snprintf(pid, sizeof pid, "Pid:\t%s\n", entry->d_name);
        FILE *file = fopen(name, "r");
        int found = 0;
        while (file && fgets(line, sizeof line, file))
            found |= strcmp(line, pid) == 0;
        if (file)
            fclose(file);
        printf("status of thread %d tells its number: %d\n", count, found);
    }
    closedir(tasks);
    say("threads", count);
    snprintf(name, sizeof name, "/proc/self/task/%d/comm", getpid());
    say_lines("first", name, (const char *const[]){"", NULL});
    say_lines("the process", "/proc/self/status", (const char *const[]){"Threads:", NULL});
    say_lines("nobody", "/proc/self/task/999999/comm", (const char *const[]){"", NULL});
    pthread_barrier_wait(&looked_at);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void proc(void)
{
    int memory = memfd_create("", MFD_CLOEXEC), ends[2], null = open("/dev/null", O_RDWR);
    char name[64], link[64];
    ssize_t length;

    say("memory", write(memory, "0123456789", 10));
    say("back", lseek(memory, 5, SEEK_SET));
    say_info("memory", memory);
    say("pipe", pipe2(ends, O_NONBLOCK));
    say_info("pipe", ends[1]);
    say_info("null", null);
    say_info("closed", 77);
    int list = open("/proc/self/fd", O_RDONLY | O_DIRECTORY);
    snprintf(name, sizeof name, "/proc/self/fd/%d", list);
    length = readlink(name, link, sizeof link - 1);
    link[length < 0 ? 0 : length] = '\0';
    printf("list: %s\n", strrchr(link, '/'));
    fflush(stdout);
    look_at_threads();
}

int main(void)
{
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    signals();
    limits(SOCK_STREAM);
    limits(SOCK_DGRAM);
    limits(SOCK_SEQPACKET);
    tees();
    sent(SOCK_STREAM);
    sent(SOCK_DGRAM);
    sent(SOCK_SEQPACKET);
    proc();
    return 0;
}
