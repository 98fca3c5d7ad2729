/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many VMs in one process: what a message costs, what a start costs and how
 * much memory they take, as there are more of them. Tokens go from VM to VM
 * by themselves, first one round a ring of all, then many at random; each
 * VM waits between two messages.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <ferry/ferry.h>

#include "bare_kvm.h"
#include "bench.h"
#include "guests/token.h"
#include "memory.h"

#define PART "scale"

#define MOST_VMS    1000
#define PEERS       4    /* that each VM sends to at random, beside the next in the ring */
#define ENTRANCES   8    /* VMs that the host can give a token to */
#define RING_HOPS   1500 /* of the one token: 100 to 200 ms */
#define RANDOM_HOPS 1000 /* of each of some */
#define UPDATES     200
#define LOOK_NS     2000000
#define LAST        9 /* VMs whose median counts */
#define TOKENS      2 /* at random: one for each core */

struct world {
    unsigned count;
    struct ferry_engine *engine;
    struct ferry_vm *vm[MOST_VMS];
    struct ferry_link *entrance[ENTRANCES];
    unsigned entrances;
    int ready[2]; /* a pipe */
    uint64_t make_ns[MOST_VMS];
    uint64_t start_ns[MOST_VMS]; /* until its program runs */
};

/* ---- building ----------------------------------------------------------- */

static int say(int result, const struct ferry_error *err)
{
    if (result < 0)
        fprintf(stderr, "ferry: bench: %s: %s\n", PART, err->text);
    return result;
}

static int make_vms(struct bench *bench, struct world *world)
{
    const struct ferry_engine_config engine_config = {.pool_extents = 1, .pool_pages = 1};
    struct ferry_error err;
    char name[16];
    const struct ferry_vm_config config = {.name = name,
                                           .program = bench_guest(bench, "token"),
                                           .memory_bytes = 8u << 20,
                                           .stderr_fd = world->ready[1]};

    int result = say(ferry_engine_create(&engine_config, &world->engine, &err), &err);
    for (unsigned i = 0; i < world->count && result == 0; i++) {
        snprintf(name, sizeof name, "vm%u", i);
        uint64_t begin = bench_now_ns();
        result = say(ferry_vm_create(world->engine, &config, &world->vm[i], &err), &err);
        world->make_ns[i] = bench_now_ns() - begin;
    }
    return result;
}

static int make_link(struct world *world, struct ferry_vm *from, struct ferry_vm *to,
                     struct ferry_link **out)
{
    struct ferry_error err;

    int result = ferry_link_create(world->engine, from, to, NULL, out, &err);
    return result == -EEXIST ? 0 : say(result, &err);
}

/* Always the same, so that runs can be compared. */
static uint32_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

static void shuffle(unsigned *order, unsigned count, uint64_t *seed)
{
    for (unsigned i = count; i-- > 1;) {
        unsigned other = next_random(seed) % (i + 1), kept = order[i];

        order[i] = order[other];
        order[other] = kept;
    }
}

/* Each VM sends to as many as send to it: no VM has more peers than it may. */
static int link_at_random(struct world *world, uint64_t *seed)
{
    unsigned order[MOST_VMS];
    struct ferry_link *link;
    int result = 0;

    for (unsigned i = 0; i < world->count; i++)
        order[i] = i;
    shuffle(order, world->count, seed);
    for (unsigned i = 0; i < world->count && result == 0; i++)
        if (order[i] != i)
            result = make_link(world, world->vm[i], world->vm[order[i]], &link);
    return result;
}

/* The ring first: its next is the first peer a VM may send to. */
static int make_links(struct world *world)
{
    struct ferry_link *link;
    uint64_t seed = 1;
    int result = 0;

    for (unsigned i = 0; i < world->count && result == 0; i++)
        result = make_link(world, world->vm[i], world->vm[(i + 1) % world->count], &link);
    for (int i = 0; i < PEERS && result == 0; i++)
        result = link_at_random(world, &seed);
    world->entrances = world->count < ENTRANCES ? world->count : ENTRANCES;
    for (unsigned i = 0; i < world->entrances && result == 0; i++)
        result = make_link(world, NULL, world->vm[i * (world->count / world->entrances)],
                           &world->entrance[i]);
    return result;
}

