/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conservation: random traffic of several endpoints, some of it hostile, by one
 * thread, by several, and with a poller. After each step the ledger is proved and compared with the
 * page tables; at the end nothing is leaked.
 */
#include "core_fixture.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#include "ipc/ring.h"
#include "stream/stream.h"
#include "stream/stream_internal.h"

#define VMS   4
#define PAGES 512
#define STEPS 6000

static struct ferry_engine *engine;
static struct ferry_vm *vms[VMS];

/* xorshift: the same steps on each run. */
static uint64_t draw(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed >> 11;
}

static uint64_t below(uint64_t *seed, uint64_t limit)
{
    return draw(seed) % limit;
}

static int setup(void **state)
{
    (void)state;
    engine = core_engine(PAGES, 3);
    for (int i = 0; i < VMS; i++)
        vms[i] = core_vm(engine, "vm");
    for (int i = 0; i < VMS; i++)
        for (int j = 0; j < VMS; j++)
            if (i != j)
                core_link(vms[i], vms[j], 5);
    for (int i = 0; i < VMS; i++)
        vms[i]->endpoint->most_pages = 40;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < VMS; i++)
        ferry_vm_destroy(vms[i]);
    core_end(engine);
    return 0;
}

/* --- what a guest does ------------------------------------------------------------ */

struct player {
    struct endpoint *endpoint;
    uint64_t seed;
    struct units known[64]; /* of units it had at some time */
    uint32_t tokens[64];
    unsigned known_count, token_count;
};

static void know(struct player *guest, struct units units)
{
    guest->known[guest->known_count++ % 64] = units;
}

static struct units some_units(struct player *guest)
{
    if (guest->known_count == 0 || below(&guest->seed, 20) == 0) /* not his own, most of the time */
        return (struct units){(uint32_t)below(&guest->seed, PAGES - 4),
                              1 + (uint32_t)below(&guest->seed, 3)};
    unsigned count = guest->known_count < 64 ? guest->known_count : 64;
    return guest->known[below(&guest->seed, count)];
}

static void get(struct player *guest)
{
    bool page = below(&guest->seed, 8) != 0;
    struct units units;

    if (units_alloc(guest->endpoint, 1 + below(&guest->seed, page ? 4 : 1), page, &units) == 0)
        know(guest, units);
}

static bool ring_has_room(const struct player *guest, uint32_t count)
{
    const struct ferry_control *control = guest->endpoint->control;
    uint32_t tail = __atomic_load_n(&control->vmm.out_tail, __ATOMIC_ACQUIRE);

    return control->guest.out_head - tail <= FERRY_RING_ENTRIES - count;
}

static void queue_one(struct player *guest)
{
    const enum ferry_mode modes[] = {FERRY_INLINE, FERRY_COPY, FERRY_LEND,
                                     FERRY_LEND,   FERRY_LEND, FERRY_MOVE};
    enum ferry_mode mode = modes[below(&guest->seed, 6)];
    uint16_t dst = (uint16_t)(1 + below(&guest->seed, VMS + 1)); /* itself and nobody, too */
    struct ferry_desc desc;

    if (!ring_has_room(guest, 1))
        return;
    if (mode == FERRY_INLINE)
        desc = core_inline(dst, 0);
    else if (mode == FERRY_COPY)
        desc = core_payload(mode, dst, CORE_MEMORY_ADDR, below(&guest->seed, 20000));
    else
        desc = core_units(mode, guest->endpoint, dst, some_units(guest));
    if (below(&guest->seed, 50) == 0)
        desc.payload.addr ^= 1ull << below(&guest->seed, 64);
    core_queue(guest->endpoint, &desc);
}

static void take_one(struct player *guest)
{
    const struct pool *pool = &engine->exchange.pool;
    struct units units;

    if (!core_waiting(guest->endpoint))
        return;
    struct ferry_desc desc = core_take(guest->endpoint);
    if (desc.mode == FERRY_COPY || desc.mode == FERRY_LEND)
        guest->tokens[guest->token_count++ % 64] = desc.payload.token;
    if (desc.mode != FERRY_LEND && desc.mode != FERRY_MOVE)
        return;
    assert_true(pool_covering(pool, endpoint_offset(guest->endpoint, guest_addr(desc.payload.addr)),
                              desc.payload.bytes, &units));
    know(guest, units);
}

