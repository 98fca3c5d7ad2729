/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes to a port that is not there. */
#include "guest.h"

int main(void)
{
    __asm__ volatile("outb %%al, $0x80" : : "a"(0));
    fail("was not stopped");
}
