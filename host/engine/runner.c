/* SPDX-License-Identifier: BSD-2-Clause */
/* The actions of ticker and poller on a running VM. */
#include "engine/runner.h"

#include <string.h>

#include "ipc/direct.h"
#include "ipc/drain.h"
#include "ipc/link.h"

void runner_kick(struct runner *runner)
{
    if (atomic_load(&runner->in_guest))
        runner->kick(runner);
}

bool runner_has_pending(const struct runner *runner)
{
    const struct ferry_control *control = runner->endpoint->control;

    return __atomic_load_n(&control->guest.out_head, __ATOMIC_RELAXED) !=
           __atomic_load_n(&control->vmm.out_tail, __ATOMIC_RELAXED);
}

void runner_send_gathered(struct runner *runner)
{
    const struct ferry_link *out = runner->endpoint->stream_out;

    if (out && atomic_load(&out->to->waiting))
        endpoint_pull_stream(runner->endpoint);
}

void runner_look_at_stream(struct runner *runner)
{
    if (!runner->endpoint->byte_stream || !lock_try(&runner->serving))
        return;
    runner->endpoint->stream_does->look(runner->endpoint->byte_stream);
    lock_drop(&runner->serving);
}

static struct ring_snapshot look(const struct runner *runner)
{
    const struct ferry_control_guest *guest = &runner->endpoint->control->guest;

    return (struct ring_snapshot){
        .out_head = __atomic_load_n(&guest->out_head, __ATOMIC_ACQUIRE),
        .in_tail = __atomic_load_n(&guest->in_tail, __ATOMIC_ACQUIRE),
        .home_tail = __atomic_load_n(&guest->home_tail, __ATOMIC_ACQUIRE),
        .release_head = __atomic_load_n(&guest->release_head, __ATOMIC_ACQUIRE),
        .events = atomic_load(&runner->endpoint->events),
    };
}

void runner_poll(struct runner *runner)
{
    struct ring_snapshot now = look(runner);

    direct_announce(runner->endpoint);
    if (memcmp(&now, &runner->polled, sizeof now) == 0)
        return;
    if (!lock_try(&runner->serving))
        return;
    /* This is read before the drain, so changes during the drain are seen next time
     * (models/wake.pml). */
    runner->polled = now;
    atomic_store(&runner->left, !drain_out_quick(runner->endpoint));
    lock_drop(&runner->serving);
}