static void let_go(struct player *guest)
{
    struct ferry_control_guest *shared = &guest->endpoint->control->guest;
    unsigned count = guest->token_count < 64 ? guest->token_count : 64;
    uint32_t token = below(&guest->seed, 20) == 0 ? (uint32_t)draw(&guest->seed)
                     : count                      ? guest->tokens[below(&guest->seed, count)]
                                                  : 0;

    core_release(guest->endpoint, token);
    ring_publish(&shared->home_tail, shared->home_tail + core_home(guest->endpoint));
}

static void step(struct player *guest)
{
    switch (below(&guest->seed, 8)) {
    case 0:
        get(guest);
        break;
    case 1:
        units_free(guest->endpoint, some_units(guest));
        break;
    case 2:
    case 3:
        queue_one(guest);
        break;
    case 4:
    case 5:
        take_one(guest);
        break;
    default:
        let_go(guest);
        break;
    }
    /* Not at each step: rings fill up, and others collect in between. */
    if (below(&guest->seed, 3) == 0)
        drain_ring(guest->endpoint);
}

/* --- one thread: books and page tables agree after each step ------------------------ */

static void assert_tables_agree(uint32_t unit)
{
    struct units one = {unit, 1};

    for (int i = 0; i < VMS; i++) {
        const struct endpoint *endpoint = vms[i]->endpoint;
        int access = ledger_access(&engine->exchange.ledger, one, endpoint->index);
        if ((int)core_rights(endpoint, unit) != access)
            fail_msg("unit %u at VM %d: not %d", unit, i, access);
    }
}

static void random_traffic(void **state)
{
    struct player guests[VMS] = {0};
    uint64_t seed = 20240607;

    (void)state;
    for (int i = 0; i < VMS; i++)
        guests[i] = (struct player){.endpoint = vms[i]->endpoint, .seed = 77 + (uint64_t)i};
    for (int i = 0; i < STEPS; i++) {
        step(&guests[below(&seed, VMS)]);
        struct ledger_count count = ledger_prove(&engine->exchange.ledger);
        assert_int_equal(count.free + count.owned + count.lent, pool_units(&engine->exchange.pool));
        assert_tables_agree((uint32_t)below(&seed, 160));
        if (i % 1000 == 0)
            for (uint32_t unit = 0; unit < pool_units(&engine->exchange.pool); unit++)
                assert_tables_agree(unit);
    }
    struct ferry_ledger books;
    ferry_engine_ledger(engine, &books);
    assert_int_equal(books.leaked, 0);
    /* It was real traffic. */
    uint64_t messages = 0, pages = 0;
    for (int i = 0; i < VMS; i++)
        for (uint32_t j = 0; j < vms[i]->endpoint->out_count; j++) {
            messages += vms[i]->endpoint->out[j]->messages;
            pages += vms[i]->endpoint->out[j]->pages_4k;
        }
    assert_true(messages > STEPS / 20);
    assert_true(pages > STEPS / 40);
}

/* --- several threads ------------------------------------------------------------------ */

static void *guest_thread(void *arg)
{
    struct player *guest = arg;

    for (int i = 0; i < STEPS; i++)
        step(guest);
    endpoint_shutdown(guest->endpoint); /* while others go on */
    return NULL;
}

static void traffic_by_threads(void **state)
{
    struct player guests[VMS];
    pthread_t threads[VMS];

    (void)state;
    for (int i = 0; i < VMS; i++) {
        guests[i] = (struct player){.endpoint = vms[i]->endpoint, .seed = 99 + (uint64_t)i};
        assert_int_equal(pthread_create(&threads[i], NULL, guest_thread, &guests[i]), 0);
    }
    for (int i = 0; i < 200; i++) {
        struct ferry_ledger books;
        ferry_engine_ledger(engine, &books);
        struct ledger_count count = ledger_prove(&engine->exchange.ledger);
        assert_int_equal(count.free + count.owned + count.lent + count.transit,
                         pool_units(&engine->exchange.pool));
    }
    for (int i = 0; i < VMS; i++)
        pthread_join(threads[i], NULL);
    core_assert_books(engine, pool_units(&engine->exchange.pool), 0, 0);
}

/* --- a poller drains while they run ------------------------------------------------------ */

/* Units side by side, each a message of its own: they change hands in runs. */
static void queue_neighbours(struct player *guest)
{
    enum ferry_mode mode = below(&guest->seed, 4) ? FERRY_LEND : FERRY_MOVE;
    uint16_t dst = (uint16_t)(1 + below(&guest->seed, VMS));
    struct units units = some_units(guest);

    if (!ring_has_room(guest, units.count))
        return;
    for (uint32_t i = 0; i < units.count; i++) {
        struct ferry_desc desc =
            core_units(mode, guest->endpoint, dst, (struct units){units.first + i, 1});
        core_queue(guest->endpoint, &desc);
    }
}

