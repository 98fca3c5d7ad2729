/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VM that is brought back to its snapshot, after its program wrote to some pages: from ferry_vm_reset to
 * the first instruction after the snapshot, and to when that has written to the same pages again. Beside it
 * a VM that is made as a copy; a VM of KVM's own ioctls, which runs one instruction; a fresh VM, and a
 * process, that come to the same point by the same program. A program that people have is warm_python.c's.
 */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ferry/ferry.h>

#include "bare_kvm.h"
#include "bench.h"
#include "first_tick.h"

#define PART "copies"

#define ROUNDS 25 /* in one run: what counts is their median */

struct work {
    const char *pages;
    bool writes; /* until it has written to them */
};

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double median_us(double times[ROUNDS])
{
    qsort(times, ROUNDS, sizeof *times, compare);
    return times[ROUNDS / 2] / 1e3;
}

/* Reads what the program said, and how long after `begin` it ran. */
static int read_time(int said, const struct work *work, const struct clocks *begin, double *ns)
{
    struct first first;

    if (read(said, &first, sizeof first) != sizeof first)
        return -EIO;
    const struct clocks end = clocks_now();
    if (work->writes)
        first.first_tick = first.touched_tick;
    *ns = first_ns(&first, begin, &end);
    return 0;
}

static int create(struct bench *bench, struct ferry_engine *engine, const struct work *work,
                  int said, struct ferry_vm **out)
{
    const char *program = bench_guest(bench, "again");
    char *argv[] = {(char *)(uintptr_t)program, (char *)(uintptr_t)work->pages, NULL};
    const struct ferry_vm_config config = {
        .program = program, .argv = argv, .memory_bytes = 64u << 20, .stderr_fd = said};

    return ferry_vm_create(engine, &config, out, NULL);
}

static int time_resets(struct ferry_vm *vm, const struct work *work, const int said[2],
                       double times[ROUNDS])
{
    struct first unused;
    int result = ferry_vm_snapshot(vm, UINT64_MAX, NULL);

    if (result == 0 && read(said[0], &unused, sizeof unused) != sizeof unused)
        result = -EIO;
    for (int i = 0; i < ROUNDS && result == 0; i++) {
        const struct clocks begin = clocks_now();

        result = ferry_vm_reset(vm, NULL);
        if (result == 0)
            result = read_time(said[0], work, &begin, &times[i]);
    }
    return result;
}

static int reset_once(struct bench *bench, struct ferry_engine *engine, const struct work *work,
                      const int said[2], double times[ROUNDS])
{
    struct ferry_vm *vm = NULL;
    int result = create(bench, engine, work, said[1], &vm);

    if (result == 0)
        result = time_resets(vm, work, said, times);
    ferry_vm_destroy(vm);
    return result;
}

static int copy_once(struct ferry_engine *engine, struct ferry_vm *from, const struct work *work,
                     const int said[2], double *ns)
{
    const struct ferry_vm_config config = {.copy_of = from, .stderr_fd = said[1]};
    const struct clocks begin = clocks_now();
    struct ferry_vm *vm = NULL;
    int result = ferry_vm_create(engine, &config, &vm, NULL);

    if (result == 0)
        result = ferry_vm_start(vm, NULL);
    if (result == 0)
        result = read_time(said[0], work, &begin, ns);
    ferry_vm_destroy(vm);
    return result;
}

static int copies_all(struct bench *bench, struct ferry_engine *engine, const struct work *work,
                      const int said[2], double times[ROUNDS])
{
    struct ferry_vm *vm = NULL;
    struct first unused;
    int result = create(bench, engine, work, said[1], &vm);

    if (result == 0)
        result = ferry_vm_snapshot(vm, UINT64_MAX, NULL);
    if (result == 0 && read(said[0], &unused, sizeof unused) != sizeof unused)
        result = -EIO;
    for (int i = 0; i < ROUNDS && result == 0; i++)
        result = copy_once(engine, vm, work, said, &times[i]);
    ferry_vm_destroy(vm);
    return result;
}

