/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ends_holding PEER: takes a loan, queues more messages than the peer has room for, and ends with the loan. The
 * peer takes none.
 */
#include "guest.h"

#define MESSAGES 60

int main(int argc, char **argv)
{
    static uint8_t data[MESSAGES][64];
    struct ferry_msg msg, copy = {.mode = FERRY_COPY, .bytes = sizeof data[0]};

    expect_arguments(argc, 1, "ends_holding PEER");
    copy.dst = peer_of(argv[1])->id;
    receive(&msg);
    for (int i = 0; i < MESSAGES; i++) {
        copy.data = data[i];
        expect_ok("send", ferry_send(&copy, FERRY_WHEN_AUTO));
    }
    return 0;
}
