/* SPDX-License-Identifier: BSD-2-Clause */
/* What programs do with threads; the first argument says which of it. Ends with 0 if all was
 * right. */
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

#define MANY 8

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static long total;
static bool go;
static _Thread_local long own = 7;

static pthread_t start(void *(*run)(void *), void *arg)
{
    pthread_t thread;

    expect_ok("pthread_create", -pthread_create(&thread, NULL, run, arg));
    return thread;
}

static void *nothing(void *arg)
{
    return arg;
}

static void run_many(void *(*run)(void *), void *arg)
{
    pthread_t threads[MANY];

    for (int i = 0; i < MANY; i++)
        threads[i] = start(run, arg);
    for (int i = 0; i < MANY; i++)
        pthread_join(threads[i], NULL);
}

static void init_lock(int protocol, int robust)
{
    pthread_mutexattr_t attributes;

    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setprotocol(&attributes, protocol);
    pthread_mutexattr_setrobust(&attributes, robust);
    pthread_mutex_init(&lock, &attributes);
}

/* ---- locks, conditions, memory of one's own -------------------------------- */

static void *add(void *arg)
{
    (void)arg;
    own++;
    pthread_mutex_lock(&lock);
    while (!go)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < 500; i++) {
        pthread_mutex_lock(&lock);
        total++;
        pthread_mutex_unlock(&lock);
    }
    if (own != 8)
        fail("a thread has another's memory");
    return NULL;
}

static void *let_go(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&lock);
    go = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return NULL;
}

static void locks(void)
{
    pthread_t last = start(let_go, NULL);

    run_many(add, NULL);
    pthread_join(last, NULL);
    if (total != MANY * 500L || own != 7)
        fail("%ld additions", total);
}

static void *meet(void *arg)
{
    (void)arg;
    for (int i = 0; i < 50; i++) {
        pthread_barrier_wait(&barrier);
        if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
            total++;
    }
    return NULL;
}

static void barriers(void)
{
    pthread_barrier_init(&barrier, NULL, MANY);
    run_many(meet, NULL);
    if (total != 50)
        fail("%ld rounds", total);
}

static void *time_out(void *arg)
{
    struct timespec past = {.tv_sec = 1};

    (void)arg;
    if (pthread_mutex_timedlock(&lock, &past) != ETIMEDOUT)
        fail("a lock that is held was had");
    return NULL;
}

/* A lock that goes from its holder to the thread that waits longest. */
static void inheritance(void)
{
    go = true;
    init_lock(PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_STALLED);
    run_many(add, NULL);
    if (total != MANY * 500L)
        fail("%ld additions", total);
    pthread_mutex_lock(&lock);
    pthread_join(start(time_out, NULL), NULL);
    pthread_mutex_unlock(&lock);
}

/* ---- waits that end with a lock ----------------------------------------------- */

static uint32_t waited_for, held; /* words: of a condition, and of a lock that names its holder */

static long futex(uint32_t *word, int command, uint32_t value, uintptr_t second, uint32_t *other,
                  uint32_t third)
{
    long result = syscall(SYS_futex, word, command, value, second, other, third);

    return result < 0 ? -errno : result;
}

static atomic_int handled;

static void handle(int signo)
{
    (void)signo;
    atomic_fetch_add(&handled, 1);
}

static void *lock_by_call(void *arg)
{
    expect_ok("lock", futex(&held, *(const int *)arg, 0, 0, NULL, 0));
    expect_ok("unlock", futex(&held, FUTEX_UNLOCK_PI_PRIVATE, 0, 0, NULL, 0));
    return arg;
}

