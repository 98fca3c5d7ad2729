/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a whole command takes that does nothing, `busybox true`, from its start until it
 * was waited for: as a process, in a sandbox of bubblewrap where that is there, and in a VM. Of
 * each the time by the clock and the processor's, which what else runs disturbs less.
 */
#include <errno.h>
#include <fcntl.h>
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

void start_commands(struct bench *bench)
{
    if (!bench_wants(bench, PART, "command") && !bench_wants(bench, PART, "command, processor"))
        return;
    char *busybox = g_find_program_in_path("busybox"), *ferry = bench_command(bench);
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
    g_free(ferry);
    g_free(busybox);
}
