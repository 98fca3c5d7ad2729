/* SPDX-License-Identifier: BSD-2-Clause */
/* Signals that one thread sends to another, which waits or computes: says who took each. */
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "guest.h"

static volatile int hits;
static volatile pthread_t taker;
static int ends[2];

static void take(int signo)
{
    (void)signo;
    taker = pthread_self();
    hits++;
}

static void *wait_in_read(void *argument)
{
    char byte;
    ssize_t got = read(ends[0], &byte, 1);

    printf("read ended %d, by itself %d\n", got <= 0, pthread_equal(taker, pthread_self()));
    return argument;
}

static void *compute(void *argument)
{
    while (hits < 2)
        ;
    printf("out of a loop, by itself %d\n", pthread_equal(taker, pthread_self()));
    return argument;
}

/* Sends it until it was taken: a thread may not wait yet. */
static void interrupt(pthread_t thread)
{
    for (int before = hits; hits == before;) {
        pthread_kill(thread, SIGUSR1);
        sched_yield();
    }
}

int main(void)
{
    struct sigaction action = {.sa_handler = take};
    pthread_t thread;
    sigset_t set;
    int signo = 0;

    setvbuf(stdout, NULL, _IONBF, 0);
    sigaction(SIGUSR1, &action, NULL);
    if (pipe(ends) || pthread_create(&thread, NULL, wait_in_read, NULL))
        fail("no pipe, no thread");
    interrupt(thread);
    close(ends[1]); /* a read that began after the signal ends too */
    pthread_join(thread, NULL);
    hits = 1; /* nobody takes a further one */
    pthread_create(&thread, NULL, compute, NULL);
    interrupt(thread);
    pthread_join(thread, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    kill(getpid(), SIGUSR1);
    sigwait(&set, &signo);
    printf("waited for %d\n", signo);
    return 0;
}
