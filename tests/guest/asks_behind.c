/* SPDX-License-Identifier: BSD-2-Clause */
/* asks_behind PEER COUNT: queues COUNT messages, more than there is room for, and reads its input, which
 * comes when all of them have arrived. */
#include <unistd.h>

#include "guest.h"

int main(int argc, char **argv)
{
    struct ferry_msg msg = {.mode = FERRY_COPY, .bytes = 8};
    uint8_t data[8] = {0};
    uint64_t count;
    char answer;

    expect_arguments(argc, 2, "asks_behind PEER COUNT");
    msg.dst = peer_of(argv[1])->id;
    msg.data = data;
    count = strtoull(argv[2], NULL, 0);
    for (msg.tag = 0; msg.tag < count; msg.tag++)
        expect_ok("send", ferry_send(&msg, FERRY_DEFERRED));
    write(2, "asks\n", 5);
    return read(0, &answer, 1) != 1;
}
