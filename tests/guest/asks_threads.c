/* SPDX-License-Identifier: BSD-2-Clause */
/* Prints what Linux answers about one thread that another names: one that lives, one that has ended,
 * and the first one after its end; who waits for whom by locks; and clocks. A run in a VM can be
 * compared with one outside. */
#include <linux/capability.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

#define NS_PER_S 1000000000ull
#define SOME_NS  5000000ull

static pthread_barrier_t met;
static atomic_bool over;
static pthread_t first;

/* A result and, if it is -1, why. */
static void say(const char *what, long result)
{
    printf("%s: %ld", what, result);
    if (result == -1)
        printf(" (%s)", strerror(errno));
    putchar('\n');
}

static pthread_t start(void *(*run)(void *), void *arg)
{
    pthread_t thread;

    expect_ok("pthread_create", -pthread_create(&thread, NULL, run, arg));
    return thread;
}

static long futex(uint32_t *word, int command, const struct timespec *until)
{
    return syscall(SYS_futex, word, command | FUTEX_PRIVATE_FLAG, 0, until, NULL, 0);
}

/* ---- a thread by its number ---------------------------------------------------- */

static void signals_to(pid_t id)
{
    siginfo_t info = {.si_code = SI_QUEUE}, user = {.si_code = SI_USER};

    say("kill", kill(id, 0));
    say("kill a group", kill(-id, 0) == 0 && id != getpid());
    say("tkill", syscall(SYS_tkill, id, 0));
    say("tgkill", syscall(SYS_tgkill, getpid(), id, 0));
    say("tgkill of another process", syscall(SYS_tgkill, 1, id, 0));
    say("tgkill by its own number", syscall(SYS_tgkill, id, id, 0));
    say("no signal", kill(id, 99));
    say("queued", syscall(SYS_rt_sigqueueinfo, id, 0, &info));
    say("queued as a user's", syscall(SYS_rt_sigqueueinfo, id, 0, &user));
    say("queued to the thread", syscall(SYS_rt_tgsigqueueinfo, getpid(), id, 0, &info));
    say("as a user's", syscall(SYS_rt_tgsigqueueinfo, getpid(), id, 0, &user));
}

static void scheduling_of(pid_t id)
{
    struct sched_param parameter;
    unsigned long set[16] = {0};
    struct timespec slice;
    char attributes[48];
    int nice = getpriority(PRIO_PROCESS, 0);

    errno = 0;
    say("nice", getpriority(PRIO_PROCESS, (id_t)id) == -1 && errno ? -1 : 0);
    say("as nice", setpriority(PRIO_PROCESS, (id_t)id, nice));
    say("a nice group", id != getpid() && getpriority(PRIO_PGRP, (id_t)id) == -1);
    say("scheduler", sched_getscheduler(id));
    say("parameter", sched_getparam(id, &parameter));
    say("set", sched_setscheduler(id, SCHED_OTHER, &parameter));
    say("slice", sched_rr_get_interval(id, &slice));
    say("attributes", syscall(SYS_sched_getattr, id, attributes, sizeof attributes, 0));
    say("affinity", sched_getaffinity(id, sizeof set, (cpu_set_t *)set));
    say("as it is", sched_setaffinity(id, sizeof set, (cpu_set_t *)set));
}

static void limits_of(pid_t id)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = id};
    struct __user_cap_data_struct data[2];
    struct rlimit limit;
    uintptr_t list = 1;
    size_t bytes;

    say("limit", prlimit(id, RLIMIT_CORE, NULL, &limit));
    say("limit as it is", prlimit(id, RLIMIT_CORE, &limit, NULL));
    say("group", getpgid(id) == getpgid(0));
    say("session", getsid(id) == getsid(0));
    if (id != getpid())
        say("another group", setpgid(id, 0));
    say("capabilities", syscall(SYS_capget, &header, data));
    say("set them", syscall(SYS_capset, &header, data));
    say("input", syscall(SYS_ioprio_get, 1, id) == -1 ? -1 : 0);
    say("robust locks", syscall(SYS_get_robust_list, id, &list, &bytes));
    printf("there are some: %d\n", list != 0);
}

