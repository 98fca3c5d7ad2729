/* SPDX-License-Identifier: BSD-2-Clause */
/* What threads do beside each other: memory, descriptors and positions that others change meanwhile; the
 * first argument says which of it. Ends with 0 if all was right. */
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"
#include "start.h"

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
    expect_arguments(argc, 1, "races WHAT [COUNT|FILE]");
    const char *what = argv[1];
    int count = argc > 2 ? atoi(argv[2]) : 0;

    if (strcmp(what, "race") == 0) {
        race();
    } else if (strcmp(what, "replace") == 0) {
        replace(count);
    } else if (strcmp(what, "readers") == 0) {
        readers(argc > 2 ? argv[2] : "");
    } else if (strcmp(what, "map-while-touched") == 0) {
        map_while_touched();
    } else if (strcmp(what, "parallel") == 0) {
        parallel();
    } else {
        fail("unknown: %s", what);
    }
    return 0;
}
