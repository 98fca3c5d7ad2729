/* SPDX-License-Identifier: BSD-2-Clause */
/* How threads begin, where they run, and how they and their program end; the first argument says which
 * of it. Ends with 0 if all was right. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"
#include "start.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t barrier;

static void *nothing(void *arg)
{
    return arg;
}

/* ---- ends -------------------------------------------------------------------- */

static void *end_later(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++)
        sched_yield();
    puts("the last thread");
    return NULL;
}

static void *read_on(void *arg)
{
    char byte;

    return read(0, &byte, 1) ? NULL : arg;
}

static void *wait_for_lock(void *arg)
{
    pthread_mutex_lock(&lock);
    return arg;
}

static void *pass_through(void *arg)
{
    pthread_mutex_lock(&lock);
    pthread_mutex_unlock(&lock);
    return arg;
}

static void *sleep_on(void *arg)
{
    pause();
    return arg;
}

static void *compute(void *arg)
{
    for (;;)
        atomic_fetch_add((atomic_long *)arg, 1);
    return NULL;
}

/* One thread in each kind of wait, and one that computes. */
static void occupy(void)
{
    static atomic_long counter;

    pthread_mutex_lock(&lock);
    start(read_on, NULL);
    start(wait_for_lock, NULL);
    start(sleep_on, NULL);
    start(compute, &counter);
    while (!atomic_load(&counter))
        sched_yield();
}

static void *exit_all(void *arg)
{
    (void)arg;
    exit(9);
}

static void *crash_by_name(void *arg)
{
    pthread_setname_np(pthread_self(), "wor\033ker's");
    *(volatile int *)arg = 1;
    return NULL;
}

/* A thread that is not the first begins another program, which finds itself alone. */
static void *execute(void *program)
{
    char *const args[] = {program, (char *)"alone", NULL};

    execv(program, args);
    fail("execv: %s", strerror(errno));
}

#define OPENERS 24

static void *open_it(void *path)
{
    pthread_barrier_wait(&barrier);
    open(path, O_RDONLY);
    return path;
}

/* Many threads open a file that may never answer, and then the program begins anew. */
static void open_and_execute(char *path)
{
    char *const args[] = {(char *)"threads", (char *)"opens", path, NULL};

    pthread_barrier_init(&barrier, NULL, OPENERS + 1);
    for (int i = 0; i < OPENERS; i++)
        start(open_it, path);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 100; i++)
        sched_yield();
    execv("/proc/self/exe", args);
    fail("execv: %s", strerror(errno));
}

#define WAYS    5
#define AT_ONCE (4 * WAYS)

static void *end_somehow(void *arg)
{
    int how = *(const int *)arg;

    pthread_barrier_wait(&barrier);
    switch (how % WAYS) {
    case 0:
        _exit(9);
    case 1:
        *(volatile int *)NULL = 1;
        return NULL;
    case 2:
        return execute((void *)"/proc/self/exe");
    case 3:
        kill(getpid(), SIGTERM);
        return NULL;
    default:
        return NULL;
    }
}

/* Begins and ends threads until something else ends it. */
static void *make_others(void *arg)
{
    pthread_t thread;

    pthread_barrier_wait(&barrier);
    for (;;)
        if (pthread_create(&thread, NULL, nothing, NULL) == 0)
            pthread_join(thread, NULL);
    return arg;
}

/* All ends at once, while others wait, compute and begin. The first thread ends like any other. */
static void end_at_once(int first)
{
    static int how[AT_ONCE];

    occupy();
    pthread_barrier_init(&barrier, NULL, AT_ONCE + 2);
    for (int i = 0; i < AT_ONCE; i++) {
        how[i] = first + i;
        start(end_somehow, &how[i]);
    }
    start(make_others, NULL);
    pthread_barrier_wait(&barrier);
    pthread_exit(NULL);
}

static void alone(void)
{
    if (getpid() != gettid())
        fail("the new program is not the first thread");
    run_many(nothing, NULL);
}

/* ---- processors ----------------------------------------------------------------- */

