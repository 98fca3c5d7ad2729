/* SPDX-License-Identifier: BSD-2-Clause */
/* The library's own threads. */
#include "lib/thread.h"

#include <errno.h>
#include <semaphore.h>
#include <signal.h>

/* A stack is small: where memory is not overcommitted all reserved memory counts, and a large stack
 * may be backed by huge pages at its first touch. The embedder's log callback runs on it, too. */
#define STACK_BYTES (512u << 10)

static int start(pthread_t *thread, void *(*run)(void *), void *arg)
{
    sigset_t all, before;
    pthread_attr_t attr;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    /* A thread begins with the signal mask of its creator. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = -pthread_create(thread, &attr, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return result;
}

/* Of a thread that runs on some processors only, until it has moved there. */
struct move {
    const cpu_set_t *cpus;
    void *(*run)(void *);
    void *arg;
    int result;
    sem_t done; /* then all of this is gone */
};

static void *moved(void *arg)
{
    struct move *move = arg;
    void *(*run)(void *) = move->run;
    void *own = move->arg;
    int result = sched_setaffinity(0, sizeof *move->cpus, move->cpus) < 0 ? -errno : 0;

    move->result = result;
    sem_post(&move->done);
    return result < 0 ? NULL : run(own);
}

int thread_start(pthread_t *thread, const cpu_set_t *cpus, void *(*run)(void *), void *arg)
{
    struct move move = {.cpus = cpus, .run = run, .arg = arg};
    int result;

    if (!cpus)
        return start(thread, run, arg);
    sem_init(&move.done, 0, 0);
    /* It moves itself: in the jail nobody moves another thread, as pthread_create would. */
    result = start(thread, moved, &move);
    if (result < 0)
        return result;
    while (sem_wait(&move.done) < 0) /* a signal came */
        ;
    if (move.result < 0)
        pthread_join(*thread, NULL);
    return move.result;
}
