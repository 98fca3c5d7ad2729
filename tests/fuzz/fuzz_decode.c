/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threat: guests that work together write anything into their control structures, at any moment, to
 * reach a page that the ledger does not give them, to keep one that they gave away, to read what
 * another wrote beside a payload, or to make units vanish. VMs end at any point, and the kernel may
 * refuse a change of a window, whole or half done.
 *
 * An input is a sequence of steps of four VMs with links between all: they get and give back units,
 * queue descriptors of every mode, well-formed or not, take, release, forward, drain, end and begin
 * anew. After each step the ledger, every window, shares, tokens and links agree (decode_books.c);
 * what arrives is payload and zeros; at the end all units are free.
 *
 * Not here: other threads, plain reads and writes, direct rings.
 */
#include "core_fixture.h"

#include <errno.h>
#include <string.h>

#include "decode_books.h"
#include "fuzz.h"
#include "ipc/ring.h"
#include "window_rights.h"

#define VMS    4u
#define BIRTHS 5u /* of VMs besides: a survivor's table of peers has 16 entries */
#define STEPS  120

static struct world {
    struct ferry_engine *engine;
    struct ferry_vm *vms[VMS];
    uint32_t seen[VMS]; /* of what was queued for each */
    unsigned births;
    bool exact;
} world;

static void join(struct ferry_vm *from, struct ferry_vm *to)
{
    const struct ferry_link_config config = {.max_messages = 5};
    struct ferry_link *link;
    int result = ferry_link_create(world.engine, from, to, &config, &link, NULL);

    FUZZ_ASSERT(result == 0 || (world.births && (result == -EEXIST || result == -ENOSPC)));
}

static unsigned number_of(const struct endpoint *endpoint)
{
    unsigned number = 0;

    while (world.vms[number] != endpoint->vm)
        number++;
    return number;
}

static void birth(unsigned number)
{
    struct ferry_vm *vm = world.vms[number] = core_vm(world.engine, "vm");

    vm->endpoint->most_pages = 40;
    world.seen[number] = 0;
    rights_watch(number, vm->endpoint);
    for (unsigned i = 0; i < VMS; i++) {
        if (i == number || !world.vms[i])
            continue;
        /* One that still knows a VM which had this number keeps that link, and gets no other. */
        join(vm, world.vms[i]);
        join(world.vms[i], vm);
    }
}

static void death(unsigned number)
{
    ferry_vm_destroy(world.vms[number]);
    world.vms[number] = NULL;
    rights_watch(number, NULL);
}

/* --- what a guest chooses from ------------------------------------------------------ */

/* Units that it may reach, from a place on that the input says; or any at all. */
static struct units some_units(struct fuzz *fuzz, const struct endpoint *endpoint)
{
    struct exchange *exchange = &world.engine->exchange;
    uint32_t all = pool_units(&exchange->pool), at = fuzz_byte(fuzz) * 2u;
    uint8_t how = fuzz_byte(fuzz);
    struct units units = {at % all, 1 + how % 4};

    if (how < 0xf0) {
        for (uint32_t i = 0; i < all; i++, at++)
            if (ledger_access(&exchange->ledger, (struct units){at % all, 1}, endpoint->index))
                break;
        units.first = at % all;
    }
    if (units.first + units.count > all)
        units.count = 1;
    return units;
}

static char *reach(const struct endpoint *endpoint, uint32_t unit)
{
    return window_at(&endpoint->window, pool_offset(&endpoint->exchange->pool, unit));
}

/* Its own pages get a pattern that is not zero, so that what leaks is seen. Of an extent its ends do. */
static void write_units(const struct endpoint *endpoint, struct units units)
{
    for (uint32_t i = 0; i < units.count; i++) {
        struct units one = {units.first + i, 1};
        uint64_t bytes = pool_unit_bytes(&endpoint->exchange->pool, one.first);
        if (ledger_access(&endpoint->exchange->ledger, one, endpoint->index) != WINDOW_WRITE ||
            rights_of(number_of(endpoint), one.first) != WINDOW_WRITE)
            continue;
        memset(reach(endpoint, one.first), 0xa0 | endpoint->id, FERRY_PAGE_BYTES);
        memset(reach(endpoint, one.first) + bytes - FERRY_PAGE_BYTES, 0xb0, FERRY_PAGE_BYTES);
    }
}

