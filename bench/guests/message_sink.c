/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * message_sink wait|poll COUNT: says that it is there, receives COUNT messages
 * and times all but the first tenth. Polling, it waits when nothing came for a
 * while: then the sender is likely to be off its core.
 */
#include "messages.h"

#define POLLS_BEFORE_WAIT 20000

static void next(struct ferry_msg *msg, bool poll)
{
    for (int i = 0; poll && i < POLLS_BEFORE_WAIT; i++) {
        int result = ferry_recv(msg, 0);

        if (result == 0)
            return;
        if (result != -ETIMEDOUT)
            expect("receive", result);
        _mm_pause();
    }
    expect("receive", ferry_recv(msg, UINT64_MAX));
}

int main(int argc, char **argv)
{
    struct ferry_msg msg;
    uint64_t start_ns = 0;

    bool poll = strcmp(word(argc, argv, 1), "poll") == 0;
    uint64_t count = argument(argc, argv, 2), warm_up = count / 10;

    msg = (struct ferry_msg){.mode = FERRY_INLINE, .dst = receiver()};
    expect("ready", ferry_send(&msg, FERRY_IMMEDIATE));
    for (uint64_t i = 0; i < count; i++) {
        uint64_t number;

        next(&msg, poll);
        memcpy(&number, msg.small, sizeof number);
        if (msg.mode != FERRY_INLINE || number != i)
            expect("order", -EBADMSG);
        if (i == warm_up)
            start_ns = now_ns();
    }
    struct report report = {.ns = (double)(now_ns() - start_ns) / (double)(count - 1 - warm_up)};
    tell_host(&report, sizeof report);
    next(&msg, false);
    return msg.mode != FERRY_HANGUP;
}
