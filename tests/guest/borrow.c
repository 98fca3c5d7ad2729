/* SPDX-License-Identifier: BSD-2-Clause */
/* borrow PEER: holds its loans until the peer hangs up, and reads them to the end. */
#include "guest.h"

int main(int argc, char **argv)
{
    struct ferry_msg msg, last;

    expect_arguments(argc, 1, "borrow PEER");
    peer_of(argv[1]);
    receive(&msg);
    receive(&last);
    if (last.mode != FERRY_HANGUP)
        fail("mode %u", last.mode);
    expect_pattern(ferry_msg_data(&msg), msg.bytes, 0);
    return 0;
}
