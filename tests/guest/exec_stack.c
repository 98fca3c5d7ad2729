/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs code on its stack, which must not be executable. */
#include "guest.h"

int main(void)
{
    volatile uint8_t code[16] = {0xc3}; /* ret */
    void (*volatile run)(void) = (void (*)(void))(uintptr_t)code;

    run();
    fail("was not stopped");
}
