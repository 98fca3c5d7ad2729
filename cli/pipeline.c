/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A pipeline of VMs between standard input and standard output; see
 * pipeline.h.
 *
 * Threads: one pumps input, one output, one waits for the VMs to end; the
 * main thread waits for the latter two and for signals. The VMs' own threads
 * are the library's.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include <glib.h>

#include "cache.h"
#include "command.h"
#include "pipeline.h"
#include "rlimits.h"
#include "stages.h"
#include "stats.h"

/* Of the pool: what input and the stages may have on their way, and some for
 * guests that ask for more. However long the input, it stays at that. Each VM
 * maps the whole pool, so its size is bounded: in a long pipeline each stage
 * gets less, at PIPELINE_STAGES still the two that it needs to fill one while
 * the other is on its way. */
#define EXTENTS_OF_STAGES 256
#define EXTENTS_PER_STAGE 8
#define EXTENTS_SPARE     8
_Static_assert(EXTENTS_OF_STAGES / PIPELINE_STAGES >= 2, "too few extents for a stage");

/* How long output may go on after --timeout ended the VMs: what arrived may be
 * written, but a reader that takes nothing does not hold the command up. */
#define GRACE_MS 1000

/* How often a pump that was told to stop is interrupted until it does. */
#define INTERRUPT_MS 10

enum part { PART_VMS = 1, PART_OUTPUT = 2, PART_INPUT = 4 };

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void log_line(void *arg, enum ferry_log_level level, const char *line)
{
    (void)arg;
    (void)level;
    say("%s", line);
}

/* ---- making --------------------------------------------------------------- */

/* How many extents each stage may own. */
static uint32_t stage_extents(const struct pipeline *p)
{
    return (uint32_t)MIN(EXTENTS_OF_STAGES / p->count, EXTENTS_PER_STAGE);
}

/* A thread may run where the one that made it may: the polling one is made on its CPU. */
static int create_engine(struct pipeline *p, const struct ferry_engine_config *config,
                         struct ferry_error *error)
{
    cpu_set_t before, only;
    bool pinned = p->options->polled && p->options->polled_cpu >= 0 &&
                  sched_getaffinity(0, sizeof before, &before) == 0;

    if (pinned) {
        CPU_ZERO(&only);
        CPU_SET(p->options->polled_cpu, &only);
        sched_setaffinity(0, sizeof only, &only);
    }
    int result = ferry_engine_create(config, &p->engine, error);
    if (pinned)
        sched_setaffinity(0, sizeof before, &before);
    return result;
}

static int make_engine(struct pipeline *p)
{
    struct ferry_error error;
    char *cache = cache_path();
    struct ferry_engine_config config = {
        .pool_extents = INPUT_EXTENTS + stage_extents(p) * (uint32_t)p->count + EXTENTS_SPARE,
        .log_level = p->options->verbose ? FERRY_LOG_DEBUG : FERRY_LOG_WARNING,
        .log = log_line,
        .polled = p->options->polled,
        .measure_cache = cache,
    };
    int rc = create_engine(p, &config, &error);

    g_free(cache);
    if (rc != 0) {
        say("%s", error.text);
        return STATUS_FERRY;
    }
    return 0;
}

static int status_of_create(int rc)
{
    switch (rc) {
    case -ENOENT:
        return STATUS_NOT_FOUND;
    case -EACCES:
    case -ENOEXEC:
        return STATUS_CANNOT_RUN;
    default:
        return STATUS_FERRY;
    }
}

static int make_vms(struct pipeline *p)
{
    const struct options *options = p->options;

    for (size_t i = 0; i < p->count; i++) {
        struct stage *stage = &p->stages[i];
        struct ferry_error error;
        struct ferry_vm_config config = {
            .name = stage->name,
            .program = stage->program,
            .argv = stage->argv,
            .envp = (char *const *)options->env->pdata,
            .memory_bytes = options->memory_bytes,
            .pool_extents = stage_extents(p),
            .read_only_dirs = (const char *const *)options->read_only->pdata,
            .delivery = options->delivery,
            .transfer = options->transfer,
            .timeout_ns = options->timeout_ns,
        };
        int rc = ferry_vm_create(p->engine, &config, &stage->vm, &error);

        if (rc != 0) {
            int status = status_of_create(rc);
            bool advise = stage->advice && status == STATUS_CANNOT_RUN;

            say("%s: %s%s%s", stage->label, error.text, advise ? "; or " : "",
                advise ? stage->advice : "");
            return status;
        }
    }
    return 0;
}

static int make_links(struct pipeline *p)
{
    struct ferry_error error;

    for (size_t i = 0; i <= p->count; i++) {
        struct ferry_vm *from = i == 0 ? NULL : p->stages[i - 1].vm;
        struct ferry_vm *to = i == p->count ? NULL : p->stages[i].vm;
        const struct ferry_link_config config = {.stream = true,
                                                 .direct = p->options->direct && from && to};

        if (ferry_link_create(p->engine, from, to, &config, &p->links[i], &error) != 0) {
            say("%s", error.text);
            return STATUS_FERRY;
        }
    }
    return 0;
}

