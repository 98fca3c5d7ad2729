/* SPDX-License-Identifier: BSD-2-Clause */
/* Running comparisons, and their results. */
#include "bench.h"

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "results.h"

#define ROUNDS       7
#define ROUNDS_QUICK 3

/* ---- what was kept ------------------------------------------------------ */

static void way_result_free(void *data)
{
    struct way_result *way = data;

    g_free(way->name);
    g_array_free(way->samples, TRUE);
    g_free(way);
}

static void result_free(void *data)
{
    struct result *result = data;

    g_free(result->part);
    g_free(result->label);
    g_free(result->unit);
    g_ptr_array_free(result->ways, TRUE);
    g_free(result);
}

static void figure_free(void *data)
{
    struct figure *figure = data;

    g_free(figure->part);
    g_free(figure->name);
    g_free(figure->unit);
    g_free(figure);
}

struct bench *bench_new(bool quick, unsigned rounds)
{
    struct bench *bench = g_new0(struct bench, 1);

    bench->quick = quick;
    bench->rounds = rounds ? rounds : quick ? ROUNDS_QUICK : ROUNDS;
    bench->results = g_ptr_array_new_with_free_func(result_free);
    bench->figures = g_ptr_array_new_with_free_func(figure_free);
    bench->ratios = g_array_new(FALSE, FALSE, sizeof(struct ratio_table));
    bench->guest = g_string_new(NULL);
    return bench;
}

void bench_free(struct bench *bench)
{
    g_ptr_array_free(bench->results, TRUE);
    g_ptr_array_free(bench->figures, TRUE);
    g_array_free(bench->ratios, TRUE);
    g_string_free(bench->guest, TRUE);
    g_free(bench);
}

struct result *bench_find(const struct bench *bench, const char *part, const char *label)
{
    for (guint i = 0; i < bench->results->len; i++) {
        struct result *result = bench->results->pdata[i];

        if (strcmp(result->part, part) == 0 && strcmp(result->label, label) == 0)
            return result;
    }
    return NULL;
}

GPtrArray *bench_rows(const struct bench *bench, const char *part)
{
    GPtrArray *rows = g_ptr_array_new();

    for (guint i = 0; i < bench->results->len; i++) {
        struct result *result = bench->results->pdata[i];

        if (strcmp(result->part, part) == 0)
            g_ptr_array_add(rows, result);
    }
    return rows;
}

