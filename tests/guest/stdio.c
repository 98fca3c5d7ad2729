/* SPDX-License-Identifier: BSD-2-Clause */
/* Copies input to output through stdio with small writes. */
#include "guest.h"

int main(void)
{
    static char buffer[512];
    int byte;

    setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
    while ((byte = getchar()) != EOF)
        if (putchar(byte) == EOF)
            fail("write: %s", strerror(errno));
    if (ferror(stdin))
        fail("read: %s", strerror(errno));
    return fflush(stdout) != 0;
}
