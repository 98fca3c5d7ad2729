/* SPDX-License-Identifier: BSD-2-Clause */
/* The engine: what all VMs of one embedder share. */
#include "engine/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "engine/measure.h"
#include "lib/error.h"
#include "lib/sized.h"

#define DEFAULT_EXTENTS  64
#define DEFAULT_PAGES    512
#define DEFAULT_DEFER_US 1000

/* Where there are few VMs, each may always have so many mappings and descriptors. */
#define MAPPINGS_SURE 512
#define FILES_SURE    64

void engine_log(struct ferry_engine *engine, enum ferry_log_level level, const char *format, ...)
{
    char line[400];
    va_list args;

    if (!engine->config.log || level > engine->config.log_level)
        return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    engine->config.log(engine->config.log_arg, level, line);
}

_Static_assert(FERRY_RELEASE ==
                   10000 * FERRY_VERSION_MAJOR + 100 * FERRY_VERSION_MINOR + FERRY_VERSION_PATCH,
               "meson.build and ferry.h are of one release");

const char *ferry_version(void)
{
    return FERRY_VERSION;
}

/* --- making ------------------------------------------------------------------- */

static void set_config(struct ferry_engine *engine, const struct ferry_engine_config *config)
{
    engine->config = *config;
    if (!engine->config.pool_extents)
        engine->config.pool_extents = DEFAULT_EXTENTS;
    if (!engine->config.pool_pages)
        engine->config.pool_pages = DEFAULT_PAGES;
    if (!engine->config.max_defer_us)
        engine->config.max_defer_us = DEFAULT_DEFER_US;
    if (!engine->config.log_level)
        engine->config.log_level = FERRY_LOG_WARNING;
}

static void tell_ticker(void *ticker)
{
    ticker_stuck(ticker);
}

static int start_threads(struct ferry_engine *engine, const int *cpu, struct ferry_error *err)
{
    int result = engine->config.polled ? poller_start(&engine->poller, cpu) : 0;

    if (result == -EINVAL && cpu)
        return error_set(err, result, "CPU %d of polled_cpu may not be used; see taskset(1)", *cpu);
    if (result == 0)
        result = ticker_start(&engine->ticker, engine->config.max_defer_us * 1000ull,
                              engine->poller.running, &engine->clock);
    return result < 0 ? error_set(err, result, "no thread: %s", strerror(-result)) : 0;
}

int engine_restart_threads(struct ferry_engine *engine, struct ferry_error *err)
{
    int cpu = engine->poller.cpu;

    ticker_tell_end(&engine->ticker);
    poller_stop(&engine->poller);
    ticker_stop(&engine->ticker);
    return start_threads(engine, engine->config.polled && cpu >= 0 ? &cpu : NULL, err);
}

static int build(struct ferry_engine *engine, struct ferry_error *err)
{
    int processors = get_nprocs();

    engine->processors = processors > 0 ? (unsigned)processors : 1;
    int result = kvm_open(&engine->kvm, engine->config.measure_cache, err);
    if (result < 0)
        return result;
    result = vdso_create(&engine->vdso);
    if (result < 0)
        return error_set(err, result, "cannot make the page of clocks: %s", strerror(-result));
    guest_clock_init(&engine->clock, engine->vdso.clock);
    result = exchange_create(&engine->exchange, engine->config.pool_pages,
                             engine->config.pool_extents, err);
    if (result < 0)
        return result;
    engine->exchange.stuck = tell_ticker;
    engine->exchange.stuck_arg = &engine->ticker;
    result = measure_info(&engine->kvm, &engine->exchange.pool, engine->config.measure_cache,
                          &engine->info);
    engine->config.measure_cache = NULL; /* the caller's, during the call only */
    if (result < 0)
        return error_set(err, result, "cannot measure the cost of a hand-over: %s",
                         strerror(-result));
    engine->exchange.crossover_bytes = engine->info.crossover_bytes;
    if (!engine->info.huge) /* no warning: it is no fault, and every run would repeat it */
        engine_log(engine, FERRY_LOG_INFO,
                   "extents are not huge pages here, so hand-overs are slower; "
                   "for what to type here, see: ferry doctor");
    budget_init(&engine->mappings, budget_mappings(pool_units(&engine->exchange.pool)),
                MAPPINGS_SURE);
    budget_init(&engine->files, budget_files(), FILES_SURE);
    result = start_threads(engine, engine->config.polled_cpu, err);
    engine->config.polled_cpu = NULL;
    return result;
}

int ferry_engine_create_sized(const struct ferry_engine_config *config, size_t config_bytes,
                              struct ferry_engine **out, struct ferry_error *err)
{
    struct ferry_engine_config own = {0};
    int result =
        config ? sized_take(&own, sizeof own, FIRST_ENGINE_CONFIG, config, config_bytes) : 0;
    if (result < 0)
        return sized_explain(err, result, "ferry_engine_config");
    if ((unsigned)own.log_level > FERRY_LOG_DEBUG)
        return error_set(err, -EINVAL, "%d is no value of ferry_engine_config.log_level",
                         (int)own.log_level);
    struct ferry_engine *engine = calloc(1, sizeof *engine);
    if (!engine)
        return error_set(err, -ENOMEM, "no memory for an engine");
    engine->kvm.fd = -1;
    engine->exchange.pool.fd = -1;
    engine->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    images_init(&engine->images);
    set_config(engine, &own);
    result = build(engine, err);
    if (result < 0) {
        ferry_engine_destroy(engine);
        return result;
    }
    *out = engine;
    return 0;
}

void ferry_engine_destroy(struct ferry_engine *engine)
{
    if (!engine)
        return;
    ticker_tell_end(&engine->ticker); /* it wakes and ends meanwhile */
    poller_stop(&engine->poller);
    exchange_destroy(&engine->exchange);
    images_fini(&engine->images);
    kvm_close(&engine->kvm);
    ticker_stop(&engine->ticker);
    guest_clock_fini(&engine->clock);
    vdso_destroy(&engine->vdso);
    budget_fini(&engine->mappings);
    budget_fini(&engine->files);
    if (engine->pagemap >= 0)
        close(engine->pagemap);
    free(engine);
}

int ferry_engine_ledger_sized(struct ferry_engine *engine, struct ferry_ledger *out,
                              size_t out_bytes)
{
    struct ferry_ledger books;

    int result = sized_check(out_bytes, FIRST_LEDGER);
    if (result < 0)
        return result;
    exchange_count(&engine->exchange, &books);
    sized_give(out, out_bytes, &books, sizeof books);
    return 0;
}

int ferry_engine_info_sized(struct ferry_engine *engine, struct ferry_engine_info *out,
                            size_t out_bytes)
{
    int result = sized_check(out_bytes, FIRST_ENGINE_INFO);
    if (result == 0)
        sized_give(out, out_bytes, &engine->info, sizeof engine->info);
    return result;
}
