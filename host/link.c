/* SPDX-License-Identifier: BSD-2-Clause */
/* Links: who may send to whom. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "clock.h"
#include "direct.h"
#include "engine.h"
#include "error.h"
#include "identity.h"
#include "queue.h"
#include "ring.h"
#include "vm.h"

#define DEFAULT_MESSAGES 16
#define MOST_MESSAGES    48

/* The host's end of a link with `vm`: an endpoint whose window is the VMM's own view. An end that
 * sends gets units from the pool, where some are kept for it. An end that receives owns no more units
 * than the VM may; what is moved to it beyond that waits until the host frees some. */
static int host_endpoint(struct ferry_engine *engine, const struct ferry_vm *vm, bool sends,
                         struct endpoint **out)
{
    int result = engine_endpoint_new(engine, NULL, out);
    if (result < 0)
        return result;
    struct endpoint *endpoint = *out;
    endpoint_lock(endpoint); /* a report of another thread may read what is set here */
    snprintf(endpoint->name, sizeof endpoint->name, "host");
    endpoint_unlock(endpoint);
    endpoint->window_addr = (uint64_t)engine->pool.base;
    endpoint->most_extents = sends ? engine->pool.extents : vm->endpoint->most_extents;
    endpoint->most_pages = sends ? engine->pool.pages : vm->endpoint->most_pages;
    if (sends)
        shares_keep_for(&engine->ledger.shares, endpoint->index);
    void *landing = mmap(NULL, (size_t)FERRY_TOKENS * FERRY_COPY_BYTES, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (landing == MAP_FAILED) {
        result = -errno;
        engine_endpoint_retire(engine, endpoint);
        return result;
    }
    endpoint->landing = landing;
    endpoint->landing_addr = (uint64_t)landing;
    return 0;
}

/* Where `id` is in the table that the guest sees, or where it would be. An entry without rights
 * is of a link that was destroyed before the guest ran. */
static uint32_t place_of(const struct ferry_control_info *info, uint16_t id)
{
    uint32_t vacant = info->peer_count;

    for (uint32_t i = info->peer_count; i-- > 0;) {
        if (!info->peers[i].rights)
            vacant = i;
        else if (info->peers[i].id == id)
            return i;
    }
    return vacant;
}

/* Whether the table of the viewer takes this peer. The host has none. */
static bool has_room(const struct ferry_vm *viewer, const struct ferry_vm *peer)
{
    return !viewer || place_of(&viewer->endpoint->control->info, peer ? peer->endpoint->id : 0) <
                          FERRY_PEERS_MAX;
}

/* Entry for `peer` in the table that the guest of `viewer` sees; there is room. NULL: the
 * viewer is the host. */
static struct ferry_peer *show_peer(struct endpoint *viewer, const struct endpoint *peer,
                                    uint16_t right)
{
    if (!viewer->control)
        return NULL;
    struct ferry_control_info *info = &viewer->control->info;
    uint32_t i = place_of(info, peer->id);
    struct ferry_peer *shown = &info->peers[i];
    if (i == info->peer_count || !shown->rights) {
        info->peer_count += i == info->peer_count;
        *shown = (struct ferry_peer){
            .id = peer->id, .state = FERRY_PEER_LIVE, .generation = peer->generation};
        memcpy(shown->name, peer->name, sizeof shown->name);
        identity_set_peer(viewer->vm, i, peer->image);
    }
    shown->rights |= right;
    return shown;
}

static int check(const struct ferry_engine *engine, struct ferry_vm *from, struct ferry_vm *to,
                 const struct ferry_link_config *config, struct ferry_error *err)
{
    if (from == to)
        return error_set(err, -EINVAL, "a link needs two different ends");
    if ((from && from->engine != engine) || (to && to->engine != engine))
        return error_set(err, -EINVAL, "a link needs ends of its own engine");
    if ((from && vm_is_started(from)) || (to && vm_is_started(to)))
        return error_set(err, -EBUSY, "links must be made before their VMs are started");
    if (config->max_messages > MOST_MESSAGES)
        return error_set(err, -EINVAL, "a link has at most %d messages in flight", MOST_MESSAGES);
    if (config->direct && (!from || !to))
        return error_set(err, -EINVAL, "a direct link is between two VMs, not with the host");
    if (config->stream && ((from && from->endpoint->stream_out) || (to && to->endpoint->stream_in)))
        return error_set(err, -EEXIST, "a VM has one standard input and one standard output");
    for (uint32_t i = 0; from && i < from->endpoint->out_count; i++)
        if (from->endpoint->out[i]->to->id == (to ? to->endpoint->id : 0))
            return error_set(err, -EEXIST, "VM '%s' has this link already", from->endpoint->name);
    for (uint32_t i = 0; to && i < to->endpoint->in_count; i++)
        if (to->endpoint->in[i]->from->id == (from ? from->endpoint->id : 0))
            return error_set(err, -EEXIST, "VM '%s' has this link already", to->endpoint->name);
    if (!has_room(from, to) || !has_room(to, from))
        return error_set(err, -ENOSPC, "a VM has at most %u peers", FERRY_PEERS_MAX);
    return 0;
}

/* Both ends come to know of the link. Each link is an entry in the tables, so that there is
 * room in out[] and in[] as there is in them. */
static void connect_ends(struct ferry_link *link, const struct direct_place *direct)
{
    struct endpoint *from = link->from, *to = link->to;

    link->shown_to_sender = show_peer(from, to, FERRY_MAY_SEND);
    link->shown_to_receiver = show_peer(to, from, FERRY_MAY_RECEIVE);
    if (link->direct) {
        link->shown_to_sender->direct_out = direct->out;
        link->shown_to_receiver->direct_in = direct->in;
    }
    from->out[from->out_count++] = link;
    link->place = to->in_count;
    to->in[to->in_count++] = link;
    if (link->stream) {
        from->stream_out = to->stream_in = link;
        if (from->control)
            from->control->info.stdout_peer = to->id;
        if (to->control)
            to->control->info.stdin_peer = from->id;
    }
}

int ferry_link_create(struct ferry_engine *engine, struct ferry_vm *from, struct ferry_vm *to,
                      const struct ferry_link_config *config, struct ferry_link **out,
                      struct ferry_error *err)
{
    const struct ferry_link_config none = {0};
    struct direct_place direct = {0};

