/* SPDX-License-Identifier: BSD-2-Clause */
/* Threads of one program: the same work by one and by two, in a process and in a VM. */
#include <glib.h>
#include <stdio.h>

#include "one_program.h"
#include "results.h"

#define PART "threads"

#define PROCESS_ONE "process, 1 thread"
#define PROCESS_TWO "process, 2 threads"
#define VM_ONE      "VM, 1 thread"
#define VM_TWO      "VM, 2 threads"

struct setting {
    const char *kind;
    unsigned items;
    const char *threads;
    bool in_vm;
};

static int run(struct bench *bench, const void *arg, struct sample *out)
{
    const struct setting *setting = arg;
    const char *program = bench_guest(bench, "threads");
    char items[16], name[] = "threads", kind[8], threads[8];
    char *const argv[] = {name, kind, threads, items, NULL};
    uint64_t ns;

    snprintf(items, sizeof items, "%u", setting->items);
    snprintf(kind, sizeof kind, "%s", setting->kind);
    snprintf(threads, sizeof threads, "%s", setting->threads);
    int result = one_program(program, argv, setting->in_vm, &ns);
    if (result == 0)
        out->value = (double)ns / 1e6;
    return result;
}

static void compare(struct bench *bench, const char *kind, const char *label, unsigned items)
{
    const struct setting settings[] = {{kind, items, "1", false},
                                       {kind, items, "2", false},
                                       {kind, items, "1", true},
                                       {kind, items, "2", true}};
    const struct way ways[] = {{PROCESS_ONE, run, &settings[0]},
                               {PROCESS_TWO, run, &settings[1]},
                               {VM_ONE, run, &settings[2]},
                               {VM_TWO, run, &settings[3]}};
    const struct comparison comparison = {PART, label, items, "ms", true};

    bench_compare(bench, &comparison, ways, G_N_ELEMENTS(ways));
}

static const char *const process_one[] = {PROCESS_ONE};
static const char *const vm_one[] = {VM_ONE};
static const char *const process_two[] = {PROCESS_TWO};

static const struct ratio_column ratios[] = {
    {"process: two to one", PROCESS_TWO, process_one, 1},
    {"VM: two to one", VM_TWO, vm_one, 1},
    {"VM to process, two", VM_TWO, process_two, 1},
};

void part_threads(struct bench *bench)
{
    const unsigned part = bench_quick(bench) ? 4 : 1;

    compare(bench, "long", "long work", 60 / part);
    compare(bench, "short", "short work", 1600 / part);
    bench_ratios(bench, PART, ratios, G_N_ELEMENTS(ratios));
}
