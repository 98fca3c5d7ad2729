/* SPDX-License-Identifier: BSD-2-Clause */
/* Threads that take processor time, and what the program is told of it; the first argument says which.
 * Ends with 0 if all was right. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

#define MS         1000000ull
#define EACH_NS    (60 * MS)
#define THREADS    3
#define ALL_NS     (THREADS * EACH_NS)
#define TIMER_NS   (30 * MS)
#define NS_PER_S   1000000000ull
#define TICK_NS    (NS_PER_S / 100)
#define OTHER_UNIT 4096

static atomic_bool over;
static atomic_int alarms;

static pthread_t start(void *(*run)(void *), void *arg)
{
    pthread_t thread;

    expect_ok("pthread_create", -pthread_create(&thread, NULL, run, arg));
    return thread;
}

static uint64_t clock_of(clockid_t clock)
{
    struct timespec now;

    if (clock_gettime(clock, &now))
        fail("clock %d: %s", (int)clock, strerror(errno));
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static uint64_t used(int who)
{
    struct rusage usage;

    if (getrusage(who, &usage))
        fail("getrusage: %s", strerror(errno));
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * NS_PER_S +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
}

/* ---- taking it ---------------------------------------------------------------- */

/* Without a system call. */
static void *compute(void *arg)
{
    while (!atomic_load(&over))
        ;
    return arg;
}

/* Nothing but system calls. */
static void *call(void *arg)
{
    while (!atomic_load(&over))
        syscall(SYS_getppid);
    return arg;
}

/* `count` threads with the first. */
static void take(int count, void *(*run)(void *))
{
    while (--count > 0)
        start(run, NULL);
    run(NULL);
}

static void *take_some(void *arg)
{
    if (clock_of(CLOCK_THREAD_CPUTIME_ID) >= EACH_NS) /* which that had at least */
        fail("a thread begins with the time of an earlier one");
    while (clock_of(CLOCK_THREAD_CPUTIME_ID) < EACH_NS)
        for (int i = 0; i < OTHER_UNIT; i++)
            __asm__ volatile("");
    return arg;
}

/* ---- being told of it ---------------------------------------------------------- */

static void expect_least(const char *what, uint64_t got, uint64_t least)
{
    if (got < least)
        fail("%s: %llu us, not %llu", what, (unsigned long long)got / 1000,
             (unsigned long long)least / 1000);
}

