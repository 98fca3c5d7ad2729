/* SPDX-License-Identifier: BSD-2-Clause */
/* Timers that send signals, and calls that signals interrupt: says what held, the same as a process
 * and in a VM. Its input is a pipe that stays open and empty. */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

static volatile sig_atomic_t calls, last_code;
static sigjmp_buf back;

static void count(int signo, siginfo_t *info, void *context)
{
    (void)signo, (void)context;
    calls++;
    last_code = info->si_code;
}

static void leave(int signo, siginfo_t *info, void *context)
{
    (void)signo, (void)info, (void)context;
    siglongjmp(back, 1);
}

static void set(int signo, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};

    if (sigaction(signo, &action, NULL))
        fail("sigaction %d", signo);
    calls = 0;
}

static void start(int which, long value_us, long interval_us)
{
    const struct itimerval timer = {.it_value = {value_us / 1000000, value_us % 1000000},
                                    .it_interval = {interval_us / 1000000, interval_us % 1000000}};

    if (setitimer(which, &timer, NULL))
        fail("setitimer");
}

/* A loop without a call, which nothing but a signal ends. */
static void spin_until(int most)
{
    volatile unsigned long sum = 0;

    while (calls < most)
        sum = sum * 3 + 1;
}

static void busy(void)
{
    static const struct {
        const char *name;
        int which, signo;
    } rows[] = {{"real", ITIMER_REAL, SIGALRM},
                {"virtual", ITIMER_VIRTUAL, SIGVTALRM},
                {"prof", ITIMER_PROF, SIGPROF}};
    struct itimerval now;

    for (int i = 0; i < 3; i++) {
        set(rows[i].signo, count, 0);
        start(rows[i].which, 2000, 2000);
        spin_until(5);
        getitimer(rows[i].which, &now);
        printf("%s: code %d, interval %ld, left %d\n", rows[i].name, last_code,
               (long)now.it_interval.tv_usec,
               now.it_value.tv_sec == 0 && now.it_value.tv_usec <= 20000);
        start(rows[i].which, 0, 0);
        getitimer(rows[i].which, &now);
        printf("stopped %d\n", !now.it_value.tv_sec && !now.it_value.tv_usec);
    }
    set(SIGALRM, leave, 0);
    if (!sigsetjmp(back, 1)) {
        start(ITIMER_REAL, 3000, 0);
        for (;;)
            ;
    }
    printf("out of an endless loop\n");
    printf("alarm %u", alarm(100));
    printf(" %u\n", alarm(0));
}

