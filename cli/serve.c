/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `ferry serve`: each connection to a socket gets a fresh copy of a program that is ready.
 *
 * All VMs and links are made before the jail is closed; the program runs first in it, until it asks for
 * input. Threads: one for each slot that was ever needed, and while it serves one more that reads; the main
 * thread takes connections, and waits for signals.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib.h>

#include "command.h"
#include "ending.h"
#include "jail.h"
#include "make.h"
#include "serve.h"
#include "serve_listen.h"
#include "stages.h"

/* Extents of the pool for each connection: on its way in, and out. */
#define EXTENTS_IN    4
#define EXTENTS_OUT   4
#define EXTENTS_SPARE 8

#define MS       1000000ull
#define PAUSE_MS 1000
#define RETRY_MS 100

#define WATCHED 3

/* ---- making ------------------------------------------------------------------------ */

static int make_links(struct server *server, struct slot *slot)
{
    const struct ferry_link_config config = {.stream = true};
    struct ferry_error error;

    if (ferry_link_create(server->engine, NULL, slot->vm, &config, &slot->in, &error) == 0 &&
        ferry_link_create(server->engine, slot->vm, NULL, &config, &slot->out, &error) == 0)
        return 0;
    say("%s", error.text);
    return STATUS_FERRY;
}

static int make_copy(struct server *server, struct slot *slot)
{
    const struct options *options = server->options;
    const struct ferry_vm_config config = {
        .copy_of = server->stage->vm,
        .pool_extents = EXTENTS_OUT,
        .delivery = options->delivery,
        .transfer = options->transfer,
        .timeout_ns = options->timeout_ns,
        .cpu_ns = options->cpu_ns,
    };
    struct ferry_error error;

    if (ferry_vm_create(server->engine, &config, &slot->vm, &error) == 0)
        return 0;
    say("%s", error.text);
    return STATUS_FERRY;
}

static int make_slot(struct server *server, unsigned i)
{
    struct slot *slot = &server->slots[i];
    struct ferry_vm_config config = make_config(server->options, server->stage);
    int status;

    config.pool_extents = EXTENTS_OUT;
    *slot = (struct slot){.server = server, .is_first = i == 0, .fd = -1};
    slot->input.most_extents = EXTENTS_IN;
    if (i == 0) {
        status = make_vm(server->engine, &config, server->stage);
        slot->vm = server->stage->vm;
    } else {
        status = make_copy(server, slot);
    }
    return status != 0 ? status : make_links(server, slot);
}

/* Signals that ask to end come by a descriptor, for every thread made from here on. */
static int make_descriptors(struct server *server)
{
    static const int asked[] = {SIGHUP, SIGINT, SIGTERM};

    sigemptyset(&server->signals);
    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++)
        if (!ending_ignores(asked[i]))
            sigaddset(&server->signals, asked[i]);
    signal(SIGPIPE, SIG_IGN);
    pthread_sigmask(SIG_BLOCK, &server->signals, NULL);
    server->signal_fd = signalfd(-1, &server->signals, SFD_CLOEXEC | SFD_NONBLOCK);
    server->changed_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->signal_fd >= 0 && server->changed_fd >= 0)
        return 0;
    say("cannot make a descriptor: %s; raise 'ulimit -n'", strerror(errno));
    return STATUS_FERRY;
}

static int make(struct server *server)
{
    const uint32_t extents = server->count * (EXTENTS_IN + EXTENTS_OUT) + EXTENTS_SPARE;
    int status = make_engine(server->options, extents, &server->engine);

    server->slots = g_new0(struct slot, server->count);
    for (unsigned i = 0; i < server->count && status == 0; i++)
        status = make_slot(server, i);
    if (status == 0)
        status = serve_listen(server->options->listen, &server->listen_fd);
    if (status == 0)
        status = make_descriptors(server);
    if (status == 0)
        ferry_engine_info(server->engine, &server->info);
    return status != 0 ? status : jail_close(server->options, server->engine);
}

/* ---- running ----------------------------------------------------------------------- */

