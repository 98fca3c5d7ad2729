/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ready [WITH]: gets ready, with something that a snapshot cannot have if WITH names it, and then does
 * what each message of the host says, by its tag. The answer is a message with a number as its tag.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"
#include "ready.h"

static unsigned long requests; /* that this run has served */
static char kept[SECRET_BYTES];
static uint64_t copy;
static int file;

static void answer(uint64_t number)
{
    const struct ferry_msg msg = {.mode = FERRY_INLINE, .tag = number};

    expect_ok("answer", ferry_send_wait(&msg, FERRY_IMMEDIATE));
}

/* ---- with what there can be no snapshot ------------------------------------------- */

static void *wait_for_ever(void *arg)
{
    for (;;)
        pause();
    return arg;
}

static void prepare(const char *with)
{
    static pthread_t thread;
    int ends[2];

    if (strcmp(with, "thread") == 0)
        expect_ok("thread", -pthread_create(&thread, NULL, wait_for_ever, NULL));
    else if (strcmp(with, "process") == 0) {
        if (fork() == 0)
            wait_for_ever(NULL);
    } else if (strcmp(with, "pipe") == 0)
        expect_ok("pipe", pipe(ends) ? -errno : 0);
    else if (strcmp(with, "timer") == 0)
        alarm(1000);
    else if (strcmp(with, "memory") == 0) {
        file = open("/tmp/file", O_CREAT | O_RDWR, 0600);
        expect_ok("open", file < 0 ? -errno : 0);
    } else if (strcmp(with, "shared") == 0) {
        file = open("/etc/hostname", O_RDONLY);
        ends[0] = memfd_create("shared", 0);
        expect_ok("memfd", ends[0] < 0 || ftruncate(ends[0], 4096) ? -errno : 0);
        if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ends[0], 0) == MAP_FAILED)
            fail("mmap: %s", strerror(errno));
        close(ends[0]);
    } else if (strcmp(with, "extent") == 0)
        alloc_units(FERRY_EXTENT_BYTES);
    else if (strcmp(with, "looks") == 0) { /* at its input, as libraries do at their start */
        struct pollfd input = {.fd = 0, .events = POLLIN};

        poll(&input, 1, 0);
        requests = 10;
    } else if (strcmp(with, "signal") == 0) {
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, SIGUSR1);
        sigprocmask(SIG_BLOCK, &set, NULL);
        raise(SIGUSR1);
    } else if (strcmp(with, "never") == 0)
        wait_for_ever(NULL);
    else
        fail("ready: there is no '%s'", with);
}

/* ---- what may be asked ------------------------------------------------------------ */

static void write_file(const char *path, const char *secret)
{
    int fd = open(path, O_CREAT | O_WRONLY, 0600);

    if (fd < 0 || write(fd, secret, SECRET_BYTES) != SECRET_BYTES)
        fail("%s: %s", path, strerror(errno));
    close(fd);
}

/* The compiler must not see that nobody reads it. */
static void put(void *at, const char *secret)
{
    memcpy(at, secret, SECRET_BYTES);
    __asm__ volatile("" : : "r"(at) : "memory");
}

/* Below the stack of who calls it. */
static __attribute__((noinline)) void put_on_stack(const char *secret)
{
    char deep[65536];

    for (size_t i = 0; i + SECRET_BYTES <= sizeof(deep); i += SECRET_BYTES)
        put(&deep[i], secret);
}

static void *map(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (at == MAP_FAILED)
        fail("mmap: %s", strerror(errno));
    return at;
}

/* Keeps it in all places that it knows of; `maps`: also in such as are mapped for it. */
static void keep(const char *secret, bool maps)
{
    struct ferry_control *control = (struct ferry_control *)(uintptr_t)ferry_control();

    put(kept, secret);
    put_on_stack(secret);
    put(malloc(SECRET_BYTES), secret);
    put(&control->out[FERRY_RING_ENTRIES / 2], secret);
    if (!maps)
        return;
    put(map(4096), secret);
    put(map(8 << 20), secret);
    put(sbrk(1 << 20), secret);
    mkdir("/tmp/deep", 0700);
    mkdir("/tmp/deep/er", 0700);
    write_file("/tmp/deep/er/secret", secret);
    chmod("/tmp/deep", 0);
    write_file("/dev/shm/secret", secret);
}

