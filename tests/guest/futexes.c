/* SPDX-License-Identifier: BSD-2-Clause */
/* What threads do with locks, conditions and other futexes; the first argument says which of it. Ends
 * with 0 if all was right. */
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"
#include "start.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static long total;
static bool go;
static _Thread_local long own = 7;

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

int main(int argc, char **argv)
{
    expect_arguments(argc, 1, "futexes WHAT");
    const char *what = argv[1];

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
    } else {
        fail("unknown: %s", what);
    }
    return 0;
}
