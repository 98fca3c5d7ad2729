/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads through a null pointer. */
#include "guest.h"

int main(void)
{
    volatile int *volatile nothing = NULL;

    fail("was not stopped, read %d", nothing[2]);
}
