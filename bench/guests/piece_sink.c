/* SPDX-License-Identifier: BSD-2-Clause */
/* piece_sink BYTES COUNT: reads a word of every cache line; times all but the first tenth. */
#include <errno.h>

#include "guest.h"
#include "report.h"

int main(int argc, char **argv)
{
    const void *data;
    uint64_t total = 0, sum = 0, start_ns = 0, start = 0;
    ssize_t got;

    uint64_t bytes = argument(argc, argv, 1), count = argument(argc, argv, 2);
    uint64_t warm_up = (count / 10 + 1) * bytes;

    while (total < bytes * count && (got = ferry_input(&data)) > 0) {
        for (ssize_t at = 0; at + 8 <= got; at += 64)
            sum += *(const uint64_t *)(const void *)((const char *)data + at);
        total += (uint64_t)got;
        if (start_ns == 0 && total >= warm_up) {
            start_ns = now_ns();
            start = total;
        }
    }
    expect("input", total == bytes * count ? 0 : -EIO);
    struct report report = {.ns = (double)(now_ns() - start_ns) * (double)bytes /
                                  (double)(total - start)};
    tell_host(&report, sizeof report);
    return sum == UINT64_MAX; /* never; but somebody has to want the sum */
}
