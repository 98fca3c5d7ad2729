/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A pipeline of VMs between standard input and standard output: making it, running it, waiting for
 * it, taking it down. One in a process: it blocks signals and uses descriptors 0 and 1.
 */
#ifndef FERRY_CLI_PIPELINE_H
#define FERRY_CLI_PIPELINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pthread.h>
#include <signal.h>

#include <ferry/ferry.h>

#include "options.h"
#include "pump.h"
#include "trace.h"
#include "words.h"

#define PIPELINE_STAGES 128 /* at most */

struct stage {
    char label[WORDS_NAME_BYTES + 32]; /* for messages: "stage 2 (gzip)" */
    char name[WORDS_NAME_BYTES];       /* of the VM */
    char **argv;
    char *program; /* the file */
    char *text;    /* as it was written; NULL: its words were */
    char *advice;  /* what to do if it turns out to be no program; NULL: nothing special */
    struct ferry_vm *vm;
    struct ferry_vm_exit exit;
    struct ferry_vm_stats stats; /* valid once the pipeline was taken down, as all figures */
};

struct pipeline {
    /* Set by the owner. */
    const struct options *options;
    struct stage *stages;
    size_t count; /* 1 to PIPELINE_STAGES */
    bool gives;   /* the only stage has our descriptors and signals: process.h */

    /* The pipeline's own. */
    struct ferry_engine *engine;
    struct ferry_link **links; /* count + 1: the first from the host, the last to it */
    struct input input;
    struct output output;
    struct trace trace;
    pthread_t input_thread, output_thread;
    size_t threads;       /* how many of them were started, in that order */
    sigset_t signals;     /* that ask to end */
    sigset_t passed;      /* that the program was sent */
    uint64_t asked_ns[2]; /* when it was last asked to end, and before that */
    int signal_fd, done_fd;
    int null_fd;             /* /dev/null, opened while that can be done; -1: there is none */
    _Atomic unsigned closed; /* descriptors that a program which was given them closed, as bits */
    _Atomic unsigned done;   /* the parts that have ended, bits of enum part */
    int signo;               /* that asked us to end */
    bool stopped;            /* we asked the VMs to end */
    bool reader_left;        /* nobody reads standard output any more */
    bool output_late;        /* the time limit came before all output was taken */
    uint64_t start_ns, end_ns;
    struct ferry_link_stats *link_stats;
    struct ferry_ledger ledger;
};

/* Whether a standard descriptor can be used for its purpose: if it was closed, main() opened
 * /dev/null in its place. */
bool pipeline_can_use(int fd);

/* Runs the pipeline to its end and prints messages and figures. Returns the exit status;
 * does not return when a signal asked to end. */
int pipeline_run(struct pipeline *pipeline);

#endif
