/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the tests of performing in host/ipc/perform.c: each mode as the receiver sees
 * it, back-pressure, and that a message that fails leaves everything as it was.
 */
#include "core_trio.h"

#include <errno.h>
#include <string.h>

#include "stream/stream.h"
#include "stream/stream_internal.h"

static struct ferry_link *a_to_b, *b_to_c, *b_to_a;

static int setup(void **state)
{
    (void)state;
    trio_setup();
    a_to_b = core_link(vm_a, vm_b, 3);
    b_to_c = core_link(vm_b, vm_c, 3);
    b_to_a = core_link(vm_b, vm_a, 3);
    return 0;
}

static int send_inline(struct endpoint *from, struct endpoint *to)
{
    struct ferry_desc desc = core_inline(to->id, 1);

    return core_send(from, &desc);
}

/* Takes a message and lets the VMM know. */
static struct ferry_desc take(struct endpoint *endpoint)
{
    struct ferry_desc desc = core_take(endpoint);

    loan_collect(endpoint);
    return desc;
}

static void release(struct endpoint *endpoint, uint32_t token)
{
    core_release(endpoint, token);
    loan_collect(endpoint);
}

/* --- modes ------------------------------------------------------------------ */

static void inline_arrives_stamped(void **state)
{
    (void)state;
    struct ferry_desc desc = core_inline(b->id, 0xabcdef);
    assert_int_equal(core_send(a, &desc), 0);
    struct ferry_desc got = take(b);
    assert_int_equal(got.mode, FERRY_INLINE);
    assert_int_equal(got.inline_bytes, 8);
    assert_memory_equal(got.data, "inlined", 8);
    assert_int_equal(got.tag, 0xabcdef);
    assert_int_equal(got.src, a->id);
    assert_int_equal(got.dst, b->id);
    assert_int_equal(got.src_generation, a->generation);
    assert_int_equal(got.dst_generation, b->generation);
    assert_int_equal(a_to_b->messages, 1);
    assert_int_equal(a_to_b->bytes_inline, 8);
    assert_int_equal(a->messages_sent, 1);
    assert_int_equal(b->messages_received, 1);
}

static void inline_carries_no_more_than_it_says(void **state)
{
    struct ferry_desc desc = {.mode = FERRY_INLINE, .dst = b->id, .inline_bytes = 3};
    const uint8_t want[FERRY_INLINE_BYTES] = {7, 7, 7};

    (void)state;
    memset(desc.data, 7, sizeof desc.data);
    assert_int_equal(core_send(a, &desc), 0);
    struct ferry_desc got = take(b);
    assert_memory_equal(got.data, want, sizeof want);
}

static void copy_lands_in_a_slot(void **state)
{
    struct ferry_desc got[2];

    (void)state;
    for (int i = 0; i < 2; i++) {
        memset(core_memory_bytes, 'x' + i, FERRY_COPY_BYTES);
        struct ferry_desc desc =
            core_payload(FERRY_COPY, b->id, CORE_MEMORY_ADDR, FERRY_COPY_BYTES - 1);
        assert_int_equal(core_send(a, &desc), 0);
        got[i] = take(b);
    }
    assert_int_not_equal(got[0].payload.token, got[1].payload.token);
    for (int i = 0; i < 2; i++) {
        const char *landed =
            b->receive_buffers + (got[i].payload.addr - b->receive_buffers_addr.value);
        assert_int_equal(got[i].payload.bytes, FERRY_COPY_BYTES - 1);
        assert_int_equal(got[i].payload.message, i + 1);
        assert_int_equal(landed[0], 'x' + i);
        assert_int_equal(landed[FERRY_COPY_BYTES - 2], 'x' + i);
    }
    assert_int_equal(a_to_b->bytes_copied, 2 * (FERRY_COPY_BYTES - 1));
    assert_int_equal(a_to_b->in_flight, 2);
    release(b, got[0].payload.token);
    release(b, got[1].payload.token);
    assert_int_equal(a_to_b->in_flight, 0);
}

