/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads and writes its streams in all ways that the guest kernel serves. The message layer is not
 * used, as that keeps the guest kernel away. */
#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include <ferry/abi/kernel.h>
#include <ferry/abi/layout.h>

static char buffer[4 << 20];

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static void put(const char *from, size_t bytes)
{
    for (ssize_t now; bytes; from += now, bytes -= (size_t)now)
        if ((now = write(1, from, bytes)) <= 0)
            fail("write");
}

/* ---- copying, in all ways ------------------------------------------------ */

static void pass(size_t bytes)
{
    ssize_t got;

    while ((got = read(0, buffer, bytes)) > 0)
        put(buffer, (size_t)got);
    if (got < 0)
        fail("read");
}

/* Three pieces in and out, one of them empty. */
static void pass_pieces(size_t bytes)
{
    struct iovec pieces[3] = {{buffer, bytes}, {NULL, 0}, {buffer + bytes, bytes}};
    ssize_t got;

    while ((got = readv(0, pieces, 3)) > 0) {
        size_t first = (size_t)got < bytes ? (size_t)got : bytes;
        struct iovec out[3] = {{NULL, 0}, {buffer, first}, {buffer + first, (size_t)got - first}};
        if (writev(1, out, 3) != got)
            fail("writev");
    }
    if (got < 0)
        fail("readv");
}

static void pass_polling(size_t bytes)
{
    struct pollfd in = {.fd = 0, .events = POLLIN}, out = {.fd = 1, .events = POLLOUT};
    ssize_t got;

    do {
        if (poll(&in, 1, -1) != 1 || !(in.revents & (POLLIN | POLLHUP)))
            fail("poll of input");
        got = read(0, buffer, bytes);
        if (poll(&out, 1, -1) != 1 || out.revents != POLLOUT)
            fail("poll of output");
        if (got > 0)
            put(buffer, (size_t)got);
    } while (got > 0);
}

static fd_set set_of(unsigned long bits)
{
    fd_set set = {{0}};

    memcpy(&set, &bits, sizeof bits);
    return set;
}

static void expect_sets(const char *what, int result, int expected, const fd_set *in,
                        const fd_set *out)
{
    if (result != expected || memcmp(in, &(fd_set){{1}}, 8) != 0 ||
        memcmp(out, &(fd_set){{expected == 2 ? 2 : 0}}, 8) != 0)
        fail(what);
}

/* That of the C library is made of pselect6. */
static int raw_select(int fds, fd_set *in, fd_set *out, struct timeval *time)
{
    return (int)syscall(SYS_select, fds, in, out, NULL, time);
}

/* All that is asked for is ready, or no more than that. Nothing of it is an exit, once the guest kernel
 * is there. */
static void select_streams(void)
{
    struct timeval time = {5, 0};
    struct timespec exact = {5, 0};
    struct pollfd entry = {.fd = 0, .events = POLLIN};
    fd_set in = set_of(1), out = set_of(2);

    if (raw_select(1, &in, NULL, NULL) != 1)
        fail("select of input");
    if (select(2, NULL, &out, NULL, NULL) != 1)
        fail("select of output");
    expect_sets("select with a limit", raw_select(2, &in, &out, &time), 2, &in, &out);
    expect_sets("pselect", pselect(2, &in, &out, NULL, &exact, NULL), 2, &in, &out);
    if (time.tv_sec > 5 || (time.tv_sec == 5 && time.tv_usec))
        fail("the time that is left");
    if (ppoll(&entry, 1, &exact, NULL) != 1 || !(entry.revents & (POLLIN | POLLHUP)))
        fail("ppoll of input");
}

