/* SPDX-License-Identifier: BSD-2-Clause */
/* Asks again and again what is done at each signal, and changes it meanwhile. The same lines come from a
 * process and from a VM. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest.h"

#define MASK_BYTES 8

/* As the kernel has it. */
struct action {
    uint64_t handler, flags, restorer, mask;
};

static long call(int signo, const void *set, void *old, size_t bytes)
{
    return syscall(SYS_rt_sigaction, signo, set, old, bytes);
}

/* The sum of what is told of all signals. Where a handler of the C library is differs. */
static uint64_t sum(void)
{
    uint64_t total = 0;

    for (int signo = 1; signo <= 64; signo++) {
        struct action action = {1, 2, 3, 4};

        if (call(signo, NULL, &action, MASK_BYTES))
            return 0;
        total += (uint64_t)signo * ((action.handler > 1 ? 2 : action.handler) + 3 * action.flags +
                                    5 * (action.restorer != 0) + 7 * action.mask);
    }
    return total;
}

static void say_result(const char *what, long result)
{
    printf("%s: %s\n", what, result < 0 ? strerrorname_np(errno) : "done");
}

/* What is no question, or no good one, is answered as ever. */
static void ask_badly(void)
{
    struct action action = {.handler = 1};
    char *edge = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    mprotect(edge + 4096, 4096, PROT_READ);
    say_result("signal 0", call(0, NULL, &action, MASK_BYTES));
    say_result("signal 65", call(65, NULL, &action, MASK_BYTES));
    say_result("short mask", call(SIGUSR1, NULL, &action, 4));
    say_result("no place", call(SIGUSR1, NULL, NULL, MASK_BYTES));
    say_result("bad place", call(SIGUSR1, NULL, (void *)8, MASK_BYTES));
    say_result("half a place", call(SIGUSR1, NULL, edge + 4096 - 16, MASK_BYTES));
    say_result("a place up there", call(SIGUSR1, NULL, (void *)(UINT64_MAX - 7), MASK_BYTES));
    say_result("SIGKILL", call(SIGKILL, NULL, &action, MASK_BYTES));
    printf("SIGKILL: %d\n", (int)action.handler);
}

/* Another thread's change is seen as soon as its call is over. */
static void *change(void *arg)
{
    const struct action ignore = {.handler = 1};

    call(*(int *)arg, &ignore, NULL, MASK_BYTES);
    return NULL;
}

/* Whoever started the process may have it ignore some, also those that the C library keeps for itself. */
static void ignore_none(void)
{
    const struct action none = {0};

    for (int signo = 1; signo <= 64; signo++) {
        struct action action = {0};

        if (call(signo, NULL, &action, MASK_BYTES) == 0 && action.handler == 1)
            call(signo, &none, NULL, MASK_BYTES);
    }
}

int main(void)
{
    int rounds = 0;

    ignore_none();
    printf("at first %d\n", (int)sum());
    for (int i = 0; i < 50; i++)
        rounds += sum() == 0;
    printf("%d rounds found nothing\n", rounds);
    ask_badly();
    for (int signo = SIGRTMIN; signo < SIGRTMIN + 20; signo++) {
        pthread_t thread;

        if (pthread_create(&thread, NULL, change, &signo) || pthread_join(thread, NULL))
            return 1;
        printf("%d: %d\n", signo, (int)sum());
    }
    signal(SIGTERM, SIG_IGN);
    signal(SIGTERM, SIG_DFL);
    printf("SIGTERM is as before: %d\n", (int)(signal(SIGTERM, SIG_DFL) == SIG_DFL));
    return 0;
}
