/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * touch_window read|write|vector: touches the window before anything of it was opened.
 * touch_window beside: uses a page of its own, then reads the one behind it.
 */
#include "guest.h"

static void touch(const char *how, volatile uint8_t *at)
{
    if (strcmp(how, "write") == 0)
        *at = 1;
    else if (strcmp(how, "vector") == 0)
        __asm__ volatile("movups (%0), %%xmm0" : : "r"(at) : "xmm0", "memory");
    else
        (void)*at;
}

int main(int argc, char **argv)
{
    volatile uint8_t *window = (volatile uint8_t *)(uintptr_t)FERRY_WINDOW_BASE, *page;

    expect_arguments(argc, 1, "touch_window read|write|vector|beside");
    if (strcmp(argv[1], "beside") == 0) {
        page = ferry_alloc_pages(1);
        if (!page)
            fail("no page");
        for (uint64_t i = 0; i < FERRY_PAGE_BYTES; i++)
            page[i] = (uint8_t)i;
        window = page + FERRY_PAGE_BYTES;
    }
    touch(argv[1], window);
    fail("was not stopped");
}
