/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs an invalid instruction. */
#include "guest.h"

int main(void)
{
    __asm__ volatile("ud2");
    fail("was not stopped");
}