const struct way_result *result_way(const struct result *result, const char *way)
{
    for (guint i = 0; i < result->ways->len; i++) {
        const struct way_result *one = result->ways->pdata[i];

        if (strcmp(one->name, way) == 0)
            return one;
    }
    return NULL;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Sorts the values. */
static struct spread spread_of(double *values, size_t count)
{
    qsort(values, count, sizeof(*values), compare_doubles);
    return (struct spread){.median = (values[(count - 1) / 2] + values[count / 2]) / 2,
                           .least = values[0],
                           .most = values[count - 1]};
}

bool way_spread(const struct way_result *way, struct spread *out)
{
    if (!way || way->error || way->samples->len == 0)
        return false;
    double *values = g_new(double, way->samples->len);

    for (guint i = 0; i < way->samples->len; i++)
        values[i] = g_array_index(way->samples, struct sample, i).value;
    *out = spread_of(values, way->samples->len);
    g_free(values);
    return true;
}

bool way_percentiles(const struct way_result *way, double out[PERCENTILES])
{
    guint rounds = way->samples->len;
    double *values = g_new(double, rounds + 1);

    for (int which = 0; which < PERCENTILES; which++) {
        for (guint i = 0; i < rounds; i++) {
            const struct sample *sample = &g_array_index(way->samples, struct sample, i);
            const double all[PERCENTILES] = {sample->p50, sample->p90, sample->p99, sample->p999};

            values[i] = all[which];
        }
        out[which] = rounds ? spread_of(values, rounds).median : 0;
    }
    g_free(values);
    return out[0] > 0;
}

double bench_median(const struct bench *bench, const char *part, const char *label, const char *way)
{
    const struct result *result = bench_find(bench, part, label);
    struct spread spread;

    return result && way_spread(result_way(result, way), &spread) ? spread.median : NAN;
}

/* The one with the best median; NULL: none ran. */
static const struct way_result *best_of(const struct result *result, const char *const *names,
                                        size_t count)
{
    const struct way_result *best = NULL;
    double best_median = 0;

    for (size_t i = 0; i < count; i++) {
        const struct way_result *way = result_way(result, names[i]);
        struct spread spread;

        if (!way_spread(way, &spread))
            continue;
        if (!best ||
            (result->less_is_better ? spread.median < best_median : spread.median > best_median)) {
            best = way;
            best_median = spread.median;
        }
    }
    return best;
}

bool bench_ratio(const struct bench *bench, const char *part, const char *label, const char *way,
                 const char *const *against, size_t count, struct spread *out)
{
    const struct result *result = bench_find(bench, part, label);
    const struct way_result *ours = result ? best_of(result, &way, 1) : NULL;
    const struct way_result *theirs = result ? best_of(result, against, count) : NULL;

    if (!ours || !theirs)
        return false;
    guint rounds = MIN(ours->samples->len, theirs->samples->len);
    double *ratios = g_new(double, rounds);

    for (guint i = 0; i < rounds; i++) {
        double a = g_array_index(ours->samples, struct sample, i).value;
        double b = g_array_index(theirs->samples, struct sample, i).value;

        ratios[i] = result->less_is_better ? b / a : a / b;
    }
    *out = spread_of(ratios, rounds);
    g_free(ratios);
    return true;
}

/* ---- running ------------------------------------------------------------ */

/* Shows a person who watches how far it is. */
static void progress(const struct comparison *comparison, const struct way *way)
{
    if (!isatty(STDERR_FILENO))
        return;
    if (way)
        fprintf(stderr, "\r\033[K%s: %s: %s", comparison->part, comparison->label, way->name);
    else
        fputs("\r\033[K", stderr);
    fflush(stderr);
}

static void run_once(struct bench *bench, const struct comparison *comparison,
                     const struct way *way, struct way_result *kept, bool keep)
{
    struct sample sample = {0};

    if (kept->error)
        return;
    progress(comparison, way);
    kept->error = way->run(bench, way->arg, &sample);
    if (kept->error && kept->error != -ENOTSUP) {
        bench->failed = true;
        progress(comparison, NULL);
        fprintf(stderr, "ferry: bench: %s: %s: %s: %s\n", comparison->part, comparison->label,
                way->name, strerror(-kept->error));
    }
    if (!kept->error && keep)
        g_array_append_val(kept->samples, sample);
}

static bool is_wanted_way(const struct bench *bench, const struct way *way)
{
    return !bench->only_way || strstr(way->name, bench->only_way);
}

static struct result *result_new(const struct bench *bench, const struct comparison *comparison,
                                 const struct way *ways, size_t count)
{
    struct result *result = g_new0(struct result, 1);

    result->part = g_strdup(comparison->part);
    result->label = g_strdup(comparison->label);
    result->unit = g_strdup(comparison->unit);
    result->x = comparison->x;
    result->less_is_better = comparison->less_is_better;
    result->ways = g_ptr_array_new_with_free_func(way_result_free);
    for (size_t i = 0; i < count; i++) {
        if (!is_wanted_way(bench, &ways[i]))
            continue;
        struct way_result *way = g_new0(struct way_result, 1);

        way->name = g_strdup(ways[i].name);
        way->samples = g_array_new(FALSE, FALSE, sizeof(struct sample));
        g_ptr_array_add(result->ways, way);
    }
    return result;
}

bool bench_wants(const struct bench *bench, const char *part, const char *label)
{
    if (bench->only_row && strcmp(bench->only_row, label) != 0)
        return false;
    return !bench->only_part || (strcmp(bench->only_part, part) == 0 &&
                                 g_hash_table_contains(bench->only_labels, label));
}

void bench_compare(struct bench *bench, const struct comparison *comparison, const struct way *ways,
                   size_t count)
{
    if (!bench_wants(bench, comparison->part, comparison->label))
        return;
    struct result *old = bench_find(bench, comparison->part, comparison->label);
    struct result *result = result_new(bench, comparison, ways, count);

    if (result->ways->len == 0) { /* --way left all of them out */
        result_free(result);
        return;
    }
    /* Round 0 warms up. */
    for (unsigned round = 0; round <= bench->rounds; round++)
        for (size_t i = 0, kept = 0; i < count; i++)
            if (is_wanted_way(bench, &ways[i]))
                run_once(bench, comparison, &ways[i], result->ways->pdata[kept++], round > 0);
    progress(comparison, NULL);
    if (old)
        g_ptr_array_remove(bench->results, old);
    g_ptr_array_add(bench->results, result);
}

void bench_figure(struct bench *bench, const char *part, const char *name, double value,
                  const char *unit)
{
    if (bench->only_part)
        return;
    struct figure *figure = g_new0(struct figure, 1);

    figure->part = g_strdup(part);
    figure->name = g_strdup(name);
    figure->unit = g_strdup(unit);
    figure->value = value;
    g_ptr_array_add(bench->figures, figure);
}

void bench_ratios(struct bench *bench, const char *part, const struct ratio_column *columns,
                  size_t count)
{
    const struct ratio_table table = {part, columns, count};

    if (!bench->only_part)
        g_array_append_val(bench->ratios, table);
}

/* ---- what the parts use ------------------------------------------------- */

bool bench_quick(const struct bench *bench)
{
    return bench->quick;
}

const char *bench_guest(struct bench *bench, const char *name)
{
    char self[4096];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

    self[length > 0 ? length : 0] = '\0';
    char *directory = g_path_get_dirname(self);

    g_string_printf(bench->guest, "%s/%s", directory, name);
    g_free(directory);
    return bench->guest->str;
}

char *bench_command(struct bench *bench)
{
    char *built = g_strdup(bench_guest(bench, "../ferry"));

    if (g_file_test(built, G_FILE_TEST_IS_REGULAR))
        return built;
    g_free(built);
    return g_strdup(bench_guest(bench, FERRY_COMMAND));
}

void bench_pin(int core)
{
    static cpu_set_t allowed; /* as it was at the first call */
    cpu_set_t set;

    if (CPU_COUNT(&allowed) == 0)
        sched_getaffinity(0, sizeof(allowed), &allowed);
    set = allowed;
    if (core >= 0) {
        int left = core % CPU_COUNT(&allowed);

        CPU_ZERO(&set);
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
            if (CPU_ISSET(cpu, &allowed) && left-- == 0)
                CPU_SET(cpu, &set);
    }
    sched_setaffinity(0, sizeof(set), &set);
}

uint64_t bench_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
