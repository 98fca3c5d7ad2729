/* SPDX-License-Identifier: BSD-2-Clause */
/* `--trace`: the system calls of all stages, a line each, on standard error or in a file. */
#ifndef FERRY_CLI_TRACE_H
#define FERRY_CLI_TRACE_H

#include <stdbool.h>

#include <pthread.h>

#include <ferry/ferry.h>

#include "options.h"

struct trace {
    int fd; /* where lines go; -1: nobody asked for them */
    bool json;
    bool own;             /* fd is a file that was opened for it */
    pthread_mutex_t lock; /* a line of one VM at a time */
    int error;            /* of the first write that failed; under the lock */
};

/* Opens what the options ask for. 0, or an exit status: it was said why. trace_close is due in any
 * case, once no VM is left. */
int trace_open(struct trace *trace, const struct options *options);
/* ferry_vm_config.trace, with the trace as its argument. */
void trace_event(void *arg, struct ferry_vm *vm, const struct ferry_trace *event);
/* The exit status: 0, or STATUS_IO if the trace is not complete, which it says. */
int trace_close(struct trace *trace, const struct options *options);

#endif
