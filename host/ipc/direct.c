/* SPDX-License-Identifier: BSD-2-Clause */
/* Direct rings on the VMM's side: whether one holds a message, and waking its receiver. */
#include "ipc/direct.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ipc/endpoint_wait.h"
#include "ipc/ring.h"

static int membarrier(int command)
{
    return (int)syscall(SYS_membarrier, command, 0, 0);
}

int direct_prepare(void)
{
    return membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) < 0 ? -errno : 0;
}

/* Whether the slot of this position holds its message. */
static bool is_filled(const struct ferry_direct *ring, uint32_t position)
{
    const uint32_t *turn = &ring->slots[position & RING_MASK].turn;

    return __atomic_load_n(turn, __ATOMIC_ACQUIRE) == position + 1;
}

static uint32_t tail_of(const struct ferry_direct *ring)
{
    return __atomic_load_n(&ring->receiver.tail, __ATOMIC_ACQUIRE);
}

/* The tail may lag, but then the slots behind it have not been used again. A sender fills them in
 * order, so the first that is not filled is found by halving; one that does otherwise is wrong
 * about its own order. */
uint32_t direct_sent(const struct ferry_link *link)
{
    if (!link->direct)
        return 0;
    uint32_t tail = tail_of(link->direct);
    uint32_t filled = 0, end = is_filled(link->direct, tail) ? FERRY_RING_ENTRIES : 0;
    while (filled < end) {
        uint32_t middle = filled + (end - filled) / 2;
        if (is_filled(link->direct, tail + middle))
            filled = middle + 1;
        else
            end = middle;
    }
    return tail + filled;
}

static bool holds_more(const struct ferry_link *link)
{
    return is_filled(link->direct, tail_of(link->direct));
}

bool direct_waiting(const struct endpoint *to)
{
    for (uint32_t i = 0; i < to->in_count; i++)
        if (to->in[i]->direct && holds_more(to->in[i]))
            return true;
    return false;
}

/* membarrier interrupts every CPU that runs a thread of this process, also one that runs a guest.
 * So the sender's stores and loads around that moment are ordered without a fence in its code
 * (models/wake.pml). */
void direct_await(struct endpoint *to)
{
    for (uint32_t i = 0; i < to->in_count; i++)
        if (to->in[i]->direct) {
            atomic_store(&to->wants_direct, true);
            endpoint_show_waiting(to, FERRY_WAITS | FERRY_WAITS_DIRECT);
            membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
            return;
        }
}

/* A receiver that sleeps, or waits for something else, is not woken: the message stays in the ring,
 * and the poller calls this a million times in a second. */
void direct_announce(const struct endpoint *from)
{
    for (uint32_t i = 0; i < from->out_count; i++) {
        const struct ferry_link *link = from->out[i];
        if (link->direct && atomic_load(&link->to->wants_direct) && holds_more(link) &&
            atomic_exchange(&link->to->wants_direct, false))
            endpoint_wake(link->to);
    }
}
