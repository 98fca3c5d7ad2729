/* SPDX-License-Identifier: BSD-2-Clause */
/* One connection at a time; see serve_slot.h. */
#include "serve_slot.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "command.h"
#include "ending.h"
#include "serve.h"

/* After its time limit a VM has ended; so long its last output may take. */
#define GRACE_NS 100000000ull

#define STACK_BYTES (512u << 10)

/* ---- a connection ------------------------------------------------------------------ */

static void *input_main(void *arg)
{
    input_run(arg);
    return NULL;
}

static int start_thread(pthread_t *thread, void *(*run)(void *), void *arg)
{
    pthread_attr_t attr;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    int result = pthread_create(thread, &attr, run, arg);
    pthread_attr_destroy(&attr);
    return result;
}

/* The VM begins at the point where its program was ready. */
static int begin_vm(struct slot *slot, struct ferry_error *error)
{
    int result = slot->begun ? ferry_vm_reset(slot->vm, error) : ferry_vm_start(slot->vm, error);

    if (result == 0)
        slot->begun = true;
    return result;
}

/* Its bytes both ways, until the program has ended. Nothing waits for the peer then. */
static int carry(struct slot *slot, int fd, struct ferry_vm_exit *end)
{
    pthread_t reader;

    input_again(&slot->input);
    slot->input.fd = slot->output.fd = fd;
    slot->output.bytes = 0;
    int result = start_thread(&reader, input_main, &slot->input);
    if (result == 0) {
        output_run(&slot->output);
        if (slot->output.error)
            (void)ferry_link_refuse(slot->out);
        (void)shutdown(fd, SHUT_WR);
    } else {
        ferry_vm_stop(slot->vm, SIGTERM);
    }
    (void)ferry_vm_wait(slot->vm, UINT64_MAX, end);
    (void)shutdown(fd, SHUT_RDWR);
    output_finish(&slot->output);
    if (result == 0)
        pthread_join(reader, NULL);
    return result;
}

static void describe_peer(int fd, char *text, size_t bytes)
{
    struct ucred peer;
    socklen_t length = sizeof peer;

    *text = '\0';
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.pid > 0)
        snprintf(text, bytes, " of uid %u (pid %d)", peer.uid, peer.pid);
}

/* What went wrong between the peer and the program; that it left is told by how the program ended. */
static void describe_failure(const struct slot *slot, char *text, size_t bytes)
{
    const int errors[] = {slot->input.read_error, slot->input.send_error, slot->output.error};
    static const char *const doing[] = {"read", "send on", "write"};

    *text = '\0';
    for (size_t i = 0; i < sizeof errors / sizeof *errors && !*text; i++)
        if (errors[i] && errors[i] != EPIPE && errors[i] != ECONNRESET)
            snprintf(text, bytes, "; cannot %s all: %s", doing[i], strerror(errors[i]));
}

static void log_connection(const struct slot *slot, const char *peer,
                           const struct ferry_vm_exit *end, uint64_t start_ns)
{
    char failure[96];

    describe_failure(slot, failure, sizeof failure);
    say("connection %" PRIu64 "%s: %s; %" PRIu64 " bytes in, %" PRIu64 " out, %.1f ms%s",
        slot->number, peer, end->text, slot->input.bytes, slot->output.bytes,
        (double)(now_ns() - start_ns) / 1e6, failure);
}

static void serve(struct slot *slot)
{
    const uint64_t start = now_ns();
    struct ferry_vm_exit end;
    struct ferry_error error;
    char peer[64];

    describe_peer(slot->fd, peer, sizeof peer);
    int result = begin_vm(slot, &error);
    if (result != 0) {
        say("connection %" PRIu64 "%s is not served: %s", slot->number, peer, error.text);
        return;
    }
    pthread_mutex_lock(&slot->server->lock);
    if (slot->server->stopping) /* it began after it was told to end */
        ferry_vm_stop(slot->vm, SIGTERM);
    pthread_mutex_unlock(&slot->server->lock);
    result = carry(slot, slot->fd, &end);
    if (result != 0)
        say("connection %" PRIu64 "%s is not served: no thread: %s", slot->number, peer,
            strerror(result));
    else
        log_connection(slot, peer, &end, start);
}

/* ---- the thread -------------------------------------------------------------------- */

static void tell(const struct server *server)
{
    eventfd_write(server->changed_fd, 1);
}

/* Runs the program until it asks for input. */
static void warm(struct slot *slot)
{
    struct server *server = slot->server;
    const uint64_t start = now_ns();
    struct ferry_error error;
    int result = ferry_vm_snapshot(slot->vm, UINT64_MAX, &error);

    ferry_vm_stop(slot->vm, SIGKILL); /* it goes on when there is a connection */
    pthread_mutex_lock(&server->lock);
    slot->begun = true;
    slot->state = SLOT_FREE;
    server->ready = result == 0;
    server->failed = result != 0;
    if (result != 0 && !server->stopping)
        say("%s: %s", server->stage->label, error.text);
    else if (server->options->verbose)
        say("%s is ready after %.0f ms", server->stage->label, (double)(now_ns() - start) / 1e6);
    tell(server);
    pthread_mutex_unlock(&server->lock);
}

static void *slot_main(void *arg)
{
    struct slot *slot = arg;
    struct server *server = slot->server;

    if (slot->is_first)
        warm(slot);
    pthread_mutex_lock(&server->lock);
    while (!server->stopping) {
        if (slot->fd < 0) {
            pthread_cond_wait(&server->changed, &server->lock);
            continue;
        }
        pthread_mutex_unlock(&server->lock);
        serve(slot);
        pthread_mutex_lock(&server->lock);
        close(slot->fd);
        slot->fd = -1;
        slot->state = SLOT_FREE;
        tell(server);
    }
    pthread_mutex_unlock(&server->lock);
    return NULL;
}

int slot_start(struct slot *slot)
{
    const struct server *server = slot->server;

    slot->input.link = slot->in;
    slot->input.transfer = server->options->transfer;
    slot->input.crossover_bytes = server->info.crossover_bytes;
    slot->output.link = slot->out;
    slot->state = slot->is_first ? SLOT_WARMS : SLOT_FREE;
    slot->fd = -1;
    int result = start_thread(&slot->thread, slot_main, slot);
    slot->has_thread = result == 0;
    if (result != 0)
        slot->state = SLOT_UNUSED;
    return result;
}

void slot_serve(struct slot *slot, int fd, uint64_t number)
{
    uint64_t limit = slot->server->options->timeout_ns;

    slot->state = SLOT_SERVES;
    slot->fd = fd;
    slot->number = number;
    if (!limit || __builtin_add_overflow(now_ns() + GRACE_NS, limit, &slot->last_ns))
        slot->last_ns = UINT64_MAX;
    pthread_cond_broadcast(&slot->server->changed);
}

void slot_cut(struct slot *slot)
{
    if (slot->fd >= 0)
        (void)shutdown(slot->fd, SHUT_RDWR);
    slot->last_ns = UINT64_MAX;
}

void slot_end(struct slot *slot)
{
    if (!slot->has_thread)
        return;
    ferry_vm_stop(slot->vm, SIGTERM);
    pthread_join(slot->thread, NULL);
}
