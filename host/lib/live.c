/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/live.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/bits.h"

/* Pages that are looked at by one call. */
#define LOOKS 64
/* How often a word is read that other threads change meanwhile. */
#define LOADS_MAX 64

/* ---- bytes --------------------------------------------------------------- */

typedef ssize_t (*transfer_fn)(pid_t, const struct iovec *, unsigned long, const struct iovec *,
                               unsigned long, unsigned long);

/* Between memory of this process and live memory, which is of the same process. */
static size_t transfer(transfer_fn run, char *memory, char *live, size_t bytes)
{
    size_t done = 0;
    ssize_t part = 1;

    while (done < bytes && part > 0) {
        struct iovec plain = {memory + done, bytes - done}, other = {live + done, bytes - done};

        part = run(getpid(), &plain, 1, &other, 1, 0);
        done += part > 0 ? (size_t)part : 0;
    }
    return done;
}

size_t reach_read(void *to, struct reach from, size_t bytes)
{
    if (from.live)
        return transfer(process_vm_readv, to, from.at, bytes);
    memcpy(to, from.at, bytes);
    /* From here on only the copy is read, even if the compiler sees the caller's memory. */
    atomic_signal_fence(memory_order_seq_cst);
    return bytes;
}

size_t reach_write(struct reach to, const void *from, size_t bytes)
{
    if (to.live)
        return transfer(process_vm_writev, (char *)from, to.at, bytes);
    memcpy(to.at, from, bytes);
    return bytes;
}

bool live_works(void)
{
    char from = 1, to = 0;

    return reach_read(&to, (struct reach){&from, true}, 1) == 1 &&
           reach_write((struct reach){&to, true}, &from, 1) == 1;
}

/* ---- whether it is there ------------------------------------------------- */

/* Reads a byte of each page. */
static bool may_read(char *at, size_t bytes)
{
    char *end = at + bytes, byte;

    while (at < end) {
        struct iovec looks[LOOKS];
        struct iovec bytes_read[LOOKS];
        unsigned count = 0;

        for (; count < LOOKS && at < end; count++) {
            looks[count] = (struct iovec){at, 1};
            bytes_read[count] = (struct iovec){&byte, 1};
            at += FERRY_PAGE_BYTES - ((uintptr_t)at & (FERRY_PAGE_BYTES - 1));
        }
        if (process_vm_readv(getpid(), bytes_read, count, looks, count, 0) != (ssize_t)count)
            return false;
    }
    return true;
}

/* Changes no bit of the word, as one access: so the page is there to be written. The call is made for
 * that; it wakes nobody. */
static bool may_write_word(uint32_t *word)
{
    uint32_t nobody = 0;

    return syscall(SYS_futex, &nobody, FUTEX_WAKE_OP_PRIVATE, 0, NULL, word,
                   FUTEX_OP(FUTEX_OP_OR, 0, FUTEX_OP_CMP_EQ, 0)) >= 0;
}

bool reach_may(struct reach place, size_t bytes, bool write)
{
    uintptr_t first = (uintptr_t)place.at, end = first + bytes;

    if (!place.at || !place.live)
        return place.at;
    if (!write)
        return may_read(place.at, bytes);
    for (uintptr_t page = first; page < end; page = page_down(page) + FERRY_PAGE_BYTES) {
        if (!may_write_word((uint32_t *)(page & ~(sizeof(uint32_t) - 1))))
            return false;
    }
    return true;
}

/* ---- files --------------------------------------------------------------- */

/* Nothing else tells this to who does not own the file: mincore and cachestat do not. The bytes are
 * thrown away, each page over the one before. */
uint64_t live_cached(int fd, uint64_t offset, uint64_t bytes)
{
    char page[FERRY_PAGE_BYTES];
    struct iovec parts[LOOKS];
    uint64_t done = 0;

    for (unsigned i = 0; i < LOOKS; i++)
        parts[i] = (struct iovec){.iov_base = page, .iov_len = sizeof(page)};
    while (done < bytes) {
        uint64_t left = (bytes - done) / FERRY_PAGE_BYTES;
        int count = (int)min_u64(left, LOOKS);
        ssize_t got = preadv2(fd, parts, count, (off_t)(offset + done), RWF_NOWAIT);

        done += got > 0 ? page_up((uint64_t)got) : 0;
        if (got < (ssize_t)(count * FERRY_PAGE_BYTES) || !count)
            break;
    }
    return done;
}

