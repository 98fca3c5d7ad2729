/* SPDX-License-Identifier: BSD-2-Clause */
/* Two sides of an exchange, each on its core: two processes, or two VMs. */
#ifndef FERRY_BENCH_DUO_H
#define FERRY_BENCH_DUO_H

#include <ferry/ferry.h>

#include "bench.h"
#include "guests/report.h"

/* Core of the first and of the second side. */
struct duo_cores {
    int first, second;
};

/* Runs `first` in this process and `second` in a child of it. 0 or a negative errno,
 * of either. */
int duo_processes(struct duo_cores cores, int (*first)(void *arg), int (*second)(void *arg),
                  void *arg);

/* One of two VMs. */
struct duo_vm {
    const char *guest; /* a guest program of the benchmark */
    const char *words; /* its arguments, separated by blanks */
};

struct duo_vms {
    struct duo_vm vm[2]; /* linked from the first to the second */
    struct duo_cores cores;
    enum ferry_transfer transfer;
    bool two_way; /* and back */
    bool direct;  /* the links map one ring into both */
    bool polled;  /* a thread of the engine, on the second core, watches the rings */
    bool stream;  /* the link is fd 1 of the first and fd 0 of the second */
    int reporter; /* which of them tells the host, 0 or 1 */
};

/* The result of a run of two VMs. */
struct duo_result {
    struct report report;
    struct ferry_vm_stats stats[2]; /* at the end */
};

/* Makes engine, VMs and links, runs both programs to the report, takes all down again. */
int duo_vms(struct bench *bench, const struct duo_vms *what, struct duo_result *out);

#endif
