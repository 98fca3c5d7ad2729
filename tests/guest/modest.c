/* SPDX-License-Identifier: BSD-2-Clause */
/* modest PATH: needs a few mappings and a descriptor, as any program does. */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"

#define PLACES 16
#define BYTES  (64 << 10)

int main(int argc, char **argv)
{
    expect_arguments(argc, 1, "modest PATH");
    for (int i = 0; i < PLACES; i++) {
        char *at = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED)
            fail("mmap %d: %s", i, strerror(errno));
        if (mprotect(at + 8192, 4096, PROT_READ) != 0)
            fail("mprotect %d: %s", i, strerror(errno));
        at[0] = at[BYTES - 1] = 1;
    }
    int fd = open(argv[1], O_RDONLY);
    if (fd < 0)
        fail("open: %s", strerror(errno));
    return close(fd);
}
