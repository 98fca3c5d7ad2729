/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * soft_peer ATTACKER [gives|returns]: sends the attacker one message of each mode, then takes and
 * releases whatever comes, which must be sound, until the attacker is gone. Beside what it sends there
 * lies the secret, and with `gives` it sends that. With `returns` it lends back what is lent to it.
 */
#include "plant.h"

#define SENT_BYTES 100

static char memory[FERRY_PAGE_BYTES];

static void tell_host(void)
{
    const struct ferry_msg msg = {.mode = FERRY_INLINE};

    expect_ok("tell", ferry_send_wait(&msg, FERRY_IMMEDIATE));
}

/* The middle of a page, so that the secret lies on both sides of it. */
static void send_one(uint16_t to, enum ferry_mode mode, size_t bytes)
{
    struct ferry_msg msg = {.mode = mode, .dst = to, .bytes = bytes};
    char *page = alloc_units(FERRY_PAGE_BYTES);

    plant_in(page);
    if (bytes < FERRY_PAGE_BYTES)
        memset(msg.data = page + FERRY_PAGE_BYTES / 2, 'p', bytes);
    else
        msg.data = page;
    int result = ferry_send_wait(&msg, FERRY_WHEN_AUTO);
    if (result < 0 && result != -EPIPE)
        expect_ok("send", result);
}

static void take(const struct ferry_msg *msg, uint16_t from)
{
    if (msg->src != from || msg->mode < FERRY_INLINE || msg->mode > FERRY_MOVE ||
        (msg->mode == FERRY_INLINE && msg->bytes > FERRY_INLINE_BYTES))
        fail("a message of %zu bytes, mode %u, from %u", msg->bytes, msg->mode, msg->src);
    if (msg->mode != FERRY_INLINE && msg->bytes > 0) {
        (void)*(volatile const uint8_t *)msg->data;
        (void)*((volatile const uint8_t *)msg->data + msg->bytes - 1);
    }
    if (msg->mode == FERRY_MOVE)
        expect_ok("free", ferry_free((void *)((uintptr_t)msg->data / unit_bytes(msg->bytes) *
                                              unit_bytes(msg->bytes)),
                                     unit_bytes(msg->bytes)));
    else
        expect_ok("release", ferry_release(msg));
}

/* Whether it lent the loan back: the attacker may have as many as it can hold, or be gone. */
static bool gives_back(const struct ferry_msg *msg)
{
    struct ferry_msg loan = {.mode = FERRY_LEND,
                             .tag = msg->tag,
                             .dst = msg->src,
                             .data = msg->data,
                             .bytes = msg->bytes};

    return msg->mode == FERRY_LEND && ferry_send_wait(&loan, FERRY_WHEN_AUTO) == 0;
}

int main(int argc, char **argv)
{
    struct ferry_msg msg;

    expect_arguments(argc, 1, "soft_peer ATTACKER [gives]");
    uint16_t attacker = peer_of(argv[1])->id;
    char *kept = plant(memory);
    bool gives = argc > 2 && strcmp(argv[2], "gives") == 0;
    bool returns = argc > 2 && strcmp(argv[2], "returns") == 0;
    send_one(attacker, FERRY_LEND, gives ? FERRY_PAGE_BYTES : SENT_BYTES);
    send_one(attacker, FERRY_MOVE, SENT_BYTES);
    send_one(attacker, FERRY_COPY, SENT_BYTES);
    send_one(attacker, FERRY_INLINE, FERRY_INLINE_BYTES);
    tell_host();
    for (receive(&msg); msg.mode != FERRY_HANGUP; receive(&msg))
        if (!returns || !gives_back(&msg))
            take(&msg, attacker);
    expect_planted(memory);
    expect_planted(kept);
    return 0;
}
