/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * storm KIND [PEER]: doorbells, calls, faults, signals, threads, wakes or messages, as many as it can make
 * in a bounded number of tries and a quarter of a second. What it asks for beyond what it may have is
 * refused; it ends with threads and messages under way, and that of signals does not end.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <linux/futex.h>

#include "call.h"
#include "guest.h"

#define TRIES     200000
#define MOST_NS   250000000ull
#define STORMERS  3
#define PAGES     64
#define MOST_ENDS 500
#define NO_CALL   5000

static uint64_t ends_ns;
static atomic_uint word, signals;
static atomic_bool over;
static pthread_t threads[STORMERS];
static char *memory;

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static bool goes_on(unsigned tries)
{
    return tries < TRIES && (tries % 16 || now_ns() < ends_ns);
}

static void doorbells(void)
{
    for (unsigned i = 0; goes_on(i); i++)
        ferry_guest_doorbell();
}

static void calls(void)
{
    for (unsigned i = 0; goes_on(i); i++) {
        if (ferry_guest_call((enum ferry_call)(100 + i), UINT64_MAX - i, i, i) >= 0 ||
            syscall(NO_CALL + i, i, i, i) >= 0)
            fail("a call that is none");
        (void)ferry_guest_call(FERRY_CALL_WAIT, UINT64_MAX, 0, 0);
    }
}

/* ---- faults --------------------------------------------------------------- */

/* Opens what was closed, or closes another. */
static void on_fault(int signo, siginfo_t *info, void *context)
{
    uintptr_t page = (uintptr_t)info->si_addr & ~(FERRY_PAGE_BYTES - 1);

    (void)signo, (void)context;
    mprotect((void *)page, FERRY_PAGE_BYTES, PROT_READ | PROT_WRITE);
}

static void faults(void)
{
    const struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};

    memory = mmap(NULL, PAGES * FERRY_PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    sigaction(SIGSEGV, &action, NULL);
    for (unsigned i = 0; goes_on(i); i++) {
        char *page = memory + i % PAGES * FERRY_PAGE_BYTES;

        page[i % FERRY_PAGE_BYTES] = 1;
        if (i % 3)
            mprotect(page, FERRY_PAGE_BYTES, PROT_NONE);
        else
            madvise(page, FERRY_PAGE_BYTES, MADV_DONTNEED);
    }
}

/* ---- signals -------------------------------------------------------------- */

static void on_signal(int signo)
{
    (void)signo;
    atomic_fetch_add(&signals, 1);
}

static void *signal_all(void *unused)
{
    for (unsigned i = 0; goes_on(i) && !atomic_load(&over); i++) {
        (void)kill(getpid(), SIGUSR1 + (i & 1) * (SIGUSR2 - SIGUSR1));
        (void)sigqueue(getpid(), SIGRTMIN + (int)(i % 8), (union sigval){0});
        (void)syscall(SYS_tgkill, getpid(), 1 + i % 5, SIGUSR1);
    }
    return unused;
}

static void signals_and_timers(void)
{
    const struct itimerval often = {{0, 1}, {0, 1}};
    const struct itimerspec spec = {{0, 1}, {0, 1}};
    timer_t timers[100];
    int count = 0;

    for (int signo = 1; signo <= SIGRTMAX; signo++)
        if (signo != SIGSEGV && signo != SIGBUS)
            signal(signo, on_signal);
    while (count < 100 && timer_create(CLOCK_MONOTONIC, NULL, &timers[count]) == 0)
        timer_settime(timers[count++], 0, &spec, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    for (int i = 0; i < STORMERS; i++)
        if (pthread_create(&threads[i], NULL, signal_all, NULL))
            return;
    signal_all(NULL);
    for (;;) /* there are enough signals to keep it busy for ever */
        ;
}

/* ---- threads -------------------------------------------------------------- */

static void *end_at_once(void *unused)
{
    return unused;
}

static void *sleep_for_ever(void *unused)
{
    for (;;)
        pause();
    return unused;
}

static void many_threads(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    int result = 0, ends = 0;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 16384);
    for (unsigned i = 0; goes_on(i) && ends < MOST_ENDS; i++, ends++)
        if (pthread_create(&thread, &attributes, end_at_once, NULL) == 0)
            pthread_join(thread, NULL);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    ends_ns = now_ns() + MOST_NS;
    for (unsigned i = 0; goes_on(i) && !result; i++)
        result = pthread_create(&thread, &attributes, sleep_for_ever, NULL);
    if (result != EAGAIN && result != 0)
        fail("threads: %s", strerror(result));
}

/* ---- wakes ---------------------------------------------------------------- */

static void *wake(void *unused)
{
    const struct timespec soon = {0, 1};

    for (unsigned i = 0; goes_on(i) && !atomic_load(&over); i++) {
        unsigned now = atomic_fetch_add(&word, 1);

        (void)syscall(SYS_futex, &word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
        (void)syscall(SYS_futex, &word, FUTEX_WAIT, now, &soon, NULL, 0);
        (void)syscall(SYS_futex, &word, FUTEX_CMP_REQUEUE, 1, 100, &signals, now);
    }
    return unused;
}

static void wakes(void)
{
    for (int i = 0; i < STORMERS; i++)
        expect_ok("pthread_create", -pthread_create(&threads[i], NULL, wake, NULL));
    wake(NULL);
}

/* ---- messages ------------------------------------------------------------- */

/* By every mode, at once or not, until the link is full and the loans used up; what comes is left. */
static void messages(const char *name)
{
    struct ferry_msg msg = {.dst = peer_of(name)->id};
    static char bytes[FERRY_PAGE_BYTES];

    for (unsigned i = 0; goes_on(i); i++) {
        void *home, *page = NULL;
        size_t length;

        msg.mode = (enum ferry_mode)(FERRY_INLINE + i % 4);
        msg.bytes = msg.mode == FERRY_INLINE ? 8 : FERRY_PAGE_BYTES;
        msg.data = bytes;
        if (msg.mode > FERRY_COPY) {
            if (ferry_reclaim(&home, &length, 0) == 0)
                page = home;
            else
                page = ferry_alloc_pages(1);
            if (!page)
                continue;
            msg.data = page;
        }
        (void)ferry_send(&msg, i % 7 ? FERRY_DEFERRED : FERRY_IMMEDIATE);
    }
}

int main(int argc, char **argv)
{
    expect_arguments(argc, 1, "storm KIND [PEER]");
    ends_ns = now_ns() + MOST_NS;
    if (strcmp(argv[1], "doorbells") == 0)
        doorbells();
    else if (strcmp(argv[1], "calls") == 0)
        calls();
    else if (strcmp(argv[1], "faults") == 0)
        faults();
    else if (strcmp(argv[1], "signals") == 0)
        signals_and_timers();
    else if (strcmp(argv[1], "threads") == 0)
        many_threads();
    else if (strcmp(argv[1], "wakes") == 0)
        wakes();
    else
        messages(argv[2]);
    return 0;
}
