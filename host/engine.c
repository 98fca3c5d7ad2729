/* SPDX-License-Identifier: BSD-2-Clause */
/* The engine: what all VMs of one embedding share. */
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "direct.h"
#include "error.h"
#include "image.h"
#include "kvm.h"
#include "measure.h"
#include "stream_internal.h"
#include "vm.h"

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

const char *ferry_version(void)
{
    return FERRY_VERSION;
}

/* --- endpoints --------------------------------------------------------------- */

/* Under lock: the lowest place that is free. All below the hint are taken. */
static int64_t free_place(struct ferry_engine *engine)
{
    for (uint32_t i = engine->place_hint; i < ENDPOINTS_MAX; i++) {
        engine->place_hint = i;
        if (!engine->endpoints[i] || engine->endpoints[i]->retired)
            return i;
    }
    return -1;
}

/* Zeroed, and not touched before it is used: most of an endpoint is its queue, and most
 * queues are short. */
static struct endpoint *make_endpoint(void)
{
    struct endpoint *endpoint =
        mmap(NULL, sizeof *endpoint, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (endpoint == MAP_FAILED)
        return NULL;
    madvise(endpoint, sizeof *endpoint, MADV_NOHUGEPAGE);
    if (endpoint_init(endpoint) == 0)
        return endpoint;
    munmap(endpoint, sizeof *endpoint);
    return NULL;
}

/* Under lock: memory for an endpoint, that of a retired one if there is any. */
static struct endpoint *endpoint_memory(struct ferry_engine *engine)
{
    struct endpoint *endpoint = engine->spare_endpoints;