static void told(void)
{
    pthread_t threads[THREADS];
    struct tms ticks;

    for (int i = 0; i < THREADS; i++)
        threads[i] = start(take_some, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    times(&ticks);
    expect_least("clock", clock_of(CLOCK_PROCESS_CPUTIME_ID), ALL_NS);
    expect_least("getrusage", used(RUSAGE_SELF), ALL_NS - MS);
    expect_least("times", (uint64_t)(ticks.tms_utime + ticks.tms_stime) * TICK_NS,
                 ALL_NS - 2 * TICK_NS);
    expect_least("the others", clock_of(CLOCK_PROCESS_CPUTIME_ID),
                 ALL_NS + clock_of(CLOCK_THREAD_CPUTIME_ID));
    if (used(RUSAGE_THREAD) > clock_of(CLOCK_THREAD_CPUTIME_ID))
        fail("getrusage counts another thread's");
    /* The processor of an ended thread runs another. */
    pthread_join(start(take_some, NULL), NULL);
}

static void of_another(void)
{
    pthread_t thread = start(compute, NULL);
    struct timespec now;
    clockid_t clock, process;

    expect_ok("pthread_getcpuclockid", -pthread_getcpuclockid(thread, &clock));
    expect_ok("clock_getcpuclockid", -clock_getcpuclockid(getpid(), &process));
    while (clock_of(clock) < EACH_NS)
        usleep(1000);
    expect_least("of the process", clock_of(process), EACH_NS);
    atomic_store(&over, true);
    pthread_join(thread, NULL);
    if (clock_gettime(clock, &now) != -1 || errno != EINVAL)
        fail("the clock of a thread that has ended goes on");
}

/* The clock of the process is read before those of all its threads, which go on meanwhile: so it can
 * be more than their sum only by what others took for it. */
static void expect_help(uint64_t all, clockid_t other)
{
    uint64_t own = clock_of(CLOCK_THREAD_CPUTIME_ID) + (other ? clock_of(other) : 0);

    if (all <= own)
        fail("all: %llu ns, of its threads %llu", (unsigned long long)all, (unsigned long long)own);
}

#define READS 50

/* A file on a file system that may not answer is read by others. */
static void helped(const char *path)
{
    char byte;

    for (int i = 0; i < READS; i++) {
        int fd = open(path, O_RDONLY);

        if (fd < 0 || pread(fd, &byte, 1, 0) != 1)
            fail("%s: %s", path, strerror(errno));
        close(fd);
    }
    expect_help(clock_of(CLOCK_PROCESS_CPUTIME_ID), 0);
}

static void *sleep_on(void *arg)
{
    pause();
    return arg;
}

/* Input that was given, which another thread waits for, as there are several. Each byte is asked for
 * by one of output. */
static void watched(void)
{
    pthread_t thread = start(sleep_on, NULL);
    clockid_t other;
    char byte;

    expect_ok("pthread_getcpuclockid", -pthread_getcpuclockid(thread, &other));
    while (write(1, "?", 1) == 1 && read(0, &byte, 1) == 1)
        ;
    expect_help(clock_of(CLOCK_PROCESS_CPUTIME_ID), other);
    exit(0);
}

/* ---- signals ------------------------------------------------------------------- */

static void count(int signo)
{
    (void)signo;
    atomic_fetch_add(&alarms, 1);
}

static void until_alarm(void)
{
    while (!atomic_load(&alarms))
        usleep(1000);
}

/* Set by a thread that takes no time itself. */
static void interval_timer(int which, int signo)
{
    const struct itimerval due = {.it_value = {.tv_usec = (long)(TIMER_NS / 1000)}};
    pthread_t thread = start(compute, NULL);

    signal(signo, count);
    if (setitimer(which, &due, NULL))
        fail("setitimer: %s", strerror(errno));
    until_alarm();
    atomic_store(&over, true);
    pthread_join(thread, NULL);
    expect_least("at the alarm", clock_of(CLOCK_PROCESS_CPUTIME_ID), TIMER_NS);
}

static void timer_of_thread(void)
{
    const struct itimerspec due = {.it_value = {.tv_nsec = (long)TIMER_NS}};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    pthread_t thread = start(compute, NULL);
    clockid_t clock;
    timer_t timer;

    signal(SIGUSR1, count);
    expect_ok("pthread_getcpuclockid", -pthread_getcpuclockid(thread, &clock));
    if (timer_create(clock, &event, &timer) || timer_settime(timer, 0, &due, NULL))
        fail("timer: %s", strerror(errno));
    until_alarm();
    expect_least("at the alarm", clock_of(clock), TIMER_NS);
    atomic_store(&over, true); /* the clock ends with the thread */
    pthread_join(thread, NULL);
}

/* SIGXCPU ends the program, though no thread alone has taken so much. */
static void resource_limit(void)
{
    const struct rlimit limit = {1, 2};

    if (setrlimit(RLIMIT_CPU, &limit))
        fail("setrlimit: %s", strerror(errno));
    take(4, compute);
}

int main(int argc, char **argv)
{
    expect_arguments(argc, 1, "processor_time WHAT [COUNT]");
    const char *what = argv[1];
    int threads = argc > 2 ? atoi(argv[2]) : 1;

    if (strcmp(what, "compute") == 0)
        take(threads, compute);
    else if (strcmp(what, "calls") == 0)
        take(threads, call);
    else if (strcmp(what, "sleep") == 0)
        usleep((unsigned)threads * 1000);
    else if (strcmp(what, "told") == 0)
        told();
    else if (strcmp(what, "helped") == 0)
        helped(argc > 2 ? argv[2] : "");
    else if (strcmp(what, "watched") == 0)
        watched();
    else if (strcmp(what, "another") == 0)
        of_another();
    else if (strcmp(what, "prof") == 0)
        interval_timer(ITIMER_PROF, SIGPROF);
    else if (strcmp(what, "virtual") == 0)
        interval_timer(ITIMER_VIRTUAL, SIGVTALRM);
    else if (strcmp(what, "timer") == 0)
        timer_of_thread();
    else if (strcmp(what, "limit") == 0)
        resource_limit();
    else
        fail("'%s' is nothing to do", what);
}
