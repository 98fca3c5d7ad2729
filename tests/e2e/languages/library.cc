// SPDX-License-Identifier: BSD-2-Clause
// Throws through the frames of two libraries.
#include "library.h"

void throw_odd(int n)
{
    if (n % 2)
        throw Odd(n);
}

void pass_through(void (*call)(int), int n)
{
    std::string unwound("cleaned up on the way");
    call(n);
}