/* A slot that can serve a connection now, or one that nobody needed so far. Under the lock. */
static struct slot *vacant(struct server *server)
{
    for (unsigned i = 0; i < server->count && server->ready; i++)
        if (server->slots[i].state == SLOT_FREE || server->slots[i].state == SLOT_UNUSED)
            return &server->slots[i];
    return NULL;
}

/* One that was there has gone, or there is no descriptor or memory for it: it stays, so it is tried again
 * after a while. */
static void wait_a_while(struct server *server, int error)
{
    if (error == EINTR || error == EAGAIN || error == ECONNABORTED)
        return;
    say("cannot take a connection: %s; raise 'ulimit -n', or lower --max", strerror(error));
    server->pause_ns = now_ns() + PAUSE_MS * MS;
}

/* Under the lock. */
static void take_connection(struct server *server)
{
    struct slot *slot = vacant(server);
    int fd = slot ? accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC) : -1;
    int result = 0;

    if (fd < 0) {
        if (slot)
            wait_a_while(server, errno);
        return;
    }
    if (!slot->has_thread)
        result = slot_start(slot);
    if (result == 0) {
        slot_serve(slot, fd, ++server->connections);
        return;
    }
    say("connection %llu is not served: no thread: %s", (unsigned long long)++server->connections,
        strerror(result));
    close(fd);
}

/* Cuts the connections whose time is over, and tells when to look again. Under the lock. */
static uint64_t cut_late(struct server *server)
{
    uint64_t now = now_ns(), next = server->pause_ns > now ? server->pause_ns : UINT64_MAX;

    for (unsigned i = 0; i < server->count; i++) {
        struct slot *slot = &server->slots[i];

        if (slot->state != SLOT_SERVES)
            continue;
        if (slot->last_ns <= now)
            slot_cut(slot);
        next = MIN(next, slot->last_ns);
    }
    return next;
}

static int ms_until(uint64_t moment)
{
    uint64_t now = now_ns();

    if (moment == UINT64_MAX)
        return -1;
    return moment > now ? (int)MIN((moment - now + MS - 1) / MS, 1000000) : 0;
}

static void take_signal(struct server *server)
{
    struct signalfd_siginfo info;

    if (read(server->signal_fd, &info, sizeof(info)) == sizeof(info)) {
        server->signo = (int)info.ssi_signo;
    } else if (errno != EAGAIN && errno != EINTR) { /* else nothing could end it but SIGKILL */
        say("cannot read which signal came: %s; the server ends", strerror(errno));
        server->signo = SIGTERM;
    }
}

/* Where the kernel cannot wait for want of memory, all are looked at after a while; none of them blocks. */
static void await(struct pollfd fds[WATCHED], int timeout_ms)
{
    const struct timespec while_ns = {.tv_nsec = (long)(RETRY_MS * MS)};

    if (poll(fds, WATCHED, timeout_ms) >= 0 || errno == EINTR)
        return;
    nanosleep(&while_ns, NULL);
    for (size_t i = 0; i < WATCHED; i++)
        fds[i].revents = fds[i].fd >= 0 ? POLLIN : 0;
}

static void watch(struct server *server)
{
    struct pollfd fds[WATCHED] = {{.fd = server->signal_fd, .events = POLLIN},
                                  {.fd = server->changed_fd, .events = POLLIN},
                                  {.events = POLLIN}};
    eventfd_t unused;

    while (server->signo == 0) {
        pthread_mutex_lock(&server->lock);
        uint64_t next = cut_late(server);
        bool failed = server->failed;
        fds[2].fd = vacant(server) && server->pause_ns <= now_ns() ? server->listen_fd : -1;
        pthread_mutex_unlock(&server->lock);
        if (failed)
            return;
        await(fds, ms_until(next));
        if (fds[0].revents)
            take_signal(server);
        if (fds[1].revents)
            eventfd_read(server->changed_fd, &unused);
        if (fds[2].revents && server->signo == 0) {
            pthread_mutex_lock(&server->lock);
            take_connection(server);
            pthread_mutex_unlock(&server->lock);
        }
    }
}

