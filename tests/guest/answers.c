/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * answers PEER: takes a message of PEER, which it may not send to, and tries to answer: by
 * the library, and by a descriptor that the library would not write. Its rights say so too.
 */
#include "call.h"
#include "guest.h"

static int send_raw(struct ferry_control *control, uint16_t dst)
{
    uint32_t head = control->guest.out_head;

    control->out[head % FERRY_RING_ENTRIES] = (struct ferry_desc){.mode = FERRY_INLINE, .dst = dst};
    __atomic_store_n(&control->guest.out_head, head + 1, __ATOMIC_RELEASE);
    ferry_guest_call(FERRY_CALL_WAIT, FERRY_EVENT_OUT, PATIENCE_NS, 0);
    if (__atomic_load_n(&control->vmm.out_tail, __ATOMIC_ACQUIRE) != head + 1)
        fail("the descriptor was not taken");
    return control->out_status[head % FERRY_RING_ENTRIES];
}

int main(int argc, char **argv)
{
    struct ferry_msg msg;
    int status;

    expect_arguments(argc, 1, "answers PEER");
    const struct ferry_peer *peer = peer_of(argv[1]);
    receive(&msg);
    if (peer->rights != FERRY_MAY_RECEIVE)
        fail("rights %u", peer->rights);
    status = ferry_send_wait(&(struct ferry_msg){.mode = FERRY_INLINE, .dst = peer->id},
                             FERRY_WHEN_AUTO);
    if (status != -EPERM)
        fail("the library: %d", status);
    status = send_raw((struct ferry_control *)(uintptr_t)ferry_control(), peer->id);
    if (status != -EPERM)
        fail("the VMM: %d", status);
    return 0;
}
