/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * threads_messages send PEER COUNT | receive PEER COUNT | streams: the guest library used by several
 * threads at once. Each sender sends COUNT messages of three modes, each receiver takes what comes:
 * every message arrives once, and those of one sender in order.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "guest.h"

#define SENDERS   4
#define RECEIVERS 3
#define MOST      20000
#define COPY_LEN  300
#define LEND_LEN  2000

static uint16_t peer;
static unsigned count;

static pthread_t start(void *(*run)(void *), void *arg)
{
    pthread_t thread;

    expect_ok("pthread_create", -pthread_create(&thread, NULL, run, arg));
    return thread;
}

static void run_all(void *(*run)(void *), unsigned threads)
{
    pthread_t all[8];

    for (unsigned i = 0; i < threads; i++)
        all[i] = start(run, (void *)(uintptr_t)i);
    for (unsigned i = 0; i < threads; i++)
        pthread_join(all[i], NULL);
}

/* ---- sending ------------------------------------------------------------ */

static enum ferry_mode mode_at(unsigned number)
{
    return number % 50 == 7 ? FERRY_LEND : number % 10 == 3 ? FERRY_COPY : FERRY_INLINE;
}

static atomic_uint lent;

/* A loan that came home, by whichever thread it was lent, is some thread's to use again. */
static void *page_to_lend(void)
{
    void *page = ferry_alloc_pages(1);
    size_t bytes;

    while (page == NULL) {
        expect_ok("reclaim", ferry_reclaim(&page, &bytes, PATIENCE_NS));
        atomic_fetch_sub(&lent, 1);
    }
    return page;
}

static void *send_some(void *arg)
{
    uint64_t sender = (uintptr_t)arg;
    uint8_t copied[COPY_LEN];

    for (unsigned number = 1; number <= count; number++) {
        struct ferry_msg msg = {
            .mode = mode_at(number), .dst = peer, .tag = sender << 32 | number, .bytes = 8};

        memcpy(msg.small, &msg.tag, sizeof msg.tag);
        if (msg.mode == FERRY_COPY) {
            msg.data = copied;
            msg.bytes = sizeof copied;
        } else if (msg.mode == FERRY_LEND) {
            msg.data = page_to_lend();
            msg.bytes = LEND_LEN;
        }
        if (msg.mode == FERRY_INLINE) {
            int64_t ticket = ferry_send(&msg, FERRY_WHEN_AUTO);

            expect_ok("send", ticket);
            if (number % 16 == 0 && ferry_status(ticket) == -EINVAL)
                fail("a ticket is not known");
            continue;
        }
        fill(msg.data, msg.bytes, msg.tag);
        atomic_fetch_add(&lent, msg.mode == FERRY_LEND);
        expect_ok("send and wait", ferry_send_wait(&msg, FERRY_WHEN_AUTO));
    }
    return NULL;
}

static void send_all(void)
{
    const struct ferry_msg last = {.mode = FERRY_HANGUP, .dst = peer};
    void *page;
    size_t bytes;

    run_all(send_some, SENDERS);
    expect_ok("hang up", ferry_send_wait(&last, FERRY_WHEN_AUTO));
    while (atomic_load(&lent) > 0) {
        expect_ok("reclaim", ferry_reclaim(&page, &bytes, PATIENCE_NS));
        atomic_fetch_sub(&lent, 1);
    }
}

/* ---- receiving ---------------------------------------------------------- */

static atomic_bool over, seen[SENDERS][MOST + 1];
static atomic_uint received;

static void take(const struct ferry_msg *msg, uint32_t *last)
{
    uint64_t sender = msg->tag >> 32;
    uint32_t number = (uint32_t)msg->tag;

    if (msg->src != peer || sender >= SENDERS || number < 1 || number > count)
        fail("a message that nobody sent");
    if (atomic_exchange(&seen[sender][number], true))
        fail("message %u of thread %u came twice", number, (unsigned)sender);
    if (number <= last[sender])
        fail("message %u of thread %u came after %u", number, (unsigned)sender, last[sender]);
    last[sender] = number;
    if (msg->mode != mode_at(number))
        fail("message %u has mode %u", number, msg->mode);
    if (msg->mode == FERRY_INLINE) {
        if (memcmp(ferry_msg_data(msg), &msg->tag, sizeof msg->tag) != 0)
            fail("message %u of thread %u has other bytes", number, (unsigned)sender);
    } else {
        expect_pattern(msg->data, msg->bytes, msg->tag);
        expect_ok("release", ferry_release(msg));
    }
    atomic_fetch_add(&received, 1);
}

static void *receive_some(void *arg)
{
    uint32_t last[SENDERS] = {0};

    while (!atomic_load(&over)) {
        struct ferry_msg msg;
        int result = ferry_recv(&msg, 2000000); /* the hang-up comes to one of them */

        if (result == -ETIMEDOUT)
            continue;
        expect_ok("receive", result);
        if (msg.mode == FERRY_HANGUP)
            atomic_store(&over, true);
        else
            take(&msg, last);
    }
    return arg;
}

static void receive_all(void)
{
    run_all(receive_some, RECEIVERS);
    if (received != SENDERS * count)
        fail("%u of %u messages", received, SENDERS * count);
}

/* ---- streams ------------------------------------------------------------ */

static uint64_t bytes_in;

static void *take_input(void *arg)
{
    const void *data;
    ssize_t got;

    while ((got = ferry_input(&data)) > 0) {
        for (ssize_t i = 0; i < got; i++)
            if (((const uint8_t *)data)[i] != (uint8_t)((bytes_in + (uint64_t)i) % 251))
                fail("byte %llu of input is wrong", (unsigned long long)bytes_in + (uint64_t)i);
        bytes_in += (uint64_t)got;
    }
    expect_ok("input", got);
    return arg;
}

/* As much output as input, made by one thread while another takes the input. */
static void streams(uint64_t bytes)
{
    pthread_t other = start(take_input, NULL);
    uint64_t done = 0;

    while (done < bytes) {
        void *room;
        ssize_t got = ferry_output(&room, 1);
        size_t part = 777;

        expect_ok("output", got);
        part = part < (size_t)got ? part : (size_t)got;
        part = part < bytes - done ? part : bytes - done;
        for (size_t i = 0; i < part; i++)
            ((uint8_t *)room)[i] = (uint8_t)((done + i) % 251);
        expect_ok("commit", ferry_commit(part));
        done += part;
    }
    expect_ok("close", ferry_close());
    pthread_join(other, NULL);
    if (bytes_in != bytes)
        fail("%llu bytes of input", (unsigned long long)bytes_in);
}

int main(int argc, char **argv)
{
    expect_arguments(argc, 2, "threads_messages send|receive PEER COUNT | streams BYTES");
    if (strcmp(argv[1], "streams") == 0) {
        streams((uint64_t)atol(argv[2]));
        return 0;
    }
    expect_arguments(argc, 3, "threads_messages send|receive PEER COUNT");
    peer = peer_of(argv[2])->id;
    count = (unsigned)atoi(argv[3]);
    if (count > MOST)
        fail("at most %u", MOST);
    if (strcmp(argv[1], "send") == 0)
        send_all();
    else
        receive_all();
    return 0;
}
