/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loaded into a program before its libraries (LD_PRELOAD): makes uses of one function of the C library
 * fail. FAULT=NAME:N[+|~][:ERRNO] says which: the N-th call of NAME, from 1 on; with + that one and all after it,
 * with ~ every second one from it on. ERRNO is a number, or `short`: then the call is made, for one byte only.
 * Of CLOCK_REALTIME and CLOCK_MONOTONIC it is the seconds by which the clock jumps.
 * FAULT_FILE is a file of zeros that takes the report (struct fault_report): how often each function was called,
 * whether the fault came, and who made the call. A program that makes many runs in one process calls fault_aim.
 *
 * The table calls.h lists what can fail; the driver compares it with what the program imports.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "faults.h"

enum call {
#define CALL(name, symbol, failure, code) CALL_##name,
#include "calls.h"
#undef CALL
    CALLS
};
_Static_assert(CALLS <= FAULT_CALLS, "the report is too small");

static const char *const names[] = {
#define CALL(name, symbol, failure, code) [CALL_##name] = #name,
#include "calls.h"
#undef CALL
};
static const char *const symbols[] = {
#define CALL(name, symbol, failure, code) [CALL_##name] = symbol,
#include "calls.h"
#undef CALL
};

static struct fault_report unwatched, *report = &unwatched;

struct fault_report *fault_report(void)
{
    return report;
}

/* What the program would have called. All are looked up at the start: later is too late for a process in
 * its jail. What is called before that is looked up at once. */
typedef long (*function)(long, long, long, long, long, long, long, long);
static _Atomic(function) nexts[CALLS];

/* The program's own way to make one is counted. */
static long syscall_directly(long number, long a, long b, long c)
{
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory");
    return result;
}

static function next(enum call call)
{
    function found = atomic_load_explicit(&nexts[call], memory_order_relaxed);

    if (!found && symbols[call]) {
        found = (function)dlsym(RTLD_NEXT, symbols[call]);
        atomic_store_explicit(&nexts[call], found, memory_order_relaxed);
    }
    return found;
}

static enum call call_named(const char *name, size_t bytes)
{
    for (int i = 0; i < CALLS; i++)
        if (strlen(names[i]) == bytes && memcmp(names[i], name, bytes) == 0)
            return i;
    return CALLS;
}

static void read_target(const char *text)
{
    const char *colon = text ? strchr(text, ':') : NULL;
    char *end;

    report->target = 0;
    if (!colon)
        return;
    report->nth = (uint32_t)strtoul(colon + 1, &end, 10);
    report->mode = *end == '+' ? FAULT_ALL : *end == '~' ? FAULT_EVERY_SECOND : FAULT_ONCE;
    end += report->mode != FAULT_ONCE;
    report->is_short = strcmp(end, ":short") == 0;
    report->code = *end == ':' ? (int32_t)strtol(end + 1, NULL, 10) : 0;
    report->target = call_named(text, (size_t)(colon - text)) + 1;
}

void fault_aim(const char *text)
{
    report->target = 0;
    if (!text)
        return;
    for (int i = 0; i < CALLS; i++)
        atomic_store(&report->calls[i].uses, 0);
    report->hit = 0;
    read_target(text);
}

/* By plain system calls: a use of ours does not count, and a file that stays open would have a number. */
__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("FAULT_FILE");
    long fd = path ? syscall(SYS_open, path, O_RDWR | O_CLOEXEC) : -1;

    for (int i = 0; i < CALLS; i++)
        next(i);
    if (fd >= 0) {
        void *map = (void *)syscall(SYS_mmap, NULL, sizeof *report, PROT_READ | PROT_WRITE,
                                    MAP_SHARED, fd, 0L); /* the kernel reads all of it */

        syscall(SYS_close, fd);
        if (map != MAP_FAILED)
            report = map;
    }
    for (int i = 0; i < CALLS; i++)
        strncpy(report->calls[i].name, names[i], sizeof report->calls[i].name - 1);
    read_target(getenv("FAULT"));
}

/* Offsets in the file of whoever called, for addr2line. */
static void note_caller(const void *caller)
{
    Dl_info info;

    if (dladdr(caller, &info) == 0 || !info.dli_fname)
        return;
    const char *slash = strrchr(info.dli_fname, '/');
    strncpy(report->file, slash ? slash + 1 : info.dli_fname, sizeof report->file - 1);
    report->offset = (uint64_t)((const char *)caller - (const char *)info.dli_fbase);
}

static atomic_bool counting;

static bool is_meant(uint32_t use)
{
    if (report->mode == FAULT_ONCE || use < report->nth)
        return use == report->nth;
    return report->mode == FAULT_ALL || (use - report->nth) % 2 == 0;
}

