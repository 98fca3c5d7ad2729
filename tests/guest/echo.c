/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * echo PEER: sends every message back the way it came until the peer hangs up. A loan is answered
 * by a page of this VM's own (claim 10), moved units move back.
 */
#include "guest.h"

static void *own_units(size_t bytes)
{
    void *data;
    size_t home_bytes;

    if (ferry_reclaim(&data, &home_bytes, 0) == 0) {
        if (home_bytes == unit_bytes(bytes))
            return data;
        expect_ok("free", ferry_free(data, home_bytes));
    }
    return alloc_units(bytes);
}

static void answer(struct ferry_msg *msg)
{
    static uint8_t copy[FERRY_COPY_BYTES];
    struct ferry_msg back = {.mode = msg->mode, .dst = msg->src, .tag = msg->tag};

    back.data = msg->data;
    back.bytes = msg->bytes;
    if (msg->mode == FERRY_COPY || msg->mode == FERRY_INLINE)
        back.data = memcpy(copy, ferry_msg_data(msg), msg->bytes);
    else if (msg->mode == FERRY_LEND)
        back.data = memcpy(own_units(msg->bytes), msg->data, msg->bytes);
    if (msg->mode != FERRY_MOVE)
        expect_ok("release", ferry_release(msg));
    expect_ok("answer", ferry_send_wait(&back, FERRY_WHEN_AUTO));
}

int main(int argc, char **argv)
{
    const struct ferry_peer *peer;
    struct ferry_msg msg;

    expect_arguments(argc, 1, "echo PEER");
    peer = peer_of(argv[1]);
    for (;;) {
        receive(&msg);
        if (msg.src != peer->id)
            fail("a message from %u", msg.src);
        if (msg.mode == FERRY_HANGUP)
            return 0;
        answer(&msg);
    }
}
