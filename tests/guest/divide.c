/* SPDX-License-Identifier: BSD-2-Clause */
/* Divides by zero. */
#include "guest.h"

int main(void)
{
    volatile int one = 1, zero = 0;

    fail("was not stopped, got %d", one / zero);
}
