/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mix SEED STEPS END: does with all its peers what a program may do with messages, in an order that the
 * seed decides: sends in all modes, receives, holds, forwards, moves on, releases, frees, reclaims. What
 * comes must have the pattern of its tag, also when it is given back later; what a peer whose name begins
 * with "hostile" sends is neither looked at nor passed on. After so many steps it ends: `exit` with all that it has then,
 * `drain` once its peers hung up, `crash`, or it goes on for `ever`.
 */
#include "guest.h"

#define EDGE       64u /* bytes at each end of a payload that are written and looked at */
#define UNITS_MAX  6
#define HELD_MAX   12
#define SENT_MAX   24 /* messages that may wait in the out ring, so that a send never blocks */
#define LONG_UNITS 16 /* one of so many payloads in units is an extent */

struct unit {
    uint8_t *at;
    size_t bytes;
};

static uint64_t seed;
static struct unit units[UNITS_MAX];
static unsigned unit_count;
static struct ferry_msg held[HELD_MAX];
static unsigned held_count;
static struct {
    int64_t ticket;
    struct ferry_msg msg;
    bool passed_on;
} sent[SENT_MAX];
static unsigned sent_at, hung_up, senders;
static uint8_t *volatile nowhere;
static uint8_t copies[SENT_MAX][FERRY_PAGE_BYTES];

static uint64_t random_below(uint64_t bound)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (seed >> 11) % bound;
}

static size_t edge_at(size_t bytes, size_t i)
{
    return i < EDGE ? i : bytes - 2 * EDGE + i;
}

static void write_edges(uint8_t *data, size_t bytes, uint64_t tag)
{
    size_t looked = bytes < 2 * EDGE ? bytes : 2 * EDGE;

    for (size_t i = 0; i < looked; i++) {
        size_t at = looked == bytes ? i : edge_at(bytes, i);

        data[at] = pattern(tag, at);
    }
}

static bool is_hostile(const struct ferry_peer *peer)
{
    return strncmp(peer->name, "hostile", 7) == 0;
}

static void expect_edges(const struct ferry_msg *msg, const char *when)
{
    const uint8_t *data = ferry_msg_data(msg);
    size_t looked = msg->bytes < 2 * EDGE ? msg->bytes : 2 * EDGE;
    const struct ferry_peer *peer = ferry_peer_by_id(msg->src);

    if (peer == NULL)
        fail("%s: a message from %u, who is no peer", when, msg->src);
    if (is_hostile(peer))
        return;
    for (size_t i = 0; i < looked; i++) {
        size_t at = looked == msg->bytes ? i : edge_at(msg->bytes, i);

        if (data[at] != pattern(msg->tag, at))
            fail("%s: mode %u, tag %llu, %zu bytes from '%s': byte %zu is %u, not %u", when,
                 msg->mode, (unsigned long long)msg->tag, msg->bytes, peer->name, at, data[at],
                 pattern(msg->tag, at));
    }
}

static void keep_unit(uint8_t *at, size_t bytes)
{
    if (unit_count < UNITS_MAX)
        units[unit_count++] = (struct unit){at, bytes};
    else
        expect_ok("free", ferry_free(at, bytes));
}

/* One of its own, or a new one if it may have more. */
static bool take_unit(struct unit *unit)
{
    size_t bytes = random_below(LONG_UNITS) ? FERRY_PAGE_BYTES : FERRY_EXTENT_BYTES;

    if (unit_count > 0 && random_below(3)) {
        *unit = units[--unit_count];
        return true;
    }
    *unit = (struct unit){try_alloc(bytes), bytes};
    return unit->at != NULL;
}

/* ---- what comes --------------------------------------------------------- */

static void give_back(unsigned which)
{
    struct ferry_msg msg = held[which];

    held[which] = held[--held_count];
    expect_edges(&msg, "when it was given back");
    expect_ok("release", ferry_release(&msg));
}

static void take(uint64_t timeout_ns)
{
    struct ferry_msg msg;

    if (ferry_recv(&msg, timeout_ns) < 0)
        return;
    if (msg.mode == FERRY_HANGUP) {
        hung_up++;
        return;
    }
    expect_edges(&msg, "when it came");
    if (msg.mode == FERRY_MOVE) {
        size_t bytes = unit_bytes(msg.bytes);

        if (is_hostile(ferry_peer_by_id(msg.src)))
            return; /* a byte of it may stand for an extent: it stays where it is until the end */
        keep_unit((uint8_t *)((uintptr_t)msg.data / bytes * bytes), bytes);
    } else if (msg.mode != FERRY_INLINE) {
        if (held_count == HELD_MAX)
            give_back(0);
        held[held_count++] = msg;
    }
}

static void reclaim(void)
{
    void *at;
    size_t bytes;

    if (ferry_reclaim(&at, &bytes, 0) == 0)
        keep_unit((uint8_t *)((uintptr_t)at / unit_bytes(bytes) * unit_bytes(bytes)),
                  unit_bytes(bytes));
}

/* ---- what goes ---------------------------------------------------------- */

static const struct ferry_peer *any_receiver(void)
{
    const struct ferry_control_info *info = &ferry_control()->info;
    const struct ferry_peer *peer;

    if (info->peer_count == 0)
        return NULL;
    peer = &info->peers[random_below(info->peer_count)];
    return peer->rights & FERRY_MAY_SEND ? peer : NULL;
}

