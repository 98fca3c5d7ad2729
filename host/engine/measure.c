/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Measures the costs of a loan and of a copy on this machine.
 *
 * A loan is closed and opened in two windows, on its way to the receiver and on its way home. After
 * each opening a guest touches it: first the receiver, then the sender, when it fills the extent
 * again. One window with one VM behind it shows all these costs. Closing costs more while another
 * core runs a thread of the process, since that core must drop its TLB entries. In real use the
 * peer's thread does run, so here a thread spins.
 */
#include "engine/measure.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/measure_cache.h"
#include "engine/measure_vm.h"
#include "ipc/link.h"
#include "lib/clock.h"
#include "lib/thread.h"
#include "pool/page_table.h"

#define ROUNDS      15
#define START_NS    1000000  /* for a thread to begin */
#define GLANCE_NS   2000     /* to see that the other thread spins */
#define PATIENCE_NS 50000000 /* with a thread that gets no processor */

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static uint64_t median(uint64_t *values, size_t count)
{
    qsort(values, count, sizeof *values, compare);
    return values[count / 2];
}

/* --- keeping another core busy ---------------------------------------------- */

struct busy {
    pthread_t thread;
    bool started;
    atomic_ulong turns;
    atomic_bool stop;
};

static void *spin(void *arg)
{
    struct busy *busy = arg;

    while (!atomic_load_explicit(&busy->stop, memory_order_relaxed)) {
        atomic_fetch_add_explicit(&busy->turns, 1, memory_order_relaxed);
        __builtin_ia32_pause();
    }
    return NULL;
}

/* Whether the spinning thread runs at this moment: on a busy machine it may have no processor. */
static bool busy_now(struct busy *busy, uint64_t patience_ns)
{
    unsigned long turns = atomic_load(&busy->turns);
    uint64_t deadline = clock_now() + patience_ns;

    while (busy->started && clock_now() < deadline)
        if (atomic_load(&busy->turns) != turns)
            return true;
    return false;
}

/* Lets the other thread spin on any core but this one, even if this thread may use no other core:
 * an embedder may have pinned it for a while, and the figures are for the whole machine. If there
 * is only one core, or no thread can be started, the figures are those without a busy core. */
static void busy_start(struct busy *busy)
{
    cpu_set_t cpus;

    *busy = (struct busy){0};
    int own = sched_getcpu();
    if (own < 0 || own >= CPU_SETSIZE)
        return;
    memset(&cpus, 0xff, sizeof cpus);
    CPU_CLR((unsigned)own, &cpus);
    busy->started = thread_start(&busy->thread, &cpus, spin, busy) == 0;
    busy_now(busy, START_NS);
}

static void busy_stop(struct busy *busy)
{
    if (!busy->started)
        return;
    atomic_store(&busy->stop, true);
    pthread_join(busy->thread, NULL);
}

/* --- a loan -------------------------------------------------------------------- */

static uint64_t time_run(struct measure_vm *vm)
{
    uint64_t start = clock_now();

    return measure_vm_run(vm) ? clock_now() - start : 0;
}

static void measure_exit(struct measure_vm *vm, struct costs *out)
{
    uint64_t exits[ROUNDS];

    measure_vm_run(vm); /* the first one brings in pages and tables */
    for (int i = 0; i < ROUNDS; i++)
        exits[i] = time_run(vm);
    out->exit_ns = median(exits, ROUNDS);
}

/* Opens, touches, closes. `vm` NULL: there is no VM, and the host touches. `*counts`: another core
 * was busy at the closing. */
static int loan_once(struct window *window, struct measure_vm *vm, struct busy *busy,
                     uint64_t *handover, uint64_t *touch, bool *counts)
{
    uint64_t start = clock_now();
    int result = window_set(window, (struct pool_offset){0}, FERRY_EXTENT_BYTES, WINDOW_CLOSED,
                            WINDOW_WRITE);
    if (result < 0)
        return result;
    uint64_t opened = clock_now();
    if (!vm)
        *(volatile char *)window->base = 1;
    else if (!measure_vm_run(vm))
        return -EIO;
    uint64_t touched = clock_now();
    *counts = busy_now(busy, GLANCE_NS);
    uint64_t looked = clock_now();
    result = window_set(window, (struct pool_offset){0}, FERRY_EXTENT_BYTES, WINDOW_WRITE,
                        WINDOW_CLOSED);
    *touch = touched - opened;
    *handover = (opened - start) + (clock_now() - looked);
    return result;
}

static int measure_loan(struct window *window, struct measure_vm *vm, struct busy *busy,
                        struct costs *out)
{
    uint64_t handover[ROUNDS], touch[ROUNDS];