/* The number of a clock as pthread_getcpuclockid and clock_getcpuclockid make it. */
static clockid_t clock_of(pid_t id, bool thread)
{
    return (clockid_t)(~(unsigned)id << 3 | 2u | (thread ? 4u : 0));
}

static void clocks_of(pid_t id)
{
    struct sigevent event = {.sigev_notify = SIGEV_NONE};
    struct timespec now = {0};
    timer_t timer;

    say("clock", clock_gettime(clock_of(id, true), &now));
    printf("has run: %d\n", now.tv_sec || now.tv_nsec);
    say("its step", clock_getres(clock_of(id, true), &now));
    say("as a process", clock_getres(clock_of(id, false), &now));
    say("read", clock_gettime(clock_of(id, false), &now));
    say("timer", timer_create(clock_of(id, true), &event, &timer));
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGUSR1;
    event._sigev_un._tid = id;
    say("timer that tells it", timer_create(CLOCK_MONOTONIC, &event, &timer));
}

/* A lock that the thread holds, if there is one. */
static void locks_of(pid_t id)
{
    const struct timespec past = {.tv_sec = 1};
    uint32_t word = (uint32_t)id;

    say("lock", futex(&word, FUTEX_LOCK_PI, &past));
    word = (uint32_t)id;
    say("try to lock", futex(&word, FUTEX_TRYLOCK_PI, NULL));
    say("unlock", futex(&word, FUTEX_UNLOCK_PI, NULL));
}

static void ask_about(const char *whom, pid_t id)
{
    printf("--- %s\n", whom);
    signals_to(id);
    scheduling_of(id);
    limits_of(id);
    clocks_of(id);
    locks_of(id);
}

/* ---- who waits for whom -------------------------------------------------------- */

#define CIRCLE 5

static uint32_t words[CIRCLE + 1];
static atomic_int deadlocks, threads_in_circle;

static void lock(uint32_t *word)
{
    expect_ok("lock", futex(word, FUTEX_LOCK_PI, NULL) ? -errno : 0);
}

static void unlock(uint32_t *word)
{
    expect_ok("unlock", futex(word, FUTEX_UNLOCK_PI, NULL) ? -errno : 0);
}

/* Each holds one lock and wants the next one's: only the last one to ask is told. */
static void *circle(void *arg)
{
    uint32_t *own = arg, *next = own + 1 - words == threads_in_circle ? words : own + 1;

    lock(own);
    pthread_barrier_wait(&met);
    if (futex(next, FUTEX_LOCK_PI, NULL) == 0)
        unlock(next);
    else if (errno == EDEADLK)
        deadlocks++;
    else
        fail("a lock in a circle: %s", strerror(errno));
    unlock(own);
    return NULL;
}

static void circle_of(int count)
{
    pthread_t threads[CIRCLE];

    deadlocks = 0;
    threads_in_circle = count;
    pthread_barrier_init(&met, NULL, (unsigned)count);
    for (int i = 0; i < count; i++)
        threads[i] = start(circle, &words[i]);
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    /* One more may be told before it is known that another one gave up. */
    printf("deadlocks in a circle of %d: %s\n", count, deadlocks ? "some" : "none");
    for (int i = 0; i < count; i++)
        printf("word %d: %u\n", i, words[i]);
}

/* The last lock of the row is free one day, so nobody is told anything. */
static void *row(void *arg)
{
    uint32_t *own = arg;

    lock(own);
    pthread_barrier_wait(&met);
    lock(own + 1);
    unlock(own + 1);
    unlock(own);
    return NULL;
}

