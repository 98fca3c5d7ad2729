/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls a function of gcc's that lies on the stack, linked so that code may run there; makes the
 * stack executable by hand, with an argument. Built without that flag then, it is not so before. */
#include <sys/mman.h>

#include "guest.h"

static int apply(int (*function)(int), int value)
{
    return function(value);
}

int main(int argc, char **argv)
{
    int more = argc;
    int add(int value)
    {
        return value + more;
    }

    (void)argv;
    if (argc > 1 && mprotect((void *)((uintptr_t)&more & ~4095ull), 4096,
                             PROT_READ | PROT_WRITE | PROT_EXEC | PROT_GROWSDOWN))
        fail("mprotect: %s", strerror(errno));
    return apply(add, 40);
}
