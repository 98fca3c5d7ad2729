/* SPDX-License-Identifier: BSD-2-Clause */
/* Code that programs with threads share: starting one, or many that are waited for. */
#ifndef FERRY_TESTS_START_H
#define FERRY_TESTS_START_H

#include <pthread.h>

#include "guest.h"

#define MANY 8

static inline pthread_t start(void *(*run)(void *), void *arg)
{
    pthread_t thread;

    expect_ok("pthread_create", -pthread_create(&thread, NULL, run, arg));
    return thread;
}

static inline void run_many(void *(*run)(void *), void *arg)
{
    pthread_t threads[MANY];

    for (int i = 0; i < MANY; i++)
        threads[i] = start(run, arg);
    for (int i = 0; i < MANY; i++)
        pthread_join(threads[i], NULL);
}

#endif
