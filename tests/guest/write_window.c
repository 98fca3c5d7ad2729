/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes some output, so that it gathers somewhere in the window, and then more of it from each
 * extent and page of the window: none of them is its own. */
#include <unistd.h>

#include "guest.h"

static void expect_refused(uint64_t addr, size_t bytes)
{
    ssize_t put = write(1, (const void *)addr, bytes);

    if (put >= 0 || errno != EFAULT)
        fail("wrote %zd bytes from 0x%llx", put, (unsigned long long)addr);
}

int main(void)
{
    const struct ferry_control_info *info = &ferry_control()->info;

    if (write(1, "gathered", 8) != 8)
        fail("write: %s", strerror(errno));
    for (uint64_t at = 0; at < info->window_bytes; at += FERRY_EXTENT_BYTES) {
        expect_refused(info->window_base + at, 100);
        expect_refused(info->window_base + at + 1, FERRY_PAGE_BYTES - 1);
    }
    return 0;
}
