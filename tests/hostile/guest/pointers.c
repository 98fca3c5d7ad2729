/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pointers TOP SEED: system calls by the thousand with arguments of every kind, while one thread changes the
 * memory that they point to (vectors, names, structs) and another one maps and unmaps it. A call may give any
 * result; none may crash the program, or bring it what is not its own. Then threads end whose lists of
 * locks, and word to be cleared, are of that kind.
 */
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

#define CALLS      100000
#define MOST_NS    700000000ull
#define LAST_CALL  462
#define ENDS       40
#define RACE_BYTES (2 * FERRY_PAGE_BYTES)

/* Those that end the program, take its signals or memory, wait with signals blocked, or use up memory,
 * of which it would end. */
static const uint16_t left_out[] = {
    SYS_mmap,
    SYS_mprotect,
    SYS_munmap,
    SYS_brk,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_mremap,
    SYS_madvise,
    SYS_pause,
    SYS_alarm,
    SYS_setitimer,
    SYS_clone,
    SYS_fork,
    SYS_vfork,
    SYS_execve,
    SYS_exit,
    SYS_kill,
    SYS_rt_sigtimedwait,
    SYS_rt_sigqueueinfo,
    SYS_rt_sigsuspend,
    SYS_sigaltstack,
    SYS_prctl,
    SYS_arch_prctl,
    SYS_setrlimit,
    SYS_tkill,
    SYS_timer_create,
    SYS_timer_settime,
    SYS_exit_group,
    SYS_tgkill,
    SYS_pselect6,
    SYS_ppoll,
    SYS_epoll_pwait,
    SYS_rt_tgsigqueueinfo,
    SYS_prlimit64,
    SYS_execveat,
    SYS_pkey_mprotect,
    SYS_clone3,
    SYS_close_range,
    SYS_epoll_pwait2,
    SYS_set_robust_list,
    SYS_set_tid_address,
    SYS_futex,
    SYS_futex_waitv,
    SYS_mlockall,
    SYS_memfd_create,
};

static const uint64_t nowhere[] = {0,
                                   1,
                                   8,
                                   FERRY_PROGRAM_LOW - 1,
                                   FERRY_PROGRAM_HIGH - 4,
                                   FERRY_PROGRAM_HIGH,
                                   FERRY_SYSTEM_BASE,
                                   FERRY_SYSTEM_BASE + 3 * FERRY_PAGE_BYTES,
                                   FERRY_SYSTEM_BASE + 40 * FERRY_PAGE_BYTES,
                                   FERRY_CLOCK_ADDR,
                                   FERRY_FILES_BASE,
                                   FERRY_WINDOW_BASE,
                                   FERRY_WINDOW_BASE + 5 * FERRY_EXTENT_BYTES,
                                   FERRY_PROGRAM_FAR_LOW,
                                   1ull << 46,
                                   (1ull << 47) - 8,
                                   1ull << 63,
                                   0xffff888000000000ull,
                                   UINT64_MAX - 7,
                                   UINT64_MAX};
static const uint64_t sizes[] = {0,        1,         7,          8,          16,
                                 24,       128,       4095,       4096,       65536,
                                 IOV_MAX,  INT32_MAX, UINT32_MAX, 1ull << 32, (1ull << 47) - 1,
                                 SIZE_MAX, 1ull << 63};

static uint64_t seed;
static char *race, *flicker, *edge; /* the last byte before memory without rights */
static char names[4][300];
static atomic_bool over;

static uint64_t next_of(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

static uint64_t any(void)
{
    return next_of(&seed) >> 8;
}

#define ANY_OF(list, random) ((list)[(random) % (sizeof(list) / sizeof *(list))])

static uint64_t argument(void)
{
    switch (any() % 10) {
    case 0:
        return any() % 20; /* also a descriptor */
    case 1:
        return 3 + any() % 14;
    case 2:
        return ANY_OF(nowhere, any());
    case 3:
    case 4:
        return (uintptr_t)race + any() % 64 * 8;
    case 5:
        return (uintptr_t)edge - any() % 40;
    case 6:
        return (uintptr_t)flicker + FERRY_PAGE_BYTES - any() % 40;
    case 7:
        return ANY_OF(sizes, any());
    case 8:
        return 1ull << any() % 64;
    default:
        return any();
    }
}

static bool is_left_out(uint64_t number)
{
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++)
        if (left_out[i] == number)
            return true;
    return false;
}

/* ---- what changes meanwhile ----------------------------------------------- */

