/* SPDX-License-Identifier: BSD-2-Clause */
/* Prints what Linux answers about reservations of GIB GiB of addresses, so that a run in a VM can be
 * compared with one outside. No address is printed. With "count" it adds one to the number that it reads
 * if it has got a reservation. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"

enum { PAGE = 4096, MIB = 1 << 20, RW = PROT_READ | PROT_WRITE };
enum { RESERVED = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, FIXED = RESERVED | MAP_FIXED };

static sigjmp_buf before;
static char *volatile touched;

static void on_fault(int signo, siginfo_t *info, void *context)
{
    (void)context;
    touched = info->si_addr;
    siglongjmp(before, signo << 8 | info->si_code);
}

/* A result and, if it is -1, why. */
static void say(const char *what, long result)
{
    printf("%s: %ld", what, result);
    if (result == -1)
        printf(" (%s)", strerror(errno));
    putchar('\n');
}

static long map_at(void *at, size_t bytes, int prot, int flags)
{
    char *got = mmap(at, bytes, prot, flags, -1, 0);

    return got == MAP_FAILED ? -1 : got == at;
}

/* What a store to `at` leads to: 0, or signal and code; and whether the address was told. */
static void touch(const char *what, volatile char *at)
{
    int how = sigsetjmp(before, 1);

    if (!how)
        *at = 1;
    printf("%s: signal %d code %d, address told: %d\n", what, how >> 8, how & 255,
           how ? touched == at : 0);
}

static char *reserve(size_t bytes)
{
    char *at = mmap(NULL, bytes, PROT_NONE, RESERVED, -1, 0);

    if (at == MAP_FAILED)
        fail("%zu bytes cannot be reserved: %s", bytes, strerror(errno));
    return at;
}

static void ends(char *all, size_t bytes)
{
    char *last = all + bytes - MIB, line[] = "through the kernel\n";
    int ends[2];

    touch("without rights", all + 5);
    say("the last MiB", map_at(last, MIB, RW, FIXED));
    memset(last, 7, MIB);
    printf("%d %d\n", last[0], last[MIB - 1]);
    say("one page of the middle", mprotect(all + bytes / 2, PAGE, RW));
    touch("the page", all + bytes / 2);
    touch("the page beside it", all + bytes / 2 + PAGE);
    if (pipe(ends))
        fail("pipe: %s", strerror(errno));
    memcpy(last, line, sizeof line);
    say("written from there", write(ends[1], last, sizeof line - 1));
    say("read to there", read(ends[0], all + bytes / 2, PAGE));
    printf("%.*s", (int)sizeof line - 1, all + bytes / 2);
    say("read to where nothing may be", write(ends[1], last, 5) + read(ends[0], all, 5));
}