/* The mask is so that who looks for a secret does not hold it. */
static bool is_secret(const char *at, const char *masked)
{
    for (size_t i = 0; i < SECRET_BYTES; i++)
        if ((at[i] ^ SECRET_MASK) != masked[i])
            return false;
    return true;
}

static unsigned count_in(const char *from, const char *to, const char *masked)
{
    unsigned found = 0;

    for (; from + SECRET_BYTES <= to; from++)
        found += is_secret(from, masked);
    return found;
}

static unsigned long look(const char *masked)
{
    const struct ferry_control *control = ferry_control();
    FILE *maps = fopen("/proc/self/maps", "r");
    unsigned long found = 0, from, to;
    char line[512];

    if (!maps)
        fail("maps: %s", strerror(errno));
    while (fgets(line, sizeof(line), maps)) {
        char right;

        if (sscanf(line, "%lx-%lx %c", &from, &to, &right) == 3 && right == 'r')
            found += count_in((char *)from, (char *)to, masked);
    }
    fclose(maps);
    found += count_in((const char *)control, (const char *)(control + 1), masked);
    found += count_in((const char *)(uintptr_t)control->info.receive_base,
                      (const char *)(uintptr_t)control->info.receive_base +
                          FERRY_TOKENS * FERRY_COPY_BYTES,
                      masked);
    found += access("/tmp/deep", F_OK) == 0;
    found += access("/dev/shm/secret", F_OK) == 0;
    return found;
}

/* Changes what else a run must not leave to the next; the sum says whether it did. */
static unsigned long change(void)
{
    unsigned long sum = (unsigned long)lseek(file, 0, SEEK_CUR) + (umask(0) != 022) +
                        (unsigned long)(dup(1) - 4) + (access(".", F_OK) != 0) * 100u;
    struct sigaction ignored = {.sa_handler = SIG_IGN}, old;

    sigaction(SIGUSR2, &ignored, &old);
    sum += old.sa_handler != SIG_DFL;
    lseek(file, 7, SEEK_SET);
    alarm(1000);
    if (chdir("/"))
        sum += 1000;
    return sum;
}

static void *run_thread(void *arg)
{
    return arg;
}

static unsigned long threads_and_processes(void)
{
    pthread_t thread;
    int status = 1;
    pid_t child = fork();

    if (child == 0)
        _exit(0);
    if (child < 0 || waitpid(child, &status, 0) != child || status)
        fail("fork: %s", strerror(errno));
    expect_ok("thread", -pthread_create(&thread, NULL, run_thread, NULL));
    pthread_join(thread, NULL);
    if (fork() == 0)
        wait_for_ever(NULL); /* until the reset */
    return (unsigned long)child;
}

static sigjmp_buf back;
static char *volatile nowhere = (char *)8;

static void on_fault(int signo)
{
    (void)signo;
    siglongjmp(back, 1);
}

static _Noreturn void take_faults(void)
{
    volatile unsigned long count = 0;

    signal(SIGSEGV, on_fault);
    signal(SIGILL, on_fault);
    answer(0);
    for (;;)
        if (sigsetjmp(back, 1) == 0) {
            if (count++ % 2)
                *nowhere = 1;
            else
                __asm__ volatile("ud2");
        }
}

/* A tick brings it. */
static _Noreturn void answer_late(void)
{
    const struct ferry_msg late = {.mode = FERRY_INLINE};

    for (volatile unsigned long i = 0; i < 100000000; i++)
        ; /* longer than the ticker goes on looking at a VM that left */
    expect_ok("deferred", ferry_send(&late, FERRY_DEFERRED));
    for (;;)
        ;
}

