/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads 10 bytes, passes them on and ends well. */
#include <unistd.h>

#include "guest.h"

int main(void)
{
    char data[10];
    size_t have = 0;
    ssize_t bytes = 1;

    while (have < sizeof(data) && bytes > 0) {
        bytes = read(0, data + have, sizeof(data) - have);
        have += bytes > 0 ? (size_t)bytes : 0;
    }
    if (write(1, data, have) != (ssize_t)have)
        fail("write: %s", strerror(errno));
    return 0;
}
