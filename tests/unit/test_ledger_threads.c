/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the tests of host/pool/ledger.c under concurrency: actors on threads of their own that
 * allocate, lend, forward, move, release, free, end and begin again, by the rules that endpoints
 * follow. An actor marks the units it has without any lock, so ThreadSanitizer sees whether the
 * ledger alone keeps the actors apart.
 */
#include "core_fixture.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#define ACTORS 4u
#define PAGES  48u
#define MOST   16u /* pages that one may own */
#define ROUNDS 30000
#define ITEMS  256

/* Units an actor knows to be its own, or lent to it. */
struct item {
    struct units units;
    bool lent;
};

struct items {
    struct item list[ITEMS];
    unsigned count;
};

struct actor {
    uint16_t index;
    unsigned seed;
    pthread_t thread;
    pthread_mutex_t lock; /* the three below */
    pthread_cond_t idle;
    bool live;
    unsigned users;
    struct items mail; /* what others gave */
    struct items has;  /* of its own thread */
};

static struct pool pool = {.fd = -1, .pages = PAGES};
static struct ledger ledger;
static struct actor actors[ACTORS];
static int marks[PAGES]; /* by the owner; written by the owner, read by the borrower */
static atomic_uint failures, done;

/* cmocka's asserts are for its own thread. */
static void check(bool good)
{
    if (!good)
        atomic_fetch_add(&failures, 1);
}

static void put(struct items *items, struct item item)
{
    if (items->count == ITEMS)
        abort();
    items->list[items->count++] = item;
}

/* Takes any of the units that it has; false: it has none. */
static bool draw(struct actor *actor, bool lent, struct item *out)
{
    struct items *has = &actor->has;

    for (unsigned i = 0, at = (unsigned)rand_r(&actor->seed); i < has->count; i++) {
        struct item *item = &has->list[(at + i) % has->count];
        if (item->lent != lent)
            continue;
        *out = *item;
        *item = has->list[--has->count];
        return true;
    }
    return false;
}

/* --- the rules of endpoints ----------------------------------------------------- */

static bool enter(struct actor *actor)
{
    pthread_mutex_lock(&actor->lock);
    bool live = actor->live;
    actor->users += live;
    pthread_mutex_unlock(&actor->lock);
    return live;
}

/* Leaves the actor, with a unit for it, or NULL. */
static void leave(struct actor *actor, const struct item *item)
{
    pthread_mutex_lock(&actor->lock);
    if (item)
        put(&actor->mail, *item);
    if (--actor->users == 0)
        pthread_cond_broadcast(&actor->idle);
    pthread_mutex_unlock(&actor->lock);
}

static void open_mail(struct actor *actor)
{
    pthread_mutex_lock(&actor->lock);
    for (unsigned i = 0; i < actor->mail.count; i++)
        put(&actor->has, actor->mail.list[i]);
    actor->mail.count = 0;
    pthread_mutex_unlock(&actor->lock);
}

/* --- what an actor does ---------------------------------------------------------- */

static void mark(const struct actor *actor, struct units units)
{
    for (uint32_t i = units.first; i < units.first + units.count; i++)
        marks[i] = actor->index;
}

static void look_at(struct actor *actor, const struct item *item)
{
    for (uint32_t i = item->units.first; i < item->units.first + item->units.count; i++) {
        struct ledger_unit unit = ledger_look(&ledger, i);
        check(unit.holder == actor->index && unit.state == (item->lent ? UNIT_LENT : UNIT_OWNED));
        if (item->lent)
            check(marks[i] >= 0); /* races with a thread that could still write it */
    }
    if (!item->lent)
        mark(actor, item->units);
}

static void allocate(struct actor *actor)
{
    struct item item = {0};
    int result = ledger_alloc(&ledger, actor->index, true, 1 + (uint32_t)rand_r(&actor->seed) % 3,
                              MOST, &item.units);

    check(result == 0 || result == -EDQUOT || result == -ENOMEM);
    if (result < 0)
        return;
    mark(actor, item.units);
    ledger_commit_owned(&ledger, item.units, false);
    put(&actor->has, item);
}