/* Each VM writes a byte when its program runs. */
static int start_vms(struct world *world)
{
    struct ferry_error err;
    int result = 0;
    char byte;

    for (unsigned i = 0; i < world->count && result == 0; i++) {
        uint64_t begin = bench_now_ns();
        result = say(ferry_vm_start(world->vm[i], &err), &err);
        if (result == 0 && read(world->ready[0], &byte, 1) != 1)
            result = -EIO;
        world->start_ns[i] = bench_now_ns() - begin;
    }
    return result;
}

static void world_free(struct world *world)
{
    for (unsigned i = 0; i < world->count; i++)
        ferry_vm_destroy(world->vm[i]);
    ferry_engine_destroy(world->engine);
    close(world->ready[0]);
    close(world->ready[1]);
    free(world);
}

/* ---- tokens ------------------------------------------------------------- */

static uint64_t received(const struct world *world)
{
    struct ferry_vm_stats stats;
    uint64_t sum = 0;

    for (unsigned i = 0; i < world->count; i++) {
        ferry_vm_stats(world->vm[i], &stats);
        sum += stats.messages_received;
    }
    return sum;
}

struct exchange {
    struct world *world;
    enum token_way way;
    unsigned tokens;
    uint32_t hops; /* of each */
};

/* Gives all tokens in and waits until the last has made its last hop. */
static int run_tokens(struct bench *bench, const void *arg, struct sample *out)
{
    const struct exchange *exchange = arg;
    const struct world *world = exchange->world;
    const struct timespec nap = {.tv_nsec = LOOK_NS};
    uint32_t hops = bench_quick(bench) ? exchange->hops / 2 : exchange->hops;
    uint64_t messages = (uint64_t)exchange->tokens * (hops + 1);

    uint64_t goal = received(world) + messages, begin = bench_now_ns();
    for (unsigned i = 0; i < exchange->tokens; i++) {
        struct token token = {.way = exchange->way, .hops = hops, .seed = i};
        const struct ferry_message message = {
            .mode = FERRY_INLINE, .data = &token, .bytes = sizeof token};

        int result = ferry_link_send(world->entrance[i % world->entrances], &message, UINT64_MAX);
        if (result < 0)
            return result;
    }
    while (received(world) < goal)
        nanosleep(&nap, NULL);
    out->value = (double)(bench_now_ns() - begin) / (double)messages / 1000;
    return 0;
}

/* ---- figures ------------------------------------------------------------ */

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Of the last VMs. */
static double median_us(const uint64_t *all, unsigned count)
{
    uint64_t times[LAST];

    memcpy(times, all + count - LAST, sizeof times);
    qsort(times, LAST, sizeof *times, compare);
    uint64_t middle = times[LAST / 2];

    return (double)middle / 1e3;
}

/* One more VM by KVM's own ioctls; NAN: it cannot be made. */
struct bare_times {
    double make_us, close_us;
};

/* What is told of a number of VMs beside the cost of messages. */
struct scale {
    unsigned count;
    const char *label;
    double make_us, start_us; /* of one of the last VMs */
    struct bare_times bare;
    double update_us;
    double own_mib, taken_mib;
};

/*
 * What one page-table update costs while they all exist. KVM asks to be told
 * of each, once for each VM of the process, whatever its address.
 */
static double update_us(void)
{
    const size_t bytes = 4096;
    volatile char *page =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        return NAN;
    uint64_t begin = bench_now_ns();
    for (int i = 0; i < UPDATES; i++) {
        page[0] = 1;
        mprotect((void *)(uintptr_t)page, bytes, PROT_NONE);
        mprotect((void *)(uintptr_t)page, bytes, PROT_READ | PROT_WRITE);
    }
    double us = (double)(bench_now_ns() - begin) / 1000 / UPDATES;
    munmap((void *)(uintptr_t)page, bytes);
    return us;
}

/*
 * VM, slot, vCPU and registers, while all the others exist: the kernel's own
 * cost grows with the VMs of the process.
 */
static struct bare_times bare_times(void)
{
    uint64_t make_ns[LAST], close_ns[LAST];
    struct bare_kvm kvm;
    int result = bare_kvm_open(&kvm);

