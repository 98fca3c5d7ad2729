/* SPDX-License-Identifier: BSD-2-Clause */
/* sink PEER...: takes and releases every message until all peers hung up; prints how many. */
#include "guest.h"

int main(int argc, char **argv)
{
    struct ferry_msg msg;
    uint64_t count = 0;
    int peers = argc - 1;

    expect_arguments(argc, 1, "sink PEER...");
    for (int i = 1; i <= peers; i++)
        peer_of(argv[i]);
    while (peers > 0) {
        receive(&msg);
        if (msg.mode == FERRY_HANGUP) {
            peers--;
            continue;
        }
        count++;
        if (msg.mode != FERRY_MOVE)
            expect_ok("release", ferry_release(&msg));
    }
    printf("%llu messages\n", (unsigned long long)count);
    return 0;
}