/* What the guest kernel leaves to the VMM. */
static void select_more(void)
{
    struct timeval bad = {1, -1}, more = {0, 5500000};
    const sigset_t none = {{0}};
    fd_set in = set_of(1 | 1 << 5), out = set_of(0), urgent = set_of(1);

    expect_sets("select of bits beyond", select(1, &in, &out, &urgent, NULL), 1, &in, &out);
    if (FD_ISSET(0, &urgent))
        fail("select of what is urgent");
    expect_sets("pselect with a mask", pselect(1, &in, &out, NULL, NULL, &none), 1, &in, &out);
    out = set_of(1); /* the input is no output */
    expect_sets("select of no output", select(1, &in, &out, NULL, NULL), 1, &in, &out);
    out = set_of(3);
    expect_sets("select of output, too", raw_select(2, &in, &out, NULL), 2, &in, &out);
    if (raw_select(1, &in, NULL, &bad) != -1 || errno != EINVAL)
        fail("select with a bad limit");
    in = set_of(1);
    out = set_of(0);
    expect_sets("select with microseconds that are seconds", raw_select(1, &in, &out, &more), 1,
                &in, &out);
    in = set_of(1 << 20);
    if (select(21, &in, NULL, NULL, NULL) != -1 || errno != EBADF)
        fail("select of no descriptor");
}

/* A limit that is lowered counts for poll, too. */
static void poll_beyond_the_limit(void)
{
    struct pollfd entries[2] = {{.fd = 0, .events = POLLIN}, {.fd = -1}};
    struct rlimit before, now;

    if (getrlimit(RLIMIT_NOFILE, &before) || poll(entries, 2, -1) != 1)
        fail("poll of input");
    now = (struct rlimit){1, before.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &now) || poll(entries, 2, -1) != -1 || errno != EINVAL ||
        poll(entries, 1, -1) != 1 || setrlimit(RLIMIT_NOFILE, &before))
        fail("poll beyond the limit");
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_mode == b->st_mode &&
           a->st_nlink == b->st_nlink && a->st_uid == b->st_uid && a->st_gid == b->st_gid &&
           a->st_size == b->st_size && a->st_blksize == b->st_blksize;
}

/* What the VMM told at first is what is told later. */
static void ask_streams(const struct stat before[2], const int flags[2])
{
    struct stat now;

    for (int fd = 0; fd < 2; fd++) {
        if (fstat(fd, &now) || !is_same(&now, &before[fd]) || syscall(SYS_fstat, fd, &now) ||
            !is_same(&now, &before[fd]))
            fail("fstat");
        if (fcntl(fd, F_GETFL) != flags[fd])
            fail("flags");
        if (lseek(fd, 0, SEEK_CUR) != -1 || errno != ESPIPE)
            fail("lseek");
    }
}

static void pass_asking(size_t bytes)
{
    const int flags[2] = {fcntl(0, F_GETFL), fcntl(1, F_GETFL)};
    struct stat before[2];
    ssize_t got;
    int done = 0, rounds = 0;

    if (fstat(0, &before[0]) || fstat(1, &before[1]) || flags[0] < 0 || flags[1] < 0)
        fail("streams");
    while ((got = read(0, buffer, bytes)) == (ssize_t)bytes && done < 1000000) {
        put(buffer, bytes);
        ask_streams(before, flags);
        done += (int)bytes;
        if (done < 900000)
            select_streams();
        if (++rounds % 100 == 0 && done < 900000) {
            select_more();
            poll_beyond_the_limit();
        }
    }
    if (got > 0)
        put(buffer, (size_t)got);
    pass(bytes);
}

static char byte_at(size_t i)
{
    return (char)(i * 7 + i / 4096);
}

static void make(size_t bytes)
{
    for (size_t done = 0, now; done < bytes; done += now) {
        now = bytes - done < 5000 ? bytes - done : 5000;
        for (size_t i = 0; i < now; i++)
            buffer[i] = byte_at(done + i);
        put(buffer, now);
    }
}

/* That it is what `make` writes. */
static int check(size_t bytes)
{
    size_t done = 0;
    ssize_t got;

    while ((got = read(0, buffer, 3000)) > 0) {
        for (ssize_t i = 0; i < got; i++)
            if (buffer[i] != byte_at(done++))
                return 3;
    }
    return got < 0 || done != bytes;
}

/* ---- signals ------------------------------------------------------------- */

static volatile sig_atomic_t hits;

static void hit(int signo)
{
    (void)signo;
    hits++;
}

/* The bytes are right whatever instruction the signal comes at. */
static void pass_with_signals(size_t bytes)
{
    const struct sigaction action = {.sa_handler = hit, .sa_flags = SA_RESTART};
    const struct itimerval often = {{0, 300}, {0, 300}};

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    pass(bytes);
    fprintf(stderr, "signals %s\n", hits ? "came" : "did not come");
}

