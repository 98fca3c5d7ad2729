/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Start and footprint of a VM: from ferry_vm_start to the program's first
 * instruction, against bare KVM from the first ioctl to the first exit. Whole
 * commands are start_commands.c's.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ferry/ferry.h>

#include "bare_kvm.h"
#include "bench.h"
#include "first_tick.h"
#include "memory.h"

#define PART "start"

#define STARTS   15 /* in one run: what counts is their median */
#define IDLE_VMS 64

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static double median_us(uint64_t times[STARTS])
{
    qsort(times, STARTS, sizeof *times, compare);
    uint64_t middle = times[STARTS / 2];

    return (double)middle / 1e3;
}

/* What a run times. */
enum step {
    STEP_START,   /* to the first instruction, the VM being made; bare KVM: with making it */
    STEP_ALL,     /* make and start, to the first instruction */
    STEP_DESTROY, /* after its end */
    STEP_MAKE_FIRST,
    STEP_MAKE_SECOND, /* another of the same image */
};

/* ---- bare KVM ----------------------------------------------------------- */

static int bare_once(const struct bare_kvm *kvm, enum step step, uint64_t *ns)
{
    struct bare_vm bare;

    uint64_t start = bench_now_ns();
    int result = bare_vm_make(&bare, kvm);
    if (result == 0)
        result = bare_vm_run(&bare);
    uint64_t ran = bench_now_ns();
    bare_vm_free(&bare);
    *ns = step == STEP_DESTROY ? bench_now_ns() - ran : ran - start;
    return result;
}

static int run_bare(struct bench *bench, const void *arg, struct sample *out)
{
    const enum step *step = arg;
    uint64_t times[STARTS];
    struct bare_kvm kvm;
    int result = bare_kvm_open(&kvm);

    (void)bench;
    for (int i = 0; i < STARTS && result == 0; i++)
        result = bare_once(&kvm, *step, &times[i]);
    bare_kvm_close(&kvm);
    if (result == 0)
        out->value = median_us(times);
    return result;
}

/* ---- Ferry -------------------------------------------------------------- */

/* What a start leaves: how long each step took. */
struct times {
    double all_ns, start_ns, destroy_ns;
};

static int ferry_once(struct bench *bench, struct ferry_engine *engine, const int said[2],
                      struct times *out)
{
    const struct ferry_vm_config config = {.program = bench_guest(bench, "first"),
                                           .memory_bytes = BARE_VM_BYTES,
                                           .stderr_fd = said[1]};
    struct ferry_vm *vm = NULL;
    struct first first;

    struct clocks begin = clocks_now();
    int result = ferry_vm_create(engine, &config, &vm, NULL);
    uint64_t made = bench_now_ns();
    if (result == 0)
        result = ferry_vm_start(vm, NULL);
    if (result == 0)
        result = ferry_vm_wait(vm, UINT64_MAX, NULL);
    struct clocks end = clocks_now();
    ferry_vm_destroy(vm);
    out->destroy_ns = (double)(bench_now_ns() - end.ns);
    if (result < 0)
        return result;
    if (read(said[0], &first, sizeof first) != sizeof first)
        return -EIO;
    out->all_ns = first_ns(&first, &begin, &end);
    out->start_ns = out->all_ns - (double)(made - begin.ns);
    return 0;
}

static int ferry_times(struct bench *bench, const int said[2], enum step step,
                       uint64_t times[STARTS])
{
    struct ferry_engine *engine;
    struct times one = {0};

    int result = ferry_engine_create(NULL, &engine, NULL);
    if (result < 0)
        return result;
    /* The first, which reads the image, is left out. */
    for (int i = -1; i < STARTS && result == 0; i++) {
        result = ferry_once(bench, engine, said, &one);
        if (i >= 0)
            times[i] = (uint64_t)(step == STEP_START ? one.start_ns
                                  : step == STEP_ALL ? one.all_ns
                                                     : one.destroy_ns);
    }
    ferry_engine_destroy(engine);
    return result;
}

static int run_ferry(struct bench *bench, const void *arg, struct sample *out)
{
    const enum step *step = arg;
    uint64_t times[STARTS];
    int said[2];

    if (pipe(said) < 0)
        return -errno;
    int result = ferry_times(bench, said, *step, times);
    close(said[0]);
    close(said[1]);
    if (result == 0)
        out->value = median_us(times);
    return result;
}

/* Times ferry_vm_create of a program of ordinary size. */
static int run_make(struct bench *bench, const void *arg, struct sample *out)
{
    const enum step *step = arg;
    const struct ferry_vm_config config = {.program = bench_guest(bench, "idle")};
    struct ferry_engine *engine;
    struct ferry_vm *vms[2] = {NULL, NULL};

    int result = ferry_engine_create(NULL, &engine, NULL);
    if (result < 0)
        return result;
    uint64_t begin = bench_now_ns();
    result = ferry_vm_create(engine, &config, &vms[0], NULL);
    uint64_t first = bench_now_ns();
    if (result == 0)
        result = ferry_vm_create(engine, &config, &vms[1], NULL);
    uint64_t second = bench_now_ns();
    out->value = (double)(*step == STEP_MAKE_FIRST ? first - begin : second - first) / 1000;
    ferry_vm_destroy(vms[0]);
    ferry_vm_destroy(vms[1]);
    ferry_engine_destroy(engine);
    return result;
}

