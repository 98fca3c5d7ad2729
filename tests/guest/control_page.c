/* SPDX-License-Identifier: BSD-2-Clause */
/* control_page NUMBER: stores to the first and the last byte of that page of its control
 * structure. */
#include "guest.h"

int main(int argc, char **argv)
{
    volatile uint8_t *control = (volatile uint8_t *)(uintptr_t)ferry_control(), *page;

    expect_arguments(argc, 1, "control_page NUMBER");
    page = control + strtoull(argv[1], NULL, 0) * FERRY_PAGE_BYTES;
    page[0] = page[0];
    page[FERRY_PAGE_BYTES - 1] = page[FERRY_PAGE_BYTES - 1];
    return 0;
}
