/* SPDX-License-Identifier: BSD-2-Clause */
/* touch_after_move PEER: reads units it has given away, and must be stopped. */
#include "guest.h"

int main(int argc, char **argv)
{
    volatile uint8_t *data;

    expect_arguments(argc, 1, "touch_after_move PEER");
    data = send_units(argv[1], FERRY_MOVE, FERRY_EXTENT_BYTES);
    fail("was not stopped, read %u", data[FERRY_EXTENT_BYTES - 1]);
}
