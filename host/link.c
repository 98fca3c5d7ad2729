/* SPDX-License-Identifier: BSD-2-Clause */
/* Links: who may send to whom. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "direct.h"
#include "engine.h"
#include "error.h"
#include "vm.h"

#define DEFAULT_MESSAGES 16
#define MOST_MESSAGES    48

/* The host's end of a link with `vm`: an endpoint whose window is the VMM's own view. One that sends
 * gets units from the pool, and something is kept for that. One that receives owns no more than
 * the VM may: what is moved beyond that waits until some is freed. */
static int host_endpoint(struct ferry_engine *engine, const struct ferry_vm *vm, bool sends,
                         struct endpoint **out)
{
    int result = engine_endpoint_new(engine, NULL, out);
    if (result < 0)
        return result;
    struct endpoint *endpoint = *out;
    snprintf(endpoint->name, sizeof endpoint->name, "host");
    endpoint->window_addr = (uint64_t)engine->pool.base;
    endpoint->most_extents = sends ? engine->pool.extents : vm->endpoint->most_extents;
    endpoint->most_pages = sends ? engine->pool.pages : vm->endpoint->most_pages;
    if (sends)
        shares_keep_for(&engine->ledger.shares, endpoint->index);
    void *landing = mmap(NULL, (size_t)FERRY_TOKENS * FERRY_COPY_BYTES, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (landing == MAP_FAILED)
        return -errno; /* the endpoint stays, unused, until the engine goes */
    endpoint->landing = landing;
    endpoint->landing_addr = (uint64_t)landing;
    return 0;
}

/* Where `id` is in the table that the guest sees, or where it would be. */
static uint32_t place_of(const struct ferry_control_info *info, uint16_t id)
{
    uint32_t i = 0;

    while (i < info->peer_count && info->peers[i].id != id)
        i++;
    return i;
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
    if (i == info->peer_count) {
        *shown = (struct ferry_peer){
            .id = peer->id, .state = FERRY_PEER_LIVE, .generation = peer->generation};
        memcpy(shown->name, peer->name, sizeof shown->name);
        viewer->vm->peer_images[i] = peer->image; /* its digest comes when the guest looks */
        info->peer_count++;
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

static int remember(struct ferry_engine *engine, struct ferry_link *link)
{
    int result = -ENOMEM;

    pthread_mutex_lock(&engine->lock);
    struct ferry_link **more =
        realloc(engine->links, (engine->link_count + 1) * sizeof *engine->links);
    if (more) {
        engine->links = more;
        engine->links[engine->link_count++] = link;
        result = 0;
    }
    pthread_mutex_unlock(&engine->lock);
    return result;
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
    if (!link || remember(engine, link) < 0) {
        free(link);
        return error_set(err, -ENOMEM, "no memory for another link");
    }
    link->engine = engine;
    link->stream = config->stream;
    link->max_messages = config->max_messages ? config->max_messages : DEFAULT_MESSAGES;
    link->from = from ? from->endpoint : NULL;
    link->to = to ? to->endpoint : NULL;
    if (!from || !to)
        result = host_endpoint(engine, from ? from : to, !from, from ? &link->to : &link->from);
    if (result < 0)
        return error_set(err, result, "no memory for another link");
    if (config->direct && (result = direct_create(link, &direct, err)) < 0)
        return result;
    connect_ends(link, &direct);
    *out = link;
    return 0;
}

void ferry_link_stats(struct ferry_link *link, struct ferry_link_stats *out)
{
    *out = (struct ferry_link_stats){
        .messages = atomic_load(&link->messages),
        .bytes_handed_over = atomic_load(&link->bytes_handed_over),
        .bytes_copied = atomic_load(&link->bytes_copied),
        .bytes_inline = atomic_load(&link->bytes_inline),
        .pages_4k = atomic_load(&link->pages_4k),
        .extents_2m = atomic_load(&link->extents_2m),
        .table_calls = atomic_load(&link->table_calls),
        .shoot_downs = atomic_load(&link->shoot_downs),
        .bytes_cleared = atomic_load(&link->bytes_cleared),
    };
    memcpy(out->from, link->from->name, sizeof out->from);
    memcpy(out->to, link->to->name, sizeof out->to);
}
