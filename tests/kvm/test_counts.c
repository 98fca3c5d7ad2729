/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a message costs, counted: exits, page-table calls, TLB shootdowns, guest faults. The figures
 * are exact, so one more of anything fails. The programs (tests/guest/counted.c) stop at places
 * to count at and go on at the host's word, so nothing depends on time; no tick interferes.
 *
 * An exchange is made in rounds, with N and with 2N messages a round. The figures of a round are
 * `fixed + N * each`. Among what is fixed are the stops: two exits of the sender, one of the
 * receiver.
 */
#include <stdio.h>
#include <string.h>

#include "host_calls.h"
#include "kvm_counts.h"
#include "kvm_fixture.h"

#define PAGE   4096u
#define EXTENT (2u << 20)
#define WARM   5 /* rounds that bring things to where they stay */
#define ROUNDS 8

enum figure {
    IMMEDIATE,    /* exits of the sender */
    NATURAL,      /* of the sender */
    NATURAL_BACK, /* of the receiver */
    CALLS,        /* page-table calls for messages, as Ferry counts them */
    SHOOT_DOWNS,
    OTHER_CALLS, /* and what libferry makes beside those: system calls of host_calls.h */
    IOCTLS,
    KVM_FIGURES,
    FAULTS = KVM_FIGURES, /* of the sender */
    FAULTS_BACK,          /* of the receiver */
    FLUSHES,              /* of both: KVM dropped what it had mapped */
    EXITS,                /* of both, for whatever cause; see kvm_counts.h */
    FIGURES,
};

static const char *const figure_names[] = {
    [IMMEDIATE] = "immediate exits",
    [NATURAL] = "natural exits",
    [NATURAL_BACK] = "the receiver's exits",
    [CALLS] = "page-table calls",
    [SHOOT_DOWNS] = "TLB shootdowns",
    [OTHER_CALLS] = "other page-table calls",
    [IOCTLS] = "ioctls",
    [FAULTS] = "faults",
    [FAULTS_BACK] = "the receiver's faults",
    [FLUSHES] = "flushes by KVM",
    [EXITS] = "exits seen by KVM",
};

struct figures {
    int64_t of[FIGURES];
};

struct exchange {
    const char *mode, *when;
    unsigned count; /* N; 0: none, and one instead of 2N */
    unsigned bytes;
    const char *back; /* how it is taken: `each` with an exit of its own */
    bool direct;
    struct figures each, fixed;
    struct figures spread; /* how much more one round may cost than another */
};

static const struct exchange *exchange; /* the one that is tested */

struct pair {
    struct world *world;
    struct ferry_link *link, *word, *report, *gate;
    struct kvm_source source[2];
    bool kvm;       /* it has figures */
    uint32_t token; /* of the page that the receiver waits for */
};

/* ---- counting ------------------------------------------------------------- */

static struct figures count(struct pair *pair)
{
    struct ferry_vm_stats a = world_stats(pair->world, 0), b = world_stats(pair->world, 1);
    struct ferry_link_stats link = link_stats(pair->link);
    struct host_calls host = host_calls_made();
    struct kvm_counts kvm[2] = {0};

    pair->kvm =
        kvm_source_read(&pair->source[0], &kvm[0]) && kvm_source_read(&pair->source[1], &kvm[1]);
    return (struct figures){{
        [IMMEDIATE] = a.exits_immediate,
        [NATURAL] = a.exits_natural,
        [NATURAL_BACK] = b.exits_natural + b.exits_immediate,
        [CALLS] = link.table_calls,
        [SHOOT_DOWNS] = link.shoot_downs,
        [OTHER_CALLS] = host.memory - link.table_calls,
        [IOCTLS] = host.ioctls,
        [FAULTS] = kvm[0].faults,
        [FAULTS_BACK] = kvm[1].faults,
        [FLUSHES] = kvm[0].shoot_downs + kvm[1].shoot_downs,
        [EXITS] = kvm[0].exits + kvm[1].exits,
    }};
}

/* What a round cost: the least and the most of several. Ferry's figures are the same in each. Those
 * of KVM may be higher by chance, when a page of a ring is used for the first time or the scheduler
 * comes between, but what a message costs it costs each time: there the least counts. */
struct cost {
    struct figures least, most;
};

static void add_round(struct cost *cost, const struct figures *before, const struct figures *after)
{
    for (int i = 0; i < FIGURES; i++) {
        int64_t now = after->of[i] - before->of[i];
        if (now < cost->least.of[i])
            cost->least.of[i] = now;
        if (now > cost->most.of[i])
            cost->most.of[i] = now;
    }
}

/* ---- the host's word --------------------------------------------------------- */