static void lend_hands_over_and_comes_home(void **state)
{
    struct units units = core_alloc(a, 2, true);

    (void)state;
    strcpy(core_bytes(engine, units.first) + 100, "lent");
    uint64_t addr =
        FERRY_WINDOW_BASE + pool_offset(&engine->exchange.pool, units.first).bytes + 100;
    struct ferry_desc desc = core_payload(FERRY_LEND, b->id, addr, 5000);
    assert_int_equal(core_send(a, &desc), 0);
    struct ferry_desc got = take(b);
    assert_int_equal(got.payload.addr, addr);
    assert_int_equal(got.payload.bytes, 5000);
    assert_int_equal(got.payload.message, 1);
    for (uint32_t unit = units.first; unit < units.first + 2; unit++) {
        assert_int_equal(core_rights(a, unit), WINDOW_CLOSED);
        assert_int_equal(core_rights(b, unit), WINDOW_READ);
        assert_int_equal(core_rights(c, unit), WINDOW_CLOSED);
    }
    assert_string_equal(
        window_at(&b->window, pool_offset(&engine->exchange.pool, units.first)) + 100, "lent");
    core_assert_books(engine, 514, 0, 2);
    assert_int_equal(core_home(a), 0);

    release(b, got.payload.token);
    assert_int_equal(core_rights(a, units.first + 1), WINDOW_WRITE);
    assert_int_equal(core_rights(b, units.first), WINDOW_CLOSED);
    core_assert_books(engine, 514, 2, 0);
    assert_int_equal(core_home(a), 1);
    assert_int_equal(a->control->vmm.home[0].addr, addr - 100);
    assert_int_equal(a->control->vmm.home[0].bytes, 8192);
    assert_int_equal(a_to_b->bytes_handed_over, 5000);
    assert_int_equal(a_to_b->pages_4k, 2);
    assert_int_equal(a_to_b->extents_2m, 0);
    assert_int_equal(a_to_b->table_calls, 4);
    assert_int_equal(a_to_b->bytes_copied, 0);
}

static void move_changes_the_owner(void **state)
{
    struct units units = core_alloc(a, 1, false);

    (void)state;
    assert_int_equal(send_units(FERRY_MOVE, a, b, units), 0);
    struct ferry_desc got = take(b);
    assert_int_equal(got.payload.addr,
                     FERRY_WINDOW_BASE + pool_offset(&engine->exchange.pool, units.first).bytes);
    assert_int_equal(core_rights(a, units.first), WINDOW_CLOSED);
    assert_int_equal(core_rights(b, units.first), WINDOW_WRITE);
    core_assert_books(engine, 515, 1, 0);
    assert_int_equal(a_to_b->in_flight, 0);
    assert_int_equal(a_to_b->extents_2m, 1);
    assert_int_equal(units_free(a, units), -EPERM);
    assert_int_equal(units_free(b, units), 0);
}

static void hangup_is_the_last(void **state)
{
    struct ferry_desc desc = {.mode = FERRY_HANGUP, .dst = b->id};

    (void)state;
    assert_int_equal(send_inline(a, b), 0);
    assert_int_equal(core_send(a, &desc), 0);
    assert_int_equal(core_send(a, &desc), 0); /* once is enough */
    assert_int_equal(send_inline(a, b), -EPIPE);
    assert_int_equal(core_waiting(b), 2);
    assert_int_equal(take(b).mode, FERRY_INLINE);
    struct ferry_desc got = take(b);
    assert_int_equal(got.mode, FERRY_HANGUP);
    assert_int_equal(got.src, a->id);
    assert_int_equal(got.src_generation, a->generation);
    /* The other direction is another link. */
    assert_int_equal(send_inline(b, a), 0);
}

/* --- loans that go on --------------------------------------------------------- */

static struct units lend_to_b(uint32_t count, uint32_t *token)
{
    struct units units = core_alloc(a, count, true);

    assert_int_equal(send_units(FERRY_LEND, a, b, units), 0);
    *token = take(b).payload.token;
    return units;
}

static void a_loan_goes_on_and_home_from_there(void **state)
{
    uint32_t token;
    struct units units = lend_to_b(2, &token);

    (void)state;
    assert_int_equal(a_to_b->in_flight, 1);
    assert_int_equal(send_units(FERRY_LEND, b, c, units), 0);
    assert_int_equal(a_to_b->in_flight, 0); /* the first link has room again */
    assert_int_equal(b_to_c->in_flight, 1);
    assert_int_equal(core_rights(b, units.first), WINDOW_CLOSED);
    assert_int_equal(core_rights(c, units.first), WINDOW_READ);
    assert_int_equal(loan_release(b, token), -EINVAL); /* it is his no more */
    core_assert_books(engine, 514, 0, 2);
    release(c, take(c).payload.token);
    assert_int_equal(core_rights(a, units.first), WINDOW_WRITE);
    assert_int_equal(core_home(a), 1);
    assert_int_equal(core_home(b), 0);
    core_assert_books(engine, 514, 2, 0);
}

static void a_loan_passed_to_its_owner(void **state)
{
    uint32_t token;
    struct units units = lend_to_b(1, &token);

    (void)state;
    assert_int_equal(send_units(FERRY_LEND, b, a, units), 0);
    assert_int_equal(core_rights(a, units.first), WINDOW_READ);
    assert_int_equal(core_rights(b, units.first), WINDOW_CLOSED);
    assert_int_equal(units_free(a, units), -EPERM); /* a loan until it is released */
    release(a, take(a).payload.token);
    assert_int_equal(core_rights(a, units.first), WINDOW_WRITE);
    assert_int_equal(core_home(a), 1);
    assert_int_equal(a->loans, 0);
    core_assert_books(engine, 515, 1, 0);
    assert_int_equal(units_free(a, units), 0);
}