/* The part of the VM's own thread at an exit; no other thread runs, as the memory must be at
 * rest. */
static void leave_and_enter(struct player *guest)
{
    struct ferry_vm *vm = guest->endpoint->vm;

    lock_take(&vm->runner.serving);
    if (below(&guest->seed, 2))
        get(guest);
    else
        units_free(guest->endpoint, some_units(guest));
    if (below(&guest->seed, 2))
        drain_out(vm->endpoint);
    lock_drop(&vm->runner.serving);
}

static void *polled_thread(void *arg)
{
    struct player *guest = arg;
    struct ferry_vm *vm = guest->endpoint->vm;

    poller_add(&engine->poller, &vm->runner);
    atomic_store(&vm->runner.in_guest, true);
    poller_guest_runs(&engine->poller);
    for (int i = 0; i < 8 * STEPS; i++) {
        if (i % 16 == 0)
            sched_yield(); /* to the poller, where there are few cores */
        switch (below(&guest->seed, 8)) {
        case 0:
            leave_and_enter(guest);
            break;
        case 1:
            queue_one(guest);
            break;
        case 2:
        case 3:
            queue_neighbours(guest);
            break;
        case 4:
        case 5:
            take_one(guest);
            break;
        default:
            let_go(guest);
            break;
        }
    }
    poller_remove(&engine->poller, &vm->runner);
    endpoint_shutdown(guest->endpoint);
    return NULL;
}

static void traffic_with_a_poller(void **state)
{
    struct player guests[VMS];
    pthread_t threads[VMS];
    uint64_t pages = 0;

    (void)state;
    assert_int_equal(poller_start(&engine->poller, NULL), 0);
    for (int i = 0; i < VMS; i++) {
        guests[i] = (struct player){.endpoint = vms[i]->endpoint, .seed = 123 + (uint64_t)i};
        assert_int_equal(pthread_create(&threads[i], NULL, polled_thread, &guests[i]), 0);
    }
    for (int i = 0; i < VMS; i++)
        pthread_join(threads[i], NULL);
    poller_stop(&engine->poller);
    core_assert_books(engine, pool_units(&engine->exchange.pool), 0, 0);
    for (int i = 0; i < VMS; i++)
        for (uint32_t j = 0; j < vms[i]->endpoint->out_count; j++)
            pages += vms[i]->endpoint->out[j]->pages_4k;
    assert_true(pages > 0); /* it was real traffic */
}

/* --- VMs that come and go while others send to them, pull from them and hold their pages --- */

static atomic_bool over;

static void *ticker_thread(void *arg)
{
    struct endpoint *endpoint = arg;

    while (!atomic_load(&over))
        if (endpoint_enter(endpoint)) {
            loan_collect(endpoint);
            endpoint_leave(endpoint);
        }
    return NULL;
}

static void *reader_thread(void *arg)
{
    static char bytes[100000];

    while (stream_read(vm_stream(arg), bytes, sizeof bytes) > 0)
        ;
    return NULL;
}

static void pipes_that_break(void **state)
{
    static char bytes[300000];
    uint64_t seed = 5;

    (void)state;
    for (int round = 0; round < 40; round++) {
        struct ferry_vm *writer = core_vm(engine, "writer"), *reader = core_vm(engine, "reader");
        pthread_t reading, ticking;
        core_stream_link(writer, reader);
        writer->endpoint->most_extents = 1;
        atomic_store(&over, false);
        assert_int_equal(pthread_create(&reading, NULL, reader_thread, reader), 0);
        assert_int_equal(pthread_create(&ticking, NULL, ticker_thread, reader->endpoint), 0);
        for (uint64_t i = below(&seed, 30); i > 0; i--)
            assert_true(stream_write(vm_stream(writer), bytes, 1 + below(&seed, sizeof bytes)) > 0);
        endpoint_shutdown(writer->endpoint); /* as when stopped: the reader may pull right now */
        pthread_join(reading, NULL);
        atomic_store(&over, true);
        pthread_join(ticking, NULL);
        ferry_vm_destroy(reader);
        ferry_vm_destroy(writer);
        assert_int_equal(ledger_prove(&engine->exchange.ledger).free,
                         pool_units(&engine->exchange.pool));
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(random_traffic),
        CASE(traffic_by_threads),
        CASE(traffic_with_a_poller),
        CASE(pipes_that_break),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
