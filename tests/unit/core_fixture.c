/* SPDX-License-Identifier: BSD-2-Clause */
/* The library's core without KVM: engine, VMs without a virtual CPU, and the guest's side. */
#include "core_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ipc/ring.h"
#include "kvm/boot.h"
#include "lib/mapping.h"
#include "stream/stream.h"

char core_memory_bytes[CORE_MEMORY_BYTES];

#define MANY 1000000 /* of what the host has: no test here comes near */

struct ferry_engine *core_engine(uint32_t pages, uint32_t extents)
{
    struct ferry_engine *engine = calloc(1, sizeof *engine);

    assert_non_null(engine);
    engine->kvm.fd = -1;
    images_init(&engine->images);
    budget_init(&engine->mappings, MANY, MANY);
    budget_init(&engine->files, MANY, MANY);
    assert_int_equal(exchange_create(&engine->exchange, pages, extents, NULL), 0);
    engine->exchange.crossover_bytes = 4096;
    return engine;
}

void core_end(struct ferry_engine *engine)
{
    core_assert_books(engine, pool_units(&engine->exchange.pool), 0, 0);
    ferry_engine_destroy(engine);
}

void core_assert_books(struct ferry_engine *engine, uint64_t free, uint64_t owned, uint64_t lent)
{
    struct ferry_ledger books;

    struct ledger_count count = ledger_prove(&engine->exchange.ledger);
    assert_int_equal(count.free + count.owned + count.lent, pool_units(&engine->exchange.pool));
    ferry_engine_ledger(engine, &books);
    assert_int_equal(books.leaked, 0);
    assert_int_equal(books.free, free);
    assert_int_equal(books.owned, owned);
    assert_int_equal(books.lent, lent);
}

static bool core_at_hand(struct ferry_vm *vm, struct guest_addr addr, uint64_t bytes)
{
    return !vm->endpoint->memory(vm, addr, bytes, false).live;
}

struct ferry_vm *core_vm(struct ferry_engine *engine, const char *name)
{
    struct ferry_vm *vm = calloc(1, sizeof *vm);

    assert_non_null(vm);
    vm_init(vm, engine);
    vm->guest->system = mapping_aligned(SYSTEM_BYTES, PROT_READ | PROT_WRITE,
                                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    assert_non_null(vm->guest->system);
    assert_int_equal(exchange_endpoint_new(&engine->exchange, vm, &vm->endpoint), 0);

    struct endpoint *endpoint = vm->runner.endpoint = vm->endpoint;
    snprintf(endpoint->name, sizeof endpoint->name, "%s", name);
    endpoint->memory = core_memory;
    endpoint->at_hand = core_at_hand;
    endpoint->control = (struct ferry_control *)(void *)vm->guest->system;
    endpoint->receive_buffers = vm->guest->system + SYSTEM_TABLES_BYTES;
    endpoint->receive_buffers_addr = guest_addr(SYSTEM_RECEIVE);
    endpoint->window_addr = guest_addr(FERRY_WINDOW_BASE);
    endpoint->most_pages = engine->exchange.pool.pages;
    endpoint->most_extents = engine->exchange.pool.extents;
    assert_int_equal(
        window_create(&endpoint->window, engine->exchange.pool.fd, engine->exchange.pool.bytes), 0);
    assert_int_equal(stream_create(endpoint), 0);
    return vm;
}

static struct ferry_link *link_between(struct ferry_vm *from, struct ferry_vm *to,
                                       const struct ferry_link_config *config)
{
    struct ferry_engine *engine = from ? from->engine : to->engine;
    struct ferry_link *link;

    assert_int_equal(ferry_link_create(engine, from, to, config, &link, NULL), 0);
    return link;
}

struct ferry_link *core_link(struct ferry_vm *from, struct ferry_vm *to, uint32_t max_messages)
{
    const struct ferry_link_config config = {.max_messages = max_messages};

    return link_between(from, to, &config);
}

struct ferry_link *core_stream_link(struct ferry_vm *from, struct ferry_vm *to)
{
    const struct ferry_link_config config = {.stream = true};

    return link_between(from, to, &config);
}

struct units core_alloc(struct endpoint *endpoint, uint32_t count, bool page)
{
    struct units units;

    assert_int_equal(units_alloc(endpoint, count, page, &units), 0);
    return units;
}

char *core_bytes(struct ferry_engine *engine, uint32_t unit)
{
    return pool_at(&engine->exchange.pool, pool_offset(&engine->exchange.pool, unit));
}

/* The kernel copies by the rights of the page table and fails where they end. */
enum window_access core_rights(const struct endpoint *endpoint, uint32_t unit)
{
    char *at = window_at(&endpoint->window, pool_offset(&endpoint->exchange->pool, unit));
    enum window_access rights = WINDOW_CLOSED;
    int pipe_fds[2];

