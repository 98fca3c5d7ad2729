/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A pipeline of VMs between standard input and standard output; see
 * pipeline.h.
 *
 * Threads: one pumps input; one pumps output, and then waits for the VMs to
 * end; the main thread waits for the latter and for signals. The VMs' own
 * threads are the library's.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <glib.h>

#include "command.h"
#include "ending.h"
#include "jail.h"
#include "lib/rlimits.h"
#include "make.h"
#include "pipeline.h"
#include "process.h"
#include "stages.h"
#include "stats.h"

/* Sizes of the pool: the extents that input and the stages may have on their way, and some for
 * guests that ask for more. They do not depend on the length of the input. Each VM maps the whole
 * pool, so its size is bounded: in a long pipeline each stage gets less. With PIPELINE_STAGES
 * stages each still gets two, so that it can fill one while the other is on its way. */
#define EXTENTS_OF_STAGES 256
#define EXTENTS_PER_STAGE 8
#define EXTENTS_SPARE     8
/* Units that the last stage moves to the host count there, up to as many as a stage may own. */
_Static_assert(EXTENTS_SPARE >= EXTENTS_PER_STAGE, "the last stage can take from others");
_Static_assert(EXTENTS_OF_STAGES / PIPELINE_STAGES >= 2, "too few extents for a stage");

/* ---- making --------------------------------------------------------------- */

/* How many extents each stage may own. */
static uint32_t stage_extents(const struct pipeline *p)
{
    return (uint32_t)MIN(EXTENTS_OF_STAGES / p->count, EXTENTS_PER_STAGE);
}

bool pipeline_can_use(int fd)
{
    int status = fcntl(fd, F_GETFL);
    int wrong = fd == STDIN_FILENO ? O_WRONLY : O_RDONLY;

    return status >= 0 && (status & O_ACCMODE) != wrong;
}

/* A standard descriptor that is closed for us is closed for the stages that would inherit it. */
static uint32_t closed_fds(const struct pipeline *p, size_t stage)
{
    uint32_t closed = pipeline_can_use(STDERR_FILENO) ? 0 : 1u << STDERR_FILENO;

    if (stage == 0 && !pipeline_can_use(STDIN_FILENO))
        closed |= 1u << STDIN_FILENO;
    if (stage == p->count - 1 && !pipeline_can_use(STDOUT_FILENO))
        closed |= 1u << STDOUT_FILENO;
    return closed;
}

static int make_vms(struct pipeline *p)
{
    int status = 0;

    for (size_t i = 0; i < p->count && status == 0; i++) {
        struct ferry_vm_config config = make_config(p->options, &p->stages[i]);

        config.pool_extents = stage_extents(p);
        config.closed_fds = closed_fds(p, i);
        config.trace = p->trace.fd >= 0 ? trace_event : NULL;
        config.trace_arg = &p->trace;
        status = make_vm(p->engine, &config, &p->stages[i]);
    }
    return status;
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

/* Signals still have their default effect here: nothing is lost by ending at once. */
static int make(struct pipeline *p)
{
    p->links = g_new0(struct ferry_link *, p->count + 1);
    p->link_stats = g_new0(struct ferry_link_stats, p->count + 1);
    int status = trace_open(&p->trace, p->options);

    if (status == 0)
        status = make_engine(p->options,
                             INPUT_EXTENTS + stage_extents(p) * (uint32_t)p->count + EXTENTS_SPARE,
                             &p->engine);
    if (status == 0)
        status = make_vms(p);
    if (status == 0)
        status = make_links(p);
    if (status == 0 && p->gives)
        status = process_give(p);
    return status;
}

/* ---- running -------------------------------------------------------------- */

static void *input_main(void *arg)
{
    struct pipeline *p = arg;

    input_run(&p->input);
    if (p->input.read_error)
        say("cannot read standard input: %s; redirect it from a file or a pipe",
            strerror(p->input.read_error));
    if (p->input.send_error)
        say("cannot send input to the first stage: %s", strerror(p->input.send_error));
    ending_note(p, PART_INPUT);
    return NULL;
}

/* The VMs as well: the last one ends its output when it ends, and the others are over by then or
 * soon. A thread more would be one more to start, and to wake twice at the end. */
static void *output_main(void *arg)
{
    struct pipeline *p = arg;

    output_run(&p->output);
    if (p->output.error != 0) { /* the VMs may wait for what comes of it */
        ending_note(p, PART_OUTPUT);
        return NULL;
    }
    atomic_fetch_or(&p->done, PART_OUTPUT);
    for (size_t i = 0; i < p->count; i++)
        (void)ferry_vm_wait(p->stages[i].vm, UINT64_MAX, NULL);
    ending_note(p, PART_VMS);
    return NULL;
}

/* Its stack is small and does not depend on 'ulimit -s', which may ask for more than there is. */
static int start_thread(pthread_t *thread, void *(*run)(void *), struct pipeline *p)
{
    pthread_attr_t attr;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 512 << 10);
    int result = pthread_create(thread, &attr, run, p);
    pthread_attr_destroy(&attr);
    return result;
}

