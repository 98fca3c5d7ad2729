/* SPDX-License-Identifier: BSD-2-Clause */
/* Links of VMs: making and ending them, and the table of peers that a guest sees. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "ipc/host_end.h"
#include "ipc/link.h"
#include "ipc/queue.h"
#include "lib/error.h"
#include "lib/sized.h"
#include "program/image.h"
#include "vm/identity.h"
#include "vm/vm.h"
#include "vm/vm_direct.h"

#define MOST_MESSAGES 48

/* The index of `id` in the table that the guest sees, or the index it would get. An entry without
 * rights is left from a link that was destroyed before the guest ran. */
static uint32_t index_of(const struct ferry_control_info *info, uint16_t id)
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

/* Whether the table of the viewer has room for this peer. The host has no table. */
static bool has_room(const struct ferry_vm *viewer, const struct ferry_vm *peer)
{
    return !viewer || index_of(&viewer->endpoint->control->info, peer ? peer->endpoint->id : 0) <
                          FERRY_PEERS_MAX;
}

/* Entry for `peer` in the table that the guest of `viewer` sees; there is room. NULL: the
 * viewer is the host. */
static struct ferry_peer *show_peer(struct endpoint *viewer, const struct endpoint *peer,
                                    uint16_t right)
{
    if (endpoint_is_host(viewer))
        return NULL;
    struct ferry_control_info *info = &viewer->control->info;
    uint32_t i = index_of(info, peer->id);
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

/* Enters the link at both ends. Each link has an entry in the tables of peers, so if there is room
 * in these there is room in out[] and in[]. */
static void connect_ends(struct ferry_link *link, const struct direct_addresses *direct)
{
    struct endpoint *from = link->from, *to = link->to;

    link->sender_peer_entry = show_peer(from, to, FERRY_MAY_SEND);
    link->receiver_peer_entry = show_peer(to, from, FERRY_MAY_RECEIVE);
    if (link->direct) {
        link->sender_peer_entry->direct_out = direct->out.value;
        link->receiver_peer_entry->direct_in = direct->in.value;
    }
    link_connect(link);
    if (link->stream) {
        from->stream_out = to->stream_in = link;
        if (!endpoint_is_host(from))
            from->control->info.stdout_peer = to->id;
        if (!endpoint_is_host(to))
            to->control->info.stdin_peer = from->id;
    }
}

int ferry_link_create_sized(struct ferry_engine *engine, struct ferry_vm *from, struct ferry_vm *to,
                            const struct ferry_link_config *config, size_t config_bytes,
                            struct ferry_link **out, struct ferry_error *err)
{
    struct ferry_link_config own = {0};
    struct direct_addresses direct = {0};

    int result = config ? sized_take(&own, sizeof own, FIRST_LINK_CONFIG, config, config_bytes) : 0;
    if (result < 0)
        return sized_explain(err, result, "ferry_link_config");
    result = check(engine, from, to, &own, err);
    if (result < 0)
        return result;
    struct ferry_link *link = calloc(1, sizeof *link);
    if (!link)
        return error_set(err, -ENOMEM, "no memory for another link");
    link->exchange = &engine->exchange;
    link->user = own.user;
    link->stream = own.stream;
    link->max_messages = own.max_messages ? own.max_messages : LINK_MESSAGES_DEFAULT;
    link->from = from ? from->endpoint : NULL;
    link->to = to ? to->endpoint : NULL;
    if (!from || !to)
        result = host_end_new(link->exchange, from ? link->from : link->to, !from,
                              from ? &link->to : &link->from);
    if (result < 0)
        error_set(err, result, "no memory for another link: %s", strerror(-result));
    else if (own.direct)
        result = vm_direct_create(link, &direct, err);
    if (result < 0) {
        link_free(link);
        return result;
    }
    connect_ends(link, &direct);
    *out = link;
    return 0;
}

/* --- the end ------------------------------------------------------------------- */

/* Whether no thread acts for this end, now and until the embedder starts
 * its VM. */
static bool is_quiet(const struct endpoint *endpoint)
{
    lock_assert_held(&endpoint->exchange->lock);
    return endpoint->retired || endpoint_is_host(endpoint) || vm_is_quiet(endpoint->vm);
}

void ferry_link_destroy(struct ferry_link *link)
{
    if (!link)
        return;
    struct exchange *exchange = link->exchange;
    struct endpoint *host = host_end_of(link);
    lock_take(&exchange->lock);
    bool quiet = !link->direct && is_quiet(link->from) && is_quiet(link->to);
    lock_drop(&exchange->lock);
    /* Messages that were sent arrive, and then the hang-up. If nothing was sent, the link leaves no
     * trace. */
    bool unused = quiet && queue_abandon(link);
    if (host)
        host_end_close(link);
    else
        queue_hangup(link);
    lock_take(&exchange->lock);
    link->given_up = true;
    if (unused)
        exchange_link_free(exchange, link);
    lock_drop(&exchange->lock);
}

void *ferry_link_user(struct ferry_link *link)
{
    return link->user;
}

int ferry_link_stats_sized(struct ferry_link *link, struct ferry_link_stats *out, size_t out_bytes)
{
    int result = sized_check(out_bytes, FIRST_LINK_STATS);
    if (result < 0)
        return result;
    struct ferry_link_stats stats = {
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
    memcpy(stats.from, link->from->name, sizeof stats.from);
    memcpy(stats.to, link->to->name, sizeof stats.to);
    sized_give(out, out_bytes, &stats, sizeof stats);
    return 0;
}

/* False: it was cancelled. */
static bool await_digest(const struct ferry_link *link, struct image *image)
{
    const struct endpoint *host = host_end_of(link);

    while (!image_digest_step(image))
        if (host && host->stopping)
            return false;
    return true;
}

_Static_assert(sizeof((struct ferry_identity *)0)->name == FERRY_NAME_BYTES &&
                   sizeof((struct ferry_identity *)0)->digest == FERRY_DIGEST_BYTES,
               "ferry.h and control.h know names and digests of one length");

/* The generation is that of the program whose image it is. The image is held; NULL: there is none. */
static struct image *image_of(const struct endpoint *peer, uint32_t *generation)
{
    struct lock *lock = &peer->exchange->lock;
    struct image *image = NULL;

    lock_take(lock);
    *generation = peer->generation;
    if (peer->vm && peer->image) {
        image = peer->image;
        images_hold(&peer->vm->engine->images, image);
    }
    lock_drop(lock);
    return image;
}

int ferry_link_peer_sized(struct ferry_link *link, struct ferry_identity *out, size_t out_bytes)
{
    const struct endpoint *peer = host_end_peer(link);
    struct ferry_identity identity = {.id = peer->id, .generation = peer->generation};

    int result = sized_check(out_bytes, FIRST_IDENTITY);
    if (result < 0)
        return result;
    memcpy(identity.name, peer->name, sizeof identity.name);
    if (link_enter(link)) { /* else its VM is being destroyed, and the image with it */
        struct image *image = image_of(peer, &identity.generation);
        if (image && await_digest(link, image))
            memcpy(identity.digest, image->digest, sizeof identity.digest);
        if (image)
            images_release(&peer->vm->engine->images, image);
        link_leave(link);
    }
    sized_give(out, out_bytes, &identity, sizeof identity);
    return 0;
}
