/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stream_send BYTES TICKS HONEST CIRCULATING BATCH: sends messages of so many
 * bytes to the peer behind fd 1 for so many ticks of the processor's clock.
 * Below an extent as a stream, if every line is to be written (HONEST 1); else
 * as loans: so many bytes of buffers circulate, and the VM is left when a batch
 * is queued.
 */
#include "../lines.h"
#include "guest.h"

#define MESSAGES_LEAST 4
#define CHECK_BYTES    (64u << 10)
#define BUFFERS_MAX    48u /* as many loans are in flight on a link */

static uint64_t bytes, duration, circulating, batch; /* arguments */
static uint64_t deadline, messages, lines;
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

/* Side by side, so that those of a batch are handed over in one call. */
static char *buffers_new(uint64_t count)
{
    void *data = bytes < FERRY_EXTENT_BYTES
                     ? ferry_alloc_pages(count * bytes / FERRY_PAGE_BYTES)
                     : ferry_alloc_extents(count * bytes / FERRY_EXTENT_BYTES);

    expect("alloc", data == NULL ? -ENOMEM : 0);
    memset(data, 0, count * bytes);
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
    char *buffers;
    uint64_t count = circulating / bytes, queued = 0;

    if (count > BUFFERS_MAX)
        count = BUFFERS_MAX;
    buffers = buffers_new(count);
    for (uint64_t i = 0; more(); i++) {
        lend(peer, i < count ? buffers + i * bytes : buffer_home(&queued));
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
    circulating = argument(argc, argv, 4);
    batch = argument(argc, argv, 5);
    if (honest && bytes < FERRY_EXTENT_BYTES)
        send_stream();
    else
        send_loans(ferry_control()->info.stdout_peer);
    return 0;
}
