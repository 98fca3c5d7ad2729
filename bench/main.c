/* SPDX-License-Identifier: BSD-2-Clause */
/* ferry-bench: the command line, and which parts there are. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include <ferry/ferry.h>

#include "results.h"

enum { STATUS_FAILED = 1, STATUS_USAGE = 2, STATUS_FERRY = 125 };

static const struct part {
    const char *name;
    void (*run)(struct bench *bench);
    const char *about;
} parts[] = {
    {"stream", part_stream, "sender writes, receiver reads each cache line"},
    {"handover", part_handover, "nothing written, one word of each page read"},
    {"latency", part_latency, "round trips of one small message, with percentiles"},
    {"messages", part_messages, "small messages one way, a second"},
    {"crossover", part_crossover, "copy, map and auto over sizes"},
    {"start", part_start, "start and footprint of a VM"},
    {"copies", part_copies, "a VM brought back to its snapshot, beside fresh ones"},
    {"scale", part_scale, "cost of a message over the number of VMs"},
    {"pipeline", part_pipeline, "whole commands over a file, in VMs and as processes"},
    {"calls", part_calls, "single calls that need no exit, in a process and a VM"},
    {"threads", part_threads, "the same work by one thread and by two, in a process and a VM"},
};

#define ROUNDS_DEFAULT G_MININT /* none were asked for */

struct options {
    gboolean quick, version;
    gint rounds;
    char *json, *plots, *floors, *row, *way;
    char **parts;
};

static const struct part *find_part(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(parts); i++)
        if (strcmp(parts[i].name, name) == 0)
            return &parts[i];
    return NULL;
}

static char *describe(void)
{
    GString *text = g_string_new("Parts (all if none is named):\n");

    for (size_t i = 0; i < G_N_ELEMENTS(parts); i++)
        g_string_append_printf(text, "  %-11s %s\n", parts[i].name, parts[i].about);
    return g_string_free(text, FALSE);
}

static bool check_values(const struct options *options)
{
    if (options->rounds != ROUNDS_DEFAULT && (options->rounds < 1 || options->rounds > 1000)) {
        fprintf(stderr, "ferry: bench: --rounds takes 1 to 1000\n");
        return false;
    }
    for (char **name = options->parts; name && *name; name++)
        if (!find_part(*name)) {
            fprintf(stderr, "ferry: bench: no part '%s'; 'ferry bench --help' lists them\n", *name);
            return false;
        }
    return true;
}

/* False: *status says how the command is over. */
static bool parse(struct options *options, int *argc, char ***argv, int *status)
{
    const GOptionEntry entries[] = {
        {"quick", 0, 0, G_OPTION_ARG_NONE, &options->quick, "fewer sizes and rounds", NULL},
        {"rounds", 0, 0, G_OPTION_ARG_INT, &options->rounds, "rounds of each comparison", "N"},
        {"row", 0, 0, G_OPTION_ARG_STRING, &options->row, "only rows with this label", "LABEL"},
        {"way", 0, 0, G_OPTION_ARG_STRING, &options->way, "only ways with TEXT in their name",
         "TEXT"},
        {"json", 0, 0, G_OPTION_ARG_FILENAME, &options->json, "write all figures to FILE", "FILE"},
        {"plots", 0, 0, G_OPTION_ARG_FILENAME, &options->plots,
         "write SVG plots to DIRECTORY, by gnuplot", "DIRECTORY"},
        {"floors", 0, 0, G_OPTION_ARG_FILENAME, &options->floors,
         "fail if a ratio is below what FILE asks for", "FILE"},
        {"version", 'V', 0, G_OPTION_ARG_NONE, &options->version, "print the version", NULL},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->parts, "", "[PART...]"},
        {0},
    };
    GOptionContext *context = g_option_context_new(NULL);
    char *description = describe();
    GError *error = NULL;
    bool ok;

    g_option_context_add_main_entries(context, entries, NULL);
    g_option_context_set_summary(context, "Compares Ferry with other ways to carry bytes, side by "
                                          "side, on this machine.");
    g_option_context_set_description(context, description);
    g_free(description);
    ok = g_option_context_parse(context, argc, argv, &error);
    g_option_context_free(context);
    *status = STATUS_USAGE;
    if (!ok) {
        fprintf(stderr, "ferry: bench: %s; see 'ferry bench --help'\n", error->message);
        g_error_free(error);
    }
    return ok && check_values(options);
}

