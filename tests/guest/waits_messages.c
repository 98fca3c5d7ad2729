/* SPDX-License-Identifier: BSD-2-Clause */
/* Waits for a message that never comes, while a timer sends signals: handlers run during the wait, which
 * goes on after each, and the last leaves it. With the argument "two", two threads wait: one takes
 * each signal, and the other waits on. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <unistd.h>

#include <ferry/abi/call.h>

#include "guest.h"

static sigjmp_buf back;
static volatile sig_atomic_t calls;

static void count(int signo)
{
    (void)signo;
    if (calls < 5 && ++calls == 5) /* the timer goes on */
        siglongjmp(back, 1);
}

static atomic_int taken;

static void take(int signo)
{
    (void)signo;
    atomic_fetch_add(&taken, 1);
}

static void *wait_for_nothing(void *arg)
{
    int64_t result = FERRY_CALL_WAIT;

    __asm__ volatile("outb %%al, %[port]"
                     : "+a"(result)
                     : [port] "N"(FERRY_PORT_CALL), "D"((uint64_t)FERRY_EVENT_HOME),
                       "S"(UINT64_MAX), "d"(0ull)
                     : "memory");
    fail("nothing came: %lld after %d signals", (long long)result, atomic_load(&taken));
    return arg;
}

static int wait_in_two(const struct itimerval *timer)
{
    pthread_t threads[2];
    sigset_t mine;

    signal(SIGALRM, take);
    for (int i = 0; i < 2; i++)
        expect_ok("pthread_create", -pthread_create(&threads[i], NULL, wait_for_nothing, NULL));
    sigemptyset(&mine);
    sigaddset(&mine, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &mine, NULL);
    setitimer(ITIMER_REAL, timer, NULL);
    while (atomic_load(&taken) < 100)
        usleep(1000);
    return 0;
}

int main(int argc, char **argv)
{
    const struct itimerval timer = {.it_value.tv_usec = 3000, .it_interval.tv_usec = 3000};
    struct ferry_msg msg;

    if (argc > 1 && strcmp(argv[1], "two") == 0)
        return wait_in_two(&timer);
    signal(SIGALRM, count);
    if (!sigsetjmp(back, 1)) {
        setitimer(ITIMER_REAL, &timer, NULL);
        int result = ferry_recv(&msg, UINT64_MAX);
        fail("a message from nobody: %d after %d signals", result, (int)calls);
    }
    return calls == 5 ? 0 : 1;
}
