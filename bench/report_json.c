/* SPDX-License-Identifier: BSD-2-Clause */
/* The figures as JSON, with every sample, and what machine they are of. */
#include <errno.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <ferry/ferry.h>

#include "results.h"

static void set_cpu(json_t *machine)
{
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "r");

    if (!file)
        return;
    while (fgets(line, sizeof(line), file)) {
        char *colon = strchr(line, ':');

        if (!colon || strncmp(line, "model name", 10) != 0)
            continue;
        json_object_set_new(machine, "cpu", json_string(g_strstrip(colon + 1)));
        break;
    }
    fclose(file);
}

json_t *machine_json(void)
{
    json_t *machine = json_object();
    struct ferry_machine probed;
    struct utsname name;

    json_object_set_new(machine, "ferry_version", json_string(ferry_version()));
    json_object_set_new(machine, "cores", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
    set_cpu(machine);
    if (uname(&name) == 0)
        json_object_set_new(machine, "kernel", json_string(name.release));
    ferry_machine_probe(&probed);
    json_object_set_new(machine, "huge", json_boolean(probed.huge));
    json_object_set_new(machine, "exit_ns", json_integer((json_int_t)probed.exit_ns));
    json_object_set_new(machine, "handover_ns", json_integer((json_int_t)probed.handover_ns));
    json_object_set_new(machine, "copy_ns", json_integer((json_int_t)probed.copy_ns));
    json_object_set_new(machine, "crossover_bytes",
                        json_integer((json_int_t)probed.crossover_bytes));
    return machine;
}

static json_t *json_way(const struct way_result *way)
{
    json_t *object = json_object(), *samples = json_array(), *percentiles = json_array();
    struct spread spread;

    json_object_set_new(object, "way", json_string(way->name));
    if (way->error)
        json_object_set_new(object, "error", json_string(strerror(-way->error)));
    if (way_spread(way, &spread)) {
        json_object_set_new(object, "median", json_real(spread.median));
        json_object_set_new(object, "least", json_real(spread.least));
        json_object_set_new(object, "most", json_real(spread.most));
    }
    for (guint i = 0; i < way->samples->len; i++) {
        const struct sample *sample = &g_array_index(way->samples, struct sample, i);

        json_array_append_new(samples, json_real(sample->value));
        if (sample->p99 > 0)
            json_array_append_new(percentiles, json_pack("{s:f, s:f, s:f, s:f}", "p50", sample->p50,
                                                         "p90", sample->p90, "p99", sample->p99,
                                                         "p99.9", sample->p999));
    }
    json_object_set_new(object, "samples", samples);
    if (json_array_size(percentiles) > 0)
        json_object_set(object, "percentiles", percentiles);
    json_decref(percentiles);
    return object;
}

static json_t *json_result(const struct result *result)
{
    json_t *ways = json_array();

    for (guint i = 0; i < result->ways->len; i++)
        json_array_append_new(ways, json_way(result->ways->pdata[i]));
    return json_pack("{s:s, s:s, s:f, s:s, s:b, s:o}", "part", result->part, "label", result->label,
                     "x", result->x, "unit", result->unit, "less_is_better", result->less_is_better,
                     "ways", ways);
}

static void add_ratios(json_t *ratios, const struct bench *bench, const struct ratio_table *table,
                       const struct result *result)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct ratio_column *column = &table->columns[i];
        struct spread spread;

        if (bench_ratio(bench, table->part, result->label, column->way, column->against,
                        column->count, &spread))
            json_array_append_new(ratios, json_pack("{s:s, s:s, s:s, s:f, s:f, s:f}", "part",
                                                    table->part, "label", result->label, "ratio",
                                                    column->title, "median", spread.median, "least",
                                                    spread.least, "most", spread.most));
    }
}

static json_t *json_ratios(const struct bench *bench)
{
    json_t *ratios = json_array();

    for (guint i = 0; i < bench->ratios->len; i++) {
        const struct ratio_table *table = &g_array_index(bench->ratios, struct ratio_table, i);

        for (guint row = 0; row < bench->results->len; row++) {
            const struct result *result = bench->results->pdata[row];

            if (strcmp(result->part, table->part) == 0)
                add_ratios(ratios, bench, table, result);
        }
    }
    return ratios;
}

int report_json(const struct bench *bench, const char *path)
{
    json_t *comparisons = json_array(), *figures = json_array();

    for (guint i = 0; i < bench->results->len; i++)
        json_array_append_new(comparisons, json_result(bench->results->pdata[i]));
    for (guint i = 0; i < bench->figures->len; i++) {
        const struct figure *figure = bench->figures->pdata[i];

        json_array_append_new(figures, json_pack("{s:s, s:s, s:f, s:s}", "part", figure->part,
                                                 "name", figure->name, "value", figure->value,
                                                 "unit", figure->unit));
    }
    json_t *root = json_pack("{s:o, s:b, s:i, s:o, s:o, s:o}", "machine", machine_json(), "quick",
                             bench->quick, "rounds", (int)bench->rounds, "comparisons", comparisons,
                             "ratios", json_ratios(bench), "figures", figures);
    int result = json_dump_file(root, path, JSON_INDENT(1) | JSON_REAL_PRECISION(6));

    json_decref(root);
    return result == 0 ? 0 : -EIO;
}
