/* SPDX-License-Identifier: BSD-2-Clause */
/* exits_with_pending PEER COUNT: queues COUNT deferred messages and ends at once; all must
 * arrive. */
#include <unistd.h>

#include "guest.h"

int main(int argc, char **argv)
{
    struct ferry_msg msg = {.mode = FERRY_INLINE, .bytes = 8};
    uint8_t data[8];
    uint64_t count;

    expect_arguments(argc, 2, "exits_with_pending PEER COUNT");
    msg.dst = peer_of(argv[1])->id;
    msg.data = data;
    count = strtoull(argv[2], NULL, 0);
    for (msg.tag = 0; msg.tag < count; msg.tag++) {
        fill(data, sizeof(data), msg.tag);
        expect_ok("send", ferry_send(&msg, FERRY_DEFERRED));
    }
    _exit(0);
}
