/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Prints what Linux answers about mapped files that change, so that a run in a VM can be compared with
 * one outside. Its argument is a directory to write in. With a second argument it ends by a page that
 * was cut off: by a "load", a "store", a load of many "gathered" words, running "code", or a "stack" of
 * handlers there; or it is a "race" of a thread that cuts the file short with one that uses it. To
 * "watch" is to touch a file that somebody else made, until that cuts it short.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

enum { PAGE = 4096, RW = PROT_READ | PROT_WRITE };

/* A result and, if it is -1, why. */
static void say(const char *what, long result)
{
    printf("%s: %ld", what, result);
    if (result == -1)
        printf(" (%s)", strerror(errno));
    putchar('\n');
}

static int make_file(const char *name, size_t pages, int flags)
{
    char page[PAGE];
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | flags, 0644);

    if (fd < 0)
        fail("%s: %s", name, strerror(errno));
    for (size_t i = 0; i < pages; i++) {
        memset(page, 'a' + (int)i, sizeof(page));
        if (write(fd, page, sizeof(page)) != sizeof(page))
            fail("write: %s", strerror(errno));
    }
    return fd;
}

static char *map(size_t pages, int prot, int flags, int fd, off_t offset)
{
    char *at = mmap(NULL, pages * PAGE, prot, flags, fd, offset);

    if (at == MAP_FAILED)
        fail("mmap: %s", strerror(errno));
    return at;
}

static void cut(int fd, size_t pages)
{
    if (ftruncate(fd, (off_t)(pages * PAGE)))
        fail("ftruncate: %s", strerror(errno));
}

/* ---- touching ------------------------------------------------------------ */

static sigjmp_buf again;
static siginfo_t caught;
static volatile unsigned faults;

static void on_fault(int signo, siginfo_t *info, void *context)
{
    (void)signo;
    (void)context;
    caught = *info;
    faults++;
    siglongjmp(again, 1);
}

static void catch_faults(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};

    sigaction(SIGBUS, &action, NULL);
    sigaction(SIGSEGV, &action, NULL);
}

static void touch(const char *what, volatile char *at, bool store)
{
    if (sigsetjmp(again, 1) == 0) {
        if (store)
            *at = '!';
        printf("%s: %c\n", what, *at ? *at : '0');
    } else {
        printf("%s: signal %d code %d at %+ld\n", what, caught.si_signo, caught.si_code,
               (long)((char *)caught.si_addr - at));
    }
}

/* An instruction with many addresses, which are in no single register. */
static void load_gathered(volatile const char *at)
{
    __asm__ volatile("vpcmpeqd %%xmm1, %%xmm1, %%xmm1\n\t"
                     "vpxor %%xmm2, %%xmm2, %%xmm2\n\t"
                     "vpgatherdd %%xmm1, (%0, %%xmm2, 4), %%xmm0"
                     :
                     : "r"(at)
                     : "memory", "xmm0", "xmm1", "xmm2");
}

static void gather(const char *what, const char *at)
{
    if (!__builtin_cpu_supports("avx2"))
        return;
    if (sigsetjmp(again, 1) == 0) {
        load_gathered(at);
        printf("%s: loaded\n", what);
    } else {
        printf("%s: signal %d code %d\n", what, caught.si_signo, caught.si_code);
    }
}

static void load_across(const char *what, const char *at)
{
    uint64_t value;

    if (sigsetjmp(again, 1) == 0) {
        __asm__ volatile("movq (%1), %0" : "=r"(value) : "r"(at));
        printf("%s: %lx\n", what, (unsigned long)value);
    } else {
        printf("%s: signal %d at %+ld\n", what, caught.si_signo, (char *)caught.si_addr - at);
    }
}

static void run_code(const char *what, char *at)
{
    void (*code)(void);

    memcpy(&code, &at, sizeof(code));
    if (sigsetjmp(again, 1) == 0) {
        code();
        printf("%s: ran\n", what);
    } else {
        printf("%s: signal %d at %+ld\n", what, caught.si_signo, (char *)caught.si_addr - at);
    }
}

