/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * standoff inline|share PEER: two of these are linked both ways. Each leaves the other no room
 * and then waits until its own next message has left, which it never does. The wait must end when
 * its time is over, or with the peer. Exit status 0: the time; 3: the peer ended.
 */
#include "call.h"
#include "guest.h"

#define SHORT_NS 500000000ull

static struct ferry_control *control;
static uint32_t head;

static void put(const struct ferry_desc *desc)
{
    control->out[head % FERRY_RING_ENTRIES] = *desc;
    __atomic_store_n(&control->guest.out_head, ++head, __ATOMIC_RELEASE);
}

/* From here on the peer has no room, and we know it has done the same. */
static void fill_queue(uint16_t peer)
{
    const struct ferry_desc desc = {.mode = FERRY_INLINE, .dst = peer, .inline_bytes = 1};

    for (uint32_t i = 0; i < FERRY_RING_ENTRIES - 1; i++)
        put(&desc);
    ferry_guest_doorbell();
    if (control->vmm.out_tail != head)
        fail("%u of %u messages left", control->vmm.out_tail, head);
}

static void *fill_share(uint16_t peer)
{
    const struct ferry_desc ready = {.mode = FERRY_INLINE, .dst = peer, .inline_bytes = 1};
    void *all = ferry_alloc_extents(control->info.pool_extents);

    if (!all)
        fail("no extents");
    put(&ready);
    ferry_guest_doorbell();
    return all;
}

int main(int argc, char **argv)
{
    static char byte;
    struct ferry_desc last = {.mode = FERRY_COPY, .payload = {.addr = (uint64_t)&byte, .bytes = 1}};

    expect_arguments(argc, 2, "standoff inline|share PEER");
    control = (struct ferry_control *)ferry_control();
    last.dst = peer_of(argv[2])->id;
    if (strcmp(argv[1], "inline") == 0) {
        fill_queue(last.dst);
    } else {
        last.mode = FERRY_MOVE;
        last.payload.addr = (uint64_t)fill_share(last.dst);
        last.payload.bytes = FERRY_EXTENT_BYTES;
    }
    if (ferry_guest_call(FERRY_CALL_WAIT, FERRY_EVENT_IN, PATIENCE_NS, 0) != FERRY_EVENT_IN)
        fail("the peer did not begin");
    put(&last);
    int64_t events = ferry_guest_call(FERRY_CALL_WAIT, FERRY_EVENT_OUT, SHORT_NS, 0);
    if (events == 0)
        return 0;
    int status = control->out_status[(head - 1) % FERRY_RING_ENTRIES];
    if (events != FERRY_EVENT_OUT || status != -EPIPE)
        fail("events %d, status %d", (int)events, status);
    return 3;
}