static int start_threads(struct pipeline *p)
{
    const struct {
        pthread_t *thread;
        void *(*run)(void *);
    } threads[] = {
        {&p->input_thread, input_main},
        {&p->output_thread, output_main},
    };

    for (; p->threads < sizeof(threads) / sizeof(threads[0]); p->threads++) {
        int result = start_thread(threads[p->threads].thread, threads[p->threads].run, p);

        if (result != 0) {
            char line[160];

            snprintf(line, sizeof(line), "cannot start a thread: %s", strerror(result));
            rlimits_advise(line, sizeof(line), -result);
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
    p->input.fd = STDIN_FILENO;
    p->input.most_extents = INPUT_EXTENTS;
    p->input.transfer = p->options->transfer;
    p->input.none = p->options->no_stdin;
    p->input.crossover_bytes = info.crossover_bytes;
    p->output.link = p->links[p->count];
    p->output.fd = STDOUT_FILENO;
    int status = ending_prepare(p);
    if (status != 0)
        return status;
    status = jail_close(p->options, p->engine);
    if (status != 0)
        return status;
    p->start_ns = now_ns();
    for (size_t i = 0; i < p->count; i++) {
        if (ferry_vm_start(p->stages[i].vm, &error) != 0) {
            say("%s: %s", p->stages[i].label, error.text);
            return STATUS_FERRY;
        }
    }
    return start_threads(p);
}

/* ---- reporting ------------------------------------------------------------ */

/* Whether it ended by a signal by which we end as well, or because we stopped the VMs (directly, or
 * because it wrote to one that was stopped before it), or because nobody reads its output, as the
 * command itself ends then. */
static bool was_stopped(const struct pipeline *p, const struct ferry_vm_exit *end)
{
    if (p->gives && p->signo != 0 && end->how == FERRY_ENDED_SIGNAL && end->signo == p->signo)
        return true;
    return p->stopped && (end->how == FERRY_ENDED_STOPPED ||
                          (end->how == FERRY_ENDED_SIGNAL && end->signo == SIGPIPE) ||
                          (p->signo == SIGPIPE && end->output_unread));
}

/* Whether a stage ended because the next one takes no more. Then only the status of the next one
 * counts. The reader of standard output is outside the pipeline; its leaving is reported. */
static bool was_enough(const struct pipeline *p, size_t i)
{
    const struct ferry_vm_exit *end = &p->stages[i].exit;

    return i + 1 < p->count && end->how == FERRY_ENDED_SIGNAL && end->signo == SIGPIPE &&
           end->output_unread;
}

/* One line for each stage that failed by itself. Returns the status of the
 * last one. */
static int report_stages(const struct pipeline *p)
{
    int status = 0;

    for (size_t i = 0; i < p->count; i++) {
        const struct stage *stage = &p->stages[i];
        const struct ferry_vm_exit *end = &stage->exit;

        if (was_stopped(p, end) || was_enough(p, i))
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
    if (output_failed || ((p->input.read_error || p->input.send_error) && status == 0))
        status = STATUS_IO;
    if (p->output_late && status == 0) {
        say("standard output did not take all within the time limit; the output is not complete");
        status = STATUS_TIMEOUT;
    }
    make_check_ledger(&p->ledger);
    if (p->options->stats == STATS_JSON)
        stats_print_json(p);
    else if (p->options->stats == STATS_TABLE)
        stats_print_table(p);
    return status;
}

int pipeline_run(struct pipeline *p)
{
    p->signal_fd = p->done_fd = p->null_fd = -1;
    if (p->gives)
        process_keep_modes();
    int status = make(p);

    if (status == 0)
        status = start(p);
    if (status == 0)
        ending_watch(p);
    ending_finish(p);
    int traced = trace_close(&p->trace, p->options);
    if (status == 0)
        status = report(p);
    if (status == 0)
        status = traced;
    g_free(p->links);
    g_free(p->link_stats);
    if (p->signal_fd >= 0)
        close(p->signal_fd);
    if (p->done_fd >= 0)
        close(p->done_fd);
    if (p->null_fd >= 0)
        close(p->null_fd);
    if (p->signo != 0)
        ending_die(p);
    return status;
}