static void moved(char *all, size_t bytes)
{
    char *near = mmap(NULL, 2 * MIB, RW, RESERVED, -1, 0), *to = all + bytes / 4;

    memset(near, 9, 2 * MIB);
    say("moved there", mremap(near, 2 * MIB, 2 * MIB, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
    printf("%d\n", to[2 * MIB - 1]);
    say("longer", mremap(to, 2 * MIB, 4 * MIB, MREMAP_MAYMOVE) != MAP_FAILED);
    say("freed", madvise(all + bytes - MIB, MIB, MADV_DONTNEED));
    printf("%d\n", all[bytes - PAGE]);
}

/* At the ends of what there may be, and around them. */
static void beyond(char *all, size_t bytes)
{
    char *top = (char *)0x7ffffffff000, *last = (char *)-(uintptr_t)PAGE;

    say("beyond the last address", map_at(top, PAGE, RW, FIXED));
    say("in the kernel's half", map_at((char *)(1ul << 63), PAGE, RW, FIXED));
    say("around the end", map_at(last, 2 * PAGE, RW, FIXED));
    say("all there is", map_at(NULL, (size_t)-PAGE, PROT_NONE, RESERVED));
    say("from there on, further than there is", map_at(all, (size_t)1 << 62, PROT_NONE, FIXED));
    say("rights around the end", mprotect(last, 2 * PAGE, RW));
    say("advice around the end", madvise(last, 2 * PAGE, MADV_DONTNEED));
    say("unmapping around the end", munmap(last, 2 * PAGE));
    say("moving too far",
        mremap(all, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, top) != MAP_FAILED ? 0 : -1);
    say("over it, not replacing", map_at(all, PAGE, RW, RESERVED | MAP_FIXED_NOREPLACE));
    say("unmapped", munmap(all, bytes));
    touch("unmapped", all + bytes / 2);
    touch("just before its end", all + bytes - 1);
    say("there again", map_at(all + bytes / 2, PAGE, RW, RESERVED | MAP_FIXED_NOREPLACE));
    printf("%d\n", all[bytes / 2]);
    say("all unmapped once more", munmap(all, bytes));
}

/* More in turn than there may be at a time: each part is freed when it was used. */
static void freed(char *all)
{
    long sum = 0;

    say("rights", mprotect(all, 400 * (size_t)MIB, RW));
    for (int i = 0; i < 10; i++) {
        char *part = all + i * 40 * (size_t)MIB;

        memset(part, 1, 40 * (size_t)MIB);
        sum += part[i] + part[40 * (size_t)MIB - 1];
        if (madvise(part, 40 * (size_t)MIB, MADV_FREE))
            fail("MADV_FREE: %s", strerror(errno));
        part[0] = 2; /* which keeps this page */
        sum += part[0];
    }
    printf("sum %ld\n", sum);
}

/* Everything, again and again: whatever is refused, nothing is lost. */
static void everything(size_t bytes)
{
    for (int round = 0; round < 3; round++) {
        static char *list[2000];
        int count = 0;

        while (count < 2000 &&
               (list[count] = mmap(NULL, bytes, PROT_NONE, RESERVED, -1, 0)) != MAP_FAILED)
            count++;
        printf("some: %d, not all: %d\n", count > 0, count < 2000);
        say("a page besides", mmap(NULL, PAGE, RW, RESERVED, -1, 0) != MAP_FAILED);
        while (count > 0)
            munmap(list[--count], bytes);
    }
}

static void *add(void *arg)
{
    for (int i = 0; i < 1000; i++)
        __atomic_fetch_add((int *)arg, 1, __ATOMIC_RELAXED);
    return NULL;
}

/* A thread, its stack and what it counts in, there. */
static void threads(char *all, size_t bytes)
{
    pthread_attr_t how;
    pthread_t thread;
    int *count = (int *)(void *)(all + bytes / 8);

    say("a stack", mprotect(all + bytes / 8, MIB, RW));
    pthread_attr_init(&how);
    pthread_attr_setstack(&how, all + bytes / 8 + PAGE, MIB - PAGE);
    if (pthread_create(&thread, &how, add, count))
        fail("no thread");
    add(count);
    pthread_join(thread, NULL);
    printf("counted %d\n", *count);
}

static int count(size_t bytes)
{
    bool got = mmap(NULL, bytes, PROT_NONE, RESERVED, -1, 0) != MAP_FAILED;
    int others = 0;

    if (scanf("%d", &others) != 1)
        fail("no number");
    printf("%d\n", others + got);
    return 0;
}

/* Another program finds nothing of it: the same address is free, and empty. */
static void next(char **argv, const char *at)
{
    char text[40];

    snprintf(text, sizeof text, "%p", (const void *)at);
    fflush(stdout);
    execv("/proc/self/exe", (char *[]){argv[0], argv[1], text, NULL});
    fail("execv: %s", strerror(errno));
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    size_t bytes;
    char *all;

    expect_arguments(argc, 1, "asks_addresses GIB [count]");
    bytes = strtoul(argv[1], NULL, 10) << 30;
    if (argc > 2 && !strcmp(argv[2], "count"))
        return count(bytes);
    if (argc > 2) {
        all = (char *)strtoul(argv[2], NULL, 16);
        say("after execve", map_at(all, PAGE, RW, RESERVED | MAP_FIXED_NOREPLACE));
        printf("%d\n", *all);
        return 0;
    }
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    all = reserve(bytes);
    ends(all, bytes);
    threads(all, bytes);
    moved(all, bytes);
    freed(all);
    beyond(all, bytes);
    everything(bytes);
    all = reserve(bytes);
    say("written before execve", mprotect(all, PAGE, RW));
    *all = 7;
    next(argv, all);
}
