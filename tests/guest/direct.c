/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * direct PEER SEND RECEIVE poll|wait WINDOW [mixed]: sends and receives so many
 * messages over links with a direct ring (PEER `-`: to fd 1, from fd 0), never more than WINDOW
 * ahead of what came, then hangs up and expects the peer to. All must come in order; with
 * `mixed` some travel by the VMM.
 * direct PEER dies COUNT: sends them and aborts. direct PEER survives COUNT: takes
 * them once the peer is gone.
 * direct PEER write out|in OFFSET: writes to a ring. direct PEER none: there is none.
 */
#include <ferry/abi/direct.h>

#include "guest.h"

static const struct ferry_peer *to, *from;
static uint64_t sent, received;

static void *page_to_lend(void)
{
    static unsigned pages;
    void *page;
    size_t bytes;

    if (ferry_reclaim(&page, &bytes, 0) == 0)
        return page;
    return pages++ < 8 ? alloc_units(FERRY_PAGE_BYTES) : NULL;
}

static void send_next(bool mixed)
{
    static uint8_t copies[16][300], small[FERRY_INLINE_BYTES];
    struct ferry_msg msg = {.mode = FERRY_INLINE, .dst = to->id, .tag = sent, .data = small};
    void *page = mixed && sent % 50 == 49 ? page_to_lend() : NULL;

    msg.bytes = sent % 3 == 0 ? FERRY_INLINE_BYTES : sent % FERRY_INLINE_BYTES;
    if (page != NULL) {
        msg.mode = FERRY_LEND;
        msg.data = page;
        msg.bytes = FERRY_PAGE_BYTES;
    } else if (mixed && sent % 37 == 5) {
        msg.mode = FERRY_COPY;
        msg.data = copies[sent / 37 % 16];
        msg.bytes = sizeof(copies[0]);
    }
    fill(msg.data, msg.bytes, sent);
    if (msg.mode == FERRY_COPY) { /* its buffer is used again soon */
        expect_ok("copy", ferry_send_wait(&msg, FERRY_WHEN_AUTO));
    } else {
        int64_t ticket = ferry_send(&msg, FERRY_WHEN_AUTO);
        int status = ferry_status(ticket);

        expect_ok("send", ticket);
        if (status != 0 && status != -EINPROGRESS)
            fail("message %llu: %s", (unsigned long long)sent, strerror(-status));
    }
    sent++;
}

static void take_next(bool poll, enum ferry_mode expected)
{
    struct ferry_msg msg;
    int error;

    do
        error = ferry_recv(&msg, poll ? 0 : PATIENCE_NS);
    while (poll && error == -ETIMEDOUT);
    expect_ok("receive", error);
    if ((msg.mode == FERRY_HANGUP) != (expected == FERRY_HANGUP))
        fail("mode %u after %llu messages", msg.mode, (unsigned long long)received);
    if (msg.src != from->id || msg.src_generation != from->generation ||
        msg.dst != ferry_control()->info.id ||
        msg.dst_generation != ferry_control()->info.generation)
        fail("from %u to %u", msg.src, msg.dst);
    if (msg.mode == FERRY_HANGUP)
        return;
    if (msg.tag != received)
        fail("message %llu instead of %llu", (unsigned long long)msg.tag,
             (unsigned long long)received);
    expect_pattern(ferry_msg_data(&msg), msg.bytes, received);
    expect_ok("release", ferry_release(&msg));
    received++;
}

static void hang_up(void)
{
    struct ferry_msg msg = {.mode = FERRY_HANGUP, .dst = to->id};
    struct ferry_msg more = {.mode = FERRY_INLINE, .dst = to->id};
    int status;

    expect_ok("hang up", ferry_send_wait(&msg, FERRY_WHEN_AUTO));
    status = ferry_send_wait(&more, FERRY_WHEN_AUTO);
    if (status != -EPIPE)
        fail("sent after the hang-up: %d", status);
}

static int exchange(char **argv)
{
    uint64_t to_send = strtoull(argv[2], NULL, 0), to_receive = strtoull(argv[3], NULL, 0);
    uint64_t window = strtoull(argv[5], NULL, 0);
    bool poll = strcmp(argv[4], "poll") == 0, mixed = argv[6] != NULL;

    if ((to_send > 0 && to->direct_out == 0) || (to_receive > 0 && from->direct_in == 0))
        fail("the link is not direct");
    while (sent < to_send || received < to_receive) {
        if (sent < to_send && (received == to_receive || sent < received + window))
            send_next(mixed);
        else
            /* The second came from a peer that takes from its ring, so the answer goes there;
             * before that, messages need exits, which a poller never makes. */
            take_next(poll && received >= 2, FERRY_INLINE);
    }
    if (to_send > 0)
        hang_up();
    if (to_receive > 0)
        take_next(poll, FERRY_HANGUP);
    return 0;
}

static _Noreturn void dies(uint64_t count)
{
    struct ferry_msg hello;

    receive(&hello); /* the peer takes from its ring */
    while (sent < count)
        send_next(false);
    abort();
}

static int survives(uint64_t count)
{
    struct ferry_msg msg = {.mode = FERRY_INLINE, .dst = to->id};

    ferry_recv(&msg, 0);
    expect_ok("hello", ferry_send(&msg, FERRY_IMMEDIATE));
    while (__atomic_load_n(&from->state, __ATOMIC_ACQUIRE) != FERRY_PEER_GONE)
        ;
    while (received < count)
        take_next(true, FERRY_INLINE);
    take_next(true, FERRY_HANGUP);
    return 0;
}

static int write_to(bool out, size_t offset)
{
    uint64_t ring = out ? to->direct_out : from->direct_in;

    if (ring == 0)
        fail("the link is not direct");
    *(volatile uint8_t *)(uintptr_t)(ring + offset) = 1;
    return 0;
}

int main(int argc, char **argv)
{
    expect_arguments(argc, 2, "direct PEER ...");
    if (strcmp(argv[1], "-") == 0) {
        to = ferry_peer_by_id(ferry_control()->info.stdout_peer);
        from = ferry_peer_by_id(ferry_control()->info.stdin_peer);
    } else {
        to = from = peer_of(argv[1]);
    }
    if (strcmp(argv[2], "none") == 0)
        return to->direct_out != 0 || to->direct_in != 0;
    if (strcmp(argv[2], "dies") == 0)
        dies(strtoull(argv[3], NULL, 0));
    if (strcmp(argv[2], "survives") == 0)
        return survives(strtoull(argv[3], NULL, 0));
    if (strcmp(argv[2], "write") == 0)
        return write_to(strcmp(argv[3], "out") == 0, strtoull(argv[4], NULL, 0));
    expect_arguments(argc, 5, "direct PEER SEND RECEIVE poll|wait WINDOW");
    return exchange(argv);
}