/* The sender stands still. */
static void await_sender(struct pair *pair)
{
    struct ferry_message message;

    assert_int_equal(ferry_link_recv(pair->report, PATIENCE, &message), 0);
    assert_int_equal(message.mode, FERRY_INLINE);
}

static void sender_on(struct pair *pair)
{
    const struct ferry_message word = {.mode = FERRY_INLINE};

    assert_int_equal(ferry_link_send(pair->word, &word, PATIENCE), 0);
}

static void await_receiver(struct pair *pair)
{
    struct ferry_message message;

    assert_int_equal(ferry_link_recv(pair->gate, PATIENCE, &message), 0);
    assert_int_equal(message.mode, FERRY_LEND);
    pair->token = message.token;
}

static void receiver_on(struct pair *pair)
{
    assert_int_equal(ferry_link_release(pair->gate, pair->token), 0);
}

/* ---- an exchange -------------------------------------------------------------- */

static void add_pair(struct pair *pair, unsigned count)
{
    struct world *world = pair->world;
    bool stream = strcmp(exchange->mode, "stream") == 0;
    char number[16], bytes[16], rounds[16];

    /* The stream layer rings by the clock; not so when the operator says no. */
    world->delivery = stream ? FERRY_DELIVER_DEFERRED : FERRY_DELIVER_AUTO;
    /* Where extents are not huge, a loan of one may cost more than copies. */
    world->transfer = exchange->bytes == EXTENT ? FERRY_TRANSFER_MAP : FERRY_TRANSFER_AUTO;
    snprintf(number, sizeof number, "%u", count);
    snprintf(bytes, sizeof bytes, "%u", exchange->bytes);
    snprintf(rounds, sizeof rounds, "%u", ROUNDS);
    world_add(world, "a", "counted", "send", "b", exchange->mode, exchange->when, number, bytes,
              rounds, NULL);
    kvm_source_open(pair->source, 0);
    world_add(world, "b", "counted", "take", "a", number, rounds,
              exchange->back ? exchange->back : "together", NULL);
    kvm_source_open(pair->source, 1);
    pair->link = exchange->direct ? world_direct(world, 0, 1)
                 : stream         ? world_stream(world, 0, 1)
                                  : world_link(world, 0, 1);
    pair->word = world_link(world, -1, 0);
    pair->report = world_link(world, 0, -1);
    pair->gate = world_link(world, 1, -1);
}

/* Both sides are idle before and after. In between the sender writes its payloads, sends, and
 * reclaims its loans; the receiver reads or writes them and releases them. */
static void go_round(struct pair *pair)
{
    sender_on(pair);
    await_sender(pair);
    receiver_on(pair);
    await_receiver(pair);
    sender_on(pair);
    await_sender(pair);
}

/* The figures of a round with so many messages. */
static struct cost cost_of_round(struct pair *pair, unsigned messages)
{
    struct world *world = pair->world;
    struct figures before, after;
    struct cost cost;

    for (int i = 0; i < FIGURES; i++)
        cost.least.of[i] = INT64_MAX, cost.most.of[i] = INT64_MIN;
    add_pair(pair, messages);
    world_start(world);
    await_sender(pair);
    await_receiver(pair);
    before = count(pair);
    for (int round = 0; round < ROUNDS; round++) {
        go_round(pair);
        after = count(pair);
        if (round >= WARM)
            add_round(&cost, &before, &after);
        before = after;
    }
    sender_on(pair);
    receiver_on(pair);
    world_wait(world);
    for (int i = 0; i < 2; i++) {
        world_expect_ok(world, i);
        kvm_source_close(&pair->source[i]);
        ferry_vm_destroy(world->vm[i]);
    }
    world->count = 0;
    return cost;
}

/* KVM's counts depend on the kind of page table. */
static int64_t expected(struct ferry_engine *engine, int figure, unsigned messages)
{
    struct ferry_engine_info info;
    int64_t each = exchange->each.of[figure];

    ferry_engine_info(engine, &info);
    if ((figure == FAULTS || figure == FAULTS_BACK) && exchange->bytes == EXTENT && !info.huge)
        each *= EXTENT / PAGE;
    return exchange->fixed.of[figure] + each * messages;
}

/* KVM may let the scheduler in between the units of a run that it drops, after one flush more. */
static bool is_right(int figure, int64_t found, int64_t wanted)
{
    if (figure == FLUSHES && wanted > 0 && strcmp(exchange->when, "immediate") != 0)
        return found >= wanted;
    return found == wanted;
}

