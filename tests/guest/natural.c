/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * natural PEER ROUNDS: queues a deferred message, stays in the VM for a while, then leaves it by
 * a system call that has nothing to do with messages. The message must still be there before
 * that exit and gone after it (claim 6).
 */
#include <sys/syscall.h>
#include <unistd.h>

#include "guest.h"

#define WHILE 1000 /* turns; many times what it takes to leave a VM by mistake */

static uint32_t taken(void)
{
    return __atomic_load_n(&ferry_control()->vmm.out_tail, __ATOMIC_ACQUIRE);
}

int main(int argc, char **argv)
{
    struct ferry_msg msg = {.mode = FERRY_INLINE};

    expect_arguments(argc, 2, "natural PEER ROUNDS");
    msg.dst = peer_of(argv[1])->id;
    for (uint32_t round = 0; round < strtoul(argv[2], NULL, 0); round++) {
        expect_ok("send", ferry_send(&msg, FERRY_DEFERRED));
        for (unsigned i = 0; i < WHILE; i++)
            __builtin_ia32_pause();
        if (taken() != round)
            fail("message %u left before there was an exit", round);
        syscall(SYS_getppid);
        if (taken() != round + 1)
            fail("message %u did not leave at the exit", round);
    }
    return 0;
}