static void assert_zeros(const char *at, uint64_t bytes)
{
    if (bytes)
        FUZZ_ASSERT(at[0] == 0 && !memcmp(at, at + 1, bytes - 1));
}

/* --- what it does ------------------------------------------------------------------- */

static void get(struct fuzz *fuzz, struct endpoint *endpoint)
{
    uint8_t how = fuzz_byte(fuzz);
    bool page = how % 8 != 0;
    struct units units;

    if (units_alloc(endpoint, page ? 1 + (how >> 6) : 1, page, &units) != 0)
        return;
    for (uint32_t i = 0; i < units.count; i++)
        if (rights_of(number_of(endpoint), units.first + i))
            assert_zeros(reach(endpoint, units.first + i),
                         pool_unit_bytes(&endpoint->exchange->pool, units.first + i));
    write_units(endpoint, units);
}

static void queue(struct endpoint *endpoint, const struct ferry_desc *desc)
{
    const struct ferry_control *control = endpoint->control;

    if (control->guest.out_head - control->vmm.out_tail < FERRY_RING_ENTRIES)
        core_queue(endpoint, desc);
}

static uint16_t some_peer(struct fuzz *fuzz)
{
    uint8_t which = fuzz_byte(fuzz);

    return (uint16_t)(which < 0xf0 ? 1 + which % (VMS + BIRTHS) : fuzz_value(fuzz));
}

/* Units go as they are, or as neighbours of one message each, or a part of their bytes does. */
static void queue_units(struct fuzz *fuzz, struct endpoint *endpoint)
{
    uint8_t how = fuzz_byte(fuzz);
    enum ferry_mode mode = how & 1 ? FERRY_MOVE : FERRY_LEND;
    uint16_t dst = some_peer(fuzz);
    struct units units = some_units(fuzz, endpoint);
    struct ferry_desc desc = core_units(mode, endpoint, dst, units);

    if (how & 2) {
        uint64_t skip = fuzz_bytes(fuzz, 2) % FERRY_PAGE_BYTES,
                 cut = fuzz_bytes(fuzz, 2) % FERRY_PAGE_BYTES;
        desc.payload.addr += skip;
        desc.payload.bytes -= skip + cut < desc.payload.bytes ? skip + cut : skip;
    }
    if (!(how & 4)) {
        queue(endpoint, &desc);
        return;
    }
    for (uint32_t i = 0; i < units.count; i++) {
        desc = core_units(mode, endpoint, dst, (struct units){units.first + i, 1});
        queue(endpoint, &desc);
    }
}

static void queue_small(struct fuzz *fuzz, struct endpoint *endpoint)
{
    uint8_t how = fuzz_byte(fuzz);
    uint16_t dst = some_peer(fuzz);
    struct ferry_desc desc =
        how % 3 == 0   ? core_inline(dst, how)
        : how % 3 == 1 ? core_payload(FERRY_COPY, dst, CORE_MEMORY_ADDR, fuzz_bytes(fuzz, 2))
                       : (struct ferry_desc){.mode = FERRY_HANGUP, .dst = dst};

    queue(endpoint, &desc);
}

/* Any 64 bytes, or a good descriptor with one number changed. */
static void queue_forged(struct fuzz *fuzz, struct endpoint *endpoint)
{
    struct ferry_desc desc;
    uint8_t at = fuzz_byte(fuzz);

    if (at & 0x80) {
        for (size_t i = 0; i < sizeof desc; i++)
            ((uint8_t *)&desc)[i] = fuzz_byte(fuzz);
    } else {
        desc = core_units(at & 0x40 ? FERRY_LEND : FERRY_MOVE, endpoint, some_peer(fuzz),
                          some_units(fuzz, endpoint));
        uint64_t value = fuzz_value(fuzz);
        memcpy((char *)&desc + at % 8 * 8, &value, sizeof value);
    }
    queue(endpoint, &desc);
}