/* ---- words --------------------------------------------------------------- */

static int live_load(struct reach word, uint32_t *value)
{
    uint32_t nobody = 0;

    /* The kernel copies in pieces that may be single bytes. Its futexes compare a word as one; with
     * nobody to wake or to move that is all this does. */
    for (int i = 0; i < LOADS_MAX; i++) {
        if (reach_read(value, word, sizeof(*value)) != sizeof(*value))
            return -EFAULT;
        if (syscall(SYS_futex, word.at, FUTEX_CMP_REQUEUE_PRIVATE, 0, NULL, &nobody, *value) >= 0)
            return 0;
        if (errno != EAGAIN)
            return -EFAULT;
    }
    return 0; /* it changes all the time: any of its values will do */
}

int reach_load(struct reach word, uint32_t *value)
{
    if (word.live)
        return live_load(word, value);
    *value = __atomic_load_n((uint32_t *)word.at, __ATOMIC_SEQ_CST);
    return 0;
}

/* The C library's clone by its other name, as in linux/helper.c. */
int __clone(int (*run)(void *), void *stack, int flags, void *arg, ...); /* NOLINT */

#define CHANGE_STACK_BYTES (64u << 10)

/* As the kernel knows it. The C library's functions would change what this process does. */
struct kernel_action {
    void (*handler)(int);
    uint64_t flags;
    void (*restorer)(void);
    uint64_t mask;
};
#define ACTION_HAS_RESTORER 0x04000000u

struct change {
    uint32_t *word, old, value;
    int result;
    _Alignas(16) char stack[CHANGE_STACK_BYTES];
};

static void not_there(int signo)
{
    (void)signo;
    syscall(SYS_exit_group, 1);
}

/* In assembly: a sanitizer would make a call of it that takes locks, and the access may not return. */
static bool exchange(struct change *change)
{
    bool done;

    __asm__ volatile("lock cmpxchgl %3, %1"
                     : "+a"(change->old), "+m"(*change->word), "=@ccz"(done)
                     : "r"(change->value)
                     : "memory");
    return done;
}

/* A process that shares our memory and has handlers of its own: the one for SIGBUS ends it alone. No
 * call of the kernel makes this access. */
static int change_main(void *arg)
{
    const struct kernel_action action = {
        .handler = not_there, .flags = ACTION_HAS_RESTORER, .restorer = abort};
    const uint64_t faults = 1ull << (SIGBUS - 1) | 1ull << (SIGSEGV - 1);
    struct change *change = arg;

    if (syscall(SYS_rt_sigaction, SIGBUS, &action, NULL, sizeof(faults)) == 0 &&
        syscall(SYS_rt_sigaction, SIGSEGV, &action, NULL, sizeof(faults)) == 0 &&
        syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &faults, NULL, sizeof(faults)) == 0)
        change->result = exchange(change);
    syscall(SYS_exit_group, 0);
    return 0;
}

static int live_change(uint32_t *word, uint32_t *old, uint32_t value)
{
    struct change *change = malloc(sizeof(*change));
    int result = -EFAULT, pid = -1;

    if (!change)
        return -EFAULT;
    change->word = word;
    change->old = *old;
    change->value = value;
    change->result = -EFAULT;
    pid = __clone(change_main, change->stack + CHANGE_STACK_BYTES, CLONE_VM | CLONE_VFORK, change);
    while (pid >= 0 && waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
        ;
    if (pid >= 0) {
        result = change->result;
        *old = change->old;
    }
    free(change);
    return result;
}

int reach_change(struct reach word, uint32_t *old, uint32_t value)
{
    if (word.live)
        return live_change(word.at, old, value);
    return __atomic_compare_exchange_n((uint32_t *)word.at, old, value, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST);
}
