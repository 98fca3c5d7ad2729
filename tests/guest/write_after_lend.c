/* SPDX-License-Identifier: BSD-2-Clause */
/* write_after_lend PEER: writes to a page it has lent, and must be stopped. */
#include "guest.h"

int main(int argc, char **argv)
{
    volatile uint8_t *data;

    expect_arguments(argc, 1, "write_after_lend PEER");
    data = send_units(argv[1], FERRY_LEND, FERRY_EXTENT_BYTES);
    data[4096 + 5] = 1;
    fail("was not stopped");
}
