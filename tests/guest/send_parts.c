/* SPDX-License-Identifier: BSD-2-Clause */
/* send_parts PEER: fills whole units and sends parts of them, by LEND and MOVE, one by one and
 * several in one exit. */
#include "guest.h"

static const struct {
    size_t whole, start, bytes;
} parts[] = {
    {FERRY_PAGE_BYTES, 0, 1},
    {FERRY_PAGE_BYTES, 100, 200},
    {FERRY_PAGE_BYTES, FERRY_PAGE_BYTES - 1, 1},
    {FERRY_EXTENT_BYTES, 0, 100000},
    {FERRY_EXTENT_BYTES, 3, FERRY_EXTENT_BYTES - 4},
    {2 * FERRY_EXTENT_BYTES, FERRY_EXTENT_BYTES - 1, 2},
};

static int64_t send_part(uint16_t peer, size_t i, enum ferry_mode mode)
{
    struct ferry_msg msg = {.mode = mode, .dst = peer, .bytes = parts[i].bytes};
    char *units = alloc_units(parts[i].whole);

    memset(units, 'x', parts[i].whole);
    msg.data = units + parts[i].start;
    int64_t ticket = ferry_send(&msg, FERRY_DEFERRED);
    expect_ok("send", ticket);
    return ticket;
}

static void expect_sent(int64_t ticket)
{
    while (ferry_status(ticket) == -EINPROGRESS)
        expect_ok("yield", ferry_yield());
    expect_ok("status", ferry_status(ticket));
}

int main(int argc, char **argv)
{
    enum { PARTS = sizeof parts / sizeof parts[0] };
    int64_t tickets[PARTS];
    uint16_t peer = 0;

    expect_arguments(argc, 1, "send_parts PEER");
    peer = peer_of(argv[1])->id;
    for (size_t i = 0; i < PARTS; i++)
        expect_sent(send_part(peer, i, i % 2 ? FERRY_MOVE : FERRY_LEND));
    for (size_t i = 0; i < 3; i++) /* side by side */
        tickets[i] = send_part(peer, i, FERRY_LEND);
    for (size_t i = 0; i < 3; i++)
        expect_sent(tickets[i]);
    return 0;
}