static void private_mapping(int fd)
{
    char *at = map(4, RW, MAP_PRIVATE, fd, 0);

    touch("as the file", at, false);
    pwrite(fd, "A", 1, 0);
    touch("as the file is now", at, false);
    touch("written", at, true);
    pwrite(fd, "B", 1, 0);
    touch("private from then on", at, false);
    touch("the third page", at + 2 * PAGE, true);
    touch("beyond the end", at + 3 * PAGE, false);
    touch("writing there", at + 3 * PAGE + 7, true);
    cut(fd, 4);
    touch("the file has grown", at + 3 * PAGE, false);
    cut(fd, 1);
    touch("cut off", at + PAGE + 9, false);
    touch("cut off, and written before", at + 2 * PAGE, false);
    touch("writing there", at + 2 * PAGE + 1, true);
    load_across("across the end", at + PAGE - 3);
    gather("gathered", at + PAGE + 16);
    gather("gathered before the end", at + 16);
    cut(fd, 3);
    touch("empty", at + 2 * PAGE, false);
    load_across("across no end", at + PAGE - 3);
    say("no rights", mprotect(at, 2 * PAGE, PROT_NONE));
    touch("without rights", at, false);
    cut(fd, 1);
    touch("without rights, cut off", at + PAGE, false);
    munmap(at, 4 * PAGE);
}

static void code_mapping(const char *name)
{
    static const char nop = '\x90', ret = '\xc3', move[] = {'\x48', '\x89'};
    int fd = make_file(name, 3, 0);
    char *at = map(3, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);

    pwrite(fd, &ret, 1, 2 * PAGE);
    pwrite(fd, &nop, 1, PAGE - 1);
    pwrite(fd, &ret, 1, PAGE);
    pwrite(fd, move, 2, 2 * PAGE - 2); /* its third byte is on the next page */
    run_code("code", at + 2 * PAGE);
    run_code("code over two pages", at + PAGE - 1);
    cut(fd, 2);
    run_code("code cut off", at + 2 * PAGE);
    run_code("an instruction cut in two", at + 2 * PAGE - 2);
    cut(fd, 1);
    run_code("the next page cut off", at + PAGE - 1);
    close(fd);
}

/* ---- calls --------------------------------------------------------------- */

static void say_write(const char *what, int ends[2], const char *from, size_t bytes)
{
    char sink[4 * PAGE];
    long put = write(ends[1], from, bytes);

    say(what, put);
    if (put > 0)
        say("  arrived", read(ends[0], sink, sizeof(sink)));
}

static void transfers(int fd, char *gone, const char *name)
{
    const struct iovec two[] = {{gone - PAGE, PAGE}, {gone, PAGE}};
    int ends[2], other = make_file(name, 3, 0), zero = open("/dev/zero", O_RDONLY);

    pipe(ends);
    say_write("to a pipe", ends, gone, 10);
    say_write("to a pipe, across", ends, gone - PAGE, 2 * PAGE);
    say_write("to a pipe, across the middle", ends, gone - 10, 20);
    say_write("to a pipe, what is there", ends, gone - 10, 10);
    say("writev to a pipe", writev(ends[1], two, 2));
    write(ends[1], "123456789012", 12);
    say("from a pipe", read(ends[0], gone, 5));
    say("nothing was taken", read(ends[0], gone - 5, 5));
    printf("%.5s\n", gone - 5);
    say("to a file", pwrite(other, gone, 10, 0));
    say("to a file, across", pwrite(other, gone - 10, 20, 0));
    say("from a file", pread(other, gone, 10, 0));
    say("from a file, across", pread(other, gone - 10, 20, PAGE));
    printf("%.10s\n", gone - 10);
    lseek(other, 0, SEEK_SET);
    say("readv", readv(other, two, 2));
    say("from itself", pread(fd, gone, 10, 0));
    say("from a device", read(zero, gone, 10));
    say("from a device, what is there", read(zero, gone - 10, 10));
    say("random", getrandom(gone, 10, 0));
    say("random, what is there", getrandom(gone - 10, 10, 0));
    close(zero);
    close(other);
}

static void arguments(char *gone, const char *directory)
{
    static char there[PAGE] __attribute__((aligned(PAGE)));
    int top = open(directory, O_RDONLY | O_DIRECTORY), ends[2];

    pipe(ends);
    memset(gone - 8, 'x', 8);
    say("a name", open(gone, O_RDONLY));
    say("a name without an end", open(gone - 8, O_RDONLY));
    say("stat", fstat(top, (struct stat *)(void *)gone));
    say("stat, across", fstat(top, (struct stat *)(void *)(gone - 16)));
    say("entries", syscall(SYS_getdents64, top, gone, 512));
    say("getcwd", syscall(SYS_getcwd, gone, 100));
    say("readlink", readlink("/proc/self/exe", gone, 100));
    say("uname", uname((struct utsname *)(void *)gone));
    say("clock", syscall(SYS_clock_gettime, CLOCK_MONOTONIC, gone));
    say("sleep", syscall(SYS_nanosleep, gone, NULL));
    say("poll", syscall(SYS_poll, gone, 1, 0));
    say("poll, what is there", syscall(SYS_poll, gone - 16, 2, 0) >= 0);
    say("mask", syscall(SYS_rt_sigprocmask, SIG_BLOCK, gone, NULL, 8));
    say("old mask", syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, gone, 8));
    say("action", syscall(SYS_rt_sigaction, SIGUSR1, gone, NULL, 8));
    say("pipe", syscall(SYS_pipe2, gone, 0));
    say("ioctl", syscall(SYS_ioctl, ends[0], 0x541b /* FIONREAD */, gone));
    say("mincore", mincore(there, 1, (unsigned char *)gone));
    say("vector", syscall(SYS_writev, ends[1], gone, 1));
    say("exec", syscall(SYS_execve, gone, NULL, NULL));
    say("exec's words", syscall(SYS_execve, "/bin/true", gone, NULL));
    close(top);
}