/* What lies beside the payload in the units that hold it is zero. */
static void assert_clear_beside(const struct endpoint *endpoint, const struct ferry_desc *desc)
{
    const struct pool *pool = &endpoint->exchange->pool;
    struct pool_offset offset = endpoint_offset(endpoint, guest_addr(desc->payload.addr));
    struct units units;

    FUZZ_ASSERT(pool_covering(pool, offset, desc->payload.bytes, &units));
    uint64_t start = pool_offset(pool, units.first).bytes, bytes = units_bytes(pool, units);
    uint64_t before = offset.bytes - start;
    const char *at = window_at(&endpoint->window, pool_offset(pool, units.first));
    assert_zeros(at, before);
    assert_zeros(at + before + desc->payload.bytes, bytes - before - desc->payload.bytes);
}

/* What has come for a VM is looked at before its guest can do anything with it: the guest may free, send on
 * or write what it owns now before it takes the message. */
static void look_at_arrivals(unsigned number)
{
    const struct endpoint *endpoint = world.vms[number]->endpoint;
    const struct ferry_control *control = endpoint->control;

    for (; world.seen[number] != control->vmm.in_head; world.seen[number]++) {
        const struct ferry_desc *desc = &control->in[world.seen[number] % FERRY_RING_ENTRIES];

        FUZZ_ASSERT(desc->mode >= FERRY_INLINE && desc->mode <= FERRY_HANGUP);
        FUZZ_ASSERT(desc->dst == endpoint->id && desc->src != endpoint->id);
        FUZZ_ASSERT(desc->flags == 0 && desc->zero2 == 0);
        if (desc->mode == FERRY_LEND || desc->mode == FERRY_MOVE)
            assert_clear_beside(endpoint, desc);
        if (desc->mode == FERRY_LEND || desc->mode == FERRY_COPY)
            FUZZ_ASSERT(desc->payload.token < FERRY_TOKENS);
    }
}

static void take(struct endpoint *endpoint)
{
    if (core_waiting(endpoint))
        core_take(endpoint);
}

static void release(struct fuzz *fuzz, struct endpoint *endpoint)
{
    uint8_t token = fuzz_byte(fuzz);
    struct ferry_control_guest *guest = &endpoint->control->guest;

    core_release(endpoint, token < 0xf0 ? token % FERRY_TOKENS : (uint32_t)fuzz_value(fuzz));
    ring_publish(&guest->home_tail, guest->home_tail + core_home(endpoint));
}

static void act(struct fuzz *fuzz, unsigned number, uint8_t what)
{
    struct endpoint *endpoint = world.vms[number]->endpoint;

    switch (what) {
    case 0:
    case 1:
        get(fuzz, endpoint);
        break;
    case 2:
        units_free(endpoint, some_units(fuzz, endpoint));
        break;
    case 3:
    case 4:
    case 5:
        queue_units(fuzz, endpoint);
        break;
    case 6:
        queue_small(fuzz, endpoint);
        break;
    case 7:
        queue_forged(fuzz, endpoint);
        break;
    case 8:
    case 9:
        take(endpoint);
        break;
    case 10:
        release(fuzz, endpoint);
        break;
    case 11:
        loan_collect(endpoint); /* as the ticker does */
        break;
    case 12:
        write_units(endpoint, some_units(fuzz, endpoint));
        break;
    case 13:
        rights_fail(1 + fuzz_below(fuzz, 8), fuzz_byte(fuzz) & 1);
        break;
    default:
        drain_out(endpoint);
        break;
    }
}

static void step(struct fuzz *fuzz)
{
    uint8_t head = fuzz_byte(fuzz);
    unsigned number = head >> 6, what = head & 63;

    if (!world.vms[number]) {
        if (world.births == BIRTHS)
            return;
        world.births++;
        birth(number);
    } else if (what == 63) {
        death(number);
    } else {
        act(fuzz, number, what % 16);
        if (what >= 32 && world.vms[number])
            drain_out(world.vms[number]->endpoint);
    }
    for (unsigned i = 0; i < VMS; i++)
        if (world.vms[i])
            look_at_arrivals(i);
    world.exact &= !rights_failed();
    books_check(world.engine, world.vms, VMS, world.exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct fuzz fuzz = fuzz_begin(data, bytes);

    world = (struct world){.engine = core_engine(64, 2), .exact = true};
    rights_fail(0, false);
    for (unsigned i = 0; i < VMS; i++)
        birth(i);
    for (int i = 0; i < STEPS && fuzz_left(&fuzz); i++)
        step(&fuzz);
    rights_fail(0, false);
    for (unsigned i = 0; i < VMS; i++)
        death(i);
    core_end(world.engine);
    return 0;
}