/* A handler that asks for no restart does not end a wait for a lock. */
static void lock_through_signals(void)
{
    const struct sigaction action = {.sa_handler = handle};
    int commands[] = {FUTEX_LOCK_PI_PRIVATE, 13 | FUTEX_PRIVATE_FLAG /* FUTEX_LOCK_PI2 */};

    sigaction(SIGUSR1, &action, NULL);
    for (int i = 0; i < 2; i++) {
        pthread_t thread;

        atomic_store(&handled, 0);
        expect_ok("lock", futex(&held, FUTEX_LOCK_PI_PRIVATE, 0, 0, NULL, 0));
        thread = start(lock_by_call, &commands[i]);
        while (!(__atomic_load_n(&held, __ATOMIC_SEQ_CST) & FUTEX_WAITERS))
            sched_yield();
        for (int sent = 1; sent < 5; sent++) {
            pthread_kill(thread, SIGUSR1);
            while (atomic_load(&handled) < sent)
                sched_yield();
        }
        expect_ok("unlock", futex(&held, FUTEX_UNLOCK_PI_PRIVATE, 0, 0, NULL, 0));
        pthread_join(thread, NULL);
    }
}

static void *wait_and_have(void *arg)
{
    expect_ok("wait", futex(&waited_for, FUTEX_WAIT_REQUEUE_PI_PRIVATE, 0, 0, &held, 0));
    if ((__atomic_load_n(&held, __ATOMIC_SEQ_CST) & FUTEX_TID_MASK) != (uint32_t)gettid())
        fail("the wait ended without the lock");
    total++;
    expect_ok("unlock", futex(&held, FUTEX_UNLOCK_PI_PRIVATE, 0, 0, NULL, 0));
    return arg;
}

static void requeue_some(int most)
{
    for (int moved = 0; moved < most;) {
        long now = futex(&waited_for, FUTEX_CMP_REQUEUE_PI_PRIVATE, 1, 1000, &held, 0);

        expect_ok("requeue", now);
        moved += (int)now;
        sched_yield(); /* the others have yet to wait */
    }
}

/* Once with the lock held, so that all wait for it, and once with it free. */
static void requeue(void)
{
    pthread_t threads[MANY];
    long result;

    for (int round = 1; round <= 2; round++) {
        if (round == 1)
            expect_ok("lock", futex(&held, FUTEX_LOCK_PI_PRIVATE, 0, 0, NULL, 0));
        for (int i = 0; i < MANY; i++)
            threads[i] = start(wait_and_have, NULL);
        requeue_some(MANY);
        if (round == 1 && total != 0)
            fail("somebody had the lock beside its holder");
        if (round == 1)
            expect_ok("unlock", futex(&held, FUTEX_UNLOCK_PI_PRIVATE, 0, 0, NULL, 0));
        for (int i = 0; i < MANY; i++)
            pthread_join(threads[i], NULL);
        if (total != MANY * round || held != 0)
            fail("%ld had the lock; it is 0x%x", total, held);
    }
    struct timespec past = {.tv_sec = 1};
    result = futex(&waited_for, FUTEX_WAIT_REQUEUE_PI_PRIVATE, 0, (uintptr_t)&past, &held, 0);
    if (result != -ETIMEDOUT)
        fail("a wait until the past: %ld", result);
}

/* ---- a thread that ends with a lock ----------------------------------------- */

/* Each of them finds that the one before it has died; `total` counts. */
static void *die_with_lock(void *arg)
{
    int result = pthread_mutex_lock(&lock);

    (void)arg;
    if (result == EOWNERDEAD) {
        pthread_mutex_consistent(&lock);
        total++;
    } else if (result) {
        fail("robust lock: %s", strerror(result));
    }
    sched_yield();
    return NULL;
}

static void robust(int protocol)
{
    init_lock(protocol, PTHREAD_MUTEX_ROBUST);
    run_many(die_with_lock, NULL);
    if (total != MANY - 1)
        fail("%ld of %d found that another had died", total, MANY - 1);
    if (pthread_mutex_lock(&lock) != EOWNERDEAD)
        fail("nobody had died");
}

/* It ends as with some C libraries, which mark the lock before the thread is at its end: nobody is
 * named by the word, and another waits for it. */
static void *die_unnamed(void *arg)
{
    uint32_t *word = arg;

    if (syscall(SYS_futex, word, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0))
        fail("FUTEX_LOCK_PI: %s", strerror(errno));
    pthread_barrier_wait(&barrier);
    while (!(__atomic_load_n(word, __ATOMIC_SEQ_CST) & FUTEX_WAITERS))
        sched_yield();
    __atomic_store_n(word, FUTEX_OWNER_DIED, __ATOMIC_SEQ_CST);
    if (syscall(SYS_futex, word, FUTEX_TRYLOCK_PI_PRIVATE, 0, NULL, NULL, 0) != -1)
        fail("a lock that others wait for was had");
    return NULL;
}

