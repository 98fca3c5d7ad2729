/* SPDX-License-Identifier: BSD-2-Clause */
/* flushes COUNT BYTES: writes COUNT pieces of BYTES to its output stream, each flushed. */
#include "guest.h"

int main(int argc, char **argv)
{
    expect_arguments(argc, 2, "flushes COUNT BYTES");
    uint64_t count = strtoull(argv[1], NULL, 0);
    size_t bytes = strtoull(argv[2], NULL, 0);

    for (uint64_t i = 0; i < count; i++) {
        void *room;

        expect_ok("output", ferry_output(&room, bytes));
        fill(room, bytes, 0);
        expect_ok("commit", ferry_commit(bytes));
        expect_ok("flush", ferry_flush());
    }
    expect_ok("close", ferry_close());
    return 0;
}