static void a_loan_is_not_ones_own(void **state)
{
    uint32_t token;
    struct units units = lend_to_b(2, &token), part = {units.first, 1};

    (void)state;
    assert_int_equal(send_units(FERRY_MOVE, b, c, units), -EPERM);
    assert_int_equal(send_units(FERRY_LEND, b, c, part), -EPERM); /* only whole */
    assert_int_equal(send_units(FERRY_LEND, a, b, units), -EPERM);
    assert_int_equal(send_units(FERRY_MOVE, a, b, units), -EPERM);
    assert_int_equal(units_free(b, units), -EPERM);
    assert_int_equal(core_rights(b, units.first), WINDOW_READ);
    assert_int_equal(b_to_c->in_flight, 0);
    assert_int_equal(core_waiting(c), 0);
    assert_int_equal(loan_release(b, token), 0);
}

static void a_loan_not_yet_taken_cannot_go_on(void **state)
{
    struct units units = core_alloc(a, 1, true);

    (void)state;
    assert_int_equal(send_units(FERRY_LEND, a, b, units), 0);
    assert_int_equal(send_units(FERRY_LEND, b, c, units), -EPERM);
    assert_int_equal(take(b).payload.bytes, 4096);
    assert_int_equal(send_units(FERRY_LEND, b, c, units), 0);
}

static void nothing_foreign_can_be_sent(void **state)
{
    struct units other = core_alloc(c, 1, true), own = core_alloc(a, 1, true);
    struct units both = {other.first, 2};

    (void)state;
    assert_int_equal(send_units(FERRY_LEND, a, b, other), -EPERM);
    assert_int_equal(send_units(FERRY_MOVE, a, b, both), -EPERM);
    assert_int_equal(send_units(FERRY_LEND, a, b, (struct units){other.first + 5, 1}), -EPERM);
    assert_int_equal(own.first, other.first + 1);
    assert_int_equal(core_rights(a, own.first), WINDOW_WRITE);
    assert_int_equal(core_rights(c, other.first), WINDOW_WRITE);
    assert_int_equal(core_waiting(b), 0);
    assert_int_equal(a_to_b->in_flight, 0);
    assert_int_equal(a->loans, 0);
    assert_int_equal(b->held[0].state, HELD_FREE);
    assert_int_equal(b->promised, 0);
    assert_int_equal(b->users, 0);
}

/* The VMM writes plain output into extents of the VM; if the guest could give
 * one away, the next write would change what another VM reads. */
static void plain_output_is_not_the_guests_to_send(void **state)
{
    struct ferry_link *out = core_stream_link(vm_a, vm_c);

    (void)state;
    assert_int_equal(stream_write(vm_stream(vm_a), "gathered", 8), 8);
    struct units buffer = {512, 1};
    assert_int_equal(ledger_look(&engine->exchange.ledger, 512).owner, a->index);
    assert_int_equal(send_units(FERRY_MOVE, a, b, buffer), -EPERM);
    assert_int_equal(send_units(FERRY_LEND, a, b, buffer), -EPERM);
    assert_int_equal(
        units_at(a, pool_offset(&engine->exchange.pool, 512), FERRY_EXTENT_BYTES, &buffer), -EPERM);
    /* The guest cannot give it away as part of a larger payload, either. */
    struct units own = core_alloc(a, 1, false), both = {512, 2};
    assert_int_equal(own.first, 513);
    assert_int_equal(send_units(FERRY_MOVE, a, b, both), -EPERM);
    assert_int_equal(send_units(FERRY_MOVE, a, b, own), 0);
    assert_int_equal(core_waiting(b), 1);
    stream_pull(a->byte_stream);
    assert_int_equal(out->messages, 1);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, trio_teardown)
    const struct CMUnitTest tests[] = {
        CASE(inline_arrives_stamped),
        CASE(inline_carries_no_more_than_it_says),
        CASE(copy_lands_in_a_slot),
        CASE(lend_hands_over_and_comes_home),
        CASE(move_changes_the_owner),
        CASE(hangup_is_the_last),
        CASE(a_loan_goes_on_and_home_from_there),
        CASE(a_loan_passed_to_its_owner),
        CASE(a_loan_is_not_ones_own),
        CASE(a_loan_not_yet_taken_cannot_go_on),
        CASE(nothing_foreign_can_be_sent),
        CASE(plain_output_is_not_the_guests_to_send),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
