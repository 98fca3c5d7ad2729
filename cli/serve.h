/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of `ferry serve` share. */
#ifndef FERRY_CLI_SERVE_H
#define FERRY_CLI_SERVE_H

#include <pthread.h>
#include <signal.h>

#include "pipeline.h"
#include "serve_slot.h"

#define SERVE_DEFAULT 8 /* connections at once */

struct server {
    const struct options *options;
    struct stage *stage; /* the program; its VM is that of the first slot */
    struct ferry_engine *engine;
    struct ferry_engine_info info;
    struct slot *slots;
    unsigned count;
    int listen_fd, signal_fd;
    int changed_fd; /* written when a slot becomes free, or the program is ready or cannot be */
    sigset_t signals;
    int signo; /* that asked to end */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* there is a connection to serve, or the server stops */
    /* Under the lock: */
    bool ready, failed, stopping;
    uint64_t connections;
    uint64_t pause_ns; /* until then no connection is taken, as one could not be */
};

#endif