static int run(struct server *server)
{
    int result = slot_start(&server->slots[0]);

    if (result != 0) {
        say("cannot start a thread: %s", strerror(result));
        return STATUS_FERRY;
    }
    say_soon(); /* who reads the log and stops must not stop the server */
    watch(server);
    return server->failed ? STATUS_FERRY : 0;
}

/* ---- ending ------------------------------------------------------------------------ */

/* From now on a further signal ends the process at once. */
static void stop(struct server *server)
{
    for (int signo = 1; signo < SIGRTMIN; signo++)
        if (sigismember(&server->signals, signo) == 1)
            signal(signo, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &server->signals, NULL);
    pthread_mutex_lock(&server->lock);
    server->stopping = true;
    for (unsigned i = 0; i < server->count; i++)
        slot_cut(&server->slots[i]);
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
    for (unsigned i = 0; i < server->count; i++)
        slot_end(&server->slots[i]);
}

static void finish(struct server *server)
{
    struct ferry_ledger ledger = {0};

    /* With its links, and the buffers on them. */
    for (unsigned i = 0; server->slots && i < server->count; i++)
        ferry_vm_destroy(i == 0 ? server->stage->vm : server->slots[i].vm);
    if (server->engine)
        ferry_engine_ledger(server->engine, &ledger);
    make_check_ledger(&ledger);
    ferry_engine_destroy(server->engine);
    g_free(server->slots);
    if (server->listen_fd >= 0)
        close(server->listen_fd);
    if (server->signal_fd >= 0)
        close(server->signal_fd);
    if (server->changed_fd >= 0)
        close(server->changed_fd);
}

static int serve(const struct options *options, struct stage *stage)
{
    struct server server = {.options = options,
                            .stage = stage,
                            .count = options->most ? options->most : SERVE_DEFAULT,
                            .listen_fd = -1,
                            .signal_fd = -1,
                            .changed_fd = -1,
                            .lock = PTHREAD_MUTEX_INITIALIZER,
                            .changed = PTHREAD_COND_INITIALIZER};
    int status = make(&server);

    if (status == 0) {
        status = run(&server);
        stop(&server);
    }
    finish(&server);
    if (server.signo != 0)
        raise(server.signo);
    return status;
}

/* ---- the command ------------------------------------------------------------------- */

/* One operand is a stage, as for `ferry pipe`; several are a program and its arguments. */
static int find_program(struct pipeline *pipeline, char **operands)
{
    int status = operands[1] ? stages_of_run(pipeline, operands, operands[-1])
                             : stages_of_pipe(pipeline, operands, operands[-1]);

    if (status == 0 && pipeline->count != 1) {
        say("serve: %zu stages, and a server runs one program; name one, which reads the "
            "connection itself",
            pipeline->count);
        status = STATUS_USAGE;
    }
    return status != 0 ? status : stages_find_programs(pipeline);
}

static const char *refused_option(const struct options *options)
{
    return options->direct                ? "--direct"
           : options->no_stdin            ? "--no-stdin"
           : options->trace               ? "--trace"
           : options->stats != STATS_NONE ? "--stats"
                                          : NULL;
}

int command_serve(int argc, char **argv)
{
    struct options options;
    int status;
    int first = options_parse(&options, argc, argv, &status);
    struct pipeline pipeline = {.options = &options};

    if (first > 0 && (first == argc || argv[first][0] == '\0')) {
        say("serve: no program given; write ferry serve --listen PATH 'PROGRAM ARGS', see 'ferry "
            "serve --help'");
        status = STATUS_USAGE;
    } else if (first > 0 && refused_option(&options)) {
        say("serve: %s is not for a server; see 'ferry serve --help'", refused_option(&options));
        status = STATUS_USAGE;
    } else if (first > 0) {
        status = find_program(&pipeline, argv + first);
        if (status == 0)
            status = serve(&options, &pipeline.stages[0]);
        stages_free(&pipeline);
    }
    options_free(&options);
    return status;
}
