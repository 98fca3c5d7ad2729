/* SPDX-License-Identifier: BSD-2-Clause */
/* Small messages one way, as many as go: 32 bytes of payload, from core to core. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ferry/ferry.h>

#include "bench.h"
#include "duo.h"
#include "slot_ring.h"

#define PART  "messages"
#define LABEL "32 B"
#define BYTES 32

/* ---- processes ---------------------------------------------------------- */

/* The second side sends, the first receives and times all but the first tenth. */
struct flow {
    int in, out;
    struct ring *ring;
    uint64_t count;
    double ns; /* of one message */
};

static int send_all(void *arg)
{
    struct flow *flow = arg;
    uint64_t data[BYTES / 8] = {0};

    for (uint64_t i = 0; i < flow->count; i++) {
        data[0] = i;
        if (flow->ring)
            ring_put(flow->ring, i);
        else if (write(flow->out, data, BYTES) != BYTES)
            return -EIO;
    }
    return 0;
}

static int take_one(struct flow *flow, uint64_t *number)
{
    uint64_t data[BYTES / 8];

    if (flow->ring) {
        *number = ring_take(flow->ring);
        return 0;
    }
    /* Writes of 32 bytes into a pipe are whole and aligned, so reads are too. */
    if (read(flow->in, data, BYTES) != BYTES)
        return -EIO;
    *number = data[0];
    return 0;
}

static int take_all(void *arg)
{
    struct flow *flow = arg;
    uint64_t warm_up = flow->count / 10, start = 0;

    for (uint64_t i = 0; i < flow->count; i++) {
        uint64_t number;

        if (take_one(flow, &number) < 0 || number != i)
            return -EIO;
        if (i == warm_up)
            start = bench_now_ns();
    }
    flow->ns = (double)(bench_now_ns() - start) / (double)(flow->count - 1 - warm_up);
    return 0;
}

static int run_flow(struct flow *flow, struct sample *out)
{
    const struct duo_cores cores = {0, 1};

    int result = duo_processes(cores, take_all, send_all, flow);
    out->value = 1000 / flow->ns;
    return result;
}

static int run_ring(struct bench *bench, const void *arg, struct sample *out)
{
    struct flow flow = {.ring = ring_new(), .count = 2000000};

    (void)bench, (void)arg;
    int result = flow.ring ? run_flow(&flow, out) : -ENOMEM;
    ring_free(flow.ring);
    return result;
}

static int run_ends(const int ends[2], struct sample *out)
{
    struct flow flow = {.in = ends[0], .out = ends[1], .count = 100000};
    int result = run_flow(&flow, out);

    close(ends[0]);
    close(ends[1]);
    return result;
}

static int run_pipe(struct bench *bench, const void *arg, struct sample *out)
{
    int ends[2];

    (void)bench, (void)arg;
    if (pipe(ends) < 0)
        return -errno;
    return run_ends(ends, out);
}

static int run_seqpacket(struct bench *bench, const void *arg, struct sample *out)
{
    int ends[2];

    (void)bench, (void)arg;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) < 0)
        return -errno;
    return run_ends(ends, out);
}

/* ---- virtual machines --------------------------------------------------- */

struct setting {
    const char *name;
    const char *when; /* "immediate", "deferred" */
    const char *how;  /* the receiver: "wait", "poll" */
    bool polled;      /* an engine that polls, on the receiver's core */
    bool direct;      /* a link of a ring that both VMs map */
    uint64_t count;
};

static uint64_t count_of(const struct bench *bench, const struct setting *setting)
{
    return bench_quick(bench) ? setting->count / 2 : setting->count;
}

static int run_setting(struct bench *bench, const struct setting *setting,
                       struct duo_result *result)
{
    uint64_t count = count_of(bench, setting);
    char source_words[64], sink_words[64];
    const struct duo_vms vms = {
        .vm = {{"message_source", source_words}, {"message_sink", sink_words}},
        .cores = {1, 0},
        .two_way = true,
        .direct = setting->direct,
        .polled = setting->polled,
        .reporter = 1,
    };

    snprintf(source_words, sizeof source_words, "%s %" PRIu64, setting->when, count);
    snprintf(sink_words, sizeof sink_words, "%s %" PRIu64, setting->how, count);
    return duo_vms(bench, &vms, result);
}

static int run_vms(struct bench *bench, const void *arg, struct sample *out)
{
    struct duo_result result;

    int error = run_setting(bench, arg, &result);
    if (error == 0)
        out->value = 1000 / result.report.ns;
    return error;
}

#define DEFERRED  "Ferry, deferred"
#define WAITED    "Ferry, deferred, receiver waits"
#define POLLED    "Ferry, polled engine, receiver waits"
#define DIRECT    "Ferry, direct link"
#define IMMEDIATE "Ferry, immediate"

static const struct setting settings[] = {
    {DEFERRED, "deferred", "poll", false, false, 1000000},
    {WAITED, "deferred", "wait", false, false, 1000000},
    {POLLED, "deferred", "wait", true, false, 300000},
    {IMMEDIATE, "immediate", "poll", false, false, 2000},
    {DIRECT, "auto", "poll", false, true, 2000000},
};

static const struct way ways[] = {
    {"shared ring, both poll", run_ring, NULL},
    {"AF_UNIX SEQPACKET", run_seqpacket, NULL},
    {"Unix pipe", run_pipe, NULL},
    {DEFERRED, run_vms, &settings[0]},
    {WAITED, run_vms, &settings[1]},
    {POLLED, run_vms, &settings[2]},
    {IMMEDIATE, run_vms, &settings[3]},
    {DIRECT, run_vms, &settings[4]},
};

static void count_exits(struct bench *bench, const struct setting *setting)
{
    struct duo_result result;
    char name[96];

    if (run_setting(bench, setting, &result) < 0)
        return;
    for (int side = 0; side < 2; side++) {
        const struct ferry_vm_stats *stats = &result.stats[side];
        uint64_t exits = stats->exits_immediate + stats->exits_natural;

        snprintf(name, sizeof name, "%s: exits of the %s", setting->name,
                 side ? "receiver" : "sender");
        bench_figure(bench, PART, name, (double)exits, "");
        snprintf(name, sizeof name, "%s: messages per exit of the %s", setting->name,
                 side ? "receiver" : "sender");
        bench_figure(bench, PART, name, (double)count_of(bench, setting) / (double)exits, "");
    }
}

void part_messages(struct bench *bench)
{
    const struct comparison comparison = {PART, LABEL, BYTES, "million/s", false};

    if (!bench_wants(bench, PART, LABEL))
        return;
    bench_compare(bench, &comparison, ways, sizeof ways / sizeof *ways);
    double deferred = bench_median(bench, PART, LABEL, DEFERRED);
    double immediate = bench_median(bench, PART, LABEL, IMMEDIATE);
    if (!isnan(deferred) && !isnan(immediate))
        bench_figure(bench, PART, "deferred / immediate", deferred / immediate, "x");
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        count_exits(bench, &settings[i]);
}