    if (endpoint) {
        engine->spare_endpoints = endpoint->next_spare;
        return endpoint;
    }
    endpoint = make_endpoint();
    if (endpoint) {
        endpoint->next_made = engine->made_endpoints;
        engine->made_endpoints = endpoint;
    }
    return endpoint;
}

int engine_endpoint_new(struct ferry_engine *engine, struct ferry_vm *vm, struct endpoint **out)
{
    pthread_mutex_lock(&engine->lock);
    int64_t place = free_place(engine);
    struct endpoint *endpoint = place >= 0 ? endpoint_memory(engine) : NULL;
    if (endpoint) {
        endpoint_begin(endpoint, engine, (uint16_t)place);
        endpoint->vm = vm;
        endpoint->id = vm ? (uint16_t)(place + 1) : 0;
        endpoint->generation = vm ? ++engine->generation : 0;
        engine->endpoints[place] = endpoint;
        if (place >= engine->place_end)
            engine->place_end = (uint32_t)place + 1;
        *out = endpoint;
    }
    pthread_mutex_unlock(&engine->lock);
    return endpoint ? 0 : -ENOMEM;
}

/* Under lock: frees what a retired endpoint had of its own. If no link leads to it, its memory may
 * also be used for another: only a thread that comes late can still know it. */
static void recycle(struct ferry_engine *engine, struct endpoint *endpoint)
{
    if (!endpoint->retired || endpoint->out_count || endpoint->in_count)
        return;
    if (!endpoint->id && endpoint->landing)
        munmap(endpoint->landing, (size_t)FERRY_TOKENS * FERRY_COPY_BYTES);
    stream_destroy(endpoint->byte_stream);
    endpoint->byte_stream = NULL;
    endpoint->landing = NULL;
    if (engine->endpoints[endpoint->index] == endpoint)
        engine->endpoints[endpoint->index] = NULL;
    endpoint->next_spare = engine->spare_endpoints;
    engine->spare_endpoints = endpoint;
}

void engine_link_free(struct ferry_engine *engine, struct ferry_link *link)
{
    struct endpoint *from = link->from, *to = link->to;

    link_disconnect(link);
    direct_destroy(link);
    free(link);
    recycle(engine, from);
    recycle(engine, to);
}

/* Under lock: frees those of its links whose other end is retired as well. */
static void free_links(struct ferry_engine *engine, struct endpoint *endpoint)
{
    for (uint32_t i = endpoint->out_count; i-- > 0;)
        if (endpoint->out[i]->to->retired)
            engine_link_free(engine, endpoint->out[i]);
    for (uint32_t i = endpoint->in_count; i-- > 0;)
        if (endpoint->in[i]->from->retired)
            engine_link_free(engine, endpoint->in[i]);
}

void engine_endpoint_retire(struct ferry_engine *engine, struct endpoint *endpoint)
{
    pthread_mutex_lock(&engine->lock);
    endpoint->retired = true;
    if (endpoint->index < engine->place_hint)
        engine->place_hint = endpoint->index;
    endpoint->control = NULL;
    endpoint->vm = NULL;
    if (endpoint->out_count || endpoint->in_count)
        free_links(engine, endpoint);
    else
        recycle(engine, endpoint);
    pthread_mutex_unlock(&engine->lock);
}

static void free_endpoints(struct ferry_engine *engine)
{
    while (engine->made_endpoints) {
        struct endpoint *endpoint = engine->made_endpoints;
        engine->made_endpoints = endpoint->next_made;
        endpoint_fini(endpoint);
        munmap(endpoint, sizeof *endpoint);
    }
}

/* --- making ------------------------------------------------------------------- */

static void set_config(struct ferry_engine *engine, const struct ferry_engine_config *config)
{
    if (config)
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

static int build(struct ferry_engine *engine, struct ferry_error *err)
{
    int result = kvm_open(engine, err);
    if (result < 0)
        return result;
    result = pool_create(&engine->pool, engine->config.pool_pages, engine->config.pool_extents);
    if (result < 0)
        return error_set(err, result, "cannot make a pool of %u extents and %u pages: %s",
                         engine->config.pool_extents, engine->config.pool_pages, strerror(-result));
    result = ledger_create(&engine->ledger, &engine->pool);
    if (result < 0)
        return error_set(err, result, "no memory for the ledger");
    result = measure_engine(engine);
    engine->config.measure_cache = NULL; /* the caller's, during the call only */
    if (result < 0)
        return error_set(err, result, "cannot measure the cost of a hand-over: %s",
                         strerror(-result));
    if (!engine->info.huge) /* no warning: nothing is wrong, and each run would say it again */
        engine_log(engine, FERRY_LOG_INFO,
                   "extents are not huge pages here, so hand-overs are slower; "
                   "for what to type here, see: ferry doctor");
    budget_init(&engine->mappings, budget_mappings(pool_units(&engine->pool)), MAPPINGS_SURE);
    budget_init(&engine->files, budget_files(), FILES_SURE);
    if (engine->config.polled) {
        const int *cpu = engine->config.polled_cpu;

        result = poller_start(&engine->poller, cpu);
        if (result == -EINVAL && cpu)
            return error_set(err, result, "CPU %d of polled_cpu may not be used; see taskset(1)",
                             *cpu);
    }
    engine->config.polled_cpu = NULL;
    if (result == 0)
        result = ticker_start(&engine->ticker, engine->config.max_defer_us * 1000ull);
    return result < 0 ? error_set(err, result, "no thread: %s", strerror(-result)) : 0;
}

int ferry_engine_create(const struct ferry_engine_config *config, struct ferry_engine **out,
                        struct ferry_error *err)
{
    if (config && (unsigned)config->log_level > FERRY_LOG_DEBUG)
        return error_set(err, -EINVAL, "%d is no value of ferry_engine_config.log_level",
                         (int)config->log_level);
    struct ferry_engine *engine = calloc(1, sizeof *engine);
    if (!engine)
        return error_set(err, -ENOMEM, "no memory for an engine");
    engine->kvm_fd = -1;
    engine->pool.fd = -1;
    pthread_mutex_init(&engine->lock, NULL);
    set_config(engine, config);
    int result = build(engine, err);
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
    free_endpoints(engine);
    engine_images_free(engine);
    ledger_destroy(&engine->ledger);
    pool_destroy(&engine->pool);
    kvm_close(engine);
    ticker_stop(&engine->ticker);
    budget_fini(&engine->mappings);
    budget_fini(&engine->files);
    pthread_mutex_destroy(&engine->lock);
    free(engine);
}

/* --- books --------------------------------------------------------------------- */

/* Under lock, so that no endpoint begins meanwhile: tells which endpoints may own or hold something.
 * One that is ending may, until it is settled. */
static void note_alive(struct ferry_engine *engine, bool alive[ENDPOINTS_MAX])
{
    for (uint32_t i = 0; i < ENDPOINTS_MAX; i++) {
        struct endpoint *endpoint = engine->endpoints[i];
        if (!endpoint)
            continue;
        endpoint_lock(endpoint);
        alive[i] = !endpoint->settled;
        endpoint_unlock(endpoint);
    }
}

void ferry_engine_ledger(struct ferry_engine *engine, struct ferry_ledger *out)
{
    bool alive[ENDPOINTS_MAX] = {false};

    *out = (struct ferry_ledger){.extents = engine->pool.extents, .pages = engine->pool.pages};
    pthread_mutex_lock(&engine->lock);
    note_alive(engine, alive);
    for (uint32_t i = 0; i < pool_units(&engine->pool); i++) {
        struct ledger_unit unit = ledger_look(&engine->ledger, i);
        bool orphan = unit.owner == LEDGER_NOBODY;
        if (unit.state == UNIT_FREE)
            out->free++;
        else if (!alive[unit.holder] || (!orphan && !alive[unit.owner]))
            out->leaked++;
        else if (unit.state == UNIT_LENT)
            out->lent++;
        else
            out->owned++;
    }
    pthread_mutex_unlock(&engine->lock);
}

void ferry_engine_info(struct ferry_engine *engine, struct ferry_engine_info *out)
{
    *out = engine->info;
}
