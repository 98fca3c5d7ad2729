/* SPDX-License-Identifier: BSD-2-Clause */
/* Drain: takes the messages of a guest out of its ring, decodes and performs them, in runs. */
#include "ipc/drain.h"

#include <errno.h>

#include "ipc/decode.h"
#include "ipc/direct.h"
#include "ipc/endpoint_wait.h"
#include "ipc/loan.h"
#include "ipc/mode.h"
#include "ipc/perform.h"
#include "ipc/ring.h"

bool drain_pending(const struct endpoint *from)
{
    return ring_ahead(&from->control->guest.out_head, from->out_tail, FERRY_RING_ENTRIES) != 0;
}

/* No outcome of a check: the message stays in the ring, for another thread. */
#define LEFT (-EINPROGRESS)

/* The descriptors that are taken out of the out ring at once. */
struct drain {
    struct endpoint *from;
    uint32_t last;          /* the guest's head when the drain began */
    bool quick;             /* no message is taken that may wait for a disk */
    bool frozen;            /* releases are frozen: no loan of the guest goes home */
    bool fetched, checked;  /* next: it is here; it was checked, with the outcome in *result */
    struct ferry_desc desc; /* the next message, which the guest can change no more */
    struct transfer next;
    int result;
};

/* Fetches message number `index`, unless it was fetched when it ended a run. */
static const struct ferry_desc *fetch(struct drain *drain, uint32_t index)
{
    if (!drain->fetched)
        drain->desc = ring_fetch(drain->from->control->out, index);
    drain->fetched = true;
    return &drain->desc;
}

/* Checks the descriptors that were fetched. A message is checked before the one ahead of it is
 * performed only if both are of one mode: with different modes, the first may take away the memory
 * that the second sends from. */
static int check(struct drain *drain, struct transfer *out)
{
    bool checked = drain->checked;

    drain->fetched = drain->checked = false;
    if (!checked && drain->quick && decode_may_wait(drain->from, &drain->desc))
        return LEFT;
    if (!checked)
        return decode_message(drain->from, &drain->desc, out);
    *out = drain->next;
    return drain->result;
}

/* Begins with the next message: the sender's memory that it needs does not go home meanwhile. */
static int check_first(struct drain *drain, struct transfer *out)
{
    const struct mode *mode = mode_of(fetch(drain, drain->from->out_tail)->mode);

    if (mode && mode_has_payload(mode) && !drain->frozen) {
        loan_freeze_releases(drain->from);
        drain->frozen = true;
    }
    return check(drain, out);
}

/* Checks the next messages of the out ring as long as they may change hands together; returns
 * how many. 0: the first is not one that can be sent, *result says why. */
static uint32_t check_run(struct drain *drain, struct transfer run[PERFORM_MOST], int *result)
{
    uint32_t first = drain->from->out_tail, ahead = drain->last - first, count = 1;

    *result = check_first(drain, &run[0]);
    if (*result < 0)
        return 0;
    for (; count < ahead && count < PERFORM_MOST; count++) {
        if (fetch(drain, first + count)->mode != run[0].mode)
            break;
        int checked = check(drain, &run[count]);
        if (checked < 0 || !perform_joins(&run[count - 1], &run[count])) {
            drain->next = run[count];
            drain->result = checked;
            drain->fetched = drain->checked = true;
            break;
        }
    }
    return count;
}

/* Tells the guest the result of its next message. */
static void answer(struct endpoint *from, int32_t status)
{
    /* In bounds: masked. */
    from->control->out_status[from->out_tail++ & RING_MASK] = status;
}

/* The messages after one that was refused have not changed, so they need no second check. */
static void perform_checked(struct endpoint *from, struct transfer *run, uint32_t count)
{
    uint32_t at = 0, done;

    while (at < count && !from->out_parked) {
        int result = perform_run(&run[at], count - at, &done);
        at += done;
        while (done--)
            answer(from, 0);
        if (result == -EAGAIN)
            from->out_parked = true;
        else if (result < 0) {
            answer(from, result);
            at++;
        }
    }
}

/* False: it stopped at a message for another thread. */
static bool drain_messages(struct endpoint *from, bool quick)
{
    struct drain drain = {.from = from, .quick = quick};
    struct transfer run[PERFORM_MOST];
    uint32_t first = from->out_tail;
    bool waited = from->out_parked;
    int result = 0;

    from->out_parked = false;
    /* This is read before what the guest took. The guest may run; a loan that a message by now forwards
     * it has taken before, so the code below finds it taken. In the other order a loan could be taken
     * and forwarded between the two reads, and the message would be refused. */
    drain.last = from->out_tail +
                 ring_ahead(&from->control->guest.out_head, from->out_tail, FERRY_RING_ENTRIES);
    loan_collect_new(from);
    while (from->out_tail != drain.last && !from->out_parked) {
        uint32_t count = check_run(&drain, run, &result);
        if (result == LEFT)
            break;
        if (count)
            perform_checked(from, run, count);
        else
            answer(from, result);
        ring_publish(&from->control->vmm.out_tail, from->out_tail);
    }
    if (drain.frozen)
        loan_thaw_releases(from);
    if (waited && from->out_tail != first)
        endpoint_wake(from); /* another thread may wait until it is sent: see drain_all */
    return result != LEFT;
}

void drain_ring(struct endpoint *from)
{
    drain_messages(from, false);
}

static bool drain_all_ways(struct endpoint *from, bool quick)
{
    /* Plain output that was written earlier goes first. */
    if (from->stream_out && drain_pending(from))
        endpoint_pull_stream(from);
    bool done = drain_messages(from, quick);
    direct_announce(from);
    return done;
}

void drain_out(struct endpoint *from)
{
    drain_all_ways(from, false);
}

bool drain_out_quick(struct endpoint *from)
{
    return drain_all_ways(from, true);
}

int drain_all(struct endpoint *from)
{
    uint32_t last = from->out_tail +
                    ring_ahead(&from->control->guest.out_head, from->out_tail, FERRY_RING_ENTRIES);
    bool waits = from->out_tail != last;
    int result = 0;

    while (result == 0 && waits) {
        uint32_t seen = endpoint_prepare(from);
        if (from->exited)
            loan_let_go(from); /* what came late has nobody else who gives it back */
        drain_out(from);
        /* What other threads queued since then is theirs to wait for. Nobody need tell of it. */
        waits = from->out_parked && (int32_t)(last - from->out_tail) > 0;
        if (waits)
            result = endpoint_block(from, seen, UINT64_MAX);
        endpoint_finish(from);
    }
    return result;
}