static void check(const struct pair *pair, const struct cost *cost, unsigned messages)
{
    const int64_t *least = cost->least.of, *most = cost->most.of;
    int64_t exits = least[IMMEDIATE] + least[NATURAL] + least[NATURAL_BACK];

    if (kvm_counts_are_exact())
        assert_true(pair->kvm);
    for (int i = 0; i < (kvm_counts_are_exact() ? FIGURES : KVM_FIGURES); i++) {
        if (i < KVM_FIGURES && most[i] - least[i] > exchange->spread.of[i])
            fail_msg("%s: %lld in one round, %lld in another", figure_names[i], (long long)least[i],
                     (long long)most[i]);
        /* Nothing but KVM_RUN for an exit, and no exit that Ferry does not see. */
        bool is_exits = i == IOCTLS || i == EXITS;
        int64_t wanted = is_exits ? exits : expected(pair->world->engine, i, messages);
        if (!is_right(i, least[i], wanted))
            fail_msg("%u messages: %s: %lld, not %lld", messages, figure_names[i],
                     (long long)least[i], (long long)wanted);
    }
}

/* ---- the exchanges ---------------------------------------------------------- */

/* The least that a round costs: the stops, and the page that the receiver lends to stand still. */
#define STOPS [NATURAL] = 2, [NATURAL_BACK] = 1, [OTHER_CALLS] = 2

/* Plain memory: the exits of the stops take it along. */
static const struct exchange inline_deferred = {
    .mode = "inline", .when = "deferred", .count = 8, .bytes = 32, .fixed = {{STOPS}}};

static const struct exchange inline_immediate = {.mode = "inline",
                                                 .when = "immediate",
                                                 .count = 8,
                                                 .bytes = 32,
                                                 .each = {{[IMMEDIATE] = 1}},
                                                 .fixed = {{STOPS}}};

/* The receiver waits, so the sender rings. One only: it wakes the receiver for a moment. */
static const struct exchange inline_to_one_who_waits = {
    .mode = "inline", .when = "auto", .bytes = 32, .each = {{[IMMEDIATE] = 1}}, .fixed = {{STOPS}}};

/* The sender rings here too, as the receiver does not wait for a direct message. */
static const struct exchange inline_direct = {
    .mode = "inline", .when = "auto", .count = 8, .bytes = 32, .direct = true, .fixed = {{STOPS}}};

static const struct exchange copy = {
    .mode = "copy", .when = "deferred", .count = 8, .bytes = 4000, .fixed = {{STOPS}}};

/* Closed and opened on the way there and on the way home; each side's next touch is a fault. */
#define LOAN_ALONE                                                                             \
    {                                                                                          \
        {                                                                                      \
            [IMMEDIATE] = 1, [NATURAL_BACK] = 1, [CALLS] = 4, [SHOOT_DOWNS] = 2, [FAULTS] = 1, \
            [FAULTS_BACK] = 1, [FLUSHES] = 2                                                   \
        }                                                                                      \
    }

static const struct exchange lend_extents_one_by_one = {.mode = "lend",
                                                        .when = "immediate",
                                                        .count = 2,
                                                        .bytes = EXTENT,
                                                        .back = "each",
                                                        .each = LOAN_ALONE,
                                                        .fixed = {{STOPS}}};

static const struct exchange lend_pages_one_by_one = {.mode = "lend",
                                                      .when = "immediate",
                                                      .count = 8,
                                                      .bytes = PAGE,
                                                      .back = "each",
                                                      .each = LOAN_ALONE,
                                                      .fixed = {{STOPS}}};

/* The calls are the same whatever the number of messages. */
#define LOANS_TOGETHER                                           \
    {                                                            \
        {                                                        \
            STOPS, [CALLS] = 4, [SHOOT_DOWNS] = 2, [FLUSHES] = 2 \
        }                                                        \
    }

static const struct exchange lend_extents_together = {.mode = "lend",
                                                      .when = "deferred",
                                                      .count = 2,
                                                      .bytes = EXTENT,
                                                      .each = {{[FAULTS] = 1, [FAULTS_BACK] = 1}},
                                                      .fixed = LOANS_TOGETHER};

static const struct exchange lend_pages_together = {.mode = "lend",
                                                    .when = "deferred",
                                                    .count = 8,
                                                    .bytes = PAGE,
                                                    .each = {{[FAULTS] = 1, [FAULTS_BACK] = 1}},
                                                    .fixed = LOANS_TOGETHER};

/* The receiver frees each by a call, whose flush is counted too. */
#define MOVED_ALONE                                                              \
    {                                                                            \
        {                                                                        \
            [IMMEDIATE] = 1, [NATURAL_BACK] = 1, [CALLS] = 2, [SHOOT_DOWNS] = 1, \
            [OTHER_CALLS] = 1, [FAULTS] = 1, [FAULTS_BACK] = 1, [FLUSHES] = 2    \
        }                                                                        \
    }
