/* SPDX-License-Identifier: BSD-2-Clause */
/* pages PEER COUNT: sends single 4 KiB pages, lent and moved in turn (recv_check PEER any COUNT
 * 4096). */
#include "guest.h"

int main(int argc, char **argv)
{
    const struct ferry_control_info *info;
    struct ferry_msg msg = {.bytes = FERRY_PAGE_BYTES};
    uint64_t count;
    void *home;
    size_t home_bytes;

    expect_arguments(argc, 2, "pages PEER COUNT");
    msg.dst = peer_of(argv[1])->id;
    info = &ferry_control()->info;
    count = strtoull(argv[2], NULL, 0);
    for (uint64_t number = 0; number < count; number++) {
        msg.mode = number % 2 == 0 ? FERRY_LEND : FERRY_MOVE;
        msg.tag = number;
        msg.data = ferry_alloc_pages(1);
        if (msg.data == NULL)
            fail("no page: %s", strerror(errno));
        if ((uintptr_t)msg.data - info->window_base >= info->small_bytes)
            fail("page at %p is not in the part for pages", msg.data);
        for (size_t i = 0; i < FERRY_PAGE_BYTES; i++)
            if (((uint8_t *)msg.data)[i] != 0)
                fail("a new page is not empty");
        fill(msg.data, msg.bytes, number);
        expect_ok("send", ferry_send_wait(&msg, FERRY_WHEN_AUTO));
        if (msg.mode == FERRY_MOVE)
            continue;
        expect_ok("reclaim", ferry_reclaim(&home, &home_bytes, PATIENCE_NS));
        if (home != msg.data || home_bytes != FERRY_PAGE_BYTES)
            fail("%zu bytes at %p came home, not the page at %p", home_bytes, home, msg.data);
        expect_pattern(home, home_bytes, number);
        expect_ok("free", ferry_free(home, home_bytes));
    }
    return 0;
}
