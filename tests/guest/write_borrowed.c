/* SPDX-License-Identifier: BSD-2-Clause */
/* write_borrowed PEER: writes to a page lent to it, and must be stopped. */
#include "guest.h"

int main(int argc, char **argv)
{
    struct ferry_msg msg;

    expect_arguments(argc, 1, "write_borrowed PEER");
    peer_of(argv[1]);
    receive(&msg);
    if (msg.mode != FERRY_LEND)
        fail("mode %u", msg.mode);
    ((volatile uint8_t *)msg.data)[1] = 0;
    fail("was not stopped");
}