static void expect_here(int cpu)
{
    cpu_set_t set;

    for (int i = 0; i < 20; i++)
        if (sched_getcpu() != cpu)
            fail("a thread that may run on %d alone runs on %d", cpu, sched_getcpu());
    if (sched_getaffinity(0, sizeof set, &set) || CPU_COUNT(&set) != 1 || !CPU_ISSET(cpu, &set))
        fail("the set of %d is told otherwise", cpu);
}

static void *inherit(void *arg)
{
    expect_here(*(int *)arg);
    return NULL;
}

/* On each processor in turn; a thread begins with the set of the one that made it. */
static void pin(void)
{
    cpu_set_t all, one;

    if (sched_getaffinity(0, sizeof all, &all))
        fail("sched_getaffinity: %s", strerror(errno));
    for (int cpu = 0; cpu < CPU_COUNT(&all); cpu++) {
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        if (sched_setaffinity(0, sizeof one, &one))
            fail("sched_setaffinity: %s", strerror(errno));
        expect_here(cpu);
        pthread_join(start(inherit, &cpu), NULL);
    }
}

/* ---- many ---------------------------------------------------------------------- */

static void churn(int count)
{
    for (int i = 0; i < count; i++)
        pthread_join(start(nothing, NULL), NULL);
}

/* As many as there may be, and one too many. */
static void limit(int most)
{
    pthread_t threads[64], other;

    pthread_mutex_lock(&lock);
    for (int i = 0; i < most - 1; i++)
        threads[i] = start(pass_through, NULL);
    if (pthread_create(&other, NULL, nothing, NULL) != EAGAIN)
        fail("there was no limit");
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < most - 1; i++)
        pthread_join(threads[i], NULL);
    pthread_join(start(nothing, NULL), NULL);
}

/* Code in so many areas of 2 MiB that the VM's page tables are full. Then the limit is the same. */
static void limit_with_full_tables(int most)
{
    const size_t area = 2u << 20, hole = 256u << 20, all = 2u << 30;
    char *stacks = mmap(NULL, hole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *at = mmap(NULL, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *end = at + all;

    if (stacks == MAP_FAILED || at == MAP_FAILED)
        fail("mmap: %s", strerror(errno));
    while (at < end && mmap(at, 1, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
                            -1, 0) != MAP_FAILED)
        at += area;
    if (at == end)
        fail("the page tables are not full");
    munmap(stacks, hole); /* whose upper tables are there */
    limit(most);
}

int main(int argc, char **argv)
{
    expect_arguments(argc, 1, "threads WHAT [COUNT]");
    const char *what = argv[1];
    int count = argc > 2 ? atoi(argv[2]) : 0;

    if (strcmp(what, "main-ends") == 0) {
        start(end_later, NULL);
        pthread_exit(NULL);
    } else if (strcmp(what, "exit-group") == 0) {
        occupy();
        pthread_join(start(exit_all, NULL), NULL);
    } else if (strcmp(what, "crash") == 0) {
        occupy();
        *(volatile int *)NULL = 1;
    } else if (strcmp(what, "crash-named") == 0) {
        pthread_join(start(crash_by_name, NULL), NULL);
    } else if (strcmp(what, "stop") == 0) {
        occupy();
        write(1, "!", 1);
        pause();
    } else if (strcmp(what, "exec") == 0) {
        occupy();
        pthread_join(start(execute, (void *)"/proc/self/exe"), NULL);
    } else if (strcmp(what, "opens") == 0 && argc > 2) {
        open_and_execute(argv[2]);
    } else if (strcmp(what, "alone") == 0) {
        alone();
    } else if (strcmp(what, "churn") == 0) {
        churn(count);
    } else if (strcmp(what, "limit") == 0) {
        limit(count);
    } else if (strcmp(what, "limit-full") == 0) {
        limit_with_full_tables(count);
    } else if (strcmp(what, "at-once") == 0) {
        end_at_once(count);
    } else if (strcmp(what, "pin") == 0) {
        pin();
    } else {
        fail("unknown: %s", what);
    }
    return 0;
}
