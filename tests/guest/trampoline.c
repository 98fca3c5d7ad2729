/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls code that lies on the stack, as a trampoline of gcc's nested functions does, linked so that
 * it may run there; makes the stack executable by hand, with an argument. Built without that flag
 * then, it is not so before. */
#include <sys/mman.h>

#include "guest.h"

int main(int argc, char **argv)
{
    /* lea argc(%rdi), %eax; ret. Volatile: it is on the stack, whatever the compiler sees. */
    volatile unsigned char code[] = {0x8d, 0x47, (unsigned char)argc, 0xc3};
    int (*add)(int) = (int (*)(int))(uintptr_t)code;

    (void)argv;
    if (argc > 1 && mprotect((void *)((uintptr_t)code & ~4095ull), 4096,
                             PROT_READ | PROT_WRITE | PROT_EXEC | PROT_GROWSDOWN))
        fail("mprotect: %s", strerror(errno));
    return add(40);
}