    if (vm) {
        measure_exit(vm, out);
        measure_vm_aim(vm, true);
    }
    /* Repeats until there are enough closings with the other core busy, or until it takes too
     * long. */
    uint64_t deadline = clock_now() + PATIENCE_NS;
    size_t closings = 0, touches = 0;
    while (closings < ROUNDS && (touches < ROUNDS || clock_now() < deadline)) {
        uint64_t once;
        bool counts;
        int result = loan_once(window, vm, busy, &handover[closings], &once, &counts);
        if (result < 0)
            return result;
        closings += counts || !busy->started;
        if (touches < ROUNDS)
            touch[touches++] = once;
    }
    out->unsure = closings < ROUNDS / 2;
    closings += closings == 0; /* a closing with an idle core is better than none */
    uint64_t touched = median(touch, touches);
    out->handover_ns = median(handover, closings);
    out->touch_ns = touched > out->exit_ns ? touched - out->exit_ns : 0;
    return 0;
}

static int measure_loan_in_vm(const struct kvm *kvm, struct window *window, struct costs *out)
{
    struct measure_vm vm;
    struct busy busy;

    int result = measure_vm_create(&vm, kvm, window);
    busy_start(&busy);
    if (result == 0)
        result = measure_loan(window, &vm, &busy, out);
    if (result < 0) { /* if the VM cannot run, the rest can still be measured */
        window_set(window, (struct pool_offset){0}, FERRY_EXTENT_BYTES, WINDOW_CLOSED,
                   WINDOW_CLOSED);
        out->exit_ns = 0;
        result = measure_loan(window, NULL, &busy, out);
    }
    busy_stop(&busy);
    measure_vm_destroy(&vm);
    return result;
}

/* --- a copy ---------------------------------------------------------------------- */

/* Copies from the two extents in turn, so that each has left the nearest cache meanwhile. */
static int measure_copy(const struct pool *pool, struct costs *out)
{
    uint64_t bytes = (uint64_t)LINK_MESSAGES_DEFAULT * FERRY_COPY_BYTES, copy[ROUNDS];
    char *receive_buffers = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if (receive_buffers == MAP_FAILED)
        return -errno;
    for (unsigned i = 0; i < ROUNDS; i++) {
        const char *source = pool->base + i % 2 * FERRY_EXTENT_BYTES;
        uint64_t start = clock_now();
        for (unsigned piece = 0; piece < COSTS_PIECES; piece++)
            memcpy(receive_buffers + piece % LINK_MESSAGES_DEFAULT * FERRY_COPY_BYTES,
                   source + piece * FERRY_COPY_BYTES, FERRY_COPY_BYTES);
        copy[i] = clock_now() - start;
    }
    out->copy_ns = median(copy, ROUNDS);
    munmap(receive_buffers, bytes);
    return 0;
}

int measure_costs(const struct kvm *kvm, struct costs *out)
{
    struct window window = {0};
    struct pool pool;

    *out = (struct costs){0};
    int result = pool_create(&pool, 0, 2);
    if (result < 0)
        return result;
    pool_make_huge(&pool, (struct units){0, 2});
    result = window_create(&window, pool.fd, pool.bytes);
    if (result == 0)
        result = measure_loan_in_vm(kvm, &window, out);
    if (result == 0)
        result = measure_copy(&pool, out);
    window_destroy(&window);
    pool_destroy(&pool);
    return result;
}

/* --- what follows ------------------------------------------------------------------ */

static bool look_for_huge(struct pool *pool)
{
    pool_make_huge(pool, (struct units){pool->pages, 1});
    return pool_is_huge(pool, pool_offset(pool, pool->pages));
}

/* Making a huge page takes as long as making a VM. So if the file says that the machine had huge
 * pages, that is believed; if there are none any more, it shows when an extent is made. */
static bool load_costs(struct pool *pool, bool *huge, const char *path, char key[MEASURE_KEY_BYTES],
                       struct costs *out)
{
    measure_cache_key(key, true);
    *huge = path && measure_cache_load(path, key, out);
    if (*huge)
        return true;
    *huge = look_for_huge(pool);
    measure_cache_key(key, *huge);
    return path && !*huge && measure_cache_load(path, key, out);
}

int measure_info(const struct kvm *kvm, struct pool *pool, const char *path,
                 struct ferry_engine_info *info)
{
    char key[MEASURE_KEY_BYTES];
    struct costs costs;

    info->pool_bytes = pool->bytes;
    if (!load_costs(pool, &info->huge, path, key, &costs)) {
        int result = measure_costs(kvm, &costs);
        if (result < 0)
            return result;
        if (path && !costs.unsure)
            measure_cache_store(path, key, &costs);
    }
    info->exit_ns = costs.exit_ns;
    info->handover_ns = costs.handover_ns;
    info->touch_ns = costs.touch_ns;
    info->copy_ns = costs.copy_ns;
    info->crossover_bytes = costs_crossover(&costs, info->huge);
    return 0;
}
