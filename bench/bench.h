/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Comparisons: the same work done in several ways, in turn, A B A B, so that other work on the
 * machine affects all of them alike. What counts is the ratio within one run, median with spread.
 */
#ifndef FERRY_BENCH_BENCH_H
#define FERRY_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench; /* options, and the results so far: bench.c */

/* The result of one run of one way. */
struct sample {
    double value;               /* in the comparison's unit */
    double p50, p90, p99, p999; /* of single exchanges, for latencies; else 0 */
};

/* One way to do the work of a comparison. */
struct way {
    const char *name; /* "Unix pipe", the same in every comparison of a part: a line of the plot */
    /* Does the work once, 20 to 200 ms of it, set-up left out of the time. 0 or a negative errno;
     * -ENOTSUP: cannot be done here, shown as such. */
    int (*run)(struct bench *bench, const void *arg, struct sample *out);
    const void *arg; /* to run */
};

/* The same work in several ways. */
struct comparison {
    const char *part;  /* "stream": its name on the command line and in plots */
    const char *label; /* "2 MiB": a row of the table */
    double x;          /* its place on the plot's axis: bytes, or VMs */
    const char *unit;  /* "GB/s", "ns", "million/s" */
    bool less_is_better;
};

/* Warms up each way once, runs them in turn, prints the row, keeps the result.
 * A way that fails is reported and left out. */
void bench_compare(struct bench *bench, const struct comparison *comparison, const struct way *ways,
                   size_t count);

/* False: --row left this row out, or another is measured again: its own set-up can be spared. */
bool bench_wants(const struct bench *bench, const char *part, const char *label);

/* A figure that is no comparison (bytes per VM, cost of an exit): printed and kept. */
void bench_figure(struct bench *bench, const char *part, const char *name, double value,
                  const char *unit);

/* Median of a way's samples in a comparison that was run; NAN: there is none. */
double bench_median(const struct bench *bench, const char *part, const char *label,
                    const char *way);

/* True: fewer sizes and rounds, for the regression guard (under 60 s for all parts). */
bool bench_quick(const struct bench *bench);

/* Path of a guest program of the benchmark; static. */
const char *bench_guest(struct bench *bench, const char *name);

/* Path of the command this benchmark was built or installed with; for g_free. */
char *bench_command(struct bench *bench);

/* Pins the calling thread to core 0 or 1 of those this process may use; -1: to any of them. */
void bench_pin(int core);

/* CLOCK_MONOTONIC. */
uint64_t bench_now_ns(void);

/* The parts: each runs its comparisons. */
void part_stream(struct bench *bench);    /* sender writes, receiver reads each cache line */
void part_handover(struct bench *bench);  /* one word read per page */
void part_latency(struct bench *bench);   /* round trips of 64 bytes */
void part_messages(struct bench *bench);  /* small messages a second */
void part_crossover(struct bench *bench); /* copy, map and auto over sizes */
void part_start(struct bench *bench);     /* start and footprint of a VM */
void start_commands(struct bench *bench); /* of it: starts of whole commands */
void part_copies(struct bench *bench);    /* resets to a snapshot, and copies of it */
void warm_python(struct bench *bench);    /* of it: a program that people have */
void part_scale(struct bench *bench);     /* cost per message over number of VMs */
void part_pipeline(struct bench *bench);  /* whole commands over a file */
void part_calls(struct bench *bench);     /* single calls */
void part_threads(struct bench *bench);   /* one thread and two */

#endif
