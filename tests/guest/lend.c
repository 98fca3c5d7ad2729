/* SPDX-License-Identifier: BSD-2-Clause */
/* lend PEER: lends one extent and waits for it to come home. */
#include "guest.h"

int main(int argc, char **argv)
{
    void *data;
    size_t bytes;

    expect_arguments(argc, 1, "lend PEER");
    send_units(argv[1], FERRY_LEND, FERRY_EXTENT_BYTES);
    expect_ok("reclaim", ferry_reclaim(&data, &bytes, PATIENCE_NS));
    expect_pattern(data, bytes, 0);
    return 0;
}
