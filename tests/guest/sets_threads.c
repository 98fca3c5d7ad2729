/* SPDX-License-Identifier: BSD-2-Clause */
/* Threads that wait in sets of epoll. `members`: each kind of member becomes ready over and over, for a
 * thread that waits or is about to; no wake may be lost, and each is told once. `many HOW`: of many
 * threads that wait by `poll` or in a set of their own (`set`) one at a time is asked, so that whoever
 * counts sees how many were woken. */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "guest.h"

#define ROUNDS  60
#define THREADS 40
#define QUERIES 400

static void check(const char *what, long result)
{
    if (result == -1)
        fail("%s: %s", what, strerror(errno));
}

/* The thread that asks goes on once it was answered. */
static int answers;

static void answer(void)
{
    check("answer", write(answers, &(uint64_t){1}, sizeof(uint64_t)));
}

static void await_answer(void)
{
    check("await", read(answers, &(uint64_t){0}, sizeof(uint64_t)));
}

/* ---- each kind of member --------------------------------------------------------- */

struct member {
    const char *name;
    int in;  /* is watched, and read */
    int out; /* makes it ready; -1: by a signal */
};

static void make_ready(const struct member *member)
{
    const struct itimerspec soon = {.it_value.tv_nsec = 1};

    if (member->out < 0)
        check("kill", kill(getpid(), SIGUSR1));
    else if (member->out == member->in && strcmp(member->name, "timer") == 0)
        check("timer", timerfd_settime(member->out, 0, &soon, NULL));
    else
        check("ready", write(member->out, &(uint64_t){1}, sizeof(uint64_t)));
}

struct waiter {
    const struct member *member;
    int set, outer; /* the set it waits for, which holds the other or is it */
    uint32_t how;   /* EPOLLET, EPOLLONESHOT */
    unsigned told;
};

static void *wait_in_set(void *arg)
{
    struct waiter *waiter = arg;
    char text[sizeof(struct signalfd_siginfo)];

    for (unsigned i = 0; i < ROUNDS; i++) {
        struct epoll_event event = {0};

        check("wait", epoll_wait(waiter->outer, &event, 1, -1));
        waiter->told += event.events == EPOLLIN && event.data.u64 == 7;
        check("take", read(waiter->member->in, text, sizeof(text)));
        event = (struct epoll_event){.events = EPOLLIN | waiter->how, .data.u64 = 7};
        if (waiter->how & EPOLLONESHOT)
            check("again", epoll_ctl(waiter->set, EPOLL_CTL_MOD, waiter->member->in, &event));
        answer();
    }
    return NULL;
}

/* The set is in another one with `nested`. */
static void ask_waiter(const struct member *member, uint32_t how, bool nested)
{
    struct epoll_event event = {.events = EPOLLIN | how, .data.u64 = 7};
    struct waiter waiter = {.member = member, .set = epoll_create1(0), .how = how};
    pthread_t thread;

    waiter.outer = nested ? epoll_create1(0) : waiter.set;
    check("member", epoll_ctl(waiter.set, EPOLL_CTL_ADD, member->in, &event));
    event.events = EPOLLIN;
    if (nested)
        check("set", epoll_ctl(waiter.outer, EPOLL_CTL_ADD, waiter.set, &event));
    expect_ok("thread", -pthread_create(&thread, NULL, wait_in_set, &waiter));
    for (unsigned i = 0; i < ROUNDS; i++) {
        make_ready(member);
        await_answer();
    }
    pthread_join(thread, NULL);
    printf("%s, %#x%s: %u\n", member->name, how, nested ? ", nested" : "", waiter.told);
    close(waiter.outer);
    if (nested)
        close(waiter.set);
}

/* ---- members that come and go ---------------------------------------------------- */

