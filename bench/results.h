/* SPDX-License-Identifier: BSD-2-Clause */
/* The results that the benchmark keeps of a run, and the functions that write them: inside the
 * framework only. */
#ifndef FERRY_BENCH_RESULTS_H
#define FERRY_BENCH_RESULTS_H

#include <stdbool.h>
#include <stdio.h>

#include <glib.h>
#include <jansson.h>

#include "bench.h"

struct way_result {
    char *name;
    int error;       /* why it was left out: negative errno; 0: it ran */
    GArray *samples; /* of struct sample, one a round: the same place is the same round */
};

struct result {
    char *part, *label, *unit;
    double x;
    bool less_is_better;
    GPtrArray *ways; /* of struct way_result */
};

struct figure {
    char *part, *name, *unit;
    double value;
};

struct ratio_column;
struct ratio_table {
    const char *part;
    const struct ratio_column *columns;
    size_t count;
};

struct bench {
    bool quick;
    unsigned rounds;
    bool failed;        /* a way that can be run here did not do its work */
    GPtrArray *results; /* of struct result, in the order they were run */
    GPtrArray *figures; /* of struct figure */
    GArray *ratios;     /* of struct ratio_table */
    GString *guest;     /* the path that bench_guest gave last */
    /* Measuring again: nothing but these rows of this part, and nothing is printed. NULL: all. */
    const char *only_part;
    GHashTable *only_labels;
    /* The rows and ways that --row and --way choose; NULL: all. */
    const char *only_row;
    const char *only_way; /* a part of a name */
};

/* Middle, least and most of some values. */
struct spread {
    double median, least, most;
};

struct bench *bench_new(bool quick, unsigned rounds);
void bench_free(struct bench *bench);

struct result *bench_find(const struct bench *bench, const char *part, const char *label);
const struct way_result *result_way(const struct result *result, const char *way);
/* Of a way's values; false: it did not run. */
bool way_spread(const struct way_result *way, struct spread *out);

/* 50, 90, 99 and 99.9 %: of each the median of all rounds. False: it is no latency. */
#define PERCENTILES 4
bool way_percentiles(const struct way_result *way, double out[PERCENTILES]);

/* How often `way` is as good as the best, by median, of `against`, round by round: above 1
 * it is the better one. False: one of them did not run. */
bool bench_ratio(const struct bench *bench, const char *part, const char *label, const char *way,
                 const char *const *against, size_t count, struct spread *out);

/* A column of a table of ratios; static. */
struct ratio_column {
    const char *title;
    const char *way;
    const char *const *against;
    size_t count;
};
/* A part's own ratios, printed below its table. */
void bench_ratios(struct bench *bench, const char *part, const struct ratio_column *columns,
                  size_t count);

/* A part's rows, in their order; the caller frees the array. */
GPtrArray *bench_rows(const struct bench *bench, const char *part);

/* report.c: a line about the machine; the tables of one part. */
void report_machine(void);
void report_part(const struct bench *bench, const char *part);

/* report_json.c */
json_t *machine_json(void);
int report_json(const struct bench *bench, const char *path);

/* report_plot.c: whether there is a gnuplot; the plots of the parts that were run, into a directory
 * that exists. Negative errno: gnuplot failed. */
bool report_can_plot(void);
int report_plots(const struct bench *bench, const char *directory);

/* floors.c. NULL: they cannot be used, and a line on standard error says why. */
struct floors;
struct floors *floors_load(const char *path);
void floors_free(struct floors *floors); /* NULL is allowed */
/* Checks those whose rows were run; `again` runs a part anew. Returns how many failed. */
int floors_check(struct bench *bench, struct floors *floors,
                 void (*again)(struct bench *bench, const char *part));

#endif