static void unnamed(void)
{
    static uint32_t word;
    uint32_t self = (uint32_t)syscall(SYS_gettid);
    pthread_t thread;

    pthread_barrier_init(&barrier, NULL, 2);
    thread = start(die_unnamed, &word);
    pthread_barrier_wait(&barrier);
    if (syscall(SYS_futex, &word, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0))
        fail("the lock of a thread that ended: %s", strerror(errno));
    if ((word & FUTEX_TID_MASK) != self || !(word & FUTEX_OWNER_DIED))
        fail("the word is %#x", word);
    pthread_join(thread, NULL);
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

/* ---- races ------------------------------------------------------------------ */

#define RACED_BYTES (64 << 10)
#define RACES       300

static char *raced;
static atomic_bool over;

/* Takes the memory away and gives it back, and closes the descriptor 5 and opens it again. */
static void *disturb(void *arg)
{
    time_t begun = time(NULL);

    (void)arg;
    for (int i = 0; i < RACES && time(NULL) <= begun + RACE_SECONDS; i++) {
        munmap(raced, RACED_BYTES);
        mmap(raced, RACED_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
             -1, 0);
        mprotect(raced, RACED_BYTES, PROT_NONE);
        close(5);
        dup2(0, 5);
        mprotect(raced, RACED_BYTES, PROT_READ | PROT_WRITE);
    }
    atomic_store(&over, true);
    return NULL;
}

/* Calls whose result nobody can know: the VMM must survive them, and each must return. */
static void *use_raced(void *arg)
{
    struct iovec pieces[2] = {{raced, 100}, {raced + 4096, RACED_BYTES - 4096}};

    while (!atomic_load(&over)) {
        read(5, raced, RACED_BYTES);
        readv(5, pieces, 2);
        write(1, raced, RACED_BYTES);
        writev(1, pieces, 2);
        poll((struct pollfd *)(void *)raced, 2, 0);
        if (arg)
            syscall(SYS_futex, raced, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
    }
    return NULL;
}

static void race(void)
{
    dup2(0, 5);
    raced = mmap(NULL, RACED_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 4; i++)
        start(use_raced, i % 2 ? &over : NULL);
    disturb(NULL);
    exit(0); /* some may be in a read for which nothing more comes */
}

#define REPLACED_BYTES (1 << 20)

/* Only computes, so that the memory is its one reason to leave the guest. */
static void *touch(void *arg)
{
    for (size_t i = 0; !atomic_load(&over); i = (i + 4096) % REPLACED_BYTES)
        ((volatile char *)arg)[i] = 1;
    return NULL;
}

/* Memory that is replaced while it is used is there at every moment. */
static void replace(int times)
{
    raced = mmap(NULL, REPLACED_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_t user = start(touch, raced);
    time_t begun = time(NULL);

    for (int i = 0; i < times && time(NULL) <= begun + RACE_SECONDS; i++)
        if (mmap(raced, REPLACED_BYTES, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != raced)
            fail("mmap: %s", strerror(errno));
    atomic_store(&over, true);
    pthread_join(user, NULL);
}

#define AREA_BYTES (2 << 20)
#define AREAS      200

static atomic_int areas_ready;

static char *area(int i)
{
    return (char *)0x500000000 + (size_t)i * AREA_BYTES;
}

/* Before the memory was there the touch may have found none, but it never finds memory that must not
 * be touched, since there is none: Linux looks at its mappings before it sends a signal. */
static void touched_too_early(int signo, siginfo_t *info, void *context)
{
    (void)context;
    if (signo != SIGSEGV || info->si_code != SEGV_MAPERR)
        _exit(2);
}

static void *map_areas(void *arg)
{
    for (int i = 0; i < AREAS; i++) {
        while (atomic_load(&areas_ready) < i)
            if (atomic_load(&over))
                return arg;
        if (mmap(area(i), 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                 0) != area(i))
            fail("mmap: %s", strerror(errno));
    }
    return arg;
}

static void map_while_touched(void)
{
    const struct sigaction action = {.sa_sigaction = touched_too_early, .sa_flags = SA_SIGINFO};
    time_t begun = time(NULL);
    pthread_t other;

    sigaction(SIGSEGV, &action, NULL);
    other = start(map_areas, NULL);
    for (int i = 0; i < AREAS && time(NULL) <= begun + RACE_SECONDS; i++) {
        atomic_store(&areas_ready, i);
        *(volatile char *)area(i) = 1;
    }
    atomic_store(&over, true);
    pthread_join(other, NULL);
}

/* ---- one position -------------------------------------------------------------- */

#define NUMBERS 200

static atomic_long got_numbers;

/* Numbers of a file, each of which one thread must get, and each thread in order. */
static void *read_numbers(void *arg)
{
    static atomic_bool seen[NUMBERS];
    uint32_t number, last = 0;
    ssize_t got;

    while ((got = read(*(int *)arg, &number, sizeof number)) == sizeof number) {
        if (number >= NUMBERS || number < last || atomic_exchange(&seen[number], true))
            fail("%u came twice or too late", number);
        last = number;
        got_numbers++;
    }
    if (got != 0)
        fail("read: %zd", got);
    return NULL;
}

static void readers(const char *path)
{
    int fd = open(path, O_RDONLY);

    run_many(read_numbers, &fd);
    if (got_numbers != NUMBERS)
        fail("%ld of %d numbers", got_numbers, NUMBERS);
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

#define TURNS_LEAST 20
#define TURNS_MOST  2000

static atomic_long turn;

/* Both run at once: each waits for the other's step and makes no call. */
static void *step(void *arg)
{
    long me = (long)arg;

    for (long i = 0;; i++) {
        while (atomic_load(&turn) != 2 * i + me)
            if (atomic_load(&over))
                return NULL;
        atomic_fetch_add(&turn, 1);
    }
}

/* The two need a processor of the host each, or the scheduler for every turn: it may be slow. */
static void parallel(void)
{
    pthread_t one = start(step, (void *)0), other = start(step, (void *)1);
    time_t begun = time(NULL);

    while (atomic_load(&turn) < TURNS_LEAST ||
           (atomic_load(&turn) < TURNS_MOST && time(NULL) <= begun + RACE_SECONDS))
        usleep(1000);
    atomic_store(&over, true);
    pthread_join(one, NULL);
    pthread_join(other, NULL);
}

int main(int argc, char **argv)
{
    expect_arguments(argc, 1, "threads WHAT [COUNT]");
    const char *what = argv[1];
    int count = argc > 2 ? atoi(argv[2]) : 0;

    if (strcmp(what, "locks") == 0) {
        locks();
    } else if (strcmp(what, "barriers") == 0) {
        barriers();
    } else if (strcmp(what, "inheritance") == 0) {
        inheritance();
    } else if (strcmp(what, "lock-signals") == 0) {
        lock_through_signals();
    } else if (strcmp(what, "requeue") == 0) {
        requeue();
    } else if (strcmp(what, "robust") == 0) {
        robust(PTHREAD_PRIO_NONE);
    } else if (strcmp(what, "robust-pi") == 0) {
        robust(PTHREAD_PRIO_INHERIT);
    } else if (strcmp(what, "unnamed") == 0) {
        unnamed();
    } else if (strcmp(what, "main-ends") == 0) {
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
    } else if (strcmp(what, "race") == 0) {
        race();
    } else if (strcmp(what, "replace") == 0) {
        replace(count);
    } else if (strcmp(what, "readers") == 0) {
        readers(argc > 2 ? argv[2] : "");
    } else if (strcmp(what, "map-while-touched") == 0) {
        map_while_touched();
    } else if (strcmp(what, "at-once") == 0) {
        end_at_once(count);
    } else if (strcmp(what, "pin") == 0) {
        pin();
    } else if (strcmp(what, "parallel") == 0) {
        parallel();
    } else {
        fail("unknown: %s", what);
    }
    return 0;
}
