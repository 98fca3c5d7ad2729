/* SPDX-License-Identifier: BSD-2-Clause */
/* Drain: takes the messages of a guest out of its ring, decodes and performs them, in runs. */
#include "ipc/drain.h"

#include <errno.h>

#include "ipc/decode.h"
#include "ipc/direct.h"
#include "ipc/endpoint_wait.h"
#include "ipc/loan.h"
#include "ipc/perform.h"
#include "ipc/ring.h"

bool drain_pending(const struct endpoint *from)
{
    return ring_ahead(&from->control->guest.out_head, from->out_tail, FERRY_RING_ENTRIES) != 0;
}

/* Decodes the next messages of the out ring as long as they may change hands together; returns
 * how many. 0: the first is not one that can be sent, *result says why. */
static uint32_t gather(struct endpoint *from, uint32_t ahead, struct transfer run[PERFORM_MOST],
                       int *result)
{
    uint32_t count = 0;

    *result = 0;
    for (; count < ahead && count < PERFORM_MOST; count++) {
        struct ferry_desc desc = ring_fetch(from->control->out, from->out_tail + count);
        int decoded = decode_message(from, &desc, &run[count]);
        if (decoded < 0 && count == 0)
            *result = decoded;
        if (decoded < 0 || (count && !perform_joins(&run[count - 1], &run[count])))
            break;
    }
    return count;
}

/* Tells the guest what became of its next message. */
static void answer(struct endpoint *from, int32_t status)
{
    /* In bounds: masked. */
    from->control->out_status[from->out_tail++ & RING_MASK] = status;
}

void drain_ring(struct endpoint *from)
{
    struct transfer run[PERFORM_MOST];

    loan_collect(from);
    loan_freeze_releases(from);
    from->out_parked = false;
    uint32_t last = from->out_tail +
                    ring_ahead(&from->control->guest.out_head, from->out_tail, FERRY_RING_ENTRIES);
    while (from->out_tail != last && !from->out_parked) {
        uint32_t done = 0;
        int result;
        uint32_t count = gather(from, last - from->out_tail, run, &result);
        if (count)
            result = perform_run(run, count, &done);
        while (done--)
            answer(from, 0);
        if (result == -EAGAIN)
            from->out_parked = true;
        else if (result < 0)
            answer(from, result);
        ring_publish(&from->control->vmm.out_tail, from->out_tail);
    }
    loan_thaw_releases(from);
}

void drain_out(struct endpoint *from)
{
    /* Plain output that was written earlier goes first. */
    if (from->stream_out && drain_pending(from))
        endpoint_pull_stream(from);
    drain_ring(from);
    direct_announce(from);
}

int drain_all(struct endpoint *from)
{
    int result = 0;

    while (result == 0 && drain_pending(from)) {
        uint32_t seen = endpoint_prepare(from);
        drain_out(from);
        if (drain_pending(from))
            result = endpoint_block(from, seen, UINT64_MAX);
        endpoint_finish(from);
    }
    return result;
}
