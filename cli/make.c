/* SPDX-License-Identifier: BSD-2-Clause */
/* From options and stages to an engine and VMs; see make.h. */
#include "make.h"

#include <errno.h>
#include <signal.h>

#include <glib.h>

#include "cache.h"
#include "command.h"
#include "ending.h"

static void log_line(void *arg, enum ferry_log_level level, const char *line)
{
    (void)arg;
    (void)level;
    say("%s", line);
}

int make_engine(const struct options *options, uint32_t extents, struct ferry_engine **out)
{
    struct ferry_error error;
    char *cache = cache_path();
    const struct ferry_engine_config config = {
        .pool_extents = extents,
        .log_level = options->verbose ? FERRY_LOG_DEBUG : FERRY_LOG_WARNING,
        .log = log_line,
        .polled = options->polled,
        .polled_cpu = options->polled_cpu >= 0 ? &options->polled_cpu : NULL,
        .measure_cache = cache,
    };
    int result = ferry_engine_create(&config, out, &error);

    g_free(cache);
    if (result != 0) {
        say("%s", error.text);
        return STATUS_FERRY;
    }
    return 0;
}

struct ferry_vm_config make_config(const struct options *options, const struct stage *stage)
{
    return (struct ferry_vm_config){
        .name = stage->name,
        .program = stage->program,
        .argv = stage->argv,
        .envp = (char *const *)options->env->pdata,
        .memory_bytes = options->memory_bytes,
        .threads = options->threads,
        .processes = options->processes,
        .read_only_dirs = (const char *const *)options->read_only->pdata,
        .view = options->bare ? FERRY_VIEW_BARE : FERRY_VIEW_SYSTEM,
        .root_dir = options->root,
        .read_write_dirs = (const char *const *)options->read_write->pdata,
        .write_limit_bytes = options->write_limit_bytes,
        .delivery = options->delivery,
        .transfer = options->transfer,
        .timeout_ns = options->timeout_ns,
        .cpu_ns = options->cpu_ns,
        .ignore_sigpipe = ending_ignores(SIGPIPE),
    };
}

static int status_of_create(int result)
{
    switch (result) {
    case -ENOENT:
        return STATUS_NOT_FOUND;
    case -EACCES:
    case -ELIBBAD:
    case -ELOOP:
    case -ENOEXEC:
        return STATUS_CANNOT_RUN;
    default:
        return STATUS_FERRY;
    }
}

int make_vm(struct ferry_engine *engine, const struct ferry_vm_config *config, struct stage *stage)
{
    struct ferry_error error;
    int result = ferry_vm_create(engine, config, &stage->vm, &error);

    if (result == 0)
        return 0;
    int status = status_of_create(result);
    bool advise = stage->advice && status == STATUS_CANNOT_RUN;

    say("%s: %s%s%s", stage->label, error.text, advise ? "; or " : "", advise ? stage->advice : "");
    return status;
}

void make_check_ledger(const struct ferry_ledger *ledger)
{
    if (ledger->leaked != 0)
        say("%llu units of the pool leaked; this is a fault in Ferry, please report it",
            (unsigned long long)ledger->leaked);
}
