/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One side of an exchange whose exits, page-table calls and faults are counted. Nothing here
 * depends on time: the host says when to go on, so each side runs while the other stands still.
 *
 * counted send PEER MODE WHEN COUNT BYTES ROUNDS: COUNT messages a round; with WHEN `auto` when the
 * peer waits. MODE `stream`: pieces of BYTES by ferry_output. What it lent it takes home and writes
 * to again before the next round.
 * counted take PEER COUNT ROUNDS each|together: the other side. `each`: leaves the VM after each.
 * counted turns PEER COUNT first|second: deferred messages to and fro.
 * counted write COUNT BYTES, counted read BYTES: plain calls on fd 1 and fd 0.
 * counted data PAGES: reads so many pages of its data, and then writes to them.
 * counted nothing: that.
 */
#include <unistd.h>

#include "guest.h"

#define MOST_BYTES (128u << 10)

static uint8_t buffer[MOST_BYTES];
static uint8_t data[64 * FERRY_PAGE_BYTES] = {1}; /* in the file, as it is not all zero */

/* One access to each page of the processor; a read must return the bytes that were written so. */
static void touch(void *data, size_t bytes, bool write)
{
    volatile uint8_t *at = data;

    for (size_t i = 0; i < bytes; i += FERRY_PAGE_BYTES) {
        uint8_t mark = (uint8_t)(i / FERRY_PAGE_BYTES + 1);

        if (write)
            at[i] = mark;
        else if (at[i] != mark)
            fail("byte %zu is %u", i, at[i]);
    }
}

static void tell(uint16_t to)
{
    struct ferry_msg msg = {.mode = FERRY_INLINE, .dst = to};

    expect_ok("tell", ferry_send(&msg, FERRY_DEFERRED));
}

/* Tells the host that this is a place to count at and waits for its word: one exit, which is
 * over for the guest only when the host has counted. Loans that come home end no such wait. */
static void stop_for_word(void)
{
    struct ferry_msg word;

    tell(peer_of("host")->id);
    receive(&word);
}

/* The same for a VM that gets messages meanwhile: a page is lent to the host, and the wait ends
 * when it comes home. */
static void stop_for_page(void)
{
    static struct ferry_msg gate = {.mode = FERRY_LEND, .bytes = FERRY_PAGE_BYTES};
    void *data;
    size_t bytes;

    if (gate.data == NULL)
        gate.data = alloc_units(FERRY_PAGE_BYTES);
    gate.dst = peer_of("host")->id;
    expect_ok("gate", ferry_send(&gate, FERRY_DEFERRED));
    expect_ok("gate", ferry_reclaim(&data, &bytes, PATIENCE_NS));
}

/* ---- the two sides ------------------------------------------------------- */

static void *alloc_side_by_side(size_t count, size_t bytes)
{
    void *data = fits_page(bytes)
                     ? ferry_alloc_pages(count)
                     : ferry_alloc_extents(count * unit_bytes(bytes) / FERRY_EXTENT_BYTES);

    if (data == NULL)
        fail("no units: %s", strerror(errno));
    return data;
}

/* Payloads of a round, side by side, written to. */
static uint8_t *prepare(enum ferry_mode mode, size_t count, size_t bytes)
{
    static uint8_t *units;
    void *home;
    size_t home_bytes;

    if (mode != FERRY_LEND && mode != FERRY_MOVE) {
        touch(buffer, 1, true);
        return buffer;
    }
    for (size_t i = 0; units != NULL && mode == FERRY_LEND && i < count; i++)
        expect_ok("reclaim", ferry_reclaim(&home, &home_bytes, 0));
    if (units == NULL || mode == FERRY_MOVE)
        units = alloc_side_by_side(count, bytes);
    for (size_t i = 0; i < count; i++)
        touch(units + i * unit_bytes(bytes), bytes, true);
    return units;
}

/* It stands, so it will; its waiting begins just after the host was told. */
static void spin_until_it_waits(uint16_t id)
{
    const struct ferry_peer *peer = ferry_peer_by_id(id);

    while (__atomic_load_n(&peer->waiting, __ATOMIC_ACQUIRE) == 0)
        ; /* without PAUSE, which a processor may count and leave the VM for */
}

static void send_round(struct ferry_msg *msg, uint8_t *units, enum ferry_when when, size_t count)
{
    bool apart = msg->mode == FERRY_LEND || msg->mode == FERRY_MOVE;

    if (when == FERRY_WHEN_AUTO)
        spin_until_it_waits(msg->dst);
    for (size_t i = 0; i < count; i++) {
        msg->data = units + (apart ? i * unit_bytes(msg->bytes) : 0);
        expect_ok("send", ferry_send(msg, when));
    }
}

