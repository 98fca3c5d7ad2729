/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs an instruction that only a kernel may. */
#include "guest.h"

int main(void)
{
    __asm__ volatile("hlt");
    fail("was not stopped");
}