static bool fails(enum call call, const void *caller)
{
    if (!atomic_load_explicit(&counting, memory_order_relaxed))
        return false;
    uint32_t use = atomic_fetch_add(&report->calls[call].uses, 1) + 1;

    if (report->target != (uint32_t)call + 1 || !is_meant(use))
        return false;
    if (atomic_exchange(&report->hit, 1) == 0)
        note_caller(caller);
    return true;
}

/* What of a call that is always made was asked: FAIL_CODE returns the error, the others set errno. */
enum failure { FAIL_MINUS, FAIL_NULL, FAIL_CODE, FAIL_AFTER };

static long fail(enum failure failure, int code)
{
    code = report->code ? report->code : code;
    if (failure == FAIL_CODE)
        return code;
    errno = code;
    return failure == FAIL_NULL ? 0 : -1;
}

/* Of a pipe, a socket, a terminal one byte; half of a long piece of a file, as it would take too long else. What the
 * kernel makes up, as in /proc, comes as a whole, as do memory (a file without a name) and what is no stream of bytes. */
static long short_count(long fd, long bytes)
{
    struct stat stat;

    if (bytes < 2 || syscall_directly(SYS_fstat, fd, (long)&stat, 0) != 0)
        return bytes;
    if (S_ISREG(stat.st_mode))
        return stat.st_size == 0 || stat.st_nlink == 0 ? bytes : bytes > 4096 ? bytes / 2 : 1;
    return S_ISFIFO(stat.st_mode) || S_ISSOCK(stat.st_mode) || S_ISCHR(stat.st_mode) ? 1 : bytes;
}

/* All arguments are passed on as they lie in registers and on the stack: no function of the table takes more than
 * eight words, or any that is no word. */
static long forward(enum call call, enum failure failure, int code, const void *caller, long a[8])
{
    bool failed = fails(call, caller);

    if (failed && report->is_short) {
        a[2] = short_count(a[0], a[2]);
        failed = false;
    }
    if (failed && failure != FAIL_AFTER)
        return fail(failure, code);
    long result = next(call)(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]);
    return failed ? fail(failure, code) : result;
}

#define WORDS  long a, long b, long c, long d, long e, long f, long g, long h
#define CALLER __builtin_return_address(0)

#define CALL(name, symbol, failure, code)                                                     \
    __attribute__((visibility("default"))) long fault_##name(WORDS) __asm__(symbol);          \
    long fault_##name(WORDS)                                                                  \
    {                                                                                         \
        return forward(CALL_##name, failure, code, CALLER, (long[]){a, b, c, d, e, f, g, h}); \
    }
#define NO_WRAPPERS_OF_OWN
#include "calls.h"
#undef CALL

/* ---- memory: the C library's own entries, as looking up another may allocate ------------------------------ */

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);
void __libc_free(void *memory);

/* How many blocks are out, for who looks for leaks. */
static void *out(void *memory)
{
    if (memory)
        atomic_fetch_add_explicit(&report->blocks, 1, memory_order_relaxed);
    return memory;
}

__attribute__((visibility("default"))) void *malloc(size_t bytes)
{
    if (fails(CALL_malloc, CALLER))
        return (void *)fail(FAIL_NULL, ENOMEM);
    return out(__libc_malloc(bytes));
}

__attribute__((visibility("default"))) void *calloc(size_t count, size_t bytes)
{
    if (fails(CALL_calloc, CALLER))
        return (void *)fail(FAIL_NULL, ENOMEM);
    return out(__libc_calloc(count, bytes));
}

__attribute__((visibility("default"))) void *realloc(void *old, size_t bytes)
{
    if (fails(CALL_realloc, CALLER))
        return (void *)fail(FAIL_NULL, ENOMEM);
    void *memory = __libc_realloc(old, bytes);
    return old ? memory : out(memory);
}

__attribute__((visibility("default"))) int posix_memalign(void **memory, size_t alignment,
                                                          size_t bytes)
{
    if (fails(CALL_posix_memalign, CALLER))
        return (int)fail(FAIL_CODE, ENOMEM);
    *memory = out(__libc_memalign(alignment, bytes));
    return *memory ? 0 : ENOMEM;
}

__attribute__((visibility("default"))) void free(void *memory)
{
    if (memory)
        atomic_fetch_sub_explicit(&report->blocks, 1, memory_order_relaxed);
    __libc_free(memory);
}

/* ---- fcntl: what takes a descriptor, a lock or a seal; flags are told and set without fail ------------------ */

static long shared_fcntl(const void *caller, const long a[8])
{
    bool flags = a[1] == F_GETFD || a[1] == F_SETFD || a[1] == F_GETFL || a[1] == F_SETFL;
    if (!flags && fails(CALL_fcntl, caller))
        return fail(FAIL_MINUS, EMFILE);
    return next(CALL_fcntl)(a[0], a[1], a[2], 0, 0, 0, 0, 0);
}

