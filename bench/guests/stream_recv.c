/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stream_recv BYTES HONEST: reads what stream_send sends, in place, and tells
 * the host how much came after the first message, and how long that took.
 */
#include "../lines.h"
#include "guest.h"

static uint64_t bytes, sum, total, first_total, first_ns;
static bool honest;

static void take(const void *data, size_t length)
{
    sum += lines_read(data, length, honest ? LINE_BYTES : PAGE_STEP);
    total += length;
    if (first_ns == 0 && total >= bytes) {
        first_ns = now_ns();
        first_total = total;
    }
}

static void receive_stream(void)
{
    const void *data;
    int64_t got;

    while ((got = expect("input", ferry_input(&data))) > 0)
        take(data, (size_t)got);
}

static void receive_loans(void)
{
    struct ferry_msg msg;

    for (;;) {
        expect("receive", ferry_recv(&msg, UINT64_MAX));
        if (msg.mode == FERRY_HANGUP)
            return;
        take(msg.data, msg.bytes);
        expect("release", ferry_release(&msg));
    }
}

int main(int argc, char **argv)
{
    struct stream_report report;

    bytes = argument(argc, argv, 1);
    honest = argument(argc, argv, 2) != 0;
    if (honest && bytes < FERRY_EXTENT_BYTES)
        receive_stream();
    else
        receive_loans();
    report.ns = now_ns() - first_ns;
    report.bytes = total - first_total;
    report.wrong = honest && sum != lines_sum(total);
    tell_host(&report, sizeof(report));
    return 0;
}
