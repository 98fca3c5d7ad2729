/* SPDX-License-Identifier: BSD-2-Clause */
/* ping PEER MODE COUNT BYTES: the other side of `echo`: every message must come back. */
#include "guest.h"

int main(int argc, char **argv)
{
    static uint8_t buffer[FERRY_COPY_BYTES];
    struct ferry_msg msg = {.data = buffer}, back;
    uint64_t count;
    void *home;
    size_t home_bytes;

    expect_arguments(argc, 4, "ping PEER MODE COUNT BYTES");
    msg.dst = peer_of(argv[1])->id;
    msg.mode = mode_of(argv[2]);
    count = strtoull(argv[3], NULL, 0);
    msg.bytes = strtoull(argv[4], NULL, 0);
    if (msg.mode == FERRY_LEND || msg.mode == FERRY_MOVE)
        msg.data = alloc_units(msg.bytes);
    else if (msg.bytes > sizeof(buffer))
        fail("%zu bytes are too many", msg.bytes);
    for (uint64_t number = 0; number < count; number++) {
        fill(msg.data, msg.bytes, number);
        msg.tag = number;
        expect_ok("send", ferry_send_wait(&msg, FERRY_WHEN_AUTO));
        receive(&back);
        if (back.mode != msg.mode || back.src != msg.dst || back.tag != number ||
            back.bytes != msg.bytes)
            fail("message %llu came back as mode %u from %u with tag %llu and %zu bytes",
                 (unsigned long long)number, back.mode, back.src, (unsigned long long)back.tag,
                 back.bytes);
        expect_pattern(ferry_msg_data(&back), back.bytes, number);
        if (msg.mode == FERRY_LEND) {
            if (back.data == msg.data)
                fail("the answer is not in a page of the other VM");
            expect_ok("reclaim", ferry_reclaim(&home, &home_bytes, PATIENCE_NS));
            expect_pattern(msg.data, msg.bytes, number);
        }
        if (msg.mode == FERRY_MOVE)
            msg.data = back.data;
        else
            expect_ok("release", ferry_release(&back));
    }
    return 0;
}
