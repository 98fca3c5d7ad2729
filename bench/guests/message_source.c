/* SPDX-License-Identifier: BSD-2-Clause */
/* message_source WHEN COUNT: sends COUNT inline messages as fast as it can. */
#include "messages.h"

int main(int argc, char **argv)
{
    struct ferry_msg msg = {.mode = FERRY_INLINE, .bytes = FERRY_INLINE_BYTES};
    uint64_t payload[FERRY_INLINE_BYTES / 8] = {0};

    enum ferry_when when = when_of(word(argc, argv, 1));
    uint64_t count = argument(argc, argv, 2);

    msg.data = payload;
    msg.dst = receiver();
    for (uint64_t i = 0; i < count; i++) {
        payload[0] = i;
        expect("send", ferry_send(&msg, when));
    }
    msg = (struct ferry_msg){.mode = FERRY_HANGUP, .dst = msg.dst};
    expect("hang up", ferry_send_wait(&msg, FERRY_WHEN_AUTO));
    return 0;
}