static void *wait_for_what_comes(void *arg)
{
    struct waiter *waiter = arg;

    for (unsigned i = 0; i < ROUNDS; i++) {
        struct epoll_event event;

        check("wait", epoll_wait(waiter->set, &event, 1, -1));
        waiter->told += event.data.u64 == i;
        check("take", read(event.data.u64 % 2 ? waiter->member->in : waiter->member->out,
                           &(uint64_t){0}, sizeof(uint64_t)));
        answer();
    }
    return NULL;
}

/* Each member is put in while somebody waits, and is known by another number when it becomes ready, as
 * the first was closed: in every second round it is ready before it is put in. */
static void come_and_go(void)
{
    struct member member = {.in = dup(answers), .out = dup(answers)}; /* numbers */
    struct waiter waiter = {.member = &member, .set = epoll_create1(0)};
    pthread_t thread;

    expect_ok("thread", -pthread_create(&thread, NULL, wait_for_what_comes, &waiter));
    for (uint64_t i = 0; i < ROUNDS; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u64 = i};
        int first = eventfd(0, 0), second = i % 2 ? member.in : member.out;

        check("dup", dup2(first, second));
        if (i % 4 < 2)
            check("early", write(second, &(uint64_t){1}, sizeof(uint64_t)));
        check("add", epoll_ctl(waiter.set, EPOLL_CTL_ADD, first, &event));
        close(first);
        if (i % 4 >= 2)
            check("late", write(second, &(uint64_t){1}, sizeof(uint64_t)));
        await_answer();
    }
    pthread_join(thread, NULL);
    printf("come and go: %u\n", waiter.told);
}

static void members(void)
{
    int pipes[2], stream[2], datagram[2], event = eventfd(0, 0), other = eventfd(0, 0);
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    check("pipe", pipe(pipes));
    check("stream", socketpair(AF_UNIX, SOCK_STREAM, 0, stream));
    check("datagram", socketpair(AF_UNIX, SOCK_DGRAM, 0, datagram));
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    const struct member all[] = {
        {"pipe", pipes[0], pipes[1]},
        {"stream socket", stream[0], stream[1]},
        {"datagram socket", datagram[0], datagram[1]},
        {"event", event, event},
        {"dup of an event", other, dup(other)},
        {"timer", timer, timer},
        {"signals", signalfd(-1, &signals, 0), -1},
    };
    for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        ask_waiter(&all[i], 0, false);
        ask_waiter(&all[i], EPOLLET, false);
        ask_waiter(&all[i], EPOLLONESHOT, false);
        ask_waiter(&all[i], 0, true);
    }
    come_and_go();
}

/* ---- many that wait ---------------------------------------------------------------- */

static bool by_poll;

static void *be_asked(void *arg)
{
    int event = *(const int *)arg, set = epoll_create1(0);
    struct epoll_event told = {.events = EPOLLIN};
    struct pollfd entry = {.fd = event, .events = POLLIN};
    uint64_t query = 0;

    check("member", epoll_ctl(set, EPOLL_CTL_ADD, event, &told));
    while (query != 2) {
        check("wait", by_poll ? poll(&entry, 1, -1) : epoll_wait(set, &told, 1, -1));
        check("take", read(event, &query, sizeof(query)));
        answer();
    }
    return NULL;
}

static void many(const char *how)
{
    static int events[THREADS];
    static pthread_t threads[THREADS];

    by_poll = strcmp(how, "poll") == 0;
    for (unsigned i = 0; i < THREADS; i++) {
        events[i] = eventfd(0, 0);
        expect_ok("thread", -pthread_create(&threads[i], NULL, be_asked, &events[i]));
    }
    for (unsigned i = 0; i < QUERIES; i++) {
        bool last = i + THREADS >= QUERIES;

        check("ask", write(events[i % THREADS], &(uint64_t){last ? 2 : 1}, sizeof(uint64_t)));
        await_answer();
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    printf("asked %d\n", QUERIES);
}

int main(int argc, char **argv)
{
    expect_arguments(argc, 1, "sets_threads members | many poll|set");
    answers = eventfd(0, EFD_SEMAPHORE);
    if (argc > 2)
        many(argv[2]);
    else
        members();
    return 0;
}
