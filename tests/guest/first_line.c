/* SPDX-License-Identifier: BSD-2-Clause */
/* A filter that keeps the first line of its input and passes the rest on, as any Linux program may
 * do it: read, then sendfile. */
#include <sys/sendfile.h>
#include <unistd.h>

#include "guest.h"

int main(void)
{
    ssize_t moved;
    char byte;

    do
        if (read(0, &byte, 1) != 1)
            fail("no line");
    while (byte != '\n');
    while ((moved = sendfile(1, 0, NULL, 1 << 30)) > 0)
        ;
    expect_ok("sendfile", moved < 0 ? -errno : 0);
    return 0;
}
