/* SPDX-License-Identifier: BSD-2-Clause */
/* What single calls cost that need no exit, in a process and in a VM, beside one that does. */
#include <glib.h>
#include <stdio.h>

#include "one_program.h"
#include "results.h"

#define PART "calls"

#define PROCESS "process"
#define VM      "VM"

struct setting {
    const char *kind;
    unsigned count;
    bool in_vm;
};

static int run(struct bench *bench, const void *arg, struct sample *out)
{
    const struct setting *setting = arg;
    char count[16], name[] = "calls", kind[16];
    char *const argv[] = {name, kind, count, NULL};
    uint64_t ns;

    snprintf(count, sizeof count, "%u", setting->count);
    snprintf(kind, sizeof kind, "%s", setting->kind);
    int result = one_program(bench_guest(bench, "calls"), argv, setting->in_vm, &ns);
    if (result == 0)
        out->value = (double)ns / setting->count;
    return result;
}

static void compare(struct bench *bench, const char *kind, const char *label, unsigned count)
{
    const struct setting settings[] = {{kind, count, false}, {kind, count, true}};
    const struct way ways[] = {{PROCESS, run, &settings[0]}, {VM, run, &settings[1]}};
    const struct comparison comparison = {PART, label, count, "ns", true};

    bench_compare(bench, &comparison, ways, G_N_ELEMENTS(ways));
}

static const char *const process[] = {PROCESS};

static const struct ratio_column ratios[] = {{"VM to process", VM, process, 1}};

void part_calls(struct bench *bench)
{
    const unsigned part = bench_quick(bench) ? 4 : 1;

    compare(bench, "monotonic", "clock_gettime", 400000 / part);
    compare(bench, "day", "gettimeofday", 400000 / part);
    compare(bench, "time", "time", 400000 / part);
    compare(bench, "cpu", "processor time", 2000 / part);
    bench_ratios(bench, PART, ratios, G_N_ELEMENTS(ratios));
}
