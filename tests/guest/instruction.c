/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs the machine code that its argument gives in hexadecimal, with RAX to RSI as further
 * arguments say, and exits with 77 if that comes back. */
#include <stdlib.h>
#include <sys/mman.h>

#include "guest.h"

int main(int argc, char **argv)
{
    unsigned char *code =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t reg[5] = {0};
    size_t bytes = 0;

    expect_arguments(argc, 1, "instruction CODE [RAX [RBX [RCX [RDX [RSI]]]]]");
    if (code == MAP_FAILED)
        fail("no memory to run code in");
    for (const char *at = argv[1]; at[0] && at[1]; at += 2)
        code[bytes++] = (unsigned char)strtoul((char[3]){at[0], at[1]}, NULL, 16);
    code[bytes] = 0xc3; /* ret */
    for (int i = 2; i < argc && i < 7; i++)
        reg[i - 2] = strtoull(argv[i], NULL, 0);
    __asm__ volatile("call *%[code]"
                     : "+a"(reg[0]), "+b"(reg[1]), "+c"(reg[2]), "+d"(reg[3]), "+S"(reg[4])
                     : [code] "r"(code)
                     : "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
    return 77;
}