/* Blocks the signals that ask to end, for every thread made from here on;
 * those that are ignored (nohup) stay so. */
static int catch_signals(struct pipeline *p)
{
    static const int asked[] = {SIGHUP, SIGINT, SIGPIPE, SIGTERM};

    sigemptyset(&p->signals);
    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        struct sigaction action;

        if (sigaction(asked[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(&p->signals, asked[i]);
    }
    pthread_sigmask(SIG_BLOCK, &p->signals, NULL);
    p->signal_fd = signalfd(-1, &p->signals, SFD_CLOEXEC | SFD_NONBLOCK);
    p->done_fd = eventfd(0, EFD_CLOEXEC);
    if (p->signal_fd < 0 || p->done_fd < 0) {
        say("cannot make a descriptor: %s; raise 'ulimit -n'", strerror(errno));
        return STATUS_FERRY;
    }
    return 0;
}

static int make(struct pipeline *p)
{
    p->links = g_new0(struct ferry_link *, p->count + 1);
    p->link_stats = g_new0(struct ferry_link_stats, p->count + 1);
    int status = catch_signals(p);

    if (status == 0)
        status = make_engine(p);
    if (status == 0)
        status = make_vms(p);
    if (status == 0)
        status = make_links(p);
    return status;
}

/* ---- running -------------------------------------------------------------- */

static void part_ended(struct pipeline *p, enum part part)
{
    atomic_fetch_or(&p->done, part);
    eventfd_write(p->done_fd, 1);
}

static void *input_main(void *arg)
{
    struct pipeline *p = arg;

    input_run(&p->input);
    part_ended(p, PART_INPUT);
    return NULL;
}

static void *output_main(void *arg)
{
    struct pipeline *p = arg;

    output_run(&p->output);
    part_ended(p, PART_OUTPUT);
    return NULL;
}

static void *wait_main(void *arg)
{
    struct pipeline *p = arg;

    for (size_t i = 0; i < p->count; i++)
        (void)ferry_vm_wait(p->stages[i].vm, UINT64_MAX, &p->stages[i].exit);
    part_ended(p, PART_VMS);
    return NULL;
}

/* Its stack is small and does not depend on 'ulimit -s', which may ask for more than there is. */
static int start_thread(pthread_t *thread, void *(*run)(void *), struct pipeline *p)
{
    pthread_attr_t attr;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 512 << 10);
    int rc = pthread_create(thread, &attr, run, p);
    pthread_attr_destroy(&attr);
    return rc;
}

static int start_threads(struct pipeline *p)
{
    const struct {
        pthread_t *thread;
        void *(*run)(void *);
    } threads[] = {
        {&p->input_thread, input_main},
        {&p->output_thread, output_main},
        {&p->wait_thread, wait_main},
    };

    for (; p->threads < sizeof(threads) / sizeof(threads[0]); p->threads++) {
        int rc = start_thread(threads[p->threads].thread, threads[p->threads].run, p);

        if (rc != 0) {
            char line[160];

            snprintf(line, sizeof(line), "cannot start a thread: %s", strerror(rc));
            rlimits_advise(line, sizeof(line), -rc);
            say("%s", line);
            return STATUS_FERRY;
        }
    }
    return 0;
}

static int start(struct pipeline *p)
{
    struct ferry_engine_info info;
    struct ferry_error error;

    ferry_engine_info(p->engine, &info);
    p->input.link = p->links[0];
    p->input.transfer = p->options->transfer;
    p->input.crossover_bytes = info.crossover_bytes;
    p->output.link = p->links[p->count];
    p->start_ns = now_ns();
    for (size_t i = 0; i < p->count; i++) {
        if (ferry_vm_start(p->stages[i].vm, &error) != 0) {
            say("%s: %s", p->stages[i].label, error.text);
            return STATUS_FERRY;
        }
    }
    return start_threads(p);
}

static void stop_vms(struct pipeline *p, int signo)
{
    p->stopped = true;
    for (size_t i = 0; i < p->count; i++)
        ferry_vm_stop(p->stages[i].vm, signo);
}

static bool any_timed_out(const struct pipeline *p)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->stages[i].exit.how == FERRY_ENDED_TIMEOUT)
            return true;
    return false;
}

static void clear_done(struct pipeline *p)
{
    eventfd_t ignored;

    eventfd_read(p->done_fd, &ignored);
}

