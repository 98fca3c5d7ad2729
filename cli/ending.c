/* SPDX-License-Identifier: BSD-2-Clause */
/* How a running pipeline ends; see ending.h. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "ending.h"
#include "process.h"

/* For so long output and messages may still go out once the pipeline was asked to end. So output
 * that is there can be written, but a reader that takes nothing does not hold the command up. */
#define GRACE_MS 100

/* How often a pump that was told to stop is interrupted until it does. */
#define INTERRUPT_MS 5

/* Some programs send a signal twice: timeout(1) does, to its child and to its group. A second one
 * within this time is the same request. */
#define REPEATED_MS 20

#define MS 1000000ull

uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- signals -------------------------------------------------------------- */

bool ending_ignores(int signo)
{
    struct sigaction action;

    return sigaction(signo, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

/* Blocks the signals that ask to end, for every thread made from here on;
 * those that are ignored (nohup) stay so. */
int ending_prepare(struct pipeline *p)
{
    static const int asked[] = {SIGHUP, SIGINT, SIGPIPE, SIGTERM};

    sigemptyset(&p->signals);
    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        if (!ending_ignores(asked[i]))
            sigaddset(&p->signals, asked[i]);
    }
    sigset_t taken = p->signals;
    if (p->gives)
        process_signals(&taken);
    pthread_sigmask(SIG_BLOCK, &taken, NULL);
    p->signal_fd = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
    p->done_fd = eventfd(0, EFD_CLOEXEC);
    if (p->signal_fd < 0 || p->done_fd < 0) {
        say("cannot make a descriptor: %s; raise 'ulimit -n'", strerror(errno));
        return STATUS_FERRY;
    }
    return 0;
}

/* The time of the first signal; 0: none came. For the handler below. */
static _Atomic uint64_t signalled_ns;

/* The signal takes effect when the handler returns. */
static void signalled_again(int signo)
{
    if (now_ns() - signalled_ns < REPEATED_MS * MS)
        return;
    process_restore_modes();
    signal(signo, SIG_DFL);
    raise(signo);
}

/* From now on a further signal ends the process, whatever it waits for. SIGPIPE does not: a message
 * without a reader is no request to end. */
static void end_at_next_signal(const struct pipeline *p)
{
    struct sigaction action = {.sa_handler = signalled_again, .sa_flags = SA_RESTART};
    sigset_t further = p->signals;

    sigdelset(&further, SIGPIPE);
    for (int signo = 1; signo < SIGRTMIN; signo++)
        if (sigismember(&further, signo) == 1)
            sigaction(signo, &action, NULL);
    pthread_sigmask(SIG_UNBLOCK, &further, NULL);
}

void ending_die(struct pipeline *p)
{
    const struct rlimit none = {0, 0}; /* a core would be ours, not the program's */
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, p->signo);
    setrlimit(RLIMIT_CORE, &none);
    signal(p->signo, SIG_DFL);
    raise(p->signo);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* ---- watching ------------------------------------------------------------- */

void ending_note(struct pipeline *p, enum part part)
{
    atomic_fetch_or(&p->done, part);
    eventfd_write(p->done_fd, 1);
}

static void clear_done(struct pipeline *p)
{
    eventfd_t ignored;

    eventfd_read(p->done_fd, &ignored);
}

static void stop_vms(struct pipeline *p, int signo)
{
    p->stopped = true;
    say_until(now_ns() + GRACE_MS * MS);
    for (size_t i = 0; i < p->count; i++)
        ferry_vm_stop(p->stages[i].vm, signo);
}

/* When the pipeline is over, whatever its output does: a little after the library
 * stopped the VMs. */
static uint64_t last_moment(const struct pipeline *p)
{
    uint64_t moment;

    if (p->options->timeout_ns == 0 ||
        __builtin_add_overflow(p->start_ns + GRACE_MS * MS, p->options->timeout_ns, &moment))
        return UINT64_MAX;
    return moment;
}

/* For poll: rounded up, so that the moment is over when it returns; -1: for ever. */
static int ms_until(uint64_t moment)
{
    uint64_t now = now_ns();

    if (moment == UINT64_MAX)
        return -1;
    uint64_t ms = moment > now ? (moment - now + MS - 1) / MS : 0;
    return ms < 1000000 ? (int)ms : 1000000;
}

static void take_signal(struct pipeline *p)
{
    struct signalfd_siginfo info;

    if (read(p->signal_fd, &info, sizeof(info)) != sizeof(info))
        return;
    if (p->gives && process_signal(p, (int)info.ssi_signo))
        return;
    signalled_ns = now_ns();
    p->signo = (int)info.ssi_signo;
    stop_vms(p, p->signo);
}

/* The last stage may wait for exactly that, or never write again. So it is told, and goes on or
 * ends as with a pipe. */
static void tell_reader_left(struct pipeline *p)
{
    p->reader_left = true;
    (void)ferry_link_refuse(p->links[p->count]);
}

/* Output cannot be written. If nobody reads it, the command ends as any filter does. */
static void end_unwritten(struct pipeline *p)
{
    if (p->output.error == EPIPE && sigismember(&p->signals, SIGPIPE))
        p->signo = SIGPIPE;
    stop_vms(p, SIGPIPE);
}

/* Whether the last stage, which has ended, wrote output that nobody read. */
static bool ended_unread(const struct pipeline *p)
{
    struct ferry_vm_exit end;

    return ferry_vm_wait(p->stages[p->count - 1].vm, 0, &end) == 0 && end.output_unread;
}

void ending_watch(struct pipeline *p)
{
    struct pollfd fds[] = {
        {.fd = p->signal_fd, .events = POLLIN},
        {.fd = p->done_fd, .events = POLLIN},
        {.fd = STDOUT_FILENO, .events = 0}, /* POLLERR: its reader left */
    };
    uint64_t last = last_moment(p);

    say_until(last);
    while (p->signo == 0) {
        unsigned done = atomic_load(&p->done);

        if ((done & PART_VMS) && p->reader_left && ended_unread(p))
            p->output.error = EPIPE; /* as if the output pump had tried to write */
        if ((done & PART_OUTPUT) && p->output.error != 0) {
            end_unwritten(p);
            return;
        }
        if ((done & PART_VMS) && (done & PART_OUTPUT)) {
            p->signo = p->gives ? process_ended_by(p) : 0;
            return;
        }
        if (now_ns() >= last) {
            p->output_late = !(done & PART_OUTPUT);
            return;
        }
        poll(fds, sizeof(fds) / sizeof(fds[0]), ms_until(last));
        if (fds[0].revents)
            take_signal(p);
        if (fds[1].revents)
            clear_done(p);
        process_drop_closed(p);
        if (fds[2].revents) {
            if (fds[2].revents & POLLERR)
                tell_reader_left(p);
            fds[2].fd = -1; /* once */
        }
    }
}

/* ---- taking down ---------------------------------------------------------- */

/* Waits until these pumps are over. They may be blocked in a system call, or be about to block. */
static void await(struct pipeline *p, unsigned parts)
{
    struct pollfd ended = {.fd = p->done_fd, .events = POLLIN};
    unsigned left;

    while ((left = parts & ~atomic_load(&p->done)) != 0) {
        if (left & PART_INPUT)
            pump_interrupt(p->input_thread);
        if (left & PART_OUTPUT)
            pump_interrupt(p->output_thread);
        if (poll(&ended, 1, INTERRUPT_MS) > 0)
            clear_done(p);
    }
    if (parts & PART_INPUT)
        pthread_join(p->input_thread, NULL);
    if (parts & PART_OUTPUT)
        pthread_join(p->output_thread, NULL);
}

/* Each has ended, or was told to. */
static void await_vms(struct pipeline *p)
{
    for (size_t i = 0; i < p->count; i++)
        (void)ferry_vm_wait(p->stages[i].vm, UINT64_MAX, &p->stages[i].exit);
}

static void destroy_vms(struct pipeline *p)
{
    for (size_t i = 0; i < p->count; i++) {
        ferry_vm_destroy(p->stages[i].vm);
        p->stages[i].vm = NULL;
    }
}

/* Figures are taken before the VMs and links are freed. */
static void take_figures(struct pipeline *p)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->stages[i].vm)
            ferry_vm_stats(p->stages[i].vm, &p->stages[i].stats);
    for (size_t i = 0; i <= p->count; i++)
        if (p->links[i])
            ferry_link_stats(p->links[i], &p->link_stats[i]);
}

/* After watch each VM has ended or was told to, so no VM waits for a pump. The input pump may wait
 * for loans that are in the queue of the output pump, which takes no more: so the waits of both are
 * cancelled. The loans that output holds go home before input frees their extents; the links, which
 * are freed with the VMs, are used until then. */
void ending_finish(struct pipeline *p)
{
    unsigned pumps = (p->threads > 0 ? PART_INPUT : 0) | (p->threads > 1 ? PART_OUTPUT : 0);

    if (p->threads > 0)
        end_at_next_signal(p);
    atomic_store(&p->input.stop, true);
    atomic_store(&p->output.stop, true);
    if (p->links[0])
        ferry_link_cancel(p->links[0]);
    if (p->links[p->count])
        ferry_link_cancel(p->links[p->count]);
    if (p->threads > 1)
        await_vms(p);
    p->end_ns = now_ns();
    await(p, pumps);
    if (p->threads > 1)
        output_finish(&p->output);
    if (p->threads > 0)
        input_finish(&p->input);
    take_figures(p);
    destroy_vms(p);
    if (p->threads > 1)
        ferry_engine_ledger(p->engine, &p->ledger);
    ferry_engine_destroy(p->engine);
}
