/* SPDX-License-Identifier: BSD-2-Clause */
/* A VM that is brought back to its snapshot, and the host at the other end of its links. */
#include "snapshot_pair.h"

#include <string.h>

struct pair pair_add(struct world *world, const char *with)
{
    struct pair pair = {0};
    int place = world_add(world, "ready", "ready", with, NULL);

    pair.vm = world->vm[place];
    pair.to = world_link(world, -1, place);
    pair.from = world_link(world, place, -1);
    return pair;
}

struct pair pair_with_snapshot(struct world *world)
{
    struct pair pair = pair_add(world, NULL);
    struct ferry_error err;

    if (ferry_vm_snapshot(pair.vm, PATIENCE, &err) < 0)
        fail_msg("%s: %s", err.text, world_said(world));
    return pair;
}

void pair_reset(const struct pair *pair)
{
    struct ferry_error err;

    if (ferry_vm_reset(pair->vm, &err) < 0)
        fail_msg("%s", err.text);
}

void pair_ask(const struct pair *pair, enum ready_request request, int mode, const void *data,
              size_t bytes)
{
    const struct ferry_message message = {
        .mode = mode, .tag = request, .data = (void *)(uintptr_t)data, .bytes = bytes};

    assert_int_equal(ferry_link_send(pair->to, &message, PATIENCE), 0);
}

struct ferry_message pair_await(struct world *world, const struct pair *pair)
{
    struct ferry_message message;

    if (ferry_link_recv(pair->from, PATIENCE, &message) < 0 || message.mode == FERRY_HANGUP)
        fail_msg("no answer: %s", world_said(world));
    return message;
}

uint64_t pair_answer(struct world *world, const struct pair *pair, enum ready_request request)
{
    pair_ask(pair, request, FERRY_INLINE, NULL, 0);
    return pair_await(world, pair).tag;
}

uint64_t pair_answer_to(struct world *world, const struct pair *pair, enum ready_request request,
                        const char *data)
{
    pair_ask(pair, request, FERRY_COPY, data, SECRET_BYTES);
    return pair_await(world, pair).tag;
}

void pair_expect_fresh(struct world *world, const struct pair *pair, uint64_t copy)
{
    assert_int_equal(pair_answer(world, pair, READY_COUNT), 1ull << 32 | copy);
}

struct ferry_ledger world_books(struct world *world)
{
    struct ferry_ledger books;

    ferry_engine_ledger(world->engine, &books);
    return books;
}

int pair_setup_polled(void **state)
{
    const struct ferry_engine_config config = {
        .pool_extents = 64, .pool_pages = 512, .polled = true};

    return world_setup_with(state, &config);
}
