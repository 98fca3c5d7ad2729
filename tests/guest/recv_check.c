/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * recv_check PEER MODE COUNT BYTES: takes COUNT messages of `send` and
 * its kind, then a hang-up. Checks payload, order, mode and identity (claims 4,
 * 7). MODE `any` takes what comes.
 */
#include "guest.h"

static void expect_identity(const struct ferry_msg *msg, const struct ferry_peer *peer)
{
    const struct ferry_control_info *info = &ferry_control()->info;
    uint8_t any = 0;

    if (msg->src != peer->id || msg->src_generation != peer->generation)
        fail("from %u generation %u, not %u generation %u", msg->src, msg->src_generation, peer->id,
             peer->generation);
    if (msg->dst != info->id || msg->dst_generation != info->generation)
        fail("to %u generation %u, not %u generation %u", msg->dst, msg->dst_generation, info->id,
             info->generation);
    for (unsigned i = 0; i < FERRY_DIGEST_BYTES; i++)
        any |= peer->digest[i];
    if (any == 0 && peer->id != 0) /* the host runs no image */
        fail("the peer has no digest");
}

static void expect_place(const struct ferry_msg *msg)
{
    const struct ferry_control_info *info = &ferry_control()->info;
    uint64_t offset = (uintptr_t)msg->data - info->window_base;
    bool in_window = offset < info->window_bytes;

    if ((msg->mode == FERRY_LEND || msg->mode == FERRY_MOVE) != in_window)
        fail("payload at %p is %sin the window", msg->data, in_window ? "" : "not ");
}

static void give_back(struct ferry_msg *msg)
{
    if (msg->mode != FERRY_MOVE) {
        expect_ok("release", ferry_release(msg));
        return;
    }
    fill(msg->data, msg->bytes, ~msg->tag); /* it is ours to write */
    expect_ok("free", ferry_free(msg->data, unit_bytes(msg->bytes)));
}

int main(int argc, char **argv)
{
    const struct ferry_peer *peer;
    struct ferry_msg msg;
    bool any_mode;
    uint64_t count;
    size_t bytes;

    expect_arguments(argc, 4, "recv_check PEER MODE COUNT BYTES");
    peer = peer_of(argv[1]);
    any_mode = strcmp(argv[2], "any") == 0;
    count = strtoull(argv[3], NULL, 0);
    bytes = strtoull(argv[4], NULL, 0);
    for (uint64_t number = 0; number < count; number++) {
        receive(&msg);
        expect_identity(&msg, peer);
        if (msg.mode == FERRY_HANGUP)
            fail("hung up after %llu messages", (unsigned long long)number);
        if (!any_mode && msg.mode != mode_of(argv[2]))
            fail("message %llu has mode %u", (unsigned long long)number, msg.mode);
        if (msg.tag != number || msg.bytes != bytes)
            fail("message %llu has tag %llu and %zu bytes", (unsigned long long)number,
                 (unsigned long long)msg.tag, msg.bytes);
        expect_place(&msg);
        expect_pattern(ferry_msg_data(&msg), msg.bytes, number);
        give_back(&msg);
    }
    receive(&msg);
    expect_identity(&msg, peer);
    if (msg.mode != FERRY_HANGUP)
        fail("a message too many, mode %u", msg.mode);
    return 0;
}