/* ---- footprint ---------------------------------------------------------- */

static int add_idle(struct bench *bench, struct ferry_engine *engine, int ready,
                    struct ferry_vm **out)
{
    const struct ferry_vm_config config = {.program = bench_guest(bench, "idle"),
                                           .stderr_fd = ready};

    int result = ferry_vm_create(engine, &config, out, NULL);
    return result == 0 ? ferry_vm_start(*out, NULL) : result;
}

/* Each writes a byte before it waits. */
static int until_idle(int ready, int count)
{
    char bytes[IDLE_VMS];

    while (count > 0) {
        ssize_t got = read(ready, bytes, (size_t)count);

        if (got <= 0)
            return -EIO;
        count -= (int)got;
    }
    return 0;
}

static void report_memory(struct bench *bench, const struct memory *before,
                          const struct memory *after)
{
    const struct {
        const char *name;
        double kib;
    } figures[] = {
        {"resident memory of its own", after->own - before->own},
        {"of that anonymous", after->anonymous - before->anonymous},
        {"kernel slab", after->slab - before->slab},
        {"kernel vmalloc", after->vmalloc - before->vmalloc},
        {"page tables of the process", after->page_tables - before->page_tables},
        {"page tables of KVM", after->shadow_tables - before->shadow_tables},
        {"kernel stacks", after->kernel_stacks - before->kernel_stacks},
        {"less memory available, in all", after->taken - before->taken},
    };
    char name[64];

    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
        snprintf(name, sizeof name, "idle VM: %s", figures[i].name);
        bench_figure(bench, PART, name, figures[i].kib / (IDLE_VMS - 1), "KiB");
    }
}

/* The first VM has the image to itself: the others count. */
static int footprint(struct bench *bench)
{
    struct ferry_vm *vms[IDLE_VMS] = {NULL};
    struct memory before, after;
    struct ferry_engine *engine;
    int ready[2];

    if (pipe(ready) < 0)
        return -errno;
    int result = ferry_engine_create(NULL, &engine, NULL);
    if (result == 0) {
        result = add_idle(bench, engine, ready[1], &vms[0]);
        if (result == 0)
            result = until_idle(ready[0], 1);
        memory_read(&before);
        for (int i = 1; i < IDLE_VMS && result == 0; i++)
            result = add_idle(bench, engine, ready[1], &vms[i]);
        if (result == 0)
            result = until_idle(ready[0], IDLE_VMS - 1);
        memory_read(&after);
        if (result == 0)
            report_memory(bench, &before, &after);
        for (int i = 0; i < IDLE_VMS; i++)
            ferry_vm_destroy(vms[i]);
        ferry_engine_destroy(engine);
    }
    close(ready[0]);
    close(ready[1]);
    return result;
}

/* ------------------------------------------------------------------------- */

#define BARE  "bare KVM ioctls"
#define START "Ferry, ferry_vm_start"
#define ALL   "Ferry, create and start"

void part_start(struct bench *bench)
{
    static const enum step start = STEP_START, all = STEP_ALL, destroy = STEP_DESTROY;
    static const enum step make_first = STEP_MAKE_FIRST, make_second = STEP_MAKE_SECOND;
    static const struct way starts[] = {
        {BARE, run_bare, &start}, {START, run_ferry, &start}, {ALL, run_ferry, &all}};
    static const struct way ends[] = {{BARE, run_bare, &destroy},
                                      {"Ferry, ferry_vm_destroy", run_ferry, &destroy}};
    static const struct way makes[] = {{"first VM of an image", run_make, &make_first},
                                       {"second VM of it", run_make, &make_second}};
    const struct comparison first = {PART, "start", 1, "us", true};
    const struct comparison end = {PART, "destroy", 1, "us", true};
    const struct comparison make = {PART, "ferry_vm_create", 1, "us", true};

    bench_compare(bench, &first, starts, sizeof starts / sizeof *starts);
    bench_compare(bench, &end, ends, sizeof ends / sizeof *ends);
    bench_compare(bench, &make, makes, sizeof makes / sizeof *makes);
    double bare = bench_median(bench, PART, first.label, BARE);
    if (!isnan(bare)) {
        bench_figure(bench, PART, "ferry_vm_start / bare KVM",
                     bench_median(bench, PART, first.label, START) / bare, "x");
        bench_figure(bench, PART, "create and start / bare KVM",
                     bench_median(bench, PART, first.label, ALL) / bare, "x");
    }
    start_commands(bench);
    int result = bench_wants(bench, PART, "idle VM") ? footprint(bench) : 0;
    if (result < 0)
        fprintf(stderr, "ferry: bench: %s: idle VMs: %s\n", PART, strerror(-result));
}
