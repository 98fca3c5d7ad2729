/* SPDX-License-Identifier: BSD-2-Clause */
/* exec_identity PROGRAM: writes a line, waits for a byte of input, writes another line, and runs PROGRAM
 * in its place. */
#include <unistd.h>

#include "guest.h"

static void put(const char *line)
{
    if (write(1, line, strlen(line)) != (ssize_t)strlen(line))
        fail("write: %s", strerror(errno));
}

int main(int argc, char **argv)
{
    char byte;

    expect_arguments(argc, 1, "exec_identity PROGRAM");
    put("first\n");
    if (read(0, &byte, 1) != 1)
        fail("no input");
    put("last\n");
    execv(argv[1], argv + 1);
    fail("execv: %s", strerror(errno));
}
