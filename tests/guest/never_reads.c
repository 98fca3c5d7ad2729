/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes a line without reading anything and ends well. */
#include <stdio.h>

int main(void)
{
    return puts("done") < 0;
}
