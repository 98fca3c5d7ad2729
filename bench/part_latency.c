/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Round trips of one small message. Processes exchange 64 bytes; an inline
 * message of Ferry is 64 bytes too, 32 of them payload.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ferry/ferry.h>

#include "bench.h"
#include "duo.h"
#include "slot_ring.h"

#define PART  "latency"
#define BYTES 64

#define MOST_EXCHANGES 40000
#define WAITED         3000 /* exchanges of a run where each is a wake-up */
#define POLLED         40000

static const struct duo_cores two_cores = {0, 1}, one_core = {0, 0};

/* ---- processes ---------------------------------------------------------- */

/* An exchange between processes; each side reads [side] and writes to the other. */
struct exchange {
    int in[2], out[2];
    size_t bytes;         /* 8 for an eventfd */
    struct ring *ring[2]; /* what each side receives */
    size_t count;
    struct report report;
};

static int send_fd(struct exchange *exchange, int side)
{
    static const uint64_t data[BYTES / 8] = {1};

    return write(exchange->out[side], data, exchange->bytes) < 0 ? -errno : 0;
}

static int receive_fd(struct exchange *exchange, int side)
{
    uint64_t data[BYTES / 8];

    for (size_t done = 0; done < exchange->bytes;) {
        ssize_t got = read(exchange->in[side], (char *)data + done, exchange->bytes - done);

        if (got <= 0)
            return got < 0 ? -errno : -EPIPE;
        done += (size_t)got;
    }
    return 0;
}

static int send_one(struct exchange *exchange, int side)
{
    if (!exchange->ring[0])
        return send_fd(exchange, side);
    ring_put(exchange->ring[!side], 1);
    return 0;
}

static int receive_one(struct exchange *exchange, int side)
{
    if (!exchange->ring[0])
        return receive_fd(exchange, side);
    ring_take(exchange->ring[side]);
    return 0;
}

static int ping(void *arg)
{
    static uint64_t ticks[MOST_EXCHANGES];
    struct exchange *exchange = arg;
    struct stopwatch watch = {0};
    size_t warm_up = exchange->count / 10;

    for (size_t i = 0; i < exchange->count + warm_up; i++) {
        if (i == warm_up)
            stopwatch_start(&watch, ticks);
        uint64_t start = __rdtsc();
        int result = send_one(exchange, 0);
        if (result == 0)
            result = receive_one(exchange, 0);
        if (result < 0)
            return result;
        ticks[i < warm_up ? i : i - warm_up] = __rdtsc() - start;
    }
    stopwatch_stop(&watch, exchange->count, &exchange->report);
    return 0;
}

static int pong(void *arg)
{
    struct exchange *exchange = arg;
    int result = 0;

    for (size_t i = 0; i < exchange->count + exchange->count / 10 && result == 0; i++) {
        result = receive_one(exchange, 1);
        if (result == 0)
            result = send_one(exchange, 1);
    }
    return result;
}

static void fill(struct sample *out, const struct report *report)
{
    *out = (struct sample){.value = report->ns / 1000,
                           .p50 = report->ns / 1000,
                           .p90 = report->p90 / 1000,
                           .p99 = report->p99 / 1000,
                           .p999 = report->p999 / 1000};
}

static int run_exchange(struct bench *bench, struct exchange *exchange,
                        const struct duo_cores *cores, struct sample *out)
{
    exchange->count = bench_quick(bench) ? WAITED / 4 : WAITED;
    if (exchange->ring[0])
        exchange->count = POLLED;
    int result = duo_processes(*cores, ping, pong, exchange);
    if (result == 0)
        fill(out, &exchange->report);
    return result;
}

static int run_descriptors(struct bench *bench, struct exchange *exchange, const void *cores,
                           struct sample *out)
{
    int result = run_exchange(bench, exchange, cores, out);

    for (int side = 0; side < 2; side++) {
        close(exchange->in[side]);
        if (exchange->out[side] != exchange->in[!side] && exchange->out[side] != exchange->in[side])
            close(exchange->out[side]);
    }
    return result;
}

static int run_eventfd(struct bench *bench, const void *cores, struct sample *out)
{
    int a = eventfd(0, EFD_CLOEXEC), b = eventfd(0, EFD_CLOEXEC);
    struct exchange exchange = {.in = {a, b}, .out = {b, a}, .bytes = 8};

    return a < 0 || b < 0 ? -errno : run_descriptors(bench, &exchange, cores, out);
}

static int run_pipe(struct bench *bench, const void *cores, struct sample *out)
{
    int a[2], b[2];

    if (pipe(a) < 0 || pipe(b) < 0)
        return -errno;
    struct exchange exchange = {.in = {a[0], b[0]}, .out = {b[1], a[1]}, .bytes = BYTES};
    return run_descriptors(bench, &exchange, cores, out);
}

static int run_unix(struct bench *bench, const void *cores, struct sample *out)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
        return -errno;
    struct exchange exchange = {
        .in = {ends[0], ends[1]}, .out = {ends[0], ends[1]}, .bytes = BYTES};
    return run_descriptors(bench, &exchange, cores, out);
}

static int run_ring(struct bench *bench, const void *cores, struct sample *out)
{
    struct exchange exchange = {.ring = {ring_new(), ring_new()}};
    int result = -ENOMEM;

    if (exchange.ring[0] && exchange.ring[1])
        result = run_exchange(bench, &exchange, cores, out);
    ring_free(exchange.ring[0]);
    ring_free(exchange.ring[1]);
    return result;
}

