/* SPDX-License-Identifier: BSD-2-Clause */
/* message_source WHEN COUNT: sends COUNT inline messages, once its receiver is there. */
#include "messages.h"

int main(int argc, char **argv)
{
    struct ferry_msg msg;
    uint64_t payload[FERRY_INLINE_BYTES / 8] = {0};

    enum ferry_when when = when_of(word(argc, argv, 1));
    uint64_t count = argument(argc, argv, 2);

    receive(&msg, false); /* the other is there */
    msg = (struct ferry_msg){
        .mode = FERRY_INLINE, .dst = receiver(), .data = payload, .bytes = FERRY_INLINE_BYTES};
    for (uint64_t i = 0; i < count; i++) {
        payload[0] = i;
        expect("send", ferry_send(&msg, when));
    }
    msg = (struct ferry_msg){.mode = FERRY_HANGUP, .dst = msg.dst};
    expect("hang up", ferry_send_wait(&msg, FERRY_WHEN_AUTO));
    return 0;
}
