/* SPDX-License-Identifier: BSD-2-Clause */
/* Uses up its stack. */
#include "guest.h"

static volatile bool deep_enough; /* never */

static int __attribute__((noinline)) deeper(const volatile uint8_t *above)
{
    volatile uint8_t frame[1024];

    frame[0] = above[0];
    return deep_enough ? 0 : deeper(frame) + frame[0];
}

int main(void)
{
    volatile uint8_t start[1] = {1};

    fail("was not stopped, got %d", deeper(start));
}
