/* SPDX-License-Identifier: BSD-2-Clause */
/* Waits for a message that never comes, while a timer sends signals: handlers run during the wait, which
 * goes on after each, and the last leaves it. */
#include <setjmp.h>
#include <signal.h>
#include <sys/time.h>

#include "guest.h"

static sigjmp_buf back;
static volatile sig_atomic_t calls;

static void count(int signo)
{
    (void)signo;
    if (++calls == 5)
        siglongjmp(back, 1);
}

int main(void)
{
    const struct itimerval timer = {.it_value.tv_usec = 3000, .it_interval.tv_usec = 3000};
    struct ferry_msg msg;

    signal(SIGALRM, count);
    setitimer(ITIMER_REAL, &timer, NULL);
    if (!sigsetjmp(back, 1)) {
        int result = ferry_recv(&msg, UINT64_MAX);
        fail("a message from nobody: %d after %d signals", result, (int)calls);
    }
    return calls == 5 ? 0 : 1;
}