static void give_back(struct actor *actor, const struct item *item)
{
    check(ledger_begin_free(&ledger, item->units, actor->index) == 0);
    mark(actor, item->units);
    ledger_commit_free(&ledger, item->units);
}

static void release(struct actor *actor, const struct item *item)
{
    struct item home = {.units = item->units};
    uint16_t index;

    ledger_begin_home(&ledger, item->units, actor->index, &index);
    struct actor *owner = index == LEDGER_NOBODY ? NULL : &actors[index];
    if (owner && !enter(owner))
        owner = NULL;
    bool there = owner && ledger_look(&ledger, item->units.first).owner == index;
    ledger_commit_home(&ledger, item->units);
    if (owner)
        leave(owner, there ? &home : NULL);
}

/* Sends units to another, as a loan or for good; sometimes the actor takes them back. */
static void give(struct actor *actor, const struct item *item, bool move)
{
    struct actor *to =
        &actors[(actor->index + 1 + (unsigned)rand_r(&actor->seed) % (ACTORS - 1)) % ACTORS];
    enum unit_state prior_state = item->lent ? UNIT_LENT : UNIT_OWNED;
    struct item given = {.units = item->units, .lent = !move};

    if (!enter(to)) {
        put(&actor->has, *item);
        return;
    }
    int result = move ? ledger_begin_move(&ledger, item->units, actor->index, to->index, MOST)
                      : ledger_begin_send(&ledger, item->units, actor->index, prior_state);
    check(result == 0 || (move && result == -EAGAIN));
    bool back = result == 0 && rand_r(&actor->seed) % 4 == 0;
    if (back)
        ledger_abort(&ledger, item->units, prior_state);
    if (back || result < 0) {
        put(&actor->has, *item);
        leave(to, NULL);
        return;
    }
    ledger_commit_send(&ledger, item->units, to->index, move, 1);
    leave(to, &given);
}

/* It cannot take units that are partly another's, and keeps its own, unless those of the other
 * were moved to it since it looked. */
static void overreach(struct actor *actor, const struct item *item)
{
    struct units more = {item->units.first, item->units.count + 1};

    if (more.first + more.count > PAGES ||
        ledger_look(&ledger, more.first + more.count - 1).holder == actor->index)
        return;
    int result = ledger_begin_send(&ledger, more, actor->index, UNIT_OWNED);
    check(result == 0 || result == -EPERM);
    if (result == 0)
        ledger_abort(&ledger, more, UNIT_OWNED);
}

static void end(struct actor *actor)
{
    struct item item;

    pthread_mutex_lock(&actor->lock);
    actor->live = false;
    while (actor->users)
        pthread_cond_wait(&actor->idle, &actor->lock);
    pthread_mutex_unlock(&actor->lock);
    open_mail(actor);
    while (draw(actor, true, &item))
        release(actor, &item);
    actor->has.count = 0;
    ledger_evict(&ledger, actor->index);
    check(ledger_owned(&ledger, actor->index, true) == 0);
}

static void come_again(struct actor *actor)
{
    pthread_mutex_lock(&actor->lock);
    actor->live = true;
    pthread_mutex_unlock(&actor->lock);
}

static void step(struct actor *actor)
{
    unsigned what = (unsigned)rand_r(&actor->seed) % 100;
    struct item item;

    open_mail(actor);
    if (what < 30) {
        allocate(actor);
    } else if (what < 98 && draw(actor, what < 55, &item)) {
        look_at(actor, &item);
        if (item.lent && what < 45)
            release(actor, &item);
        else if (item.lent || what < 75)
            give(actor, &item, false);
        else if (what < 90)
            give(actor, &item, true);
        else if (what < 95)
            give_back(actor, &item);
        else
            put(&actor->has, item);
        if (!item.lent && what >= 95)
            overreach(actor, &item);
    } else if (what == 99) {
        end(actor);
        come_again(actor);
    }
}

