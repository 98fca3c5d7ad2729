/* SPDX-License-Identifier: BSD-2-Clause */
/* ferry-bench: the command line, and which parts there are. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

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
    {"scale", part_scale, "cost of a message over the number of VMs"},
    {"pipeline", part_pipeline, "whole commands over a file, in VMs and as processes"},
};

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
    } else if (options->rounds < 0 || options->rounds > 1000) {
        fprintf(stderr, "ferry: bench: --rounds takes 1 to 1000\n");
        ok = false;
    }
    for (char **name = options->parts; ok && name && *name; name++)
        if (!find_part(*name)) {
            fprintf(stderr, "ferry: bench: no part '%s'; 'ferry bench --help' lists them\n", *name);
            ok = false;
        }
    return ok;
}

static void print_machine(void)
{
    json_t *machine = report_machine(), *value;
    const char *key;

    printf("machine:");
    json_object_foreach(machine, key, value)
    {
        char *text = json_dumps(value, JSON_ENCODE_ANY);

        printf(" %s %s;", key, text);
        free(text);
    }
    printf("\n\n");
    fflush(stdout);
    json_decref(machine);
}

static void run_part(struct bench *bench, const struct part *part)
{
    uint64_t start = bench_now_ns();

    part->run(bench);
    bench_figure(bench, part->name, "time this part took", (double)(bench_now_ns() - start) / 1e9,
                 "s");
    report_part(bench, part->name);
}

static void run_again(struct bench *bench, const char *name)
{
    find_part(name)->run(bench);
}

static int write_files(struct bench *bench, const struct options *options)
{
    int status = 0, rc;

    if (options->json && report_json(bench, options->json) != 0) {
        fprintf(stderr, "ferry: bench: cannot write %s\n", options->json);
        status = STATUS_FAILED;
    }
    if (!options->plots)
        return status;
    rc = report_plots(bench, options->plots);
    if (rc == -ENOENT) {
        fprintf(stderr, "ferry: bench: no plots: gnuplot is not installed (package gnuplot-nox)\n");
    } else if (rc != 0) {
        fprintf(stderr, "ferry: bench: cannot write the plots to %s: %s\n", options->plots,
                strerror(-rc));
        status = STATUS_FAILED;
    }
    return status;
}

static int run(const struct options *options, struct floors *floors)
{
    struct bench *bench = bench_new(options->quick, (unsigned)options->rounds);
    int status = 0;

    bench->only_row = options->row;
    bench->only_way = options->way;
    print_machine();
    if (options->parts)
        for (char **name = options->parts; *name; name++)
            run_part(bench, find_part(*name));
    else
        for (size_t i = 0; i < G_N_ELEMENTS(parts); i++)
            run_part(bench, &parts[i]);
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
    int rc = ferry_machine_probe(&machine);

    if (rc == 0 && machine.kvm_errno == 0)
        return true;
    fprintf(stderr, "ferry: bench: Ferry cannot run here: %s; type 'ferry doctor'\n",
            strerror(rc ? -rc : machine.kvm_errno));
    return false;
}

static int check_and_run(const struct options *options)
{
    struct floors *floors = options->floors ? floors_load(options->floors) : NULL;
    int status = STATUS_USAGE;

    if (floors || !options->floors)
        status = can_run() ? run(options, floors) : STATUS_FERRY;
    floors_free(floors);
    return status;
}

int main(int argc, char **argv)
{
    struct options options = {0};
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
