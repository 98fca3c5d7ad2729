/* SPDX-License-Identifier: BSD-2-Clause */
/* pieces BYTES: reads its input stream to the end; it is pieces of BYTES as flushes writes them. */
#include "guest.h"

int main(int argc, char **argv)
{
    expect_arguments(argc, 1, "pieces BYTES");
    size_t bytes = strtoull(argv[1], NULL, 0), at = 0;
    const void *data;
    ssize_t got;

    while ((got = ferry_input(&data)) > 0)
        for (ssize_t i = 0; i < got; i++, at = (at + 1) % bytes)
            if (((const uint8_t *)data)[i] != pattern(0, at))
                fail("byte %zu of a piece is wrong", at);
    expect_ok("input", got);
    if (at != 0)
        fail("the last piece ends after %zu bytes", at);
    return 0;
}