    if (pipe(pipe_fds) < 0)
        abort();
    if (write(pipe_fds[1], at, 1) == 1)
        rights = read(pipe_fds[0], at, 1) == 1 ? WINDOW_WRITE : WINDOW_READ;
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    return rights;
}

struct reach core_memory(struct ferry_vm *vm, struct guest_addr addr, uint64_t bytes, bool write)
{
    uint64_t offset = addr.value - CORE_MEMORY_ADDR;

    (void)vm;
    (void)write;
    if (offset > CORE_MEMORY_BYTES || bytes > CORE_MEMORY_BYTES - offset)
        return (struct reach){0};
    return (struct reach){.at = core_memory_bytes + offset};
}

/* --- the guest's side ------------------------------------------------------ */

struct ferry_desc core_inline(uint16_t dst, uint64_t tag)
{
    struct ferry_desc desc = {.mode = FERRY_INLINE, .dst = dst, .tag = tag, .inline_bytes = 8};

    memcpy(desc.data, "inlined", 8);
    return desc;
}

struct ferry_desc core_payload(enum ferry_mode mode, uint16_t dst, uint64_t addr, uint64_t bytes)
{
    return (struct ferry_desc){
        .mode = (uint8_t)mode, .dst = dst, .payload = {.addr = addr, .bytes = bytes}};
}

struct ferry_desc core_units(enum ferry_mode mode, const struct endpoint *from, uint16_t dst,
                             struct units units)
{
    const struct pool *pool = &from->exchange->pool;

    return core_payload(mode, dst, endpoint_addr(from, pool_offset(pool, units.first)).value,
                        units_bytes(pool, units));
}

void core_queue(struct endpoint *endpoint, const struct ferry_desc *desc)
{
    struct ferry_control *control = endpoint->control;
    uint32_t head = control->guest.out_head;

    control->out[head & RING_MASK] = *desc;
    ring_publish(&control->guest.out_head, head + 1);
}

int core_send(struct endpoint *endpoint, const struct ferry_desc *desc)
{
    struct ferry_control *control = endpoint->control;
    uint32_t head = control->guest.out_head;

    core_queue(endpoint, desc);
    drain_ring(endpoint);
    assert_int_equal(control->vmm.out_tail, head + 1);
    return control->out_status[head & RING_MASK];
}

uint32_t core_waiting(const struct endpoint *endpoint)
{
    const struct ferry_control *control = endpoint->control;

    return __atomic_load_n(&control->vmm.in_head, __ATOMIC_ACQUIRE) - control->guest.in_tail;
}

struct ferry_desc core_take(struct endpoint *endpoint)
{
    struct ferry_control *control = endpoint->control;

    assert_true(core_waiting(endpoint) > 0);
    uint32_t tail = control->guest.in_tail;
    struct ferry_desc desc = control->in[tail & RING_MASK];
    ring_publish(&control->guest.in_tail, tail + 1);
    return desc;
}

void core_release(struct endpoint *endpoint, uint32_t token)
{
    struct ferry_control_guest *guest = &endpoint->control->guest;
    uint32_t head = guest->release_head;

    __atomic_store_n(&guest->release[head & TOKEN_MASK], token, __ATOMIC_RELAXED);
    ring_publish(&guest->release_head, head + 1);
}

uint32_t core_home(const struct endpoint *endpoint)
{
    const struct ferry_control *control = endpoint->control;

    return __atomic_load_n(&control->vmm.home_head, __ATOMIC_ACQUIRE) - control->guest.home_tail;
}

/* --- page-table updates that fail ------------------------------------------ */

#define WALL_PAGES (1u << 20) /* more than any vm.max_map_count in use, in address space only */
#define ODD_ENDS   8

static char *wall;
static void *odd_ends[ODD_ENDS];

void core_exhaust_mappings(void)
{
    bool full = false;

#ifdef __SANITIZE_THREAD__
    skip(); /* ThreadSanitizer maps memory for its own notes at any moment */
#endif
    wall = mmap(NULL, WALL_PAGES * FERRY_PAGE_BYTES, PROT_NONE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(wall != MAP_FAILED);
    for (uint64_t i = 1; i < WALL_PAGES && !full; i += 2)
        full = mprotect(wall + i * FERRY_PAGE_BYTES, FERRY_PAGE_BYTES, PROT_READ) < 0;
    if (!full)
        fail_msg("vm.max_map_count is too large for this test");
    /* Each split made two mappings. What is left is used up by single ones, which do not merge
     * since their rights differ. */
    for (int i = 0; i < ODD_ENDS; i++)
        odd_ends[i] = mmap(NULL, FERRY_PAGE_BYTES, i % 2 ? PROT_READ : PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

void core_restore_mappings(void)
{
    for (int i = 0; i < ODD_ENDS; i++)
        if (odd_ends[i] != MAP_FAILED)
            munmap(odd_ends[i], FERRY_PAGE_BYTES);
    munmap(wall, WALL_PAGES * FERRY_PAGE_BYTES);
}
