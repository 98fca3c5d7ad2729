/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * no_exit PEER MODE COUNT BYTES: sends messages one after the other and waits for
 * each to be taken without ever leaving the VM for it.
 */
#include "guest.h"

int main(int argc, char **argv)
{
    struct ferry_msg msg = {0};
    uint64_t count;
    int status;

    expect_arguments(argc, 4, "no_exit PEER MODE COUNT BYTES");
    msg.dst = peer_of(argv[1])->id;
    msg.mode = mode_of(argv[2]);
    count = strtoull(argv[3], NULL, 0);
    msg.bytes = strtoull(argv[4], NULL, 0);
    msg.data = msg.mode == FERRY_LEND ? alloc_units(msg.bytes) : malloc(msg.bytes);
    for (uint64_t number = 0; number < count; number++) {
        void *home = NULL;
        size_t bytes;

        msg.tag = number;
        fill(msg.data, msg.bytes, number);
        int64_t ticket = ferry_send(&msg, FERRY_WHEN_AUTO);
        expect_ok("send", ticket);
        while ((status = ferry_status(ticket)) == -EINPROGRESS)
            __builtin_ia32_pause();
        expect_ok("message", status);
        while (msg.mode == FERRY_LEND && ferry_reclaim(&home, &bytes, 0) == -ETIMEDOUT)
            __builtin_ia32_pause();
    }
    return 0;
}