    config = config ? config : &none;
    int result = check(engine, from, to, config, err);
    if (result < 0)
        return result;
    struct ferry_link *link = calloc(1, sizeof *link);
    if (!link)
        return error_set(err, -ENOMEM, "no memory for another link");
    link->engine = engine;
    link->stream = config->stream;
    link->max_messages = config->max_messages ? config->max_messages : DEFAULT_MESSAGES;
    link->from = from ? from->endpoint : NULL;
    link->to = to ? to->endpoint : NULL;
    if (!from || !to)
        result = host_endpoint(engine, from ? from : to, !from, from ? &link->to : &link->from);
    if (result < 0)
        error_set(err, result, "no memory for another link: %s", strerror(-result));
    else if (config->direct)
        result = direct_create(link, &direct, err);
    if (result < 0) {
        direct_destroy(link);
        free(link);
        return result;
    }
    connect_ends(link, &direct);
    *out = link;
    return 0;
}

/* --- calls of the host on it --------------------------------------------------- */

/* A bit of `callers`: no more calls may begin. */
#define CLOSING 0x80000000u

bool link_enter(struct ferry_link *link)
{
    if (!(atomic_fetch_add(&link->callers, 1) & CLOSING))
        return true;
    link_leave(link);
    return false;
}

void link_leave(struct ferry_link *link)
{
    /* From here on the link may be gone; the waking needs its address only. */
    if (atomic_fetch_sub(&link->callers, 1) == (CLOSING | 1))
        clock_futex_wake(&link->callers);
}

/* --- the end ------------------------------------------------------------------- */

static struct endpoint *host_end(const struct ferry_link *link)
{
    if (!link->from->id)
        return link->from;
    return link->to->id ? NULL : link->to;
}

/* Ends the host's end: calls on it return, what it was lent goes home, what it owned goes to
 * the pool. */
static void close_host(struct ferry_link *link, struct endpoint *host)
{
    host->stopping = true;
    endpoint_wake(host);
    uint32_t seen = atomic_fetch_or(&link->callers, CLOSING) | CLOSING;
    for (; seen != CLOSING; seen = atomic_load(&link->callers))
        clock_futex_wait(&link->callers, seen, CLOCK_NEVER);
    endpoint_shutdown(host);
    link->given_up = true;
    engine_endpoint_retire(link->engine, host);
}

void link_close_all(struct endpoint *endpoint)
{
    for (uint32_t i = 0; i < endpoint->out_count; i++)
        if (!endpoint->out[i]->to->id && !endpoint->out[i]->given_up)
            close_host(endpoint->out[i], endpoint->out[i]->to);
    for (uint32_t i = 0; i < endpoint->in_count; i++)
        if (!endpoint->in[i]->from->id && !endpoint->in[i]->given_up)
            close_host(endpoint->in[i], endpoint->in[i]->from);
}

static void remove_link(struct ferry_link **list, uint32_t *count, uint32_t at)
{
    memmove(&list[at], &list[at + 1], (--*count - at) * sizeof(struct ferry_link *));
}

static void leave_sender(struct ferry_link *link)
{
    struct endpoint *from = link->from;
    uint32_t at = 0;

    endpoint_lock(from);
    while (from->out[at] != link)
        at++;
    remove_link(from->out, &from->out_count, at);
    if (from->stream_out == link)
        from->stream_out = NULL;
    if (from->control) { /* of a VM that has not run, or will not again */
        link->shown_to_sender->rights &= (uint16_t)~FERRY_MAY_SEND;
        if (link->stream)
            from->control->info.stdout_peer = FERRY_NO_PEER;
    }
    endpoint_unlock(from);
}

/* The queue holds no message of this link. */
static void leave_receiver(struct ferry_link *link)
{
    struct endpoint *to = link->to;

    endpoint_lock(to);
    remove_link(to->in, &to->in_count, link->place);
    for (uint32_t i = link->place; i < to->in_count; i++)
        to->in[i]->place--;
    for (uint32_t i = to->in_tail; i != to->in_head; i++)
        to->queue_link[i & RING_MASK] -= to->queue_link[i & RING_MASK] > link->place;
    if (to->stream_in == link)
        to->stream_in = NULL;
    if (to->control) {
        link->shown_to_receiver->rights &= (uint16_t)~FERRY_MAY_RECEIVE;
        if (link->stream)
            to->control->info.stdin_peer = FERRY_NO_PEER;
    }
    endpoint_unlock(to);
}

void link_disconnect(struct ferry_link *link)
{
    leave_sender(link);
    leave_receiver(link);
}

/* Under the engine's lock: whether no thread acts for this end, now and until the embedder starts
 * its VM. */
static bool is_quiet(const struct endpoint *endpoint)
{
    return endpoint->retired || !endpoint->id || vm_is_quiet(endpoint->vm);
}

void ferry_link_destroy(struct ferry_link *link)
{
    if (!link)
        return;
    struct ferry_engine *engine = link->engine;
    struct endpoint *host = host_end(link);
    pthread_mutex_lock(&engine->lock);
    bool quiet = !link->direct && is_quiet(link->from) && is_quiet(link->to);
    pthread_mutex_unlock(&engine->lock);
    /* What was sent arrives, and then the hang-up. If nothing was sent, the link leaves no trace. */
    bool unused = quiet && queue_abandon(link);
    if (host)
        close_host(link, host);
    else
        queue_hangup(link);
    pthread_mutex_lock(&engine->lock);
    link->given_up = true;
    if (unused)
        engine_link_free(engine, link);
    pthread_mutex_unlock(&engine->lock);
}

void ferry_link_stats(struct ferry_link *link, struct ferry_link_stats *out)
{
    *out = (struct ferry_link_stats){
        .messages = atomic_load(&link->messages),
        .bytes_handed_over = atomic_load(&link->bytes_handed_over),
        .bytes_copied = atomic_load(&link->bytes_copied),
        .bytes_inline = atomic_load(&link->bytes_inline),
        .bytes_taken = atomic_load(&link->bytes_taken),
        .pages_4k = atomic_load(&link->pages_4k),
        .extents_2m = atomic_load(&link->extents_2m),
        .table_calls = atomic_load(&link->table_calls),
        .shoot_downs = atomic_load(&link->shoot_downs),
        .bytes_cleared = atomic_load(&link->bytes_cleared),
    };
    memcpy(out->from, link->from->name, sizeof out->from);
    memcpy(out->to, link->to->name, sizeof out->to);
}