/* So far apart that they take memory slots of 8 GiB, in other places than the run before. */
static unsigned long map_far_apart(void)
{
    char *const base = (char *)(uintptr_t)(0x200000000ull + copy % 2 * 0x240000000ull);
    unsigned long done = 0;

    for (unsigned i = 0; i < 4000; i++)
        done += mmap(base + ((uint64_t)i << 21), 4096, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != MAP_FAILED;
    return done;
}

#define AREA_PAGES 64

static char area[AREA_PAGES * 4096] __attribute__((aligned(4096)));

static unsigned long touch(void)
{
    for (unsigned i = 0; i < AREA_PAGES; i += 2)
        *(volatile char *)&area[i * 4096] = 1;
    return 0;
}

static unsigned long resident(void)
{
    unsigned char is_there[AREA_PAGES];
    unsigned long count = 0;

    if (mincore(area, sizeof(area), is_there))
        fail("mincore: %s", strerror(errno));
    for (unsigned i = 0; i < AREA_PAGES; i++)
        count += is_there[i] & 1;
    return count;
}

static unsigned long pipe_number(void)
{
    struct stat stat;
    int ends[2];

    if (pipe(ends) || fstat(ends[0], &stat))
        fail("pipe: %s", strerror(errno));
    return stat.st_ino;
}

static void *work(void *arg)
{
    for (;;)
        ;
    return arg;
}

static void serve(const struct ferry_msg *msg, char *const *argv)
{
    switch (msg->tag) {
    case READY_COUNT:
        answer(++requests << 32 | copy);
        break;
    case READY_KEEP:
    case READY_KEEP_ALL:
        keep(ferry_msg_data(msg), msg->tag == READY_KEEP_ALL);
        answer(0);
        break;
    case READY_LOOK:
        answer(look(ferry_msg_data(msg)));
        break;
    case READY_CHANGE:
        answer(change());
        break;
    case READY_THREADS:
        answer(threads_and_processes());
        break;
    case READY_EXEC:
        execv("/proc/self/exe", (char *const[]){argv[0], (char *)"end", NULL});
        fail("exec: %s", strerror(errno));
        break;
    case READY_HOLD:
        answer(0);
        return; /* and the payload is not released */
    case READY_LEND: {
        struct ferry_msg loan = {
            .mode = FERRY_LEND, .data = alloc_units(FERRY_PAGE_BYTES), .bytes = FERRY_PAGE_BYTES};

        alloc_units(FERRY_EXTENT_BYTES);
        expect_ok("lend", ferry_send_wait(&loan, FERRY_IMMEDIATE));
        break;
    }
    case READY_MOVE: {
        const struct ferry_msg page = {
            .mode = FERRY_MOVE, .data = alloc_units(FERRY_PAGE_BYTES), .bytes = FERRY_PAGE_BYTES};

        expect_ok("move", ferry_send_wait(&page, FERRY_IMMEDIATE));
        break;
    }
    case READY_SPIN:
        answer(0);
        for (;;)
            ;
    case READY_FAULTS:
        take_faults();
    case READY_DEFERRED:
        answer_late();
    case READY_SPARSE:
        answer(map_far_apart());
        break;
    case READY_WORK: {
        pthread_t thread;

        expect_ok("thread", -pthread_create(&thread, NULL, work, NULL));
        answer(0);
        break;
    }
    case READY_TOUCH:
        answer(touch());
        break;
    case READY_RESIDENT:
        answer(resident());
        break;
    case READY_PIPE:
        answer(pipe_number());
        break;
    case READY_CLOSE:
        close(0);
        close(1);
        break;
    case READY_CRASH:
        *(volatile char *)0 = 0;
        break;
    case READY_EXIT:
        exit(5);
    default:
        fail("ready: there is no request %llu", (unsigned long long)msg->tag);
    }
    if (msg->mode != FERRY_INLINE && msg->mode != FERRY_MOVE)
        ferry_release(msg);
}

int main(int argc, char **argv)
{
    struct ferry_msg msg;

    if (argc > 1 && strcmp(argv[1], "end") == 0)
        return 3; /* also as the program after this one */
    peer_of("host");
    if (argc > 1)
        prepare(argv[1]);
    else
        file = open("/etc/passwd", O_RDONLY);
    copy = ferry_ready();
    for (;;) {
        receive(&msg);
        if (msg.mode == FERRY_HANGUP)
            return 0;
        serve(&msg, argv);
    }
}