static int bare_all(struct bench *bench, struct ferry_engine *engine, const struct work *work,
                    const int said[2], double times[ROUNDS])
{
    struct bare_kvm kvm;
    int result = bare_kvm_open(&kvm);

    (void)bench;
    (void)engine;
    (void)work;
    (void)said;
    for (int i = 0; i < ROUNDS && result == 0; i++) {
        const uint64_t begin = bench_now_ns();
        struct bare_vm bare;

        result = bare_vm_make(&bare, &kvm);
        if (result == 0)
            result = bare_vm_run(&bare);
        times[i] = (double)(bench_now_ns() - begin);
        bare_vm_free(&bare);
    }
    bare_kvm_close(&kvm);
    return result;
}

static int fresh_all(struct bench *bench, struct ferry_engine *engine, const struct work *work,
                     const int said[2], double times[ROUNDS])
{
    int result = 0;

    for (int i = 0; i < ROUNDS && result == 0; i++) {
        const struct clocks begin = clocks_now();
        struct ferry_vm *vm = NULL;

        result = create(bench, engine, work, said[1], &vm);
        if (result == 0)
            result = ferry_vm_start(vm, NULL);
        if (result == 0)
            result = read_time(said[0], work, &begin, &times[i]);
        ferry_vm_destroy(vm);
    }
    return result;
}

static int processes_all(struct bench *bench, struct ferry_engine *engine, const struct work *work,
                         const int said[2], double times[ROUNDS])
{
    const char *program = bench_guest(bench, "again");
    char *argv[] = {(char *)(uintptr_t)program, (char *)(uintptr_t)work->pages, NULL};
    posix_spawn_file_actions_t actions;
    int result = 0;

    (void)engine;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, said[1], STDERR_FILENO);
    for (int i = 0; i < ROUNDS && result == 0; i++) {
        const struct clocks begin = clocks_now();
        pid_t child;

        result = -posix_spawn(&child, program, &actions, NULL, argv, environ);
        if (result < 0)
            break;
        result = read_time(said[0], work, &begin, &times[i]);
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    posix_spawn_file_actions_destroy(&actions);
    return result;
}

typedef int (*timed_fn)(struct bench *bench, struct ferry_engine *engine, const struct work *work,
                        const int said[2], double times[ROUNDS]);

static int run(struct bench *bench, timed_fn timed, const struct work *work, struct sample *out)
{
    struct ferry_engine *engine;
    double times[ROUNDS];
    int said[2];

    if (pipe(said) < 0)
        return -errno;
    int result = ferry_engine_create(NULL, &engine, NULL);
    if (result == 0) {
        result = timed(bench, engine, work, said, times);
        ferry_engine_destroy(engine);
    }
    close(said[0]);
    close(said[1]);
    if (result == 0)
        out->value = median_us(times);
    return result;
}

static int run_reset(struct bench *bench, const void *arg, struct sample *out)
{
    return run(bench, reset_once, arg, out);
}

static int run_copy(struct bench *bench, const void *arg, struct sample *out)
{
    return run(bench, copies_all, arg, out);
}

static int run_bare(struct bench *bench, const void *arg, struct sample *out)
{
    return run(bench, bare_all, arg, out);
}

static int run_fresh(struct bench *bench, const void *arg, struct sample *out)
{
    return run(bench, fresh_all, arg, out);
}

static int run_process(struct bench *bench, const void *arg, struct sample *out)
{
    return run(bench, processes_all, arg, out);
}

void part_copies(struct bench *bench)
{
    static const struct {
        const char *label;
        double pages;
        struct work first, written;
    } rows[] = {{"0 pages", 0, {"0", false}, {"0", true}},
                {"16 pages", 16, {"16", false}, {"16", true}},
                {"256 pages", 256, {"256", false}, {"256", true}}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct comparison comparison = {PART, rows[i].label, rows[i].pages, "us", true};
        const struct way ways[] = {{"Ferry, ferry_vm_reset", run_reset, &rows[i].first},
                                   {"the same, pages written", run_reset, &rows[i].written},
                                   {"Ferry, a copy of the VM", run_copy, &rows[i].first},
                                   {"bare KVM ioctls", run_bare, &rows[i].first},
                                   {"Ferry, create and start", run_fresh, &rows[i].first},
                                   {"a process, fork and exec", run_process, &rows[i].first}};

        bench_compare(bench, &comparison, ways, sizeof ways / sizeof *ways);
    }
    warm_python(bench);
}