#define SAY(call)                                                                      \
    do {                                                                               \
        errno = 0;                                                                     \
        long result = (long)(call);                                                    \
        printf("%s: %ld, %s, calls %d\n", #call, result, strerror(errno), calls >= 1); \
        calls = 0;                                                                     \
    } while (0)

static void interrupted(void)
{
    const struct timespec long_time = {.tv_sec = 100};
    static int word;
    struct timespec left = {0};
    struct timeval limit = {.tv_sec = 100};
    struct pollfd input = {.fd = 0, .events = POLLIN};
    sigset_t none, alarm_set;
    fd_set fds;
    char byte;

    sigemptyset(&none);
    sigemptyset(&alarm_set);
    sigaddset(&alarm_set, SIGALRM);
    FD_ZERO(&fds);
    FD_SET(0, &fds);
    set(SIGALRM, count, 0);
    start(ITIMER_REAL, 5000, 5000);
    SAY(read(0, &byte, 1));
    SAY(nanosleep(&long_time, &left));
    printf("left %d\n", left.tv_sec > 0 && left.tv_sec < 100);
    SAY(clock_nanosleep(CLOCK_MONOTONIC, 0, &long_time, NULL));
    SAY(poll(&input, 1, 100000));
    SAY(poll(NULL, 0, -1));
    SAY(select(1, &fds, NULL, NULL, &limit));
    SAY(pause());
    SAY(syscall(SYS_futex, &word, 0, 0, NULL, NULL, 0));
    sigprocmask(SIG_BLOCK, &alarm_set, NULL);
    SAY(sigsuspend(&none));
    SAY(ppoll(&input, 1, NULL, &none));
    SAY(sigtimedwait(&alarm_set, NULL, &long_time));
    sigprocmask(SIG_UNBLOCK, &alarm_set, NULL);
    start(ITIMER_REAL, 0, 0);
    set(SIGALRM, leave, SA_RESTART); /* the call would be made again for ever */
    if (!sigsetjmp(back, 1)) {
        start(ITIMER_REAL, 5000, 0); /* one, which may come before the read */
        read(0, &byte, 1);
    }
    printf("left a read\n");
}

/* A read that is made again: it ends when the timer's third signal puts an end to it. Later ones may
 * come before the timer is stopped. */
static void third(int signo, siginfo_t *info, void *context)
{
    if (calls == 3)
        return;
    count(signo, info, context);
    if (calls == 3)
        siglongjmp(back, 1);
}

static void restarted(void)
{
    char byte;

    set(SIGALRM, third, SA_RESTART);
    if (!sigsetjmp(back, 1)) {
        start(ITIMER_REAL, 5000, 5000);
        printf("a read that must not return: %zd\n", read(0, &byte, 1));
    }
    start(ITIMER_REAL, 0, 0);
    printf("restarted until %d calls\n", calls);
}

static volatile int timer_value, overruns;

static void by_timer(int signo, siginfo_t *info, void *context)
{
    count(signo, info, context);
    timer_value = info->si_value.sival_int;
    overruns += info->si_overrun;
}

static void timers(void)
{
    struct sigevent event = {
        .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 2, .sigev_value.sival_int = 77};
    const struct itimerspec often = {{0, 3000000}, {0, 3000000}}, stop = {{0, 0}, {0, 0}};
    const struct itimerspec past = {{0, 0}, {0, 1}};
    const struct timespec wait = {.tv_nsec = 40000000};
    struct itimerspec now;
    sigset_t mine;
    timer_t timer;

    set(SIGRTMIN + 2, by_timer, 0);
    printf("create %d\n", timer_create(CLOCK_MONOTONIC, &event, &timer));
    printf("start %d\n", timer_settime(timer, 0, &often, NULL));
    spin_until(3);
    timer_gettime(timer, &now);
    printf("timer: code %d value %d, interval %ld, left %d\n", last_code, timer_value,
           now.it_interval.tv_nsec, now.it_value.tv_nsec > 0 && now.it_value.tv_nsec <= 3000000);
    sigemptyset(&mine);
    sigaddset(&mine, SIGRTMIN + 2);
    sigprocmask(SIG_BLOCK, &mine, NULL);
    calls = overruns = 0;
    nanosleep(&wait, NULL); /* it is blocked, so it does not end the sleep */
    sigprocmask(SIG_UNBLOCK, &mine, NULL);
    printf("stop %d\n", timer_settime(timer, 0, &stop, NULL));
    printf("some signals %d for many times %d\n", calls >= 1 && calls < 5, overruns >= 5);
    calls = 0;
    timer_settime(timer, TIMER_ABSTIME, &past, NULL);
    spin_until(1);
    printf("past %d, delete %d", calls, timer_delete(timer));
    printf(", again %d\n", timer_delete(timer));
    calls = 0;
    printf("create %d", timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &timer));
    timer_settime(timer, 0, &often, NULL);
    spin_until(2);
    printf(", processor time too %d\n", timer_delete(timer));
    printf("bad clock %d", timer_create(55, NULL, &timer));
    event.sigev_signo = 99;
    printf(", bad signal %d\n", timer_create(CLOCK_REALTIME, &event, &timer));
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    if (argc > 1 && !strcmp(argv[1], "alarm")) { /* without a handler it is the end */
        start(ITIMER_REAL, 1000, 0);
        for (;;)
            ;
    }
    busy();
    interrupted();
    restarted();
    timers();
    return 0;
}
