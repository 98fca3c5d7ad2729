/* SPDX-License-Identifier: BSD-2-Clause */
/* send_and_spin PEER: queues one deferred message and never leaves the VM by itself again. */
#include "guest.h"

int main(int argc, char **argv)
{
    struct ferry_msg msg = {.mode = FERRY_INLINE, .tag = 42};

    expect_arguments(argc, 1, "send_and_spin PEER");
    msg.dst = peer_of(argv[1])->id;
    expect_ok("send", ferry_send(&msg, FERRY_DEFERRED));
    for (;;)
        __builtin_ia32_pause();
}
