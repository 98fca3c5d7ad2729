/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads through a null pointer. */
#include "guest.h"

int main(void)
{
    uint64_t value;

    __asm__ volatile("mov (%1), %0" : "=r"(value) : "r"((void *)NULL));
    fail("was not stopped, read %llu", (unsigned long long)value);
}
