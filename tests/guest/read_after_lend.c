/* SPDX-License-Identifier: BSD-2-Clause */
/* read_after_lend PEER: reads a page it has lent, and must be stopped. */
#include "guest.h"

int main(int argc, char **argv)
{
    volatile uint8_t *data;

    expect_arguments(argc, 1, "read_after_lend PEER");
    data = send_units(argv[1], FERRY_LEND, FERRY_PAGE_BYTES);
    fail("was not stopped, read %u", data[7]);
}