/* ---- pointers ------------------------------------------------------------ */

static void expect_fault(const char *what, ssize_t result)
{
    fprintf(stderr, "%s: %s\n", what, result == -1 && errno == EFAULT ? "EFAULT" : "no EFAULT");
}

/* Bad ones, after so many good calls that the guest kernel is there; no byte is lost by them. */
static void pass_bad_pointers(void)
{
    char *none = mmap(NULL, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *constant = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *gone = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *input = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct iovec pieces[2] = {{buffer, 0}, {none, 10}};
    char *volatile null = NULL;

    memset(gone, 1, 4096);
    munmap(gone, 4096);
    *input = 1; /* a set with descriptor 0 */
    mprotect(input, 4096, PROT_READ);
    for (int i = 0; i < 30; i++) {
        if (read(0, buffer, 1) != 1)
            fail("read");
        put(buffer, 1);
    }
    expect_fault("read to nothing", read(0, null, 10));
    expect_fault("read to no rights", read(0, none, 10));
    expect_fault("read to constant", read(0, constant, 10));
    expect_fault("read to what is gone", read(0, gone, 10));
    expect_fault("read to the system", read(0, (void *)FERRY_KERNEL_WORDS, 10));
    expect_fault("read to the window", read(0, (void *)FERRY_WINDOW_BASE, 10));
    expect_fault("read beyond", read(0, (void *)-4096l, 10));
    expect_fault("write of nothing", write(1, null, 10));
    expect_fault("write of no rights", write(1, none, 10));
    expect_fault("write of what is gone", write(1, gone, 10));
    expect_fault("write of the system", write(1, (void *)FERRY_KERNEL_WORDS, 10));
    expect_fault("readv", readv(0, pieces, 2));
    expect_fault("writev", writev(1, pieces, 2));
    expect_fault("readv of pieces", readv(0, (struct iovec *)none, 2));
    expect_fault("fstat", syscall(SYS_fstat, 0, none));
    expect_fault("fstat to constant", syscall(SYS_newfstatat, 1, "", constant, AT_EMPTY_PATH));
    expect_fault("fstat by no name", syscall(SYS_newfstatat, 1, none, buffer, AT_EMPTY_PATH));
    expect_fault("fstat to the system", syscall(SYS_fstat, 0, FERRY_KERNEL_WORDS));
    expect_fault("select", syscall(SYS_select, 1, none, null, null, null));
    expect_fault("select of the system",
                 syscall(SYS_select, 1, FERRY_KERNEL_WORDS, null, null, null));
    expect_fault("select of a constant", syscall(SYS_select, 1, input, null, null, null));
    expect_fault("select with a limit", syscall(SYS_select, 1, buffer, null, null, none));
    expect_fault("pselect with a mask", syscall(SYS_pselect6, 1, buffer, null, null, null, none));
    pass(1000);
}

/* ---- registers ----------------------------------------------------------- */

/* RBX, RBP and R12 to R15, RDI, RSI, RDX, R10, R8 and R9 in that order, then the flags and what lies
 * below the stack pointer. */
static const uint64_t flags_before = 0x40cd7; /* AC DF, and all that arithmetic sets */

static long call_with_registers(long number, long fd, void *to, long bytes, uint64_t *out)
{
    long result;

    __asm__ volatile("movq %%rsp, %%xmm0\n\t"
                     "movq %[out], %%xmm1\n\t"
                     "movq $0x1234, -8(%%rsp)\n\t"
                     "pushq %%rbx\n\t"
                     "pushq %%rbp\n\t"
                     "pushq %[flags]\n\t"
                     "movq $11, %%rbx\n\t"
                     "movq $22, %%rbp\n\t"
                     "movq $33, %%r12\n\t"
                     "movq $44, %%r13\n\t"
                     "movq $55, %%r14\n\t"
                     "movq $66, %%r15\n\t"
                     "movq $77, %%r10\n\t"
                     "movq $88, %%r8\n\t"
                     "movq $99, %%r9\n\t"
                     "popfq\n\t"
                     "movq $0x5678, -8(%%rsp)\n\t"
                     "syscall\n\t"
                     "movq %%xmm1, %%rcx\n\t"
                     "movq %%rbx, (%%rcx)\n\t"
                     "movq %%rbp, 8(%%rcx)\n\t"
                     "movq %%r12, 16(%%rcx)\n\t"
                     "movq %%r13, 24(%%rcx)\n\t"
                     "movq %%r14, 32(%%rcx)\n\t"
                     "movq %%r15, 40(%%rcx)\n\t"
                     "movq %%r10, 48(%%rcx)\n\t"
                     "movq %%r8, 56(%%rcx)\n\t"
                     "movq %%r9, 64(%%rcx)\n\t"
                     "movq %%rdi, 72(%%rcx)\n\t"
                     "movq %%rsi, 80(%%rcx)\n\t"
                     "movq %%rdx, 88(%%rcx)\n\t"
                     "movq -8(%%rsp), %%rdx\n\t"
                     "movq %%rdx, 96(%%rcx)\n\t"
                     "pushfq\n\t"
                     "popq 104(%%rcx)\n\t"
                     "cld\n\t"
                     "pushq $2\n\t"
                     "popfq\n\t"
                     "popq %%rbp\n\t"
                     "popq %%rbx\n\t"
                     : "=a"(result)
                     : "a"(number), "D"(fd), "S"(to),
                       "d"(bytes), [out] "r"(out), [flags] "r"(flags_before)
                     : "rcx", "r11", "r8", "r9", "r10", "r12", "r13", "r14", "r15", "xmm0", "xmm1",
                       "memory", "cc");
    return result;
}

static void pass_with_registers(void)
{
    uint64_t seen[14];
    long got;

    while ((got = call_with_registers(SYS_read, 0, buffer, 7, seen)) > 0) {
        const uint64_t expected[13] = {11, 22,    33, 44, 55, 66, 77, 88, 99, 0, (uint64_t)buffer,
                                       7,  0x5678};
        if (memcmp(seen, expected, sizeof expected) != 0 ||
            (seen[13] & 0x40cd5) != (flags_before & 0x40cd5))
            fail("registers");
        put(buffer, (size_t)got);
    }
}

/* ---- GS ------------------------------------------------------------------ */

static void *use_gs(void *argument)
{
    const uint64_t *own = argument;
    uint64_t seen = 0;

    for (int i = 0; i < 20; i++)
        syscall(SYS_getpid);
    if (own)
        __asm__ volatile("movq %%gs:8, %0" : "=r"(seen));
    return (void *)seen;
}

static uint64_t thread_with_gs(uint64_t *own)
{
    pthread_t thread;
    void *seen;

    if (pthread_create(&thread, NULL, use_gs, own) || pthread_join(thread, &seen))
        fail("a thread with GS");
    return (uint64_t)seen;
}

static void pass_with_gs(void)
{
    static uint64_t own[200] = {0x1111, 0x2222};
    uint64_t base = 1, seen;

    for (int i = 0; i < 20 && read(0, buffer, 3) == 3; i++)
        put(buffer, 3);
    if (syscall(SYS_arch_prctl, ARCH_GET_GS, &base) || base)
        fail("GS before");
    __asm__ volatile("movl %%gs, %%eax\n\tmovl %%eax, %%gs" : : : "eax");
    for (int i = 0; i < 20 && read(0, buffer, 3) == 3; i++)
        put(buffer, 3);
    thread_with_gs(NULL); /* its processor runs the next one as well */
    if (syscall(SYS_arch_prctl, ARCH_SET_GS, own))
        fail("setting GS");
    if (thread_with_gs(own) != own[1])
        fail("GS of a thread");
    for (int i = 0; i < 200; i++)
        if (own[i] != (i < 2 ? 0x1111u * (i + 1u) : 0))
            fail("memory at GS");
    for (int i = 0; i < 20 && read(0, buffer, 3) == 3; i++)
        put(buffer, 3);
    __asm__ volatile("movq %%gs:8, %0" : "=r"(seen));
    if (seen != own[1] || syscall(SYS_arch_prctl, ARCH_GET_GS, &base) || base != (uint64_t)own)
        fail("GS after");
    if (syscall(SYS_arch_prctl, ARCH_SET_GS, 0))
        fail("clearing GS");
    pass(3);
}

/* ---- the level ------------------------------------------------------------ */

/* The exit of the stub that `syscall` enters, made by the program's own code: the VMM serves it. */
static long forged_call(long number, long fd, void *at, long bytes)
{
    __asm__ volatile("leaq 1f(%%rip), %%rcx\n\t"
                     "movl $0x202, %%r11d\n\t"
                     "outb %%al, %[port]\n"
                     "1:"
                     : "+a"(number)
                     : "D"(fd), "S"(at), "d"(bytes), [port] "i"(FERRY_PORT_SYSCALL)
                     : "rcx", "r11", "cc", "memory");
    return number;
}

static unsigned level(void)
{
    unsigned selector;

    __asm__ volatile("movl %%cs, %0" : "=r"(selector));
    return selector & 3;
}

/* All calls by which the VMM sees that the program makes many are forged. */
static void pass_with_forged_calls(void)
{
    for (int i = 0; i < 40; i++)
        if (forged_call(SYS_read, 0, buffer, 5) != 5 || forged_call(SYS_write, 1, buffer, 5) != 5)
            fail("a forged call");
    for (ssize_t got; (got = read(0, buffer, 100)) > 0;) {
        if (level() != 3)
            fail("at another level after a read");
        put(buffer, (size_t)got);
        if (syscall(SYS_getppid) < 0 || level() != 3)
            fail("at another level after a call");
    }
}

/* ---- descriptors --------------------------------------------------------- */

/* Descriptors 0 and 1 become other files, and the streams again. */
static void pass_with_descriptors(void)
{
    struct stat stream, other;
    int pipes[2], input, output;

    for (int i = 0; i < 20 && read(0, buffer, 10) == 10; i++)
        put(buffer, 10);
    input = dup(0);
    output = dup(1);
    if (pipe(pipes) || dup2(pipes[0], 0) != 0 || dup2(pipes[1], 1) != 1)
        fail("pipe");
    if (fstat(0, &other) || fstat(input, &stream) || is_same(&other, &stream))
        fail("fstat of another file");
    if (write(1, "inside", 6) != 6 || read(0, buffer, 100) != 6 || memcmp(buffer, "inside", 6) != 0)
        fail("pipe inside");
    close(0);
    if (read(0, buffer, 10) != -1 || errno != EBADF)
        fail("closed");
    if (lseek(-1, 0, SEEK_CUR) != -1 || errno != EBADF || fcntl(-1, F_GETFL) != -1 ||
        errno != EBADF || syscall(SYS_fstat, -1, &other) != -1 || errno != EBADF ||
        fcntl(0, F_GETFL) != -1 || errno != EBADF || fstat(0, &other) != -1 || errno != EBADF)
        fail("no descriptor");
    if (read(input, buffer, 10) != 10 || write(output, buffer, 10) != 10)
        fail("copies of descriptors");
    dup2(input, 0);
    dup2(output, 1);
    if (fcntl(0, F_GETFL) & O_NONBLOCK || fcntl(0, F_SETFL, O_NONBLOCK) ||
        !(fcntl(0, F_GETFL) & O_NONBLOCK) || fcntl(1, F_GETFL) & O_NONBLOCK)
        fail("flags");
    for (;;) {
        ssize_t got = read(0, buffer, 1000);
        if (got == 0)
            break;
        if (got > 0)
            put(buffer, (size_t)got);
        else if (errno != EAGAIN)
            fail("read");
        else
            poll(&(struct pollfd){.fd = 0, .events = POLLIN}, 1, -1);
    }
}

/* ---- threads ------------------------------------------------------------- */

static size_t record_bytes;
static unsigned long record_count;

static atomic_ullong sum, count;

static void *read_some(void *argument)
{
    size_t bytes = (size_t)(uintptr_t)argument;
    char *own = malloc(bytes);
    ssize_t got;

    while ((got = read(0, own, bytes)) > 0) {
        unsigned long long all = 0;
        for (ssize_t i = 0; i < got; i++)
            all += (unsigned char)own[i];
        sum += all;
        count += (unsigned long long)got;
    }
    return got < 0 ? own : NULL;
}

/* Each byte is read by one of them. */
static void sum_by_threads(void)
{
    pthread_t threads[4];
    void *failed;

    for (uintptr_t i = 0; i < 4; i++)
        if (pthread_create(&threads[i], NULL, read_some, (void *)(1000 + 3000 * i)))
            fail("thread");
    for (int i = 0; i < 4; i++)
        if (pthread_join(threads[i], &failed) || failed)
            fail("join");
    printf("%llu %llu\n", count, sum);
}

static void *write_records(void *argument)
{
    char *record = malloc(record_bytes);

    memset(record, 'a' + (int)(uintptr_t)argument, record_bytes - 1);
    record[record_bytes - 1] = '\n';
    for (unsigned long i = 0; i < record_count; i++)
        if (write(1, record, record_bytes) != (ssize_t)record_bytes)
            return record;
    return NULL;
}

/* What one writes is not torn by another. */
static void write_by_threads(size_t bytes, unsigned long records)
{
    pthread_t threads[4];
    void *failed;

    record_bytes = bytes;
    record_count = records;
    for (uintptr_t i = 0; i < 4; i++)
        if (pthread_create(&threads[i], NULL, write_records, (void *)i))
            fail("thread");
    for (int i = 0; i < 4; i++)
        if (pthread_join(threads[i], &failed) || failed)
            fail("join");
}

/* ---- hostile ------------------------------------------------------------- */

static void *scribble(void *argument)
{
    volatile uint64_t *words = (volatile uint64_t *)FERRY_KERNEL_WORDS;
    uint64_t random = 88172645463325252ull;

    (void)argument;
    for (;;) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        /* Words with the generation that is there, or any; then the registers of the first CPU. */
        words[random % 4 * 4] =
            random & 1 ? random : (words[random % 4 * 4] & ~0xffffffull) | (random >> 40);
        if (random % 64 == 0)
            words[512 + 1 + random / 64 % 22] = random;
    }
    return NULL;
}

