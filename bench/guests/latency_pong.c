/* SPDX-License-Identifier: BSD-2-Clause */
/* latency_pong WHEN wait|poll: sends each message back to where it came from. */
#include "messages.h"

int main(int argc, char **argv)
{
    struct ferry_msg msg;

    enum ferry_when when = when_of(word(argc, argv, 1));
    bool poll = strcmp(word(argc, argv, 2), "poll") == 0;

    for (;;) {
        receive(&msg, poll);
        if (msg.mode == FERRY_HANGUP)
            return 0;
        msg.dst = msg.src;
        int64_t result = ferry_send(&msg, when);
        if (result == -EPIPE)
            return 0;
        expect("send", result);
    }
}
