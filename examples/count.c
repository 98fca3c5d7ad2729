/* SPDX-License-Identifier: BSD-2-Clause */
/* A sink: reads all of its input in place and prints how much it was and its sum. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <ferry/guest.h>

#include "sum.h"

int main(void)
{
    struct sum sum = {0, 0};
    const void *data;
    ssize_t bytes;

    while ((bytes = ferry_input(&data)) > 0)
        sum_add(&sum, data, (size_t)bytes);
    if (bytes < 0) {
        fprintf(stderr, "count: %s\n", strerror((int)-bytes));
        return 1;
    }
    return printf("%" PRIu64 " %016" PRIx64 "\n", sum.bytes, sum.value) < 0;
}
