/* SPDX-License-Identifier: BSD-2-Clause */
/* Sets a limit and goes beyond it: computes ("cpu SOFT HARD"), or uses so much stack ("stack
 * MIB"). */
#include <alloca.h>
#include <sys/resource.h>
#include <time.h>

#include "guest.h"

static int use(size_t bytes)
{
    volatile char *room = alloca(bytes);

    for (size_t i = bytes; i > 0; i -= i < 4096 ? i : 4096)
        room[i - 1] = 1;
    room[0] = 1;
    return room[0] == 1 ? 0 : 2;
}

int main(int argc, char **argv)
{
    struct rlimit limit;
    struct timespec used = {0};

    expect_arguments(argc, 2, "limited cpu SOFT HARD | stack MIB");
    if (!strcmp(argv[1], "stack")) {
        size_t bytes = strtoul(argv[2], NULL, 10) << 20;

        getrlimit(RLIMIT_STACK, &limit);
        limit.rlim_cur = bytes;
        if (setrlimit(RLIMIT_STACK, &limit))
            fail("setrlimit: %s", strerror(errno));
        return use(bytes - (256 << 10)) || use(bytes + (1 << 20));
    }
    limit = (struct rlimit){strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10)};
    if (setrlimit(RLIMIT_CPU, &limit))
        fail("setrlimit: %s", strerror(errno));
    while (used.tv_sec < 10) /* mostly without a system call */
        for (int i = 0; i < 100000000; i++)
            __asm__ volatile("" ::: "memory");
    return 3;
}
