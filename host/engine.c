/* SPDX-License-Identifier: BSD-2-Clause */
/* The engine: what all VMs of one embedding share. */
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "error.h"
#include "image.h"
#include "kvm.h"
#include "loan.h"
#include "measure.h"
#include "queue.h"
#include "stream_internal.h"
#include "vm.h"

#define DEFAULT_EXTENTS  64
#define DEFAULT_PAGES    512
#define DEFAULT_DEFER_US 1000

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

/* Under lock: the lowest place that is free. */
static int64_t free_place(const struct ferry_engine *engine)
{
    for (uint32_t i = 0; i < ENDPOINTS_MAX; i++)
        if (!engine->endpoints[i] || engine->endpoints[i]->retired)
            return i;
    return -1;
}

int engine_endpoint_new(struct ferry_engine *engine, struct ferry_vm *vm, struct endpoint **out)
{
    struct endpoint *endpoint = calloc(1, sizeof *endpoint);
    int result = -ENOMEM;

    if (!endpoint)
        return -ENOMEM;
    pthread_mutex_lock(&engine->lock);
    int64_t place = free_place(engine);
    if (place >= 0)
        result = endpoint_init(endpoint, engine, (uint16_t)place);
    if (result == 0) {
        endpoint->vm = vm;
        endpoint->id = vm ? (uint16_t)(place + 1) : 0;
        endpoint->generation = vm ? ++engine->generation : 0;
        /* A retired one stays reachable, as its links may still name it. */
        endpoint->before = engine->endpoints[place];
        engine->endpoints[place] = endpoint;
        *out = endpoint;
    }
    pthread_mutex_unlock(&engine->lock);
    if (result < 0)
        free(endpoint);
    return result;
}

void engine_endpoint_retire(struct ferry_engine *engine, struct endpoint *endpoint)
{
    pthread_mutex_lock(&engine->lock);
    endpoint->retired = true;
    endpoint->control = NULL;
    endpoint->vm = NULL;
    pthread_mutex_unlock(&engine->lock);
}

static void free_endpoint(struct endpoint *endpoint)
{
    if (!endpoint->id && endpoint->landing)
        munmap(endpoint->landing, (size_t)FERRY_TOKENS * FERRY_COPY_BYTES);
    stream_destroy(endpoint->byte_stream);
    endpoint_fini(endpoint);
    free(endpoint);
}

static void free_endpoints(struct ferry_engine *engine)
{
    /* All end before the first is freed: each tells its peers. */
    for (uint32_t i = 0; i < ENDPOINTS_MAX; i++)
        if (engine->endpoints[i] && engine->endpoints[i]->live)
            endpoint_shutdown(engine->endpoints[i]);
    for (uint32_t i = 0; i < ENDPOINTS_MAX; i++) {
        struct endpoint *endpoint = engine->endpoints[i];
        while (endpoint) {
            struct endpoint *before = endpoint->before;
            free_endpoint(endpoint);
            endpoint = before;
        }
    }
}

/* --- images ------------------------------------------------------------------ */

static struct image *find_image(struct ferry_engine *engine, const struct stat *st)
{
    int64_t changed = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;

    for (struct image_entry *entry = engine->images; entry; entry = entry->next)
        if (entry->device == st->st_dev && entry->inode == st->st_ino &&
            entry->size_bytes == (uint64_t)st->st_size && entry->changed_ns == changed)
            return entry->image;
    return NULL;
}

/* Reads the file; nothing is locked, as that may take long. NULL: *result says why. */
static struct image_entry *load_image(const char *path, const struct stat *st, int *result,
                                      struct ferry_error *err)
{
    struct image_entry *entry = calloc(1, sizeof *entry);

    if (!entry) {
        *result = error_set(err, -ENOMEM, "no memory to load '%s'", path);
        return NULL;
    }
    *result = image_open(path, &entry->image, err);
    if (*result < 0) {
        free(entry);
        return NULL;
    }
    entry->device = st->st_dev;
    entry->inode = st->st_ino;
    entry->size_bytes = (uint64_t)st->st_size;
    entry->changed_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
    return entry;
}

int engine_image(struct ferry_engine *engine, const char *path, struct image **out,
                 struct ferry_error *err)
{
    struct stat st = {0};
    int result;

    bool there = stat(path, &st) == 0;
    pthread_mutex_lock(&engine->lock);
    *out = there ? find_image(engine, &st) : NULL;
    pthread_mutex_unlock(&engine->lock);
    if (*out)
        return 0;
    struct image_entry *entry = load_image(path, &st, &result, err);
    if (!entry)
        return result;
    /* If another thread loaded the same meanwhile, there are two of it: no harm. */
    pthread_mutex_lock(&engine->lock);
    entry->next = engine->images;
    engine->images = entry;
    pthread_mutex_unlock(&engine->lock);
    *out = entry->image;
    return 0;
}

static void free_images(struct ferry_engine *engine)
{
    while (engine->images) {
        struct image_entry *entry = engine->images;
        engine->images = entry->next;
        image_close(entry->image);
        free(entry);
    }
}

/* --- the ticker -------------------------------------------------------------- */

void engine_vm_running(struct ferry_engine *engine, struct ferry_vm *vm)
{
    pthread_mutex_lock(&engine->lock);
    vm->next_running = engine->vms;
    engine->vms = vm;
    pthread_cond_signal(&engine->tick);
    pthread_mutex_unlock(&engine->lock);
}

