/* SPDX-License-Identifier: BSD-2-Clause */
/* answers_often COUNT: passes some bytes from standard input on, and then asks so many times for what
 * never changes. Ends with 0 if it was always the same. */
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest.h"

int main(int argc, char **argv)
{
    long first[3] = {getpid(), getppid(), getegid()};
    char byte;

    expect_arguments(argc, 1, "answers_often COUNT");
    for (int i = 0; i < 100; i++)
        if (read(0, &byte, 1) != 1 || write(1, &byte, 1) != 1)
            fail("a byte cannot be passed on");
    for (int i = atoi(argv[1]); i > 0; i--) {
        if (syscall(SYS_getpid) != first[0] || syscall(SYS_getppid) != first[1] ||
            syscall(SYS_getegid) != first[2])
            fail("the process is another");
        if ((unsigned long)syscall(SYS_getuid) != getauxval(AT_UID) ||
            (unsigned long)syscall(SYS_geteuid) != getauxval(AT_EUID) ||
            (unsigned long)syscall(SYS_getgid) != getauxval(AT_GID))
            fail("the user is another");
    }
    return 0;
}
