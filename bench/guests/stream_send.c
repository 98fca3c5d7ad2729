/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stream_send BYTES TICKS HONEST: sends messages of so many bytes to the peer
 * behind fd 1 for so many ticks of the processor's clock. Below an extent as a
 * stream, if every line is to be written (HONEST 1); else as loans that
 * circulate.
 */
#include "../lines.h"
#include "guest.h"

#define MESSAGES_LEAST 4
#define CHECK_BYTES    (64u << 10)
#define BATCH_BYTES    (8u << 20) /* queued before the VM is left */
#define BATCH_MESSAGES 32u
#define CIRCULATING    (64u << 20)
#define BUFFERS_MAX    40u

static uint64_t bytes, deadline, duration, messages, lines;
static bool honest;

/* Other than ticks(), which would be asked for each line. */
static bool more(void)
{
    uint64_t every = CHECK_BYTES / bytes;

    if (deadline == 0)
        deadline = ticks() + duration;
    if (messages++ < MESSAGES_LEAST || (every > 1 && messages % every != 0))
        return true;
    return ticks() < deadline;
}

static void send_stream(void)
{
    while (more()) {
        void *room;

        expect("output", ferry_output(&room, bytes));
        lines_write(room, bytes, &lines);
        expect("commit", ferry_commit(bytes));
    }
    expect("close", ferry_close());
}

static void lend(uint16_t peer, void *data)
{
    const struct ferry_msg msg = {.mode = FERRY_LEND, .dst = peer, .data = data, .bytes = bytes};

    if (honest)
        lines_write(data, bytes, &lines);
    expect("lend", ferry_send(&msg, FERRY_DEFERRED));
}

static void *buffer_new(void)
{
    void *data = bytes < FERRY_EXTENT_BYTES ? ferry_alloc_pages(bytes / FERRY_PAGE_BYTES)
                                            : ferry_alloc_extents(bytes / FERRY_EXTENT_BYTES);

    if (data == NULL)
        expect("alloc", -12);
    memset(data, 0, bytes);
    return data;
}

/* The next buffer that came home. When none has, the wait for one is also the exit that sends. */
static void *buffer_home(uint64_t *queued)
{
    void *data;
    size_t length;

    if (ferry_reclaim(&data, &length, 0) == 0)
        return data;
    *queued = 0;
    expect("reclaim", ferry_reclaim(&data, &length, UINT64_MAX));
    return data;
}

static void send_loans(uint16_t peer)
{
    const struct ferry_msg hangup = {.mode = FERRY_HANGUP, .dst = peer};
    void *buffers[BUFFERS_MAX];
    uint64_t count = CIRCULATING / bytes, queued = 0, batch = BATCH_BYTES;

    if (count > BUFFERS_MAX)
        count = BUFFERS_MAX;
    if (count < 3)
        count = 3;
    if (batch > bytes * BATCH_MESSAGES)
        batch = bytes * BATCH_MESSAGES;
    for (uint64_t i = 0; i < count; i++)
        buffers[i] = buffer_new();
    for (uint64_t i = 0; more(); i++) {
        lend(peer, i < count ? buffers[i] : buffer_home(&queued));
        queued += bytes;
        if (queued >= batch) {
            expect("yield", ferry_yield());
            queued = 0;
        }
    }
    expect("hang up", ferry_send_wait(&hangup, FERRY_IMMEDIATE));
}

int main(int argc, char **argv)
{
    bytes = argument(argc, argv, 1);
    duration = argument(argc, argv, 2);
    honest = argument(argc, argv, 3) != 0;
    if (honest && bytes < FERRY_EXTENT_BYTES)
        send_stream();
    else
        send_loans(ferry_control()->info.stdout_peer);
    return 0;
}
