/* SPDX-License-Identifier: BSD-2-Clause */
/* Threads of one program: the same work by one and by two, in a process and in a VM. */
#include <errno.h>
#include <glib.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ferry/ferry.h>

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

/* Gives the milliseconds that the program tells. */
static int take_time(int fd, struct sample *out)
{
    uint64_t ns;

    if (read(fd, &ns, sizeof ns) != sizeof ns)
        return -EIO;
    out->value = (double)ns / 1e6;
    return 0;
}

static int run_process(const char *program, char *const *argv, int errors)
{
    posix_spawn_file_actions_t actions;
    int status;
    pid_t pid;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO);
    int result = -posix_spawn(&pid, program, &actions, NULL, argv, NULL);
    posix_spawn_file_actions_destroy(&actions);
    if (result == 0 && waitpid(pid, &status, 0) < 0)
        result = -errno;
    return result ? result : status ? -EIO : 0;
}

static int run_vm(const char *program, char *const *argv, int errors)
{
    const struct ferry_vm_config config = {.program = program, .argv = argv, .stderr_fd = errors};
    struct ferry_engine *engine;
    struct ferry_vm *vm = NULL;
    struct ferry_vm_exit end = {0};
    int result = ferry_engine_create(NULL, &engine, NULL);

    if (result < 0)
        return result;
    result = ferry_vm_create(engine, &config, &vm, NULL);
    if (result == 0)
        result = ferry_vm_start(vm, NULL);
    if (result == 0)
        result = ferry_vm_wait(vm, UINT64_MAX, &end);
    if (result == 0 && (end.how != FERRY_ENDED_EXIT || end.status != 0))
        result = -EIO;
    ferry_vm_destroy(vm);
    ferry_engine_destroy(engine);
    return result;
}

static int run(struct bench *bench, const void *arg, struct sample *out)
{
    const struct setting *setting = arg;
    const char *program = bench_guest(bench, "threads");
    char items[16], name[] = "threads", kind[8], threads[8];
    char *const argv[] = {name, kind, threads, items, NULL};
    int ends[2];

    snprintf(items, sizeof items, "%u", setting->items);
    snprintf(kind, sizeof kind, "%s", setting->kind);
    snprintf(threads, sizeof threads, "%s", setting->threads);
    if (pipe(ends) < 0)
        return -errno;
    int result = (setting->in_vm ? run_vm : run_process)(program, argv, ends[1]);
    if (result == 0)
        result = take_time(ends[0], out);
    close(ends[0]);
    close(ends[1]);
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
