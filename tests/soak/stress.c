/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Soak over libferry: for a set time some threads of the host make random topologies of VMs at once, in
 * engines that they share and in engines of their own, and start, link, stop, cut, hang up and destroy at any
 * point, while messages and loans are under way. A round comes from its seed and number, but what its threads make of it does not.
 *
 *     stress SECONDS SEED [THREADS [ROUND]]
 *
 * ROUND is the number by which VMs are named: all threads run that one, again and again. At the end each unit of each pool is free, and the process has the threads, descriptors, mappings and heap
 * that it had before. Speaks TAP.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "soak.h"

#define WORKERS_MAX 32
#define SHARED      2 /* engines: one plain, one polled */

/* So that what the C library keeps for itself does not count: it keeps nothing. */
#define KEEP_NOTHING \
    "glibc.malloc.tcache_count=0:glibc.malloc.arena_max=1:glibc.pthread.stack_cache_size=0"

struct worker {
    pthread_t thread;
    unsigned number;
    atomic_ulong rounds; /* the one it is in */
    struct totals totals;
    struct wrong wrong;
};

static struct {
    struct ferry_engine *engines[SHARED];
    uint64_t seed;
    uint64_t only; /* this round again and again; 0: each by its number */
    struct timespec until;
    atomic_bool over; /* something is wrong */
    struct worker workers[WORKERS_MAX];
} soak;

/* ---- chance, totals, what is wrong -------------------------------------- */

