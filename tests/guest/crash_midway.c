/* SPDX-License-Identifier: BSD-2-Clause */
/* Passes 3 MiB of its input on by plain reads and writes, then writes to address 16. */
#include <unistd.h>

#include "guest.h"

int main(void)
{
    static uint8_t data[65536];
    volatile int *volatile nowhere = (volatile int *)16;
    size_t seen = 0;
    ssize_t bytes;

    while (seen < 3u << 20 && (bytes = read(0, data, sizeof(data))) > 0) {
        if (write(1, data, (size_t)bytes) != bytes)
            fail("write: %s", strerror(errno));
        seen += (size_t)bytes;
    }
    *nowhere = 1;
    fail("was not stopped");
}