/* ---- virtual machines --------------------------------------------------- */

/* How both of two VMs send and receive: the same guest programs for all. */
struct setting {
    const char *when; /* "auto", "immediate", "deferred" */
    const char *how;  /* "wait", "poll" */
    const struct duo_cores *cores;
    bool polled; /* an engine that polls, on the second core */
    bool direct; /* links of a ring that both VMs map */
    size_t count;
};

static int run_vms(struct bench *bench, const void *arg, struct sample *out)
{
    const struct setting *setting = arg;
    size_t count = bench_quick(bench) ? setting->count / 4 : setting->count;
    char ping_words[64], pong_words[64];
    const struct duo_vms vms = {
        .vm = {{"latency_ping", ping_words}, {"latency_pong", pong_words}},
        .cores = *setting->cores,
        .two_way = true,
        .direct = setting->direct,
        .polled = setting->polled,
    };
    struct duo_result result;

    snprintf(ping_words, sizeof ping_words, "%s %s %zu", setting->when, setting->how, count);
    snprintf(pong_words, sizeof pong_words, "%s %s", setting->when, setting->how);
    int error = duo_vms(bench, &vms, &result);
    if (error == 0)
        fill(out, &result.report);
    return error;
}

/* The least that a round trip of waiting VMs needs. */
static int run_exits(struct bench *bench, const void *arg, struct sample *out)
{
    const struct duo_cores *cores = arg;
    struct ferry_machine machine;

    (void)bench;
    bench_pin(cores->first);
    ferry_machine_probe(&machine);
    bench_pin(-1);
    out->value = 2 * (double)machine.exit_ns / 1000;
    return machine.exit_ns == 0 ? -ENOTSUP : 0;
}

static const struct setting both_wait = {"deferred", "wait", &two_cores, false, false, WAITED};
static const struct setting both_wait_auto = {"auto", "wait", &two_cores, false, false, WAITED};
static const struct setting both_poll = {"immediate", "poll", &two_cores, false, false, WAITED};
static const struct setting engine_polls = {"deferred", "wait", &two_cores, true, false, WAITED};
static const struct setting direct_poll = {"auto", "poll", &two_cores, false, true, POLLED};
static const struct setting direct_wait = {"auto", "wait", &two_cores, false, true, WAITED};
static const struct setting one_core_wait = {"deferred", "wait", &one_core, false, false, WAITED};
static const struct setting one_core_auto = {"auto", "wait", &one_core, false, false, WAITED};

#define EVENTFD   "eventfd"
#define EXITS     "two exits"
#define BOTH_WAIT "Ferry, both wait (32 B inline)"
#define TWO_CORES "two cores"
#define ONE_CORE  "one core"

static const struct way on_two_cores[] = {
    {EVENTFD, run_eventfd, &two_cores},
    {"Unix pipe", run_pipe, &two_cores},
    {"AF_UNIX stream", run_unix, &two_cores},
    {"shared ring, both poll", run_ring, &two_cores},
    {EXITS, run_exits, &two_cores},
    {BOTH_WAIT, run_vms, &both_wait},
    {"Ferry, both wait, auto (32 B inline)", run_vms, &both_wait_auto},
    {"Ferry, both poll, doorbells (32 B inline)", run_vms, &both_poll},
    {"Ferry, direct link, both poll (32 B inline)", run_vms, &direct_poll},
    {"Ferry, direct link, both wait (32 B inline)", run_vms, &direct_wait},
    {"Ferry, both wait, polled engine (32 B inline)", run_vms, &engine_polls},
};

static const struct way on_one_core[] = {
    {EVENTFD, run_eventfd, &one_core},
    {"Unix pipe", run_pipe, &one_core},
    {"AF_UNIX stream", run_unix, &one_core},
    {EXITS, run_exits, &one_core},
    {BOTH_WAIT, run_vms, &one_core_wait},
    {"Ferry, both wait, auto (32 B inline)", run_vms, &one_core_auto},
};

/*
 * A round trip of two VMs that wait makes two exits: a message is sent by the exit of the wait. So
 * it may take one and a half times as long as an eventfd's, plus the two exits.
 */
static void compare_with_eventfd(struct bench *bench, const char *label)
{
    double eventfd_us = bench_median(bench, PART, label, EVENTFD);
    double exits_us = bench_median(bench, PART, label, EXITS);
    double ferry_us = bench_median(bench, PART, label, BOTH_WAIT);
    char name[96];

    if (isnan(eventfd_us) || isnan(exits_us) || isnan(ferry_us))
        return;
    snprintf(name, sizeof name, "%s: both wait / (1.5 eventfd + 2 exits)", label);
    bench_figure(bench, PART, name, ferry_us / (1.5 * eventfd_us + exits_us), "x");
}

void part_latency(struct bench *bench)
{
    const struct comparison two = {PART, TWO_CORES, 2, "us", true};
    const struct comparison one = {PART, ONE_CORE, 1, "us", true};

    bench_compare(bench, &two, on_two_cores, sizeof on_two_cores / sizeof *on_two_cores);
    bench_compare(bench, &one, on_one_core, sizeof on_one_core / sizeof *on_one_core);
    compare_with_eventfd(bench, TWO_CORES);
    compare_with_eventfd(bench, ONE_CORE);
}