/* What was refused stayed here. */
static void take_back(const struct ferry_msg *msg, bool passed_on)
{
    if (passed_on && held_count < HELD_MAX)
        held[held_count++] = *msg;
    else if (passed_on)
        expect_ok("release", ferry_release(msg));
    else if (msg->mode == FERRY_LEND || msg->mode == FERRY_MOVE)
        keep_unit(msg->data, unit_bytes(msg->bytes));
}

/* Whether the message of this place is out of the way. */
static bool settle(unsigned place)
{
    struct ferry_msg *msg = &sent[place].msg;
    int status = sent[place].ticket ? ferry_status(sent[place].ticket - 1) : 0;

    if (status == -EINPROGRESS)
        return false;
    if (status < 0 && status != -EPIPE && status != -ENOMEM && status != -EMSGSIZE)
        fail("mode %u, %zu bytes: %s", msg->mode, msg->bytes, strerror(-status));
    if (status < 0)
        take_back(msg, sent[place].passed_on);
    sent[place].ticket = 0;
    return true;
}

/* A message of units of its own, or a loan passed on. Units begin where the payload does. */
static bool with_units(struct ferry_msg *msg, bool *passed_on)
{
    struct unit unit;

    if (msg->mode == FERRY_LEND && held_count > 0 && random_below(2)) {
        const struct ferry_msg *loan = &held[random_below(held_count)];
        uint16_t to = msg->dst;

        if (loan->mode != FERRY_LEND || is_hostile(ferry_peer_by_id(loan->src)))
            return false; /* who gets it would take this program for its author */
        *msg = *loan;
        held[loan - held] = held[--held_count];
        msg->dst = to;
        return *passed_on = true;
    }
    if (!take_unit(&unit))
        return false;
    msg->data = unit.at;
    msg->bytes = random_below(2) ? unit.bytes : unit.bytes / 2 + 1 + random_below(unit.bytes / 2);
    write_edges(msg->data, msg->bytes, msg->tag);
    return true;
}

static void give(void)
{
    const struct ferry_peer *to = any_receiver();
    bool passed_on = false;
    struct ferry_msg msg = {.mode = (enum ferry_mode)(FERRY_INLINE + random_below(4)),
                            .tag = random_below(1u << 20)};

    if (to == NULL || !settle(sent_at))
        return;
    msg.dst = to->id;
    if (msg.mode == FERRY_INLINE || msg.mode == FERRY_COPY) {
        msg.bytes =
            random_below((msg.mode == FERRY_INLINE ? FERRY_INLINE_BYTES : FERRY_PAGE_BYTES) + 1);
        msg.data = copies[sent_at];
        write_edges(msg.data, msg.bytes, msg.tag);
    } else if (!with_units(&msg, &passed_on)) {
        return;
    }
    int64_t ticket = ferry_send(&msg, (enum ferry_when)random_below(3));
    if (ticket < 0 && ticket != -EPIPE)
        expect_ok("send", ticket);
    if (ticket < 0) {
        take_back(&msg, passed_on);
        return;
    }
    sent[sent_at].ticket = ticket + 1;
    sent[sent_at].msg = msg;
    sent[sent_at].passed_on = passed_on;
    sent_at = (sent_at + 1) % SENT_MAX;
}

/* ---- steps and ends ----------------------------------------------------- */

static void step(void)
{
    switch (random_below(8)) {
    case 0:
    case 1:
    case 2:
        give();
        break;
    case 3:
    case 4:
        take(0);
        break;
    case 5:
        take(random_below(200000));
        break;
    case 6:
        if (held_count > 0)
            give_back((unsigned)random_below(held_count));
        reclaim();
        break;
    default:
        if (unit_count > 0 && random_below(4) == 0) {
            unit_count--;
            expect_ok("free", ferry_free(units[unit_count].at, units[unit_count].bytes));
        }
        expect_ok("yield", ferry_yield());
    }
}

/* Its peers go on for as long as they like, or are stopped: the host bounds it. */
static void drain(void)
{
    const struct ferry_control_info *info = &ferry_control()->info;

    for (unsigned i = 0; i < info->peer_count; i++) {
        const struct ferry_msg last = {.mode = FERRY_HANGUP, .dst = info->peers[i].id};

        if (info->peers[i].rights & FERRY_MAY_SEND)
            ferry_send(&last, FERRY_WHEN_AUTO);
    }
    while (hung_up < senders) {
        for (unsigned place = 0; place < SENT_MAX; place++)
            settle(place);
        while (held_count > 0)
            give_back(0);
        reclaim();
        take(1000000);
    }
}

int main(int argc, char **argv)
{
    expect_arguments(argc, 3, "mix SEED STEPS END");
    ferry_ready(); /* before it looks at its peers: a copy of the VM may have others */
    seed = strtoull(argv[1], NULL, 0) * 0x9e3779b97f4a7c15ull | 1;
    const struct ferry_control_info *info = &ferry_control()->info;
    const uint64_t steps = strtoull(argv[2], NULL, 0);
    for (unsigned i = 0; i < info->peer_count; i++)
        senders += (info->peers[i].rights & FERRY_MAY_RECEIVE) != 0;
    for (uint64_t i = 0; i < steps || strcmp(argv[3], "ever") == 0; i++)
        step();
    if (strcmp(argv[3], "crash") == 0)
        *nowhere = 1;
    if (strcmp(argv[3], "drain") == 0)
        drain();
    return 0;
}