static void *act(void *arg)
{
    struct actor *actor = arg;

    for (int i = 0; i < ROUNDS; i++)
        step(actor);
    atomic_fetch_add(&done, 1);
    return NULL;
}

/* --- the tests --------------------------------------------------------------------- */

static uint32_t scan(uint16_t owner)
{
    uint32_t owned = 0;

    for (uint32_t i = 0; i < PAGES; i++)
        owned += ledger_look(&ledger, i).owner == owner;
    return owned;
}

static void nothing_is_lost_among_threads(void **state)
{
    (void)state;
    atomic_store(&done, 0);
    for (unsigned i = 0; i < ACTORS; i++) {
        actors[i] = (struct actor){.index = (uint16_t)i, .seed = 4711 + i, .live = true};
        pthread_mutex_init(&actors[i].lock, NULL);
        pthread_cond_init(&actors[i].idle, NULL);
    }
    for (unsigned i = 0; i < ACTORS; i++)
        pthread_create(&actors[i].thread, NULL, act, &actors[i]);
    while (atomic_load(&done) < ACTORS) {
        struct ledger_count count = ledger_prove(&ledger);
        assert_int_equal(count.free + count.owned + count.lent + count.transit, PAGES);
        for (uint16_t i = 0; i < ACTORS; i++)
            assert_true(ledger_owned(&ledger, i, true) <= MOST);
    }
    for (unsigned i = 0; i < ACTORS; i++)
        pthread_join(actors[i].thread, NULL);
    assert_int_equal(ledger_prove(&ledger).transit, 0);
    for (uint16_t i = 0; i < ACTORS; i++)
        assert_int_equal(ledger_owned(&ledger, i, true), scan(i));
    for (unsigned i = 0; i < ACTORS; i++)
        end(&actors[i]);
    assert_int_equal(ledger_prove(&ledger).free, PAGES);
    assert_int_equal(atomic_load(&failures), 0);
}

/* Two threads of one holder reach for runs that overlap. */
static void *reach(void *arg)
{
    const struct units *units = arg;

    for (int i = 0; i < ROUNDS; i++) {
        bool move = i % 2;
        int result = move ? ledger_begin_move(&ledger, *units, 0, 1, MOST)
                          : ledger_begin_send(&ledger, *units, 0, UNIT_OWNED);
        check(result == 0 || result == -EPERM);
        if (result < 0)
            continue;
        for (uint32_t u = units->first; u < units->first + units->count; u++) {
            check(ledger_look(&ledger, u).state == UNIT_TRANSIT);
            marks[u]++;
        }
        ledger_abort(&ledger, *units, UNIT_OWNED);
    }
    return NULL;
}

static void a_run_is_taken_whole_or_not(void **state)
{
    struct units all, runs[2];
    pthread_t threads[2];

    (void)state;
    assert_int_equal(ledger_alloc(&ledger, 0, true, 6, MOST, &all), 0);
    ledger_commit_owned(&ledger, all, false);
    runs[0] = (struct units){all.first, 4};
    runs[1] = (struct units){all.first + 2, 4};
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, reach, &runs[i]);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&failures), 0);
    assert_int_equal(ledger_prove(&ledger).owned, 6);
    assert_int_equal(ledger_owned(&ledger, 0, true), 6);
    assert_int_equal(ledger_owned(&ledger, 1, true), 0);
}

static int setup(void **state)
{
    (void)state;
    atomic_store(&failures, 0);
    return ledger_create(&ledger, &pool);
}

static int teardown(void **state)
{
    (void)state;
    ledger_destroy(&ledger);
    return 0;
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(nothing_is_lost_among_threads),
        CASE(a_run_is_taken_whole_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
