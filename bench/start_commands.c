/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a whole command takes that does nothing, `busybox true`, from its start until it
 * was waited for: as a process, in a sandbox of bubblewrap where that is there, and in a VM. Of
 * each the time by the clock and the processor's, which what else runs disturbs less. Then
 * dynamic programs of the distribution: `true` beside the static one, and Python beside the process.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib.h>

#include "bench.h"

#define PART    "start"
#define RUNS    15 /* in one run: what counts is their median */
#define PROCESS "a process"
#define SANDBOX "bubblewrap"
#define VM      "ferry run"

extern char **environ;

struct command {
    char *const *argv;
    bool processor; /* its time, not the clock's */
};

static double processor_ms(const struct rusage *usage)
{
    return (double)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1e3 +
           (double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) / 1e3;
}

/* Standard input is /dev/null, and what is written goes there. */
static int spawn(char *const *argv, pid_t *child)
{
    posix_spawn_file_actions_t actions;

    posix_spawn_file_actions_init(&actions);
    for (int fd = 0; fd <= 2; fd++)
        posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", fd ? O_WRONLY : O_RDONLY, 0);
    int error = posix_spawn(child, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return -error;
}

static int run_once(const struct command *command, double *ms)
{
    struct rusage usage;
    pid_t child;
    int status;

    uint64_t start = bench_now_ns();
    int result = spawn(command->argv, &child);
    if (result < 0)
        return result;
    if (wait4(child, &status, 0, &usage) != child)
        return -errno;
    uint64_t end = bench_now_ns();
    *ms = command->processor ? processor_ms(&usage) : (double)(end - start) / 1e6;
    return status == 0 ? 0 : -EIO;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static int run_command(struct bench *bench, const void *arg, struct sample *out)
{
    const struct command *command = arg;
    double times[RUNS];

    (void)bench;
    if (!command->argv[0])
        return -ENOTSUP;
    for (int i = 0; i < RUNS; i++) {
        int result = run_once(command, &times[i]);

        if (result < 0)
            return result;
    }
    qsort(times, RUNS, sizeof(*times), compare);
    out->value = times[RUNS / 2];
    return 0;
}

/* Bubblewrap is there and may make name spaces: its path, or NULL. */
static char *find_sandbox(char *const *program)
{
    char *path = g_find_program_in_path("bwrap");
    char *const argv[] = {path,       "--ro-bind", "/", "/", "--unshare-all",
                          program[0], program[1],  NULL};
    const struct command trial = {.argv = argv};
    double ignored;

    if (path && run_once(&trial, &ignored) == 0)
        return path;
    g_free(path);
    return NULL;
}

static void compare_nothing(struct bench *bench, char *ferry, char *busybox)
{
    char *process[] = {busybox, "true", NULL};
    char *bwrap = busybox ? find_sandbox(process) : NULL;
    char *sandbox[] = {bwrap, "--ro-bind", "/", "/", "--unshare-all", busybox, "true", NULL};
    char *vm[] = {busybox ? ferry : NULL, "run", busybox, "true", NULL};

    for (int processor = 0; processor <= 1; processor++) {
        const struct command commands[] = {
            {process, processor}, {sandbox, processor}, {vm, processor}};
        const struct way ways[] = {{PROCESS, run_command, &commands[0]},
                                   {SANDBOX, run_command, &commands[1]},
                                   {VM, run_command, &commands[2]}};
        const struct comparison comparison = {PART, processor ? "command, processor" : "command", 1,
                                              "ms", true};

        bench_compare(bench, &comparison, ways, sizeof(ways) / sizeof(*ways));
    }
    g_free(bwrap);
}

/* A program of the distribution, not what somebody put before it in PATH; NULL if it is not there. */
static char *installed(char *path)
{
    return access(path, X_OK) == 0 ? path : NULL;
}

static void compare_true(struct bench *bench, char *ferry, char *busybox)
{
    static const char *const label = "dynamic true", *const name = "a static one in a VM";
    char *program = installed("/usr/bin/true");
    char *process[] = {program, NULL};
    char *fixed[] = {busybox ? ferry : NULL, "run", busybox, "true", NULL};
    char *dynamic[] = {program ? ferry : NULL, "run", program, NULL};
    const struct command commands[] = {{.argv = process}, {.argv = fixed}, {.argv = dynamic}};
    const struct way ways[] = {{PROCESS, run_command, &commands[0]},
                               {name, run_command, &commands[1]},
                               {VM, run_command, &commands[2]}};
    const struct comparison comparison = {PART, label, 1, "ms", true};

    bench_compare(bench, &comparison, ways, sizeof(ways) / sizeof(*ways));
    double above = bench_median(bench, PART, label, VM) - bench_median(bench, PART, label, name);
    if (!isnan(above))
        bench_figure(bench, PART, "dynamic true above a static one", above, "ms");
}

static void compare_python(struct bench *bench, char *ferry)
{
    static const char *const label = "python3 print(1)";
    char *program = installed("/usr/bin/python3");
    char *process[] = {program, "-c", "print(1)", NULL};
    char *vm[] = {program ? ferry : NULL, "run", program, "-c", "print(1)", NULL};
    const struct command commands[] = {{.argv = process}, {.argv = vm}};
    const struct way ways[] = {{PROCESS, run_command, &commands[0]},
                               {VM, run_command, &commands[1]}};
    const struct comparison comparison = {PART, label, 1, "ms", true};

    bench_compare(bench, &comparison, ways, sizeof(ways) / sizeof(*ways));
    double ratio = bench_median(bench, PART, label, VM) / bench_median(bench, PART, label, PROCESS);
    if (!isnan(ratio))
        bench_figure(bench, PART, "python3, ferry run / process", ratio, "x");
}

void start_commands(struct bench *bench)
{
    char *busybox = g_find_program_in_path("busybox"), *ferry = bench_command(bench);

    if (bench_wants(bench, PART, "command") || bench_wants(bench, PART, "command, processor"))
        compare_nothing(bench, ferry, busybox);
    compare_true(bench, ferry, busybox);
    compare_python(bench, ferry);
    g_free(ferry);
    g_free(busybox);
}