    for (int i = 0; i < LAST && result == 0; i++) {
        struct bare_vm bare;

        uint64_t begin = bench_now_ns();
        result = bare_vm_make(&bare, &kvm);
        uint64_t made = bench_now_ns();
        bare_vm_free(&bare);
        make_ns[i] = made - begin;
        close_ns[i] = bench_now_ns() - made;
    }
    bare_kvm_close(&kvm);
    if (result < 0)
        return (struct bare_times){NAN, NAN};
    return (struct bare_times){median_us(make_ns, LAST), median_us(close_ns, LAST)};
}

static void look(const struct world *world, const struct memory *before, struct scale *scale)
{
    struct memory after;

    memory_read(&after);
    scale->make_us = median_us(world->make_ns, world->count);
    scale->start_us = median_us(world->start_ns, world->count);
    scale->bare = bare_times();
    scale->update_us = update_us();
    scale->own_mib = (after.own - before->own) / 1024;
    scale->taken_mib = (after.taken - before->taken) / 1024;
}

#define RING   "a token round a ring"
#define RANDOM "tokens at random"

static int scale_to(struct bench *bench, struct scale *scale)
{
    struct world *world = calloc(1, sizeof *world);
    const struct comparison comparison = {PART, scale->label, scale->count, "us", true};
    struct memory before;

    if (!world)
        return -ENOMEM;
    const struct exchange ring = {world, TOKEN_RING, 1, RING_HOPS};
    const struct exchange random = {world, TOKEN_RANDOM, TOKENS, RANDOM_HOPS};
    const struct way ways[] = {{RING, run_tokens, &ring}, {RANDOM, run_tokens, &random}};

    world->count = scale->count;
    memory_read(&before);
    int result = pipe(world->ready) < 0 ? -errno : make_vms(bench, world);
    if (result == 0)
        result = make_links(world);
    if (result == 0)
        result = start_vms(world);
    if (result == 0) {
        bench_compare(bench, &comparison, ways, 2);
        look(world, &before, scale);
    }
    world_free(world);
    return result;
}

/* Two descriptors for each VM. */
static void raise_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void figure(struct bench *bench, const struct scale *scale, const char *what, double value,
                   const char *unit)
{
    char name[96];

    snprintf(name, sizeof name, "%s: %s", scale->label, what);
    if (!isnan(value))
        bench_figure(bench, PART, name, value, unit);
}

/* Against the least number of VMs. */
static void report(struct bench *bench, const struct scale *scale, const struct scale *least)
{
    static const char *const ways[] = {RING, RANDOM};
    char what[64];

    figure(bench, scale, "ferry_vm_create, one of the last", scale->make_us, "us");
    figure(bench, scale, "bare KVM ioctls, one VM more", scale->bare.make_us, "us");
    figure(bench, scale, "bare KVM ioctls, closing it", scale->bare.close_us, "us");
    figure(bench, scale, "start until the program runs, one of the last", scale->start_us, "us");
    figure(bench, scale, "closing and opening a page", scale->update_us, "us");
    figure(bench, scale, "resident memory", scale->own_mib, "MiB");
    figure(bench, scale, "less memory available", scale->taken_mib, "MiB");
    if (scale == least || least->make_us == 0) /* --row left that one out */
        return;
    figure(bench, scale, "create and start / of 10 VMs",
           (scale->make_us + scale->start_us) / (least->make_us + least->start_us), "x");
    for (int i = 0; i < 2; i++) {
        snprintf(what, sizeof what, "%s / of 10 VMs", ways[i]);
        figure(bench, scale, what,
               bench_median(bench, PART, scale->label, ways[i]) /
                   bench_median(bench, PART, least->label, ways[i]),
               "x");
    }
}

void part_scale(struct bench *bench)
{
    struct scale scales[] = {{.count = 10, .label = "10 VMs"},
                             {.count = 100, .label = "100 VMs"},
                             {.count = MOST_VMS, .label = "1000 VMs"}};
    size_t count = bench_quick(bench) ? 2 : 3;

    raise_limit();
    for (size_t i = 0; i < count; i++) {
        if (!bench_wants(bench, PART, scales[i].label))
            continue;
        if (scale_to(bench, &scales[i]) < 0)
            return;
        report(bench, &scales[i], &scales[0]);
    }
}
