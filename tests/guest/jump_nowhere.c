/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs code where there is none. */
#include "guest.h"

int main(void)
{
    void (*volatile nowhere)(void) = (void (*)(void))0x123456789;

    nowhere();
    fail("was not stopped");
}
