/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * greedy regions|files PATH: takes as many mappings or descriptors of the VMM as it is given, says
 * so, and waits to be stopped.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"

#define APART ((char *)0x300000000)

static int take_regions(void)
{
    int count = 0;

    while (mmap(APART + (size_t)count * 8192, 4096, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED)
        count++;
    return count;
}

static int take_files(const char *path)
{
    int count = 0;

    while (open(path, O_RDONLY) >= 0)
        count++;
    return count;
}

int main(int argc, char **argv)
{
    expect_arguments(argc, 2, "greedy regions|files PATH");
    int count = strcmp(argv[1], "regions") == 0 ? take_regions() : take_files(argv[2]);
    int refused = errno;
    dprintf(2, "full: %d, %s\n", count, strerror(refused));
    for (;;)
        pause();
}
