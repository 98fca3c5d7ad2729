/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bystander right: lends each page that the host sends to 'right'.
 * bystander host: answers each of these pages to the host by the sum of its bytes.
 * Both until the hang-up; then what they have of their own must be as it was.
 */
#include "plant.h"

static char memory[FERRY_PAGE_BYTES];
static uint8_t *unit;

static void pass_on(const struct ferry_msg *msg, uint16_t to)
{
    const struct ferry_msg loan = {
        .mode = FERRY_LEND, .tag = msg->tag, .dst = to, .data = unit, .bytes = msg->bytes};
    void *home;
    size_t bytes;

    if (msg->bytes != FERRY_PAGE_BYTES)
        fail("%zu bytes", msg->bytes);
    memcpy(unit, ferry_msg_data(msg), msg->bytes);
    expect_ok("lend", ferry_send_wait(&loan, FERRY_WHEN_AUTO));
    expect_ok("reclaim", ferry_reclaim(&home, &bytes, PATIENCE_NS));
}

static void answer(const struct ferry_msg *msg, uint16_t to)
{
    const uint8_t *data = ferry_msg_data(msg);
    uint64_t sum = 0;
    struct ferry_msg answer = {
        .mode = FERRY_INLINE, .tag = msg->tag, .dst = to, .data = &sum, .bytes = sizeof sum};

    for (size_t i = 0; i < msg->bytes; i++)
        sum += data[i];
    expect_ok("answer", ferry_send_wait(&answer, FERRY_WHEN_AUTO));
}

int main(int argc, char **argv)
{
    struct ferry_msg msg;

    expect_arguments(argc, 1, "bystander right|host");
    char *kept = plant(memory);
    unit = alloc_units(FERRY_PAGE_BYTES);
    bool last = strcmp(argv[1], "host") == 0;
    uint16_t to = last ? 0 : peer_of(argv[1])->id;
    for (receive(&msg); msg.mode != FERRY_HANGUP; receive(&msg)) {
        if (last)
            answer(&msg, to);
        else
            pass_on(&msg, to);
        expect_ok("release", ferry_release(&msg));
    }
    expect_planted(memory);
    expect_planted(kept);
    return 0;
}
