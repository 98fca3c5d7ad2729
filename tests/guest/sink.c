/* SPDX-License-Identifier: BSD-2-Clause */
/* sink PEER: takes whatever comes, gives it back, until the peer hangs up; prints how many. */
#include "guest.h"

int main(int argc, char **argv)
{
    struct ferry_msg msg;
    uint64_t count = 0;

    expect_arguments(argc, 1, "sink PEER");
    peer_of(argv[1]);
    for (;; count++) {
        receive(&msg);
        if (msg.mode == FERRY_HANGUP)
            break;
        if (msg.mode != FERRY_MOVE)
            expect_ok("release", ferry_release(&msg));
    }
    printf("%llu messages\n", (unsigned long long)count);
    return 0;
}
