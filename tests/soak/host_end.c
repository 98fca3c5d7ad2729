/* SPDX-License-Identifier: BSD-2-Clause */
/* The host's end of a link: a thread that sends or receives in all ways that the library has. */
#include <errno.h>
#include <string.h>

#include "soak.h"

#define PAGE_BYTES 4096u
#define STEPS_MAX  60
#define HELD_MAX   8

/* Whether the result is one that a call on a link may have at any moment. */
static bool is_expected(struct host_end *end, const char *what, int result)
{
    switch (result) {
    case 0:
    case -ETIMEDOUT:
    case -EPIPE:
    case -ECANCELED:
        return true;
    default:
        be_wrong(&end->wrong, "%s: %s", what, strerror(-result));
        return false;
    }
}

static uint64_t moment(struct host_end *end)
{
    return once_in(&end->chance, 3) ? 0 : below(&end->chance, 2 * MILLISECOND);
}

/* ---- sending ------------------------------------------------------------ */

static void reclaim(struct host_end *end)
{
    void *addr;
    size_t bytes;
    int result = ferry_link_reclaim(end->link, moment(end), &addr, &bytes);

    if (result == 0 && ferry_link_free(end->link, addr, PAGE_BYTES) < 0)
        be_wrong(&end->wrong, "a page that came home is not free to give back");
    if (result != -ENOENT)
        is_expected(end, "reclaim", result);
}

/* The next message; false if there is no page for it. */
static bool make_message(struct host_end *end, struct ferry_message *message, uint8_t *copy,
                         uint64_t *position)
{
    *message = (struct ferry_message){.mode = FERRY_INLINE + (int)below(&end->chance, 4)};
    message->tag = end->stream ? *position : below(&end->chance, 1u << 20);
    message->bytes =
        1 + below(&end->chance, message->mode == FERRY_INLINE ? FERRY_INLINE_BYTES : PAGE_BYTES);
    message->data = copy;
    if (message->mode >= FERRY_LEND && ferry_link_alloc(end->link, 1, true, &message->data) < 0)
        return false;
    for (size_t i = 0; i < message->bytes; i++)
        ((uint8_t *)message->data)[i] =
            end->stream ? (uint8_t)(*position + i) : pattern(message->tag, i);
    return true;
}

static void *send_some(void *arg)
{
    struct host_end *end = arg;
    uint64_t steps = below(&end->chance, STEPS_MAX), position = 0;
    uint8_t copy[PAGE_BYTES];
    int result = 0;

    for (uint64_t i = 0; i < steps && result != -ECANCELED && result != -EPIPE; i++) {
        struct ferry_message message;

        reclaim(end);
        if (!make_message(end, &message, copy, &position))
            continue;
        result = ferry_link_send(end->link, &message, moment(end));
        if (result == 0)
            position += message.bytes;
        else if (message.mode >= FERRY_LEND &&
                 ferry_link_free(end->link, message.data, PAGE_BYTES) < 0)
            be_wrong(&end->wrong, "a page that was not sent is not free to give back");
        if (!is_expected(end, "send", result))
            break;
    }
    ferry_link_hangup(end->link);
    return NULL;
}

/* ---- receiving ---------------------------------------------------------- */

static void look_at(struct host_end *end, const struct ferry_message *message, uint64_t *position)
{
    const uint8_t *data = ferry_message_data(message);
    /* Of an extent both ends have the pattern. */
    size_t looked = end->stream || message->bytes <= 128 ? message->bytes : 64;

    for (size_t i = 0; end->trusted && i < looked; i++) {
        uint8_t due = end->stream ? (uint8_t)(*position + i) : pattern(message->tag, i);

        if (data[i] != due) {
            be_wrong(&end->wrong, "mode %d, tag %lu, %zu bytes: byte %zu is %u, not %u",
                     message->mode, message->tag, message->bytes, i, data[i], due);
            return;
        }
    }
    *position += message->bytes;
}

static void free_moved(struct host_end *end, const struct ferry_message *message)
{
    size_t unit = message->bytes <= PAGE_BYTES ? PAGE_BYTES : 2u << 20;
    uintptr_t at = (uintptr_t)message->data / unit * unit;

    /* What a hostile guest moves may be many units: the link's end gives them back. */
    if (end->trusted && !end->stream && ferry_link_free(end->link, (void *)at, unit) < 0)
        be_wrong(&end->wrong, "what was moved here is not free to give back");
}

struct held {
    struct ferry_message messages[HELD_MAX];
    unsigned count;
};

static void release_one(struct host_end *end, struct held *held)
{
    unsigned which = (unsigned)below(&end->chance, held->count);

    is_expected(end, "release", ferry_link_release(end->link, held->messages[which].token));
    held->messages[which] = held->messages[--held->count];
}

/* Holds some of what comes for a while, but never so that its sender waits for good. */
static void keep(struct host_end *end, struct held *held, const struct ferry_message *message)
{
    if (message->mode == FERRY_MOVE)
        free_moved(end, message);
    if (message->mode == FERRY_COPY || message->mode == FERRY_LEND)
        held->messages[held->count++] = *message;
    while (held->count == HELD_MAX || (held->count > 0 && once_in(&end->chance, 2)))
        release_one(end, held);
}

static void *receive_some(void *arg)
{
    struct host_end *end = arg;
    uint64_t until_refused = once_in(&end->chance, 6) ? below(&end->chance, 20) : UINT64_MAX;
    struct ferry_message message;
    uint64_t position = 0, got = 0;
    struct held held = {.count = 0};

    for (;;) {
        int result = ferry_link_recv(end->link, moment(end), &message);

        if (!is_expected(end, "receive", result) || result == -ECANCELED)
            break;
        if (result == 0 && message.mode == FERRY_HANGUP)
            break;
        if (result == 0) {
            look_at(end, &message, &position);
            keep(end, &held, &message);
        } else if (held.count > 0) {
            release_one(end, &held);
        }
        if (got++ == until_refused)
            ferry_link_refuse(end->link);
    }
    /* What is held still goes with the link. */
    return NULL;
}

void host_end_start(struct host_end *end)
{
    end->runs =
        pthread_create(&end->thread, NULL, end->receives ? receive_some : send_some, end) == 0;
    if (!end->runs)
        be_wrong(&end->wrong, "no thread");
}

void host_end_stop(struct host_end *end)
{
    ferry_link_cancel(end->link);
    if (end->runs)
        pthread_join(end->thread, NULL);
    end->runs = false;
}
