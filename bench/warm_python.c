/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Python, with two modules imported, that answers a line: how long until the first byte of the answer, as a
 * process, in a sandbox of bubblewrap where that is there, in a VM that is brought back to where it first
 * asks for input, in a copy of that VM, and in a fresh one. And what a copy that waits takes of memory.
 */
#include <errno.h>
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib.h>

#include <ferry/ferry.h>

#include "bench.h"
#include "memory.h"

#define PART    "copies"
#define LABEL   "python3, first byte"
#define RUNS    9 /* in one run: what counts is their median */
#define COPIES  100
#define PYTHON  "/usr/bin/python3"
#define SANDBOX "bwrap"
#define LINE    "an example line\n"

static char script[] = "import json, re, sys\n"
                       "for line in sys.stdin:\n"
                       "    print(json.dumps(re.findall('[a-z]+', line)), flush=True)\n";

extern char **environ;

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double median_ms(double times[RUNS])
{
    qsort(times, RUNS, sizeof *times, compare);
    return times[RUNS / 2] / 1e6;
}

/* ---- processes --------------------------------------------------------------------- */

static int process_once(char *const *argv, double *ns)
{
    posix_spawn_file_actions_t actions;
    int in[2], out[2];
    char byte;
    pid_t child;

    if (pipe(in) < 0 || pipe(out) < 0)
        return -errno;
    const uint64_t begin = bench_now_ns();
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    int result = -posix_spawn(&child, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    if (result == 0 &&
        (write(in[1], LINE, strlen(LINE)) != (ssize_t)strlen(LINE) || read(out[0], &byte, 1) != 1))
        result = -EIO;
    *ns = (double)(bench_now_ns() - begin);
    close(in[1]);
    close(out[0]);
    while (result == 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    return result;
}

static int run_process(struct bench *bench, const void *arg, struct sample *out)
{
    char *const *argv = arg;
    double times[RUNS];
    int result = argv[0] ? 0 : -ENOTSUP;

    (void)bench;
    for (int i = 0; i < RUNS && result == 0; i++)
        result = process_once(argv, &times[i]);
    if (result == 0)
        out->value = median_ms(times);
    return result;
}

/* ---- VMs --------------------------------------------------------------------------- */

struct python {
    struct ferry_vm *vm;
    struct ferry_link *in, *out;
};

static int make(struct ferry_engine *engine, struct ferry_vm *from, struct python *python)
{
    char *argv[] = {(char[]){PYTHON}, (char[]){"-c"}, script, NULL};
    const struct ferry_vm_config fresh = {.program = PYTHON, .argv = argv};
    const struct ferry_vm_config copy = {.copy_of = from};
    const struct ferry_link_config stream = {.stream = true};
    int result = ferry_vm_create(engine, from ? &copy : &fresh, &python->vm, NULL);

    if (result == 0)
        result = ferry_link_create(engine, NULL, python->vm, &stream, &python->in, NULL);
    return result ? result
                  : ferry_link_create(engine, python->vm, NULL, &stream, &python->out, NULL);
}

/* The first bytes of the answer, which are all of it. */
static int answer(const struct python *python)
{
    struct ferry_message line = {.mode = FERRY_COPY, .data = (char[]){LINE}, .bytes = strlen(LINE)};
    int result = ferry_link_send(python->in, &line, UINT64_MAX);

    if (result == 0)
        result = ferry_link_recv(python->out, UINT64_MAX, &line);
    if (result == 0 && line.mode == FERRY_HANGUP)
        return -EIO;
    if (result == 0 && line.mode != FERRY_INLINE)
        ferry_link_release(python->out, line.token);
    return result;
}

/* One that has its snapshot. */
static int make_first(struct ferry_engine *engine, struct python *first)
{
    int result = access(PYTHON, X_OK) ? -ENOTSUP : make(engine, NULL, first);

    return result ? result : ferry_vm_snapshot(first->vm, UINT64_MAX, NULL);
}

static int reset_once(struct ferry_engine *engine, const struct python *first)
{
    int result = ferry_vm_reset(first->vm, NULL);

    (void)engine;
    return result ? result : answer(first);
}

static int started_once(struct ferry_engine *engine, struct ferry_vm *from)
{
    struct python python = {0};
    int result = make(engine, from, &python);

    if (result == 0)
        result = ferry_vm_start(python.vm, NULL);
    if (result == 0)
        result = answer(&python);
    ferry_vm_destroy(python.vm);
    return result;
}

static int copy_once(struct ferry_engine *engine, const struct python *first)
{
    return started_once(engine, first->vm);
}

static int fresh_once(struct ferry_engine *engine, const struct python *first)
{
    (void)first;
    return started_once(engine, NULL);
}

struct once {
    int (*run)(struct ferry_engine *engine, const struct python *first);
};

/* The first time, which finds nothing at hand, is left out. */
static int run_vm(struct bench *bench, const void *arg, struct sample *out)
{
    const struct once *once = arg;
    struct python first = {0};
    struct ferry_engine *engine;
    double times[RUNS];
    int result = ferry_engine_create(NULL, &engine, NULL);

    (void)bench;
    if (result < 0)
        return result;
    result = make_first(engine, &first);
    for (int i = -1; i < RUNS && result == 0; i++) {
        const uint64_t begin = bench_now_ns();

        result = once->run(engine, &first);
        if (i >= 0)
            times[i] = (double)(bench_now_ns() - begin);
    }
    ferry_vm_destroy(first.vm);
    ferry_engine_destroy(engine);
    if (result == 0)
        out->value = median_ms(times);
    return result;
}

/* ---- memory ------------------------------------------------------------------------ */

static int footprint(struct bench *bench)
{
    struct python first = {0}, copies[COPIES] = {{0}};
    struct memory before, after;
    struct ferry_engine *engine;
    int result = ferry_engine_create(NULL, &engine, NULL);

    if (result < 0)
        return result;
    result = make_first(engine, &first);
    memory_read(&before);
    for (int i = 0; i < COPIES && result == 0; i++) {
        result = make(engine, first.vm, &copies[i]);
        if (result == 0)
            result = ferry_vm_start(copies[i].vm, NULL);
    }
    memory_read(&after);
    if (result == 0) {
        bench_figure(bench, PART, "a copy of python3 that waits: memory of its own",
                     (after.own - before.own) / COPIES, "KiB");
        bench_figure(bench, PART, "a copy of python3 that waits: less available, in all",
                     (after.taken - before.taken) / COPIES, "KiB");
    }
    for (int i = 0; i < COPIES; i++)
        ferry_vm_destroy(copies[i].vm);
    ferry_vm_destroy(first.vm);
    ferry_engine_destroy(engine);
    return result;
}

void warm_python(struct bench *bench)
{
    static const struct once reset = {reset_once}, copy = {copy_once}, fresh = {fresh_once};
    char *bwrap = g_find_program_in_path(SANDBOX);
    char *process[] = {access(PYTHON, X_OK) ? NULL : (char[]){PYTHON}, (char[]){"-c"}, script,
                       NULL};
    char *sandbox[] = {process[0] ? bwrap : NULL,
                       (char[]){"--ro-bind"},
                       (char[]){"/"},
                       (char[]){"/"},
                       (char[]){"--unshare-all"},
                       process[0],
                       process[1],
                       script,
                       NULL};
    const struct comparison comparison = {PART, LABEL, 1024, "ms", true};
    const struct way ways[] = {{"Ferry, ferry_vm_reset", run_vm, &reset},
                               {"Ferry, a copy of the VM", run_vm, &copy},
                               {"Ferry, create and start", run_vm, &fresh},
                               {"a process, fork and exec", run_process, process},
                               {"bubblewrap", run_process, sandbox}};

    bench_compare(bench, &comparison, ways, sizeof ways / sizeof *ways);
    int result = bench_wants(bench, PART, "python3, memory") ? footprint(bench) : 0;
    if (result < 0 && result != -ENOTSUP)
        fprintf(stderr, "ferry: bench: %s: %s\n", PART, strerror(-result));
    g_free(bwrap);
}
