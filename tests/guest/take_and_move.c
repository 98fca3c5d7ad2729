/* SPDX-License-Identifier: BSD-2-Clause */
/* take_and_move COUNT: moves COUNT extents to the host, as soon as it takes each, then keeps as
 * many as it can get until the host hangs up. */
#include "guest.h"

int main(int argc, char **argv)
{
    struct ferry_msg msg;

    expect_arguments(argc, 1, "take_and_move COUNT");
    for (unsigned long i = strtoul(argv[1], NULL, 0); i > 0; i--) {
        struct ferry_msg moved = {
            .mode = FERRY_MOVE, .data = ferry_alloc_extents(1), .bytes = FERRY_EXTENT_BYTES};
        if (moved.data == NULL)
            break; /* nothing is left but what is kept for the host */
        expect_ok("move", ferry_send_wait(&moved, FERRY_WHEN_AUTO));
    }
    while (ferry_alloc_extents(1) != NULL)
        ;
    msg = (struct ferry_msg){.mode = FERRY_INLINE};
    expect_ok("word", ferry_send(&msg, FERRY_WHEN_AUTO));
    receive(&msg);
    return msg.mode != FERRY_HANGUP;
}
