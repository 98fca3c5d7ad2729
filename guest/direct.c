/* SPDX-License-Identifier: BSD-2-Clause */
/* Direct rings in the guest: finding them, full rings, waiting, and the order of direct and routed
 * messages. */
#include "direct.h"

#include <errno.h>

#include "call.h"

/* How often a sender checks whether a full ring has room before it uses the out ring instead. This
 * takes some microseconds; a receiver that runs takes many messages in that time. */
#define SPINS 256

struct ferry_guest_direct ferry_guest_direct;

static struct ferry_direct *ring_at(uint64_t addr)
{
    return (struct ferry_direct *)(uintptr_t)addr;
}

/* Links are made before the program runs, so looking once is enough. */
static void find_all(const struct ferry_control_info *info)
{
    struct ferry_guest_direct *direct = &ferry_guest_direct;

    for (unsigned i = 0; i < info->peer_count && i < FERRY_PEERS_MAX; i++) {
        const struct ferry_peer *peer = &info->peers[i];

        if (peer->direct_out != 0)
            direct->out[direct->out_count++] = (struct direct_out){
                .peer = peer, .id = peer->id, .ring = ring_at(peer->direct_out)};
    }
    direct->found = true;
}

struct direct_out *ferry_guest_direct_find(uint16_t dst)
{
    struct ferry_guest_direct *direct = &ferry_guest_direct;

    if (!direct->found)
        find_all(&ferry_control()->info);
    for (uint32_t i = 0; i < direct->out_count; i++) {
        if (direct->out[i].id == dst) {
            direct->last = &direct->out[i];
            return direct->last;
        }
    }
    return NULL;
}

int ferry_guest_direct_room(struct direct_out *out)
{
    const struct ferry_direct_receiver *receiver = &out->ring->receiver;

    if (out->hung_up || __atomic_load_n(&receiver->ready, __ATOMIC_ACQUIRE) == 0)
        return -EAGAIN;
    for (unsigned i = 0; i < SPINS; i++) {
        uint32_t tail = __atomic_load_n(&receiver->tail, __ATOMIC_ACQUIRE);

        /* An impossible tail counts as a full ring. */
        if (out->head - tail < FERRY_RING_ENTRIES) {
            out->limit = tail + FERRY_RING_ENTRIES;
            return 0;
        }
        if (__atomic_load_n(&out->peer->waiting, __ATOMIC_RELAXED) != 0)
            break;
        __builtin_ia32_pause();
    }
    return -ENOBUFS;
}

int64_t ferry_guest_direct_wake(enum ferry_when when, int64_t ticket)
{
    uint32_t delivery = ferry_control()->info.delivery;

    if (delivery == FERRY_DELIVERY_IMMEDIATE ||
        (delivery == FERRY_DELIVERY_AUTO && when != FERRY_DEFERRED))
        ferry_guest_doorbell();
    return ticket;
}

const struct ferry_control *ferry_guest_direct_begin(void)
{
    struct ferry_guest_direct *direct = &ferry_guest_direct;
    const struct ferry_control *control = ferry_control();
    const struct ferry_control_info *info;

    if (control == NULL)
        return NULL;
    info = &control->info;
    for (unsigned i = 0; i < info->peer_count && i < FERRY_PEERS_MAX; i++) {
        const struct ferry_peer *peer = &info->peers[i];

        if (peer->direct_in == 0)
            continue;
        direct->in[direct->in_count++] = (struct direct_in){.ring = ring_at(peer->direct_in),
                                                            .id = peer->id,
                                                            .own_id = info->id,
                                                            .generation = peer->generation,
                                                            .own_generation = info->generation};
        __atomic_store_n(&ring_at(peer->direct_in)->receiver.ready, 1, __ATOMIC_RELEASE);
    }
    direct->receiving = control;
    return control;
}

void ferry_guest_direct_publish(void)
{
    for (uint32_t i = 0; i < ferry_guest_direct.in_count; i++) {
        struct direct_in *in = &ferry_guest_direct.in[i];

        if (in->published == in->tail)
            continue;
        in->published = in->tail;
        __atomic_store_n(&in->ring->receiver.tail, in->tail, __ATOMIC_RELEASE);
    }
}

/* Two rules. A routed message comes after the direct messages that the same peer sent before it;
 * there are no more of these than a ring holds. Between two peers the in ring comes first, but
 * only the messages that were in it when the direct message was seen: otherwise a busy sender of
 * routed messages would delay the direct messages of others for ever. */
struct direct_in *ferry_guest_direct_before(struct direct_in *ready, uint32_t in_tail,
                                            uint32_t in_head, const struct ferry_desc *next)
{
    struct ferry_guest_direct *direct = &ferry_guest_direct;

    if (ready != NULL && ready->due && (int32_t)(in_tail - ready->after) >= 0)
        return ready;
    if (ready != NULL && !ready->due) {
        ready->due = true;
        ready->after = in_head;
    }
    for (uint32_t i = 0; i < direct->in_count; i++) {
        struct direct_in *in = &direct->in[i];
        uint32_t ahead = next->turn - in->tail;

        if (in->id == next->src && ahead - 1 < FERRY_RING_ENTRIES && direct_is_ready(in))
            return in;
    }
    return NULL;
}