static void stream_round(size_t count, size_t bytes)
{
    for (size_t i = 0; i < count; i++) {
        void *room;

        expect_ok("output", ferry_output(&room, bytes));
        touch(room, bytes, true);
        expect_ok("commit", ferry_commit(bytes));
        expect_ok("flush", ferry_flush());
    }
}

static int send_rounds(char **argv)
{
    bool stream = strcmp(argv[3], "stream") == 0;
    struct ferry_msg msg = {.dst = peer_of(argv[2])->id,
                            .mode = stream ? FERRY_INLINE : mode_of(argv[3]),
                            .bytes = strtoull(argv[6], NULL, 0)};
    enum ferry_when when = when_of(argv[4]);
    size_t count = strtoull(argv[5], NULL, 0);

    for (uint64_t left = strtoull(argv[7], NULL, 0);; left--) {
        uint8_t *units = prepare(msg.mode, count, msg.bytes);

        stop_for_word();
        if (left == 0)
            return 0;
        if (stream)
            stream_round(count, msg.bytes);
        else
            send_round(&msg, units, when, count);
        stop_for_word();
    }
}

static void take_one(uint16_t src)
{
    struct ferry_msg msg;
    const void *data;

    if (ferry_control()->info.stdin_peer != FERRY_NO_PEER) {
        ssize_t got = ferry_input(&data);

        expect_ok("input", got);
        touch((void *)(uintptr_t)data, (size_t)got, false);
        return;
    }
    expect_ok("receive", ferry_recv(&msg, 0));
    if (msg.src != src)
        fail("a message from %u", msg.src);
    if (msg.mode == FERRY_MOVE) {
        touch(msg.data, msg.bytes, true);
        expect_ok("free", ferry_free(msg.data, unit_bytes(msg.bytes)));
        return;
    }
    if (msg.mode == FERRY_LEND)
        touch(msg.data, msg.bytes, false);
    else if (msg.mode == FERRY_COPY)
        touch(msg.data, 1, false);
    expect_ok("release", ferry_release(&msg));
}

static int take_rounds(char **argv)
{
    uint16_t src = peer_of(argv[2])->id;
    uint64_t count = strtoull(argv[3], NULL, 0), rounds = strtoull(argv[4], NULL, 0);
    bool each = strcmp(argv[5], "each") == 0;
    struct ferry_msg none;

    ferry_recv(&none, 0); /* from here on it takes from direct rings */
    for (uint64_t round = 0; round < rounds; round++) {
        stop_for_page();
        for (uint64_t i = 0; i < count; i++) {
            take_one(src);
            if (each)
                expect_ok("yield", ferry_yield());
        }
    }
    stop_for_page();
    return 0;
}

/* ---- the rest -------------------------------------------------------------- */

static int turns(char **argv)
{
    uint16_t peer = peer_of(argv[2])->id;
    uint64_t count = strtoull(argv[3], NULL, 0);
    bool first = strcmp(argv[4], "first") == 0;
    struct ferry_msg msg;

    for (uint64_t i = 0; i < count; i++) {
        if (first) {
            tell(peer);
            if (i == 0) /* now the other may be started */
                tell(peer_of("host")->id);
        }
        receive(&msg);
        if (!first)
            tell(peer);
    }
    return 0;
}

static int plain_write(uint64_t count, size_t bytes)
{
    for (uint64_t i = 0; i < count; i++)
        if (write(1, buffer, bytes) != (ssize_t)bytes)
            fail("write: %s", strerror(errno));
    return 0;
}

static int plain_read(size_t bytes)
{
    ssize_t got;

    while ((got = read(0, buffer, bytes)) > 0)
        if ((size_t)got != bytes)
            fail("read %zd bytes", got);
    return got < 0;
}

static int use_data(size_t pages)
{
    volatile uint8_t *at = data;
    unsigned sum = 0;

    for (size_t i = 0; i < pages; i++)
        sum += at[i * FERRY_PAGE_BYTES];
    for (size_t i = 0; i < pages; i++)
        at[i * FERRY_PAGE_BYTES] = (uint8_t)i;
    return sum != 1;
}

int main(int argc, char **argv)
{
    const char *role = argc > 1 ? argv[1] : "";

    if (strcmp(role, "nothing") == 0)
        _exit(0);
    expect_arguments(argc, 2, "counted ROLE ...");
    if (strcmp(role, "write") == 0)
        return plain_write(strtoull(argv[2], NULL, 0), strtoull(argv[3], NULL, 0));
    if (strcmp(role, "read") == 0)
        return plain_read(strtoull(argv[2], NULL, 0));
    if (strcmp(role, "data") == 0)
        return use_data(strtoull(argv[2], NULL, 0));
    if (strcmp(role, "turns") == 0)
        return turns(argv);
    return strcmp(role, "send") == 0 ? send_rounds(argv) : take_rounds(argv);
}
