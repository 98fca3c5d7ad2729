/* SPDX-License-Identifier: BSD-2-Clause */
/* piece_source BYTES COUNT: writes COUNT pieces to the stream, each sent by itself. */
#include "guest.h"

int main(int argc, char **argv)
{
    size_t bytes = argument(argc, argv, 1), count = argument(argc, argv, 2);

    for (size_t i = 0; i < count; i++) {
        void *room;

        expect("output", ferry_output(&room, bytes));
        memset(room, (int)i, bytes);
        expect("commit", ferry_commit(bytes));
        expect("flush", ferry_flush());
    }
    expect("close", ferry_close());
    return 0;
}
