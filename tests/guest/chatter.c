/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes to standard error for ever. */
#include <unistd.h>

#include "guest.h"

int main(void)
{
    static char text[65536];

    memset(text, 'x', sizeof(text));
    while (write(2, text, sizeof(text)) > 0)
        ;
    return 0;
}
