/* SPDX-License-Identifier: BSD-2-Clause */
/* The library's own threads: all signals blocked, a small stack. */
#ifndef FERRY_HOST_THREAD_H
#define FERRY_HOST_THREAD_H

#include <pthread.h>
#include <sched.h>

/* `cpus`: where it may run; NULL: where its creator may. 0 or a negative errno. */
int thread_start(pthread_t *thread, const cpu_set_t *cpus, void *(*run)(void *), void *arg);

#endif
