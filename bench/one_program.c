/* SPDX-License-Identifier: BSD-2-Clause */
/* One guest program, as a process or in a VM of its own. */
#include "one_program.h"

#include <errno.h>
#include <spawn.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ferry/ferry.h>

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

int one_program(const char *program, char *const *argv, bool in_vm, uint64_t *ns)
{
    int ends[2];

    if (pipe(ends) < 0)
        return -errno;
    int result = (in_vm ? run_vm : run_process)(program, argv, ends[1]);
    close(ends[1]);
    if (result == 0 && read(ends[0], ns, sizeof *ns) != sizeof *ns)
        result = -EIO;
    close(ends[0]);
    return result;
}