__attribute__((visibility("default"))) long fault_fcntl(long a, long b, long c) __asm__("fcntl");
long fault_fcntl(long a, long b, long c)
{
    return shared_fcntl(CALLER, (long[8]){a, b, c});
}

__attribute__((visibility("default"))) long fault_fcntl64(long a, long b,
                                                          long c) __asm__("fcntl64");
long fault_fcntl64(long a, long b, long c)
{
    return shared_fcntl(CALLER, (long[8]){a, b, c});
}

/* ---- main: what libraries do before it is not the program's ------------------------------------------------ */

typedef int main_function(int, char **, char **);
static main_function *program_main;

static int counted_main(int argc, char **argv, char **envp)
{
    atomic_store(&counting, true);
    return program_main(argc, argv, envp);
}

int __libc_start_main(main_function *, int, char **, void (*)(void), void (*)(void), void (*)(void),
                      void *);
__attribute__((visibility("default"))) int
__libc_start_main(main_function *main, int argc, char **argv, void (*init)(void),
                  void (*fini)(void), void (*rtld_fini)(void), void *stack_end)
{
    int (*start)(main_function *, int, char **, void (*)(void), void (*)(void), void (*)(void),
                 void *);

    *(void **)&start = dlsym(RTLD_NEXT, "__libc_start_main");
    program_main = main;
    return start(counted_main, argc, argv, init, fini, rtld_fini, stack_end);
}

/* ---- clocks: from a reading on, one is ahead or behind; what waits for a moment of it must be told the kernel's -- */

static bool has_jumped(enum call call)
{
    return report->target == (uint32_t)call + 1 && report->hit;
}

__attribute__((visibility("default"))) int clock_gettime(clockid_t id, struct timespec *now)
{
    enum call call = id == CLOCK_REALTIME    ? CALL_CLOCK_REALTIME
                     : id == CLOCK_MONOTONIC ? CALL_CLOCK_MONOTONIC
                                             : CALLS;
    int result = (int)next(CALL_CLOCK_REALTIME)(id, (long)now, 0, 0, 0, 0, 0, 0);

    if (call != CALLS && fails(call, CALLER))
        now->tv_sec += report->code;
    return result;
}

static const struct timespec *of_kernel(const struct timespec *until, struct timespec *own)
{
    if (!has_jumped(CALL_CLOCK_MONOTONIC))
        return until;
    *own = *until;
    own->tv_sec = own->tv_sec > report->code ? own->tv_sec - report->code : 0;
    return own;
}

__attribute__((visibility("default"))) int
pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *lock, const struct timespec *until)
{
    struct timespec own;

    return (int)next(CALL_pthread_cond_timedwait)((long)cond, (long)lock,
                                                  (long)of_kernel(until, &own), 0, 0, 0, 0, 0);
}

/* ---- syscall: waking a futex cannot fail, and waiting ends early at most ---------------------------------- */

__attribute__((visibility("default"))) long fault_syscall(WORDS) __asm__("syscall");
long fault_syscall(WORDS)
{
    long arguments[8] = {a, b, c, d, e, f, g, h};
    long operation = c & FUTEX_CMD_MASK;
    bool waits = operation == FUTEX_WAIT || operation == FUTEX_WAIT_BITSET;

    if (a != SYS_futex)
        return forward(CALL_syscall, FAIL_MINUS, ENOSYS, CALLER, arguments);
    if (waits) {
        struct timespec until;

        /* All such deadlines of the library are of CLOCK_MONOTONIC. */
        if (operation == FUTEX_WAIT_BITSET && e)
            arguments[4] = (long)of_kernel((const struct timespec *)e, &until);
        return forward(CALL_futex_wait, FAIL_MINUS, EAGAIN, CALLER, arguments);
    }
    return next(CALL_syscall)(a, b, c, d, e, f, g, h);
}

/* ---- ioctl: by what is asked of whom ----------------------------------------------------------------------- */

__attribute__((visibility("default"))) long fault_ioctl(WORDS) __asm__("ioctl");
long fault_ioctl(WORDS)
{
    bool kvm = ((unsigned long)b >> 8 & 0xff) == KVMIO;
    enum call call = b == KVM_RUN         ? CALL_KVM_RUN
                     : b == KVM_CREATE_VM ? CALL_KVM_CREATE_VM
                     : kvm                ? CALL_ioctl_kvm
                                          : CALL_ioctl;

    /* EFAULT and EINTR of KVM_RUN have meanings; this one has none. */
    return forward(call, FAIL_MINUS, kvm ? ENOMEM : EIO, CALLER, (long[]){a, b, c, d, e, f, g, h});
}
