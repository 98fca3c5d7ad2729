/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copy or map: the time one piece of a stream takes from VM to VM, each sent
 * by itself, and whether `auto` picks the better of the two.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include <ferry/ferry.h>

#include "bench.h"
#include "duo.h"

#define PART "crossover"

struct setting {
    enum ferry_transfer transfer;
    uint64_t bytes;
};

/* So many that a run takes some tens of milliseconds. */
static uint64_t pieces(const struct bench *bench, uint64_t bytes)
{
    uint64_t count = (256ull << 20) / (bytes + (128u << 10));

    return bench_quick(bench) ? count / 4 : count;
}

static int run(struct bench *bench, const void *arg, struct sample *out)
{
    const struct setting *setting = arg;
    char words[64];
    const struct duo_vms vms = {
        .vm = {{"piece_source", words}, {"piece_sink", words}},
        .cores = {1, 0},
        .transfer = setting->transfer,
        .stream = true,
        .reporter = 1,
    };
    struct duo_result result;

    snprintf(words, sizeof words, "%" PRIu64 " %" PRIu64, setting->bytes,
             pieces(bench, setting->bytes));
    int error = duo_vms(bench, &vms, &result);
    if (error == 0)
        out->value = result.report.ns / 1000;
    return error;
}

/* How much longer `auto` takes than the better of the two; NAN: not known. */
static double compare_sizes(struct bench *bench, uint64_t bytes)
{
    const struct setting settings[] = {
        {FERRY_TRANSFER_COPY, bytes}, {FERRY_TRANSFER_MAP, bytes}, {FERRY_TRANSFER_AUTO, bytes}};
    const struct way ways[] = {
        {"copy", run, &settings[0]}, {"map", run, &settings[1]}, {"auto", run, &settings[2]}};
    char label[32];

    if (bytes < 1u << 20)
        snprintf(label, sizeof label, "%" PRIu64 " KiB", bytes >> 10);
    else
        snprintf(label, sizeof label, "%" PRIu64 " MiB", bytes >> 20);
    const struct comparison comparison = {PART, label, (double)bytes, "us", true};

    bench_compare(bench, &comparison, ways, 3);
    double copy = bench_median(bench, PART, label, "copy");
    double map = bench_median(bench, PART, label, "map");
    return bench_median(bench, PART, label, "auto") / (copy < map ? copy : map);
}

void part_crossover(struct bench *bench)
{
    struct ferry_machine machine;
    double worst = 0;

    /* From 1 KiB by fours, and 2 MiB, the largest piece there is. */
    for (uint64_t bytes = 1024; bytes <= 2u << 20; bytes *= bytes == 1u << 20 ? 2 : 4) {
        if (bench_quick(bench) && bytes != 4096 && bytes != 65536 && bytes != 1u << 20)
            continue;
        double ratio = compare_sizes(bench, bytes);
        if (!isnan(ratio) && ratio > worst)
            worst = ratio;
    }
    bench_figure(bench, PART, "auto / better of copy and map, at its worst", worst, "x");
    ferry_machine_probe(&machine);
    bench_figure(bench, PART, "measured crossover", (double)machine.crossover_bytes / 1024, "KiB");
}