#define MOVED_TOGETHER                                                                            \
    {                                                                                             \
        {                                                                                         \
            [NATURAL_BACK] = 1, [OTHER_CALLS] = 1, [FAULTS] = 1, [FAULTS_BACK] = 1, [FLUSHES] = 1 \
        }                                                                                         \
    }

/* The sender gets all of its next ones by one exit and call. Extents were made huge when they were
 * got for the first time, which is not done again. */
#define GET_UNITS [NATURAL] = 3, [NATURAL_BACK] = 1, [OTHER_CALLS] = 3

static const struct exchange move_extents_one_by_one = {.mode = "move",
                                                        .when = "immediate",
                                                        .count = 2,
                                                        .bytes = EXTENT,
                                                        .each = MOVED_ALONE,
                                                        .fixed = {{GET_UNITS}}};

static const struct exchange move_pages_one_by_one = {.mode = "move",
                                                      .when = "immediate",
                                                      .count = 8,
                                                      .bytes = PAGE,
                                                      .each = MOVED_ALONE,
                                                      .fixed = {{GET_UNITS}}};

static const struct exchange move_extents_together = {
    .mode = "move",
    .when = "deferred",
    .count = 2,
    .bytes = EXTENT,
    .each = MOVED_TOGETHER,
    .fixed = {{GET_UNITS, [CALLS] = 2, [SHOOT_DOWNS] = 1, [FLUSHES] = 1}}};

static const struct exchange move_pages_together = {
    .mode = "move",
    .when = "deferred",
    .count = 8,
    .bytes = PAGE,
    .each = MOVED_TOGETHER,
    .fixed = {{GET_UNITS, [CALLS] = 2, [SHOOT_DOWNS] = 1, [FLUSHES] = 1}}};

/* By ferry_output: below the crossover the VMM copies. */
static const struct exchange stream_of_little = {
    .mode = "stream", .when = "deferred", .count = 8, .bytes = 100, .fixed = {{STOPS}}};

/* Extents are filled in turn. They go there together, and all that come home do so as well: the last of
 * the round before and all others but the last. Where the turn begins anew lie two that are not side by
 * side: two calls more, there or home. */
static const struct exchange stream_of_extents = {
    .mode = "stream",
    .when = "deferred",
    .count = 2,
    .bytes = EXTENT,
    .each = {{[FAULTS] = 1, [FAULTS_BACK] = 1}},
    .fixed = {{STOPS, [CALLS] = 4, [SHOOT_DOWNS] = 2, [FLUSHES] = 2}},
    .spread = {{[CALLS] = 2, [SHOOT_DOWNS] = 1}}};

/* ---- tests -------------------------------------------------------------------- */

static int setup(void **state)
{
    exchange = *state;
    /* The units that are got and freed in each round have all been used once after the first
     * rounds. */
    bool move = strcmp(exchange->mode, "move") == 0;
    const struct ferry_engine_config config = {.pool_extents = move ? 8 : 64,
                                               .pool_pages = 512,
                                               .max_defer_us = UINT32_MAX}; /* above an hour */

    return world_setup_with(state, &config);
}

/* The figures, for docs/portability.md: all but those that are 0. */
static void print_figures(const char *what, const double *of)
{
    printf("# %s:", what);
    for (int i = 0; i < FIGURES; i++)
        if (of[i] != 0)
            printf(" %g %s;", of[i], figure_names[i]);
    printf("\n");
}

static void counts(void **state)
{
    struct pair pair = {.world = *state};
    unsigned few = exchange->count, many = few ? 2 * few : 1;
    struct cost once = cost_of_round(&pair, few), twice = cost_of_round(&pair, many);
    double each[FIGURES], fixed[FIGURES];

    for (int i = 0; i < FIGURES; i++) {
        each[i] = (double)(twice.least.of[i] - once.least.of[i]) / (many - few);
        fixed[i] = (double)once.least.of[i] - each[i] * few;
    }
    print_figures("each", each);
    print_figures("fixed", fixed);
    check(&pair, &once, few);
    check(&pair, &twice, many);
}

#define counted(which)                                                   \
    {                                                                    \
#which, counts, setup, world_teardown, (void *)(uintptr_t)&which \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        counted(inline_deferred),
        counted(inline_immediate),
        counted(inline_to_one_who_waits),
        counted(inline_direct),
        counted(copy),
        counted(lend_extents_one_by_one),
        counted(lend_pages_one_by_one),
        counted(lend_extents_together),
        counted(lend_pages_together),
        counted(move_extents_one_by_one),
        counted(move_pages_one_by_one),
        counted(move_extents_together),
        counted(move_pages_together),
        counted(stream_of_little),
        counted(stream_of_extents),
    };

    return cmocka_run_group_tests_name("counts", tests, NULL, NULL);
}