static void run_part(struct bench *bench, const struct part *part)
{
    uint64_t start = bench_now_ns();

    part->run(bench);
    if (bench->only_row || bench->only_way) {
        GPtrArray *rows = bench_rows(bench, part->name);
        guint count = rows->len;

        g_ptr_array_free(rows, TRUE);
        if (count == 0)
            return;
        if (bench->results->len == count) /* the first that has any */
            report_machine();
    }
    bench_figure(bench, part->name, "time this part took", (double)(bench_now_ns() - start) / 1e9,
                 "s");
    report_part(bench, part->name);
}

static void run_again(struct bench *bench, const char *name)
{
    find_part(name)->run(bench);
}

/* Before minutes of work: whether its results can be written. Without gnuplot there are no
 * plots. */
static bool can_write(struct options *options)
{
    const char *path = options->json;
    FILE *file = path ? fopen(path, "a") : NULL;

    if (path && (!file || fclose(file) != 0))
        goto failed;
    if (options->plots && !report_can_plot()) {
        fprintf(stderr, "ferry: bench: no plots: gnuplot is not installed (package gnuplot-nox)\n");
        g_clear_pointer(&options->plots, g_free);
    }
    path = options->plots;
    if (path && (g_mkdir_with_parents(path, 0777) != 0 || access(path, W_OK | X_OK) != 0))
        goto failed;
    return true;
failed:
    fprintf(stderr, "ferry: bench: cannot write '%s': %s\n", path, strerror(errno));
    return false;
}

static int write_files(struct bench *bench, const struct options *options)
{
    int status = 0;

    if (options->json && report_json(bench, options->json) != 0) {
        fprintf(stderr, "ferry: bench: cannot write '%s'\n", options->json);
        status = STATUS_FAILED;
    }
    if (options->plots && report_plots(bench, options->plots) != 0) {
        fprintf(stderr, "ferry: bench: gnuplot could not draw the plots\n");
        status = STATUS_FAILED;
    }
    return status;
}

static int run(const struct options *options, struct floors *floors)
{
    struct bench *bench = bench_new(
        options->quick, options->rounds == ROUNDS_DEFAULT ? 0 : (unsigned)options->rounds);
    int status = 0;

    bench->only_row = options->row;
    bench->only_way = options->way;
    if (!options->row && !options->way)
        report_machine();
    if (options->parts)
        for (char **name = options->parts; *name; name++)
            run_part(bench, find_part(*name));
    else
        for (size_t i = 0; i < G_N_ELEMENTS(parts); i++)
            run_part(bench, &parts[i]);
    if (bench->results->len == 0) {
        fprintf(stderr, "ferry: bench: nothing was run: no such row or way in %s\n",
                options->parts ? "this part" : "any part");
        bench_free(bench);
        return STATUS_USAGE;
    }
    status = write_files(bench, options);
    if (floors && floors_check(bench, floors, run_again) > 0)
        status = STATUS_FAILED;
    if (bench->failed && status == 0)
        status = STATUS_FAILED;
    bench_free(bench);
    return status;
}

static bool can_run(void)
{
    struct ferry_machine machine;

    ferry_machine_probe(&machine);
    if (machine.kvm_errno == 0)
        return true;
    fprintf(stderr, "ferry: bench: Ferry cannot run here: %s; type 'ferry doctor'\n",
            strerror(machine.kvm_errno));
    return false;
}

static int check_and_run(struct options *options)
{
    struct floors *floors = options->floors ? floors_load(options->floors) : NULL;
    int status = STATUS_USAGE;

    if (floors || !options->floors)
        status = !can_run()            ? STATUS_FERRY
                 : !can_write(options) ? STATUS_FAILED
                                       : run(options, floors);
    floors_free(floors);
    return status;
}

int main(int argc, char **argv)
{
    struct options options = {.rounds = ROUNDS_DEFAULT};
    int status;

    g_set_prgname("ferry bench");
    if (parse(&options, &argc, &argv, &status)) {
        if (options.version) {
            printf("ferry %s\n", ferry_version());
            status = 0;
        } else {
            status = check_and_run(&options);
        }
    }
    g_strfreev(options.parts);
    g_free(options.row);
    g_free(options.way);
    g_free(options.json);
    g_free(options.plots);
    g_free(options.floors);
    return status;
}