static long futex(const void *word, int operation, uint32_t value, long fourth, const void *second,
                  uint32_t third)
{
    return syscall(SYS_futex, word, operation, value, fourth, second, third);
}

static void futexes(char *gone)
{
    const uint32_t add = FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 4);
    uint32_t *there = (uint32_t *)(void *)(gone - 16), own = 0;

    *there = 4;
    say("wait", futex(gone, FUTEX_WAIT_PRIVATE, 0, 0, NULL, 0));
    say("wait for another value", futex(there, FUTEX_WAIT_PRIVATE, 5, 0, NULL, 0));
    say("wake", futex(gone, FUTEX_WAKE_PRIVATE, 1, 0, NULL, 0));
    say("wake for all", futex(gone, FUTEX_WAKE, 1, 0, NULL, 0));
    say("requeue", futex(gone, FUTEX_CMP_REQUEUE_PRIVATE, 0, 0, &own, 0));
    say("change and wake", futex(&own, FUTEX_WAKE_OP_PRIVATE, 1, 1, gone, add));
    say("change it where it is", futex(&own, FUTEX_WAKE_OP_PRIVATE, 1, 1, there, add));
    say("  changed", *there);
    *there = 0;
    say("lock", futex(gone, FUTEX_LOCK_PI_PRIVATE, 0, 0, NULL, 0));
    say("lock it where it is", futex(there, FUTEX_LOCK_PI_PRIVATE, 0, 0, NULL, 0));
    say("  locked", *there == (uint32_t)syscall(SYS_gettid));
    say("unlock", futex(gone, FUTEX_UNLOCK_PI_PRIVATE, 0, 0, NULL, 0));
    say("unlock it", futex(there, FUTEX_UNLOCK_PI_PRIVATE, 0, 0, NULL, 0));
    say("  unlocked", *there);
}

static void calls(int fd, const char *directory, const char *name, int how)
{
    char *at = map(3, RW, how, fd, 0);

    cut(fd, 3);
    memset(at, 'm', 3 * PAGE);
    cut(fd, 2);
    transfers(fd, at + 2 * PAGE, name);
    arguments(at + 2 * PAGE, directory);
    futexes(at + 2 * PAGE);
    say("populate to read", madvise(at, 3 * PAGE, 22 /* MADV_POPULATE_READ */));
    say("populate to write", madvise(at, 3 * PAGE, 23 /* MADV_POPULATE_WRITE */));
    say("populate what is there", madvise(at, 2 * PAGE, 23));
    memset(at, 'm', 2 * PAGE); /* there was an inode's number */
    say("protect", mprotect(at, 3 * PAGE, PROT_READ));
    say("sync", msync(at, 3 * PAGE, MS_SYNC));
    say("give back", madvise(at, 3 * PAGE, MADV_DONTNEED));
    touch("after all", at + 2 * PAGE, false);
    munmap(at, 3 * PAGE);
}

/* ---- shared -------------------------------------------------------------- */

static void say_map(const char *what, int prot, int flags, int fd, off_t offset)
{
    void *at = mmap(NULL, PAGE, prot, flags, fd, offset);

    say(what, at == MAP_FAILED ? -1 : 0);
}

static void who_may_map(const char *name)
{
    int reader = open(name, O_RDONLY), writer = open(name, O_WRONLY), both = open(name, O_RDWR);

    say_map("shared, to be written, of a reader", RW, MAP_SHARED, reader, 0);
    say_map("private, to be written, of a reader", RW, MAP_PRIVATE, reader, 0);
    say_map("shared of a writer", PROT_WRITE, MAP_SHARED, writer, 0);
    say_map("private of a writer", PROT_READ, MAP_PRIVATE, writer, 0);
    say_map("shared of both", RW, MAP_SHARED, both, 0);
    say_map("validated", RW, MAP_SHARED_VALIDATE, both, 0);
    say_map("validated with more", RW, MAP_SHARED_VALIDATE | MAP_SYNC, both, 0);
    say_map("at no page", RW, MAP_SHARED, both, 5);
    say_map("far beyond", RW, MAP_SHARED, both, 1000 * PAGE);
    close(reader);
    close(writer);
    close(both);
}

