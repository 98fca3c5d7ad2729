/* SPDX-License-Identifier: BSD-2-Clause */
/* The library's own threads. */
#include "lib/thread.h"

#include <signal.h>

/* A stack is small: where memory is not overcommitted all reserved memory counts, and a large stack
 * may be backed by huge pages at its first touch. The embedder's log callback runs on it, too. */
#define STACK_BYTES (512u << 10)

int thread_start(pthread_t *thread, const cpu_set_t *cpus, void *(*run)(void *), void *arg)
{
    sigset_t all, before;
    pthread_attr_t attr;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    if (cpus)
        pthread_attr_setaffinity_np(&attr, sizeof *cpus, cpus);
    /* A thread begins with the signal mask of its creator. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = -pthread_create(thread, &attr, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return result;
}