/* Waits until all has ended, or there is a reason to end it. */
static void watch(struct pipeline *p)
{
    struct pollfd fds[] = {
        {.fd = p->signal_fd, .events = POLLIN},
        {.fd = p->done_fd, .events = POLLIN},
    };

    for (;;) {
        unsigned done = atomic_load(&p->done);
        bool grace = (done & PART_VMS) && any_timed_out(p);
        struct signalfd_siginfo info;

        if ((done & PART_OUTPUT) && p->output.error != 0) {
            /* Nobody reads our output: end as every filter does then. */
            if (p->output.error == EPIPE && sigismember(&p->signals, SIGPIPE))
                p->signo = SIGPIPE;
            stop_vms(p, SIGPIPE);
            return;
        }
        if ((done & PART_VMS) && (done & PART_OUTPUT))
            return;
        int n = poll(fds, 2, grace ? GRACE_MS : -1);
        if (n == 0)
            return;
        if (fds[0].revents && read(p->signal_fd, &info, sizeof(info)) == sizeof(info)) {
            p->signo = (int)info.ssi_signo;
            stop_vms(p, p->signo);
            return;
        }
        if (fds[1].revents)
            clear_done(p);
    }
}

/* ---- taking down ---------------------------------------------------------- */

static void join_pump(struct pipeline *p, pthread_t thread, enum part part)
{
    struct pollfd ended = {.fd = p->done_fd, .events = POLLIN};

    while (!(atomic_load(&p->done) & part)) {
        pump_interrupt(thread);
        if (poll(&ended, 1, INTERRUPT_MS) > 0)
            clear_done(p);
    }
    pthread_join(thread, NULL);
}

/* After watch: each VM has ended or was told to. The order matters: figures
 * of a VM go with it; destroying the VMs brings loans home and wakes a
 * pump that waits for one. */
static void finish(struct pipeline *p)
{
    atomic_store(&p->input.stop, true);
    atomic_store(&p->output.stop, true);
    if (p->threads > 2)
        pthread_join(p->wait_thread, NULL);
    p->end_ns = now_ns();
    for (size_t i = 0; i < p->count; i++) {
        if (p->stages[i].vm)
            ferry_vm_stats(p->stages[i].vm, &p->stages[i].stats);
        ferry_vm_destroy(p->stages[i].vm);
        p->stages[i].vm = NULL;
    }
    if (p->threads > 0) {
        join_pump(p, p->input_thread, PART_INPUT);
        input_finish(&p->input);
    }
    if (p->threads > 1) {
        join_pump(p, p->output_thread, PART_OUTPUT);
        output_finish(&p->output);
    }
    if (p->engine && p->threads > 2) {
        for (size_t i = 0; i <= p->count; i++)
            ferry_link_stats(p->links[i], &p->link_stats[i]);
        ferry_engine_ledger(p->engine, &p->ledger);
    }
    ferry_engine_destroy(p->engine);
}

/* Whether it ended because we stopped the VMs: at once, or by writing to one
 * that was stopped before it. */
static bool was_stopped(const struct pipeline *p, const struct ferry_vm_exit *end)
{
    return p->stopped && (end->how == FERRY_ENDED_STOPPED ||
                          (end->how == FERRY_ENDED_SIGNAL && end->signo == SIGPIPE));
}

/* One line for each stage that failed by itself. Returns the status of the
 * last one. */
static int report_stages(const struct pipeline *p)
{
    int status = 0;

    for (size_t i = 0; i < p->count; i++) {
        const struct stage *stage = &p->stages[i];
        const struct ferry_vm_exit *end = &stage->exit;

        if (was_stopped(p, end))
            continue;
        if (end->how == FERRY_ENDED_EXIT && end->status == 0)
            continue;
        char *note = stages_note(stage);
        say("%s: %s%s", stage->label, end->text, note);
        g_free(note);
        status = end->status;
    }
    return status;
}

static int report(const struct pipeline *p)
{
    int status = report_stages(p);
    bool output_failed = p->output.error != 0 && p->output.error != ECANCELED && p->signo == 0;

    if (output_failed) {
        say("cannot write to standard output: %s; the output is not complete",
            strerror(p->output.error));
    }
    if (output_failed || (p->input.failed && status == 0))
        status = STATUS_IO;
    if (p->ledger.leaked != 0) {
        say("%llu units of the pool leaked; this is a fault in Ferry, please report it",
            (unsigned long long)p->ledger.leaked);
    }
    if (p->options->stats == STATS_JSON)
        stats_print_json(p);
    else if (p->options->stats == STATS_TABLE)
        stats_print_table(p);
    return status;
}

/* Ends as the signal would have ended us, so that whoever started us sees it. */
static void die_of(struct pipeline *p)
{
    signal(p->signo, SIG_DFL);
    raise(p->signo);
    pthread_sigmask(SIG_UNBLOCK, &p->signals, NULL);
}

int pipeline_run(struct pipeline *p)
{
    p->signal_fd = p->done_fd = -1;
    int status = make(p);

    if (status == 0)
        status = start(p);
    if (status == 0)
        watch(p);
    finish(p);
    if (status == 0)
        status = report(p);
    g_free(p->links);
    g_free(p->link_stats);
    if (p->signal_fd >= 0)
        close(p->signal_fd);
    if (p->done_fd >= 0)
        close(p->done_fd);
    if (p->signo != 0)
        die_of(p);
    return status;
}