static void shared_mapping(const char *name)
{
    int fd = make_file(name, 2, 0), reader = open(name, O_RDONLY);
    char *at = map(3, RW, MAP_SHARED, fd, 0), *other = map(2, PROT_READ, MAP_SHARED, reader, 0);
    char *private = map(1, PROT_READ, MAP_PRIVATE, fd, 0), bytes[6] = "";
    struct stat stat;

    memcpy(at, "hello", 5);
    at[PAGE] = '2';
    say("read back", pread(fd, bytes, 5, 0));
    printf("%s %.5s %.5s %c\n", bytes, other, private, other[PAGE]);
    pwrite(fd, "there", 5, 0);
    printf("%.5s %.5s %.5s\n", at, other, private);
    touch("beyond", at + 2 * PAGE, true);
    say("no growth", fstat(fd, &stat) ? -1 : (long)stat.st_size);
    cut(fd, 3);
    touch("grown", at + 2 * PAGE, true);
    say("sync", msync(at, 3 * PAGE, MS_SYNC));
    say("sync later", msync(at, 3 * PAGE, MS_ASYNC));
    say("sync both ways", msync(at, PAGE, MS_SYNC | MS_ASYNC));
    say("sync at no page", msync(at + 1, PAGE, MS_SYNC));
    say("sync nothing", msync(at, 0, MS_SYNC));
    say("a reader's becomes a writer's", mprotect(other, PAGE, RW));
    touch("reading on", other, false);
    touch("and not writing", other, true);
    say("give back", madvise(at, 3 * PAGE, MADV_DONTNEED));
    touch("it is the file's", at + PAGE, false);
    munmap(at + PAGE, PAGE);
    say("with a hole", msync(at, 3 * PAGE, MS_SYNC));
    pwrite(fd, at + 2 * PAGE, 100, 10); /* from itself to itself */
    printf("%c%c\n", at[10], at[11] ? at[11] : '0');
    close(fd);
    close(reader);
    at[0] = 'H';
    printf("%c\n", other[0]);
    munmap(at, PAGE);
    munmap(at + 2 * PAGE, PAGE);
    munmap(other, 2 * PAGE);
    who_may_map(name);
}

/* Mapped while it was empty. */
static void grown_mapping(const char *name)
{
    const struct timespec soon = {0, 1000000};
    int fd = make_file(name, 0, 0), ends[2];
    char *at = map(1, RW, MAP_SHARED, fd, 0);

    pipe(ends);
    write(ends[1], "hello", 5);
    say("into an empty file", read(ends[0], at, 5));
    say("wait there", futex(at + 8, FUTEX_WAIT, 0, (long)&soon, NULL, 0));
    cut(fd, 1);
    say("into the file", read(ends[0], at, 5));
    printf("%.5s\n", at);
    say("wait there", futex(at + 8, FUTEX_WAIT, 0, (long)&soon, NULL, 0));
    say("wait for another value", futex(at + 8, FUTEX_WAIT, 1, (long)&soon, NULL, 0));
    say("wake", futex(at + 8, FUTEX_WAKE, 1, 0, NULL, 0));
    close(ends[0]);
    close(ends[1]);
    munmap(at, PAGE);
    close(fd);
}

/* Larger than the memory of a VM: it takes none. */
static void large_mapping(const char *name)
{
    const size_t pages = 1 << 17;
    int fd = make_file(name, 1, 0);
    char *private, *shared;

    cut(fd, pages);
    private = map(pages, PROT_READ, MAP_PRIVATE, fd, 0);
    shared = map(pages, RW, MAP_SHARED, fd, 0);
    shared[pages * PAGE - 1] = 'z';
    printf("%c%c\n", private[0], private[pages * PAGE - 1]);
    cut(fd, 1);
    close(fd);
}

/* ---- the end ------------------------------------------------------------- */

/* For how long the race lasts, and after how long it is stuck; an emulated machine is slow. */
enum { CUT_SECONDS = 3, STUCK_SECONDS = 60 };

static atomic_bool over;
static time_t begun;
static const char *volatile doing = "nothing yet"; /* what the racing thread does */

