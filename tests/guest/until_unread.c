/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes a line, waits until nobody reads its output any more, as `tail -f` does, and ends with
 * 7. */
#include <poll.h>
#include <unistd.h>

#include "guest.h"

int main(void)
{
    struct pollfd output = {.fd = STDOUT_FILENO, .events = 0};

    if (write(STDOUT_FILENO, "ready\n", 6) != 6)
        fail("write: %s", strerror(errno));
    if (poll(&output, 1, -1) != 1 || output.revents != POLLERR)
        fail("poll says %d", output.revents);
    return 7;
}
