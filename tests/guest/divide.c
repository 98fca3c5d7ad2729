/* SPDX-License-Identifier: BSD-2-Clause */
/* Divides by zero. */
#include "guest.h"

int main(void)
{
    int quotient = 1, rest = 0;

    /* In assembler, as a compiler may do with 1 / 0 what it likes. */
    __asm__ volatile("idivl %2" : "+a"(quotient), "+d"(rest) : "r"(0));
    fail("was not stopped, got %d", quotient);
}
