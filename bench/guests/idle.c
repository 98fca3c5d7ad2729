/* SPDX-License-Identifier: BSD-2-Clause */
/* A program that says so on standard error and then waits for a message for ever. */
#include <unistd.h>

#include "guest.h"

int main(void)
{
    struct ferry_msg msg;

    if (write(STDERR_FILENO, "", 1) != 1)
        return 1;
    expect("receive", ferry_recv(&msg, UINT64_MAX));
    return 0;
}
