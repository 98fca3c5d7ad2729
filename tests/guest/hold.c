/* SPDX-License-Identifier: BSD-2-Clause */
/* hold PEER: takes every message and releases nothing until the peer hangs up. */
#include "guest.h"

int main(int argc, char **argv)
{
    struct ferry_msg msg;

    expect_arguments(argc, 1, "hold PEER");
    peer_of(argv[1]);
    do
        receive(&msg);
    while (msg.mode != FERRY_HANGUP);
    return 0;
}