void engine_vm_ended(struct ferry_engine *engine, struct ferry_vm *vm)
{
    pthread_mutex_lock(&engine->lock);
    for (struct ferry_vm **at = &engine->vms; *at; at = &(*at)->next_running) {
        if (*at == vm) {
            *at = vm->next_running;
            break;
        }
    }
    pthread_mutex_unlock(&engine->lock);
}

/* Under lock. Bounds how long a deferred message or a release waits, and how long a VM runs. */
static void look_after(struct ferry_engine *engine, uint64_t now)
{
    for (struct ferry_vm *vm = engine->vms; vm; vm = vm->next_running) {
        if (vm->deadline_ns && now >= vm->deadline_ns)
            vm_stop(vm, STOP_TIMEOUT);
        else if (vm_has_pending(vm))
            vm_kick(vm);
        vm_send_gathered(vm);
        /* What it took and released by stores alone is room for its senders
         * and pages for their owners, who may be waiting. */
        loan_collect(vm->endpoint);
        queue_unpark(vm->endpoint);
    }
}

static void *ticker_thread(void *arg)
{
    struct ferry_engine *engine = arg;
    uint64_t interval = engine->config.max_defer_us * 1000ull;

    pthread_mutex_lock(&engine->lock);
    while (!engine->stopping) {
        if (!engine->vms) {
            pthread_cond_wait(&engine->tick, &engine->lock);
            continue;
        }
        uint64_t now = clock_now();
        look_after(engine, now);
        clock_cond_wait(&engine->tick, &engine->lock, now + interval);
    }
    pthread_mutex_unlock(&engine->lock);
    return NULL;
}

static int start_ticker(struct ferry_engine *engine)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = -pthread_create(&engine->ticker, NULL, ticker_thread, engine);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    engine->ticking = result == 0;
    return result;
}

static void stop_ticker(struct ferry_engine *engine)
{
    if (!engine->ticking)
        return;
    pthread_mutex_lock(&engine->lock);
    engine->stopping = true;
    pthread_cond_signal(&engine->tick);
    pthread_mutex_unlock(&engine->lock);
    pthread_join(engine->ticker, NULL);
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
        return error_set(err, result, "cannot make a pool of %u extents and %u pages: %s%s",
                         engine->config.pool_extents, engine->config.pool_pages, strerror(-result),
                         result == -EFBIG ? "; raise 'ulimit -f'" : "");
    result = ledger_create(&engine->ledger, &engine->pool);
    if (result < 0)
        return error_set(err, result, "no memory for the ledger");
    result = measure_engine(engine);
    engine->config.measure_cache = NULL; /* the caller's, during the call only */
    if (result < 0)
        return error_set(err, result, "cannot measure the cost of a hand-over: %s",
                         strerror(-result));
    if (!engine->info.huge)
        engine_log(engine, FERRY_LOG_WARNING,
                   "extents are not huge pages here, so hand-overs are slower; try: "
                   "echo advise | sudo tee /sys/kernel/mm/transparent_hugepage/shmem_enabled");
    if (engine->config.polled)
        result = poller_start(&engine->poller);
    if (result == 0)
        result = start_ticker(engine);
    return result < 0 ? error_set(err, result, "no thread: %s", strerror(-result)) : 0;
}

int ferry_engine_create(const struct ferry_engine_config *config, struct ferry_engine **out,
                        struct ferry_error *err)
{
    struct ferry_engine *engine = calloc(1, sizeof *engine);

    if (!engine)
        return error_set(err, -ENOMEM, "no memory for an engine");
    engine->kvm_fd = -1;
    engine->pool.fd = -1;
    pthread_mutex_init(&engine->lock, NULL);
    clock_cond_init(&engine->tick);
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
    stop_ticker(engine);
    poller_stop(&engine->poller);
    free_endpoints(engine);
    for (size_t i = 0; i < engine->link_count; i++)
        free(engine->links[i]);
    free(engine->links);
    free_images(engine);
    ledger_destroy(&engine->ledger);
    pool_destroy(&engine->pool);
    kvm_close(engine);
    pthread_cond_destroy(&engine->tick);
    pthread_mutex_destroy(&engine->lock);
    free(engine);
}

/* --- books --------------------------------------------------------------------- */

static bool alive(struct ferry_engine *engine, uint16_t index)
{
    struct endpoint *endpoint = index < ENDPOINTS_MAX ? engine->endpoints[index] : NULL;

    if (!endpoint)
        return false;
    pthread_mutex_lock(&endpoint->lock);
    bool live = endpoint->live;
    pthread_mutex_unlock(&endpoint->lock);
    return live;
}

void ferry_engine_ledger(struct ferry_engine *engine, struct ferry_ledger *out)
{
    *out = (struct ferry_ledger){.extents = engine->pool.extents, .pages = engine->pool.pages};
    pthread_mutex_lock(&engine->lock);
    for (uint32_t i = 0; i < pool_units(&engine->pool); i++) {
        struct ledger_unit unit = ledger_look(&engine->ledger, i);
        bool orphan = unit.owner == LEDGER_NOBODY;
        if (unit.state == UNIT_FREE)
            out->free++;
        else if (!alive(engine, unit.holder) || (!orphan && !alive(engine, unit.owner)))
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
