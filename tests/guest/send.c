/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * send PEER MODE WHEN COUNT BYTES: sends COUNT messages with a pattern and checks that each was
 * delivered; its loans must come home unchanged.
 */
#include "call.h"
#include "guest.h"

/* One more than can be queued, so that the oldest is free when it is filled again. */
#define BUFFERS (FERRY_RING_ENTRIES + 1)

static uint64_t loans;

static void take_home(void **data, uint64_t timeout_ns)
{
    size_t bytes;
    int error = ferry_reclaim(data, &bytes, timeout_ns);

    *data = error == 0 ? *data : NULL;
    if (error == 0)
        loans--;
    else if (error != -ETIMEDOUT || timeout_ns != 0)
        fail("reclaim: %s", strerror(-error));
}

static void *units(enum ferry_mode mode, size_t bytes)
{
    void *data = NULL;

    if (mode == FERRY_LEND) {
        take_home(&data, 0);
        if (data == NULL)
            data = try_alloc(bytes);
        if (data == NULL)
            take_home(&data, PATIENCE_NS);
        return data;
    }
    /* Moved units count as ours until they are taken. */
    while ((data = try_alloc(bytes)) == NULL)
        expect_ok("yield", ferry_yield());
    return data;
}

static void *payload(enum ferry_mode mode, uint64_t number, size_t bytes)
{
    static uint8_t *buffers;

    if (mode == FERRY_LEND || mode == FERRY_MOVE)
        return units(mode, bytes);
    if (buffers == NULL)
        buffers = malloc(BUFFERS * (bytes > 0 ? bytes : 1));
    if (buffers == NULL)
        fail("out of memory");
    return buffers + number % BUFFERS * bytes;
}

static void expect_delivered(int64_t ticket)
{
    int status;

    while ((status = ferry_status(ticket)) == -EINPROGRESS)
        if (ferry_guest_call(FERRY_CALL_WAIT, FERRY_EVENT_OUT, PATIENCE_NS, 0) != FERRY_EVENT_OUT)
            fail("message %lld is not taken", (long long)ticket);
    if (status != 0)
        fail("message %lld: %s", (long long)ticket, strerror(-status));
}

int main(int argc, char **argv)
{
    struct ferry_msg msg = {0};
    enum ferry_when when;
    uint64_t count;
    int64_t ticket = -1;
    void *home;

    expect_arguments(argc, 5, "send PEER MODE WHEN COUNT BYTES");
    msg.dst = peer_of(argv[1])->id;
    msg.mode = mode_of(argv[2]);
    when = when_of(argv[3]);
    count = strtoull(argv[4], NULL, 0);
    msg.bytes = strtoull(argv[5], NULL, 0);
    for (uint64_t number = 0; number < count; number++) {
        msg.tag = number;
        msg.data = payload(msg.mode, number, msg.bytes);
        fill(msg.data, msg.bytes, number);
        ticket = ferry_send(&msg, when);
        expect_ok("send", ticket);
        loans += msg.mode == FERRY_LEND;
        if (ticket >= FERRY_RING_ENTRIES - 1)
            expect_delivered(ticket - (FERRY_RING_ENTRIES - 1));
    }
    for (int64_t last = ticket - (FERRY_RING_ENTRIES - 2); last <= ticket; last++)
        if (last >= 0)
            expect_delivered(last);
    while (loans > 0)
        take_home(&home, PATIENCE_NS);
    return 0;
}