/* Overwrites what its guest kernel works with, while that reads and writes. */
static void pass_scribbling(void)
{
    pthread_t thread;

    for (int i = 0; i < 30 && read(0, buffer, 10) == 10; i++)
        put(buffer, 10);
    pthread_create(&thread, NULL, scribble, NULL);
    while (read(0, buffer, 3000) || write(1, buffer, 3000))
        ;
}

/* Goes to each byte of the guest kernel's code in turn. */
static void jump_around(unsigned long from)
{
    for (int i = 0; i < 30 && read(0, buffer, 10) == 10; i++)
        put(buffer, 10);
    ((void (*)(void))(FERRY_KERNEL_BASE + from))();
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";
    size_t bytes = argc > 2 ? strtoul(argv[2], NULL, 0) : 0;

    if (strcmp(how, "pass") == 0)
        pass(bytes);
    else if (strcmp(how, "make") == 0)
        make(bytes);
    else if (strcmp(how, "check") == 0)
        return check(bytes);
    else if (strcmp(how, "pieces") == 0)
        pass_pieces(bytes);
    else if (strcmp(how, "poll") == 0)
        pass_polling(bytes);
    else if (strcmp(how, "ask") == 0)
        pass_asking(bytes);
    else if (strcmp(how, "signals") == 0)
        pass_with_signals(bytes);
    else if (strcmp(how, "pointers") == 0)
        pass_bad_pointers();
    else if (strcmp(how, "registers") == 0)
        pass_with_registers();
    else if (strcmp(how, "gs") == 0)
        pass_with_gs();
    else if (strcmp(how, "descriptors") == 0)
        pass_with_descriptors();
    else if (strcmp(how, "readers") == 0)
        sum_by_threads();
    else if (strcmp(how, "writers") == 0)
        write_by_threads(bytes, argc > 3 ? strtoul(argv[3], NULL, 0) : 1);
    else if (strcmp(how, "forge") == 0)
        pass_with_forged_calls();
    else if (strcmp(how, "scribble") == 0)
        pass_scribbling();
    else if (strcmp(how, "jump") == 0)
        jump_around(bytes);
    else
        return 2;
    return 0;
}
