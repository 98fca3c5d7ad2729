/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threat: a guest publishes any index, forwards, backwards, far ahead, around the end of 32 bits, and
 * any entry behind it, to make the VMM read beyond a ring, take what is not there, work without end,
 * or lose what it has to give.
 *
 * An input is a sequence of stores of one VM into its indexes and rings, of messages of an honest
 * peer, and of looks of the VMM. A model of plain 64-bit numbers says what the VMM's private indexes
 * are after each look: an index that can be is followed, any other changes nothing.
 */
#include "core_fixture.h"

#include <string.h>

#include "fuzz.h"
#include "ipc/ring.h"

#define STEPS 300

static struct ferry_vm *hostile, *honest;

/* How far a ring may go on to what was published: ring_ahead, by numbers that do not wrap. */
static uint32_t model_ahead(uint32_t published, uint32_t ours, uint64_t most)
{
    uint64_t theirs = published < ours ? published + (1ull << 32) : published;

    return theirs - ours <= most ? (uint32_t)(theirs - ours) : 0;
}

/* Rings that have run for long: their indexes begin near the end of 32 bits, or anywhere. */
static void begin_at(struct endpoint *endpoint, uint32_t out, uint32_t in, uint32_t released)
{
    struct ferry_control *control = endpoint->control;

    control->guest.out_head = control->vmm.out_tail = endpoint->out_tail = out;
    control->guest.in_tail = control->vmm.in_head = endpoint->in_head = endpoint->in_tail = in;
    control->guest.release_head = endpoint->release_tail = released;
    control->guest.home_tail = control->vmm.home_head = endpoint->home_head = endpoint->home_tail =
        in;
    endpoint->seen = (struct published){released, in, in};
}

static void store_index(struct fuzz *fuzz)
{
    struct ferry_control_guest *guest = &hostile->endpoint->control->guest;
    uint8_t how = fuzz_byte(fuzz);
    uint32_t *const indexes[] = {&guest->out_head, &guest->in_tail, &guest->home_tail,
                                 &guest->release_head};
    uint32_t *index = indexes[how % 4], value = (uint32_t)fuzz_value(fuzz);

    *index = how & 4 ? value : *index + value;
}

static void store_entry(struct fuzz *fuzz)
{
    struct ferry_control *control = hostile->endpoint->control;
    uint8_t how = fuzz_byte(fuzz);
    uint32_t at = control->vmm.out_tail + fuzz_byte(fuzz);
    struct ferry_desc desc = how & 1 ? core_inline(honest->endpoint->id, at)
                                     : core_payload(FERRY_COPY, honest->endpoint->id,
                                                    CORE_MEMORY_ADDR, fuzz_value(fuzz));

    if (how & 2)
        control->guest.release[at & TOKEN_MASK] = (uint32_t)fuzz_value(fuzz);
    else
        control->out[at & RING_MASK] = desc;
}

/* The honest peer always has something to send, and takes and releases what it gets. */
static void honest_turn(struct fuzz *fuzz)
{
    struct endpoint *peer = honest->endpoint;
    uint8_t how = fuzz_byte(fuzz);
    struct ferry_desc desc =
        how & 1 ? core_inline(hostile->endpoint->id, how)
                : core_payload(FERRY_COPY, hostile->endpoint->id, CORE_MEMORY_ADDR, 100);

    if (peer->control->guest.out_head - peer->control->vmm.out_tail < FERRY_RING_ENTRIES)
        core_queue(peer, &desc);
    drain_out(peer);
    while (core_waiting(peer)) {
        desc = core_take(peer);
        if (desc.mode == FERRY_COPY)
            core_release(peer, desc.payload.token);
    }
    loan_collect(peer);
}

/* A drain does not look again at indexes that it saw before: what was impossible then and is possible
 * by now is the loss of the guest that published it too early, until somebody collects. */
static bool is_new(const struct published *seen, const struct ferry_control_guest *published)
{
    return seen->release_head != published->release_head || seen->in_tail != published->in_tail ||
           seen->home_tail != published->home_tail;
}

/* One look of the VMM at all that the guest published, and what it may have done. */
static void look(struct fuzz *fuzz)
{
    struct endpoint *endpoint = hostile->endpoint;
    const struct ferry_control_guest published = endpoint->control->guest;
    uint32_t out = endpoint->out_tail, in = endpoint->in_tail, home = endpoint->home_tail;
    uint32_t released = endpoint->release_tail;
    bool drains = fuzz_byte(fuzz) & 1;
    bool news = !drains || is_new(&endpoint->seen, &published);

    if (drains)
        drain_out(endpoint);
    else
        loan_collect(endpoint);
    FUZZ_ASSERT(!memcmp(&published, &endpoint->control->guest, sizeof published)); /* the guest's */
    uint32_t queued = endpoint->in_head - in, completions = endpoint->home_head - home;
    FUZZ_ASSERT(queued <= FERRY_RING_ENTRIES && completions <= FERRY_TOKENS);
    FUZZ_ASSERT(endpoint->in_tail - in == (news ? model_ahead(published.in_tail, in, queued) : 0));
    FUZZ_ASSERT(endpoint->home_tail - home ==
                (news ? model_ahead(published.home_tail, home, completions) : 0));
    FUZZ_ASSERT(endpoint->release_tail - released ==
                (news ? model_ahead(published.release_head, released, FERRY_TOKENS) : 0));
    uint32_t taken = endpoint->out_tail - out;
    uint32_t most = model_ahead(published.out_head, out, FERRY_RING_ENTRIES);
    FUZZ_ASSERT(drains ? taken <= most : taken == 0);
    FUZZ_ASSERT(!drains || taken == most || endpoint->out_parked);
    FUZZ_ASSERT(endpoint->control->vmm.out_tail == endpoint->out_tail);
}

static void step(struct fuzz *fuzz)
{
    switch (fuzz_below(fuzz, 8)) {
    case 0:
    case 1:
    case 2:
        store_index(fuzz);
        break;
    case 3:
        store_entry(fuzz);
        break;
    case 4:
        honest_turn(fuzz);
        break;
    default:
        look(fuzz);
        break;
    }
}

/* Both ends agree on what is under way, whatever was published. */
static void assert_link(const struct ferry_link *link)
{
    uint32_t payloads = 0;

    for (uint32_t token = 0; token < FERRY_TOKENS; token++)
        payloads += link->to->held[token].state != HELD_FREE;
    FUZZ_ASSERT(link->in_flight == payloads && payloads <= link->max_messages);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct fuzz fuzz = fuzz_begin(data, bytes);
    struct ferry_engine *engine = core_engine(1, 0);

    hostile = core_vm(engine, "hostile");
    honest = core_vm(engine, "honest");
    struct ferry_link *there = core_link(hostile, honest, 0), *back = core_link(honest, hostile, 0);
    begin_at(hostile->endpoint, (uint32_t)fuzz_value(&fuzz), (uint32_t)fuzz_value(&fuzz),
             (uint32_t)fuzz_value(&fuzz));
    for (int i = 0; i < STEPS && fuzz_left(&fuzz); i++) {
        step(&fuzz);
        assert_link(there);
        assert_link(back);
    }
    ferry_vm_destroy(hostile);
    ferry_vm_destroy(honest);
    core_end(engine);
    return 0;
}