/* Vectors whose pieces are right and wrong in turn, names, and words of all kinds. */
static void *change(void *unused)
{
    volatile uint64_t *words = (volatile uint64_t *)(void *)race;
    uint64_t state = 0x9e3779b97f4a7c15ull;

    while (!atomic_load(&over)) {
        uint64_t at = next_of(&state) % (RACE_BYTES / 8 - 40), kind = next_of(&state) % 6;

        if (kind == 0)
            memcpy(race + at * 8, ANY_OF(names, state >> 20), sizeof names[0]);
        else if (kind < 3)
            words[at] = ANY_OF(nowhere, state >> 20);
        else if (kind == 3)
            words[at] = ANY_OF(sizes, state >> 20);
        else if (kind == 4)
            words[at] = (uintptr_t)race + (state >> 20) % 512;
        else
            words[at] = (state >> 20) % 64;
    }
    return unused;
}

static void *map_and_unmap(void *unused)
{
    while (!atomic_load(&over)) {
        (void)mmap(flicker, FERRY_PAGE_BYTES, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        memcpy(flicker + FERRY_PAGE_BYTES - 40, race, 40);
        (void)mprotect(flicker, FERRY_PAGE_BYTES, PROT_READ);
        (void)munmap(flicker, FERRY_PAGE_BYTES);
    }
    return unused;
}

/* ---- calls ---------------------------------------------------------------- */

static void on_alarm(int signo)
{
    (void)signo;
}

static void open_all(const char *top)
{
    int ends[2];

    snprintf(names[0], sizeof names[0], "%s/rw/data", top);
    snprintf(names[1], sizeof names[1], "%s/ro/out", top);
    snprintf(names[2], sizeof names[2], "%s/secret", top);
    snprintf(names[3], sizeof names[3], "/proc/self/fd/5/../../secret");
    (void)!open(names[0], O_RDWR | O_CREAT, 0600);
    (void)!open("/proc/self/maps", O_RDONLY);
    (void)!open("/dev/zero", O_RDWR);
    (void)!open(top, O_RDONLY | O_DIRECTORY);
    (void)!pipe2(ends, O_NONBLOCK);
    (void)socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends);
    (void)socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, ends);
    (void)eventfd(1, EFD_NONBLOCK);
    (void)epoll_create1(0);
    (void)timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    (void)inotify_init1(IN_NONBLOCK);
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void make_calls(void)
{
    uint64_t ends = now_ns() + MOST_NS;

    for (unsigned i = 0; i < CALLS && (i % 16 || now_ns() < ends); i++) {
        uint64_t number = any() % (LAST_CALL + 1);

        if (!is_left_out(number))
            (void)syscall((long)number, argument(), argument(), argument(), argument(), argument(),
                          argument());
    }
}

/* Its list of locks, and the word that is cleared for who joins it, are not what they should be. */
static void *end_badly(void *unused)
{
    (void)syscall(SYS_set_robust_list, race + any() % 64 * 8, 24);
    (void)syscall(SYS_set_tid_address, ANY_OF(nowhere, any()));
    syscall(SYS_exit, 0);
    return unused;
}

static void end_threads(void)
{
    pthread_attr_t attributes;
    pthread_t thread;

    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 4 * FERRY_PAGE_BYTES); /* the search reads all of them */
    for (int i = 0; i < ENDS; i++)
        (void)pthread_create(&thread, &attributes, end_badly, NULL);
}

static void take_alarms(void)
{
    const struct itimerval often = {{0, 3000}, {0, 3000}};
    const struct sigaction action = {.sa_handler = on_alarm};

    for (int signo = 1; signo <= SIGRTMAX; signo++)
        if (signo != SIGSEGV && signo != SIGBUS && signo != SIGILL && signo != SIGTRAP)
            sigaction(signo, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
}

int main(int argc, char **argv)
{
    pthread_t threads[2];
    sigset_t all, before;

    expect_arguments(argc, 2, "pointers TOP SEED");
    seed = strtoull(argv[2], NULL, 0) * 0x9e3779b97f4a7c15ull | 1;
    race = mmap(NULL, 8 * FERRY_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                0);
    if (race == MAP_FAILED)
        fail("no memory");
    edge = race + 4 * FERRY_PAGE_BYTES;
    mprotect(edge, FERRY_PAGE_BYTES, PROT_NONE);
    flicker = race + 6 * FERRY_PAGE_BYTES;
    open_all(argv[1]);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    expect_ok("pthread_create", -pthread_create(&threads[0], NULL, change, NULL));
    expect_ok("pthread_create", -pthread_create(&threads[1], NULL, map_and_unmap, NULL));
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    take_alarms();
    make_calls();
    end_threads();
    setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
    atomic_store(&over, true);
    pthread_join(threads[0], NULL);
    return 0;
}
