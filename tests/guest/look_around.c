/* SPDX-License-Identifier: BSD-2-Clause */
/* Looks at all of the units that messages come in: it writes out the payload, and fails if the rest
 * is anything but zeros. */
#include "guest.h"

static void expect_zeros(const struct ferry_msg *msg, const char *from, const char *to)
{
    for (const char *at = from; at < to; at++)
        if (*at != 0)
            fail("payload of %zu bytes: %td bytes off its start there is 0x%x", msg->bytes,
                 at - (const char *)msg->data, (unsigned char)*at);
}

int main(void)
{
    struct ferry_msg msg;

    for (;;) {
        receive(&msg);
        if (msg.mode == FERRY_HANGUP)
            break;
        if (msg.mode == FERRY_LEND || msg.mode == FERRY_MOVE) {
            const struct ferry_control_info *info = &ferry_control()->info;
            uintptr_t start = (uintptr_t)msg.data, end = start + msg.bytes;
            uintptr_t unit = start < info->window_base + info->small_bytes ? FERRY_PAGE_BYTES
                                                                           : FERRY_EXTENT_BYTES;
            const char *first = (const char *)(start / unit * unit);
            size_t whole = (end + unit - 1) / unit * unit - start / unit * unit;
            expect_zeros(&msg, first, msg.data);
            expect_zeros(&msg, (const char *)end, first + whole);
            fwrite(ferry_msg_data(&msg), 1, msg.bytes, stdout);
            if (msg.mode == FERRY_MOVE)
                expect_ok("free", ferry_free((void *)first, whole));
        } else {
            fwrite(ferry_msg_data(&msg), 1, msg.bytes, stdout);
        }
        ferry_release(&msg);
    }
    return fflush(stdout) != 0;
}