static uint64_t scramble(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

struct chance chance_of(uint64_t seed, uint64_t part)
{
    return (struct chance){scramble(seed + scramble(part + 1))};
}

uint64_t below(struct chance *chance, uint64_t bound)
{
    chance->state += 0x9e3779b97f4a7c15u;
    return scramble(chance->state) % bound;
}

void totals_add(struct totals *to, const struct totals *part)
{
    uint64_t *sums = (uint64_t *)to;
    const uint64_t *numbers = (const uint64_t *)part;

    for (size_t i = 0; i < sizeof *to / sizeof *sums; i++)
        sums[i] += numbers[i];
}

/* The first counts. */
void be_wrong(struct wrong *wrong, const char *format, ...)
{
    va_list arguments;

    if (wrong->text[0])
        return;
    va_start(arguments, format);
    vsnprintf(wrong->text, sizeof wrong->text, format, arguments);
    va_end(arguments);
}

/* ---- rounds ------------------------------------------------------------- */

static struct ferry_engine *make_engine(const struct ferry_engine_config *config,
                                        struct wrong *wrong)
{
    struct ferry_engine *engine;
    struct ferry_error err;

    if (ferry_engine_create(config, &engine, &err) == 0)
        return engine;
    be_wrong(wrong, "no engine: %s", err.text);
    return NULL;
}

/* With a pool that is soon used up. */
static void in_own_engine(const char *name, struct chance *chance, struct totals *totals,
                          struct wrong *wrong)
{
    const struct ferry_engine_config config = {.pool_extents = 2 + (uint32_t)below(chance, 6),
                                               .pool_pages = 512,
                                               .max_defer_us = 100 + (uint32_t)below(chance, 2000),
                                               .polled = once_in(chance, 4)};
    struct ferry_engine *engine = make_engine(&config, wrong);

    if (!engine)
        return;
    totals->engines++;
    round_run(engine, name, chance, totals, wrong);
    expect_books(engine, wrong);
    ferry_engine_destroy(engine);
}

static void one_round(uint64_t part, struct totals *totals, struct wrong *wrong)
{
    struct chance chance = chance_of(soak.seed, soak.only ? soak.only : part);
    char name[24];
    uint64_t where = below(&chance, 8);

    snprintf(name, sizeof name, "%" PRIx64, part);
    if (where < 5)
        round_run(soak.engines[0], name, &chance, totals, wrong);
    else if (where == 5)
        round_run(soak.engines[1], name, &chance, totals, wrong);
    else
        in_own_engine(name, &chance, totals, wrong);
}

static bool is_over(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return atomic_load(&soak.over) || now.tv_sec >= soak.until.tv_sec;
}

static void *work(void *arg)
{
    struct worker *worker = arg;

    while (!is_over() && !worker->wrong.text[0]) {
        one_round((uint64_t)worker->number << 32 | atomic_load(&worker->rounds), &worker->totals,
                  &worker->wrong);
        atomic_fetch_add(&worker->rounds, !worker->wrong.text[0]);
    }
    if (worker->wrong.text[0])
        atomic_store(&soak.over, true);
    return NULL;
}

/* A round that hangs keeps its process, for whoever looks at it with a debugger. */
static void join(struct worker *worker)
{
    struct timespec bound = {.tv_sec = soak.until.tv_sec + 5 * (time_t)(PATIENCE / SECOND)};

    if (pthread_timedjoin_np(worker->thread, NULL, &bound) == 0)
        return;
    printf("not ok 1 - soak over the library\n# worker %u hangs in round %lu of seed %" PRIu64 "\n",
           worker->number, atomic_load(&worker->rounds), soak.seed);
    fflush(stdout);
    abort();
}

/* ---- the whole ---------------------------------------------------------- */

static void make_shared(struct wrong *wrong)
{
    for (int i = 0; i < SHARED; i++) {
        const struct ferry_engine_config config = {.polled = i == 1};

        soak.engines[i] = make_engine(&config, wrong);
    }
}

static void destroy_shared(struct wrong *wrong)
{
    for (int i = 0; i < SHARED && soak.engines[i]; i++) {
        expect_books(soak.engines[i], wrong);
        ferry_engine_destroy(soak.engines[i]);
    }
}

static void run_workers(unsigned count, struct totals *totals, struct wrong *wrong)
{
    unsigned started = 0;

    for (; started < count; started++) {
        struct worker *worker = &soak.workers[started];

        worker->number = started;
        if (pthread_create(&worker->thread, NULL, work, worker) != 0) {
            be_wrong(wrong, "no thread");
            break;
        }
    }
    for (unsigned i = 0; i < started; i++) {
        struct worker *worker = &soak.workers[i];

        join(worker);
        totals_add(totals, &worker->totals);
        if (worker->wrong.text[0])
            be_wrong(wrong, "worker %u, round %lu: %s", i, atomic_load(&worker->rounds),
                     worker->wrong.text);
    }
}

static void run(unsigned workers, uint64_t seconds, struct totals *totals, struct wrong *wrong)
{
    clock_gettime(CLOCK_REALTIME, &soak.until);
    soak.until.tv_sec += (time_t)seconds;
    make_shared(wrong);
    if (!wrong->text[0])
        run_workers(workers, totals, wrong);
    destroy_shared(wrong);
}

static void tell(const struct totals *t, const struct level *before, const struct level *after)
{
    printf("# seed %" PRIu64 ": %" PRIu64 " rounds, %" PRIu64 " engines, %" PRIu64 " VMs (%" PRIu64
           " never started), %" PRIu64 " links, %" PRIu64 " messages, %" PRIu64 " bytes\n",
           soak.seed, t->rounds, t->engines, t->vms, t->unstarted, t->links, t->messages, t->bytes);
    printf("# %" PRIu64 " stops, %" PRIu64 " signals, %" PRIu64 " links cut, %" PRIu64
           " destroyed without waiting; ended by exit %" PRIu64 ", signal %" PRIu64
           ", crash %" PRIu64 ", stop %" PRIu64 ", time %" PRIu64 "; %" PRIu64
           " snapshots, %" PRIu64 " copies, %" PRIu64 " resets\n",
           t->stops, t->signals, t->cut_links, t->destroyed_running, t->ended[FERRY_ENDED_EXIT],
           t->ended[FERRY_ENDED_SIGNAL], t->ended[FERRY_ENDED_CRASH], t->ended[FERRY_ENDED_STOPPED],
           t->ended[FERRY_ENDED_TIMEOUT], t->snapshots, t->copies, t->resets);
    printf("# private memory %" PRIu64 " KiB before, %" PRIu64 " KiB after\n", before->resident_kb,
           after->resident_kb);
}

/* All that is made once for a process exists after this. */
static void warm_up(struct wrong *wrong)
{
    struct totals unused = {0};
    struct worker *worker = &soak.workers[0];

    run(1, 0, &unused, wrong);
    for (uint64_t i = 0; i < 4 && !wrong->text[0]; i++) {
        struct chance chance = chance_of(1, i);

        in_own_engine("warm", &chance, &unused, wrong);
    }
    memset(worker, 0, sizeof *worker);
}

int main(int argc, char **argv)
{
    unsigned workers = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 4;
    struct totals totals = {0};
    struct wrong wrong = {0};

    if (argc < 3 || workers == 0 || workers > WORKERS_MAX) {
        fprintf(stderr, "usage: stress SECONDS SEED [THREADS [ROUND]]\n");
        return 2;
    }
    const char *tuned = getenv("GLIBC_TUNABLES");
    if ((!tuned || strcmp(tuned, KEEP_NOTHING) != 0) &&
        setenv("GLIBC_TUNABLES", KEEP_NOTHING, 1) == 0)
        execv("/proc/self/exe", argv);
    soak.seed = strtoull(argv[2], NULL, 10);
    soak.only = argc > 4 ? strtoull(argv[4], NULL, 16) : 0;
    printf("1..1\n");
    warm_up(&wrong);
    const struct level before = level_now();
    if (!wrong.text[0])
        run(workers, strtoull(argv[1], NULL, 10), &totals, &wrong);
    if (!wrong.text[0])
        expect_level(&before, &wrong);
    printf("%s 1 - soak over the library\n", wrong.text[0] ? "not ok" : "ok");
    const struct level after = level_now();
    tell(&totals, &before, &after);
    if (wrong.text[0])
        printf("# wrong: %s\n", wrong.text);
    return wrong.text[0] != '\0';
}
