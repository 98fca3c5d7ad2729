/* SPDX-License-Identifier: BSD-2-Clause */
/* latency_ping WHEN wait|poll COUNT: times COUNT round trips with latency_pong. */
#include "messages.h"

int main(int argc, char **argv)
{
    struct ferry_msg msg = {.mode = FERRY_INLINE, .bytes = FERRY_INLINE_BYTES}, back;
    uint8_t payload[FERRY_INLINE_BYTES] = {1};
    struct stopwatch watch = {0};
    struct report report;

    enum ferry_when when = when_of(word(argc, argv, 1));
    bool poll = strcmp(word(argc, argv, 2), "poll") == 0;
    size_t count = argument(argc, argv, 3), warm_up = count / 10 + 1;
    uint64_t *times = calloc(count + warm_up, sizeof *times);

    expect("memory", times ? 0 : -ENOMEM);
    msg.data = payload;
    msg.dst = receiver();
    for (size_t i = 0; i < count + warm_up; i++) {
        if (i == warm_up)
            stopwatch_start(&watch, times);
        uint64_t start = ticks();
        expect("send", ferry_send(&msg, when));
        receive(&back, poll);
        times[i < warm_up ? i : i - warm_up] = ticks() - start;
    }
    stopwatch_stop(&watch, count, &report);
    tell_host(&report, sizeof report);
    return 0;
}