/* Also tells where the other thread is stuck, if it is. */
static void *cut_again(void *arg)
{
    int fd = *(int *)arg;

    for (unsigned cuts = 1; !atomic_load(&over); cuts++) {
        ftruncate(fd, 0);
        ftruncate(fd, 2 * PAGE);
        if (cuts % 64 == 0 && time(NULL) > begun + STUCK_SECONDS)
            fail("stuck in: %s", doing);
    }
    return NULL;
}

static void use_by_calls(char *at, const int ends[2], bool changes)
{
    uint32_t *word = (uint32_t *)(void *)(at + 64), own = 0;

    doing = "write";
    write(ends[1], at, 100);
    doing = "read";
    read(ends[0], at + PAGE, 200);
    doing = "clock_gettime";
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, at + 16);
    doing = "futex, wake";
    futex(word, FUTEX_WAKE, 1, 0, NULL, 0);
    doing = "futex, wait";
    futex(word, FUTEX_WAIT_PRIVATE, 1, 0, NULL, 0); /* the word is never 1 */
    doing = "futex, change and wake";
    if (changes)
        futex(&own, FUTEX_WAKE_OP_PRIVATE, 1, 1, word, 0);
}

/* Uses the page while it comes and goes; what a use comes to is chance. So no use may wait: chance may
 * write whenever the page is there and read whenever it is not, until the pipe is full. */
static void race(int fd)
{
    char *at = map(2, RW, MAP_SHARED, fd, 0);
    static volatile int rounds;
    pthread_t thread;
    int ends[2];

    if (pipe2(ends, O_NONBLOCK))
        fail("pipe2: %s", strerror(errno));
    begun = time(NULL);
    pthread_create(&thread, NULL, cut_again, &fd);
    sigsetjmp(again, 1);
    while (++rounds < 3000 && time(NULL) < begun + CUT_SECONDS) {
        use_by_calls(at, ends, rounds % 64 == 0);
        doing = "an access";
        at[PAGE + 5] = at[5]; /* the handler counts, and goes on */
    }
    doing = "the end";
    atomic_store(&over, true);
    pthread_join(thread, NULL);
    cut(fd, 0);
    printf("ends as it should\n");
}

/* The file is read-only here. */
static void watch(const char *name, const char *how)
{
    int fd = open(name, O_RDONLY);
    volatile const char *at = map(3, PROT_READ, MAP_SHARED, fd, 0);

    if (strcmp(how, "watch"))
        catch_faults();
    if (sigsetjmp(again, 1) == 0) {
        printf("%c%c\n", at[0], at[2 * PAGE]);
        fflush(stdout);
        while (at[2 * PAGE] != '!')
            ;
    }
    say("write", write(1, (const char *)at + 2 * PAGE, 1));
    printf("signal %d at %+ld, %c is left\n", caught.si_signo,
           (long)((char *)caught.si_addr - (const char *)at), at[0]);
}

static void run_end(const char *how, int fd)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    volatile char *at = map(8, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE, fd, 0);
    stack_t stack = {.ss_sp = (char *)at, .ss_size = 8 * PAGE};

    if (!strcmp(how, "race")) {
        catch_faults();
        race(fd);
        return;
    }
    cut(fd, 0);
    fflush(stdout);
    if (!strcmp(how, "load"))
        (void)at[PAGE + 17];
    else if (!strcmp(how, "store"))
        at[PAGE + 17] = 1;
    else if (!strcmp(how, "gathered") && __builtin_cpu_supports("avx2"))
        load_gathered(at + PAGE + 17);
    else if (!strcmp(how, "gathered")) /* as good as one can on this processor */
        (void)at[PAGE + 17];
    else if (!strcmp(how, "code"))
        ((void (*)(void))(uintptr_t)(at + PAGE + 17))();
    sigaltstack(&stack, NULL);
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    fail("it went on");
}

int main(int argc, char **argv)
{
    char first[200], second[200];
    int fd;

    expect_arguments(argc, 1, "asks_mapped DIRECTORY [HOW]");
    snprintf(first, sizeof(first), "%s/first", argv[1]);
    snprintf(second, sizeof(second), "%s/second", argv[1]);
    if (argc > 2 && !strncmp(argv[2], "watch", 5)) {
        watch(first, argv[2]);
        return 0;
    }
    fd = make_file(first, 3, 0);
    if (argc > 2) {
        run_end(argv[2], fd);
        return 0;
    }
    catch_faults();
    private_mapping(fd);
    code_mapping(second);
    calls(fd, argv[1], second, MAP_PRIVATE);
    calls(fd, argv[1], second, MAP_SHARED);
    shared_mapping(second);
    grown_mapping(second);
    large_mapping(second);
    return 0;
}