static void wait_in_a_row(void)
{
    pthread_t threads[CIRCLE];

    pthread_barrier_init(&met, NULL, CIRCLE + 1);
    lock(&words[CIRCLE]);
    for (int i = 0; i < CIRCLE; i++)
        threads[i] = start(row, &words[i]);
    pthread_barrier_wait(&met);
    while (!(__atomic_load_n(&words[CIRCLE], __ATOMIC_SEQ_CST) & FUTEX_WAITERS))
        sched_yield();
    say("one's own", futex(&words[CIRCLE], FUTEX_LOCK_PI, NULL));
    unlock(&words[CIRCLE]);
    for (int i = 0; i < CIRCLE; i++)
        pthread_join(threads[i], NULL);
}

/* ---- clocks -------------------------------------------------------------------- */

static uint64_t read_clock(clockid_t clock)
{
    struct timespec now;

    if (clock_gettime(clock, &now))
        fail("clock: %s", strerror(errno));
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static uint64_t used(int who)
{
    struct rusage usage;

    getrusage(who, &usage);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * NS_PER_S +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
}

static void *compute(void *arg)
{
    while (!atomic_load(&over))
        ;
    return arg;
}

/* Each is read between two others, so whatever else happens their order is known. */
static void order_of_clocks(void)
{
    pthread_t other = start(compute, NULL);
    uint64_t own, others, all;
    clockid_t clock;

    pthread_getcpuclockid(other, &clock);
    while (read_clock(clock) < SOME_NS)
        sched_yield();
    others = read_clock(clock);
    own = read_clock(CLOCK_THREAD_CPUTIME_ID);
    all = read_clock(CLOCK_PROCESS_CPUTIME_ID);
    printf("all is at least the sum: %d\n", all >= own + others);
    while (read_clock(clock) == others)
        sched_yield();
    printf("a thread's usage is its clock's: %d %d\n", used(RUSAGE_THREAD) + 1000000 >= own,
           used(RUSAGE_THREAD) <= read_clock(CLOCK_THREAD_CPUTIME_ID));
    printf("all usage is the clock's: %d %d\n", used(RUSAGE_SELF) + 1000000 >= all,
           used(RUSAGE_SELF) <= read_clock(CLOCK_PROCESS_CPUTIME_ID));
    atomic_store(&over, true);
    pthread_join(other, NULL);
    printf("what an ended thread took stays: %d\n",
           read_clock(CLOCK_PROCESS_CPUTIME_ID) >= own + others);
}

/* ---- the order of it ----------------------------------------------------------- */

static pid_t ended;

static void *only_its_number(void *arg)
{
    ended = gettid();
    return arg;
}

static void *second(void *arg)
{
    (void)arg;
    pthread_barrier_wait(&met);
    pthread_barrier_wait(&met); /* the first asks about this one */
    ask_about("the first, by the second", getpid());
    ask_about("itself", gettid());
    pthread_barrier_wait(&met);
    pthread_join(first, NULL);
    /* Its end is told before it is over. */
    while (clock_gettime(clock_of(getpid(), true), &(struct timespec){0}) == 0 &&
           futex(&(uint32_t){(uint32_t)getpid()}, FUTEX_LOCK_PI, &(struct timespec){1, 0}) == -1 &&
           errno == ETIMEDOUT)
        sched_yield();
    ask_about("the first, that has ended", getpid());
    say("a signal for it alone", syscall(SYS_tgkill, getpid(), getpid(), SIGUSR2));
    fflush(stdout);
    _exit(7);
}

static pid_t second_id;

static void *begin_second(void *arg)
{
    second_id = gettid();
    return second(arg);
}

int main(void)
{
    pthread_join(start(only_its_number, NULL), NULL);
    while (syscall(SYS_tgkill, getpid(), ended, 0) == 0)
        sched_yield();
    ask_about("one that has ended", ended);
    circle_of(2);
    circle_of(3);
    circle_of(CIRCLE);
    wait_in_a_row();
    order_of_clocks();
    first = pthread_self();
    pthread_barrier_init(&met, NULL, 2);
    start(begin_second, NULL);
    pthread_barrier_wait(&met);
    ask_about("the first, by itself", getpid());
    ask_about("the second, by the first", second_id);
    pthread_barrier_wait(&met);
    pthread_barrier_wait(&met);
    pthread_exit(NULL);
}
