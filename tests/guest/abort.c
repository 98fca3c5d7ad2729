/* SPDX-License-Identifier: BSD-2-Clause */
/* Ends by abort(). */
#include <stdlib.h>

int main(void)
{
    abort();
}
