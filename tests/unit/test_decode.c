/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the tests of decoding in host/ipc/decode.c: every malformed descriptor, one row each. */
#include "core_fixture.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "ipc/mode.h"

#define WINDOW  FERRY_WINDOW_BASE
#define EXTENT  FERRY_EXTENT_BYTES
#define EXTENTS 2
#define END     (WINDOW + (1 + EXTENTS) * EXTENT)

static struct ferry_engine *engine;
static struct ferry_vm *a, *b, *stranger;
static struct ferry_link *to_b, *to_host;

static int setup(void **state)
{
    (void)state;
    engine = core_engine(512, EXTENTS);
    a = core_vm(engine, "a");
    b = core_vm(engine, "b");
    stranger = core_vm(engine, "stranger");
    to_b = core_link(a, b, 0);
    to_host = core_link(a, NULL, 0);
    core_link(b, stranger, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ferry_vm_destroy(a);
    ferry_vm_destroy(b);
    ferry_vm_destroy(stranger);
    core_end(engine);
    return 0;
}

static int decode(const struct ferry_desc *desc, struct transfer *out)
{
    return decode_message(a->endpoint, desc, out);
}

#define PAYLOAD(addr_, bytes_) .payload = {.addr = (addr_), .bytes = (bytes_)}

/* dst is B's id in all rows: B is the second VM. */
#define DST 2

static void malformed_descriptors_are_refused(void **state)
{
    static const struct {
        const char *what;
        struct ferry_desc desc;
        int want;
    } rows[] = {
        {"no mode", {.mode = 0, .dst = DST}, -EINVAL},
        {"unknown mode", {.mode = 6, .dst = DST}, -EINVAL},
        {"unknown mode", {.mode = 255, .dst = DST}, -EINVAL},
        {"flags", {.mode = FERRY_INLINE, .dst = DST, .flags = 1}, -EINVAL},
        {"flags", {.mode = FERRY_INLINE, .dst = DST, .flags = 0x8000}, -EINVAL},
        {"turn without a ring", {.mode = FERRY_INLINE, .dst = DST, .turn = 1}, -EINVAL},
        {"padding", {.mode = FERRY_INLINE, .dst = DST, .zero2 = 1}, -EINVAL},
        {"forged sender", {.mode = FERRY_INLINE, .dst = DST, .src = 2}, -EINVAL},
        {"its own id", {.mode = FERRY_INLINE, .dst = DST, .src = 1}, -EINVAL},
        {"generation", {.mode = FERRY_INLINE, .dst = DST, .src_generation = 1}, -EINVAL},
        {"generation", {.mode = FERRY_INLINE, .dst = DST, .dst_generation = 1}, -EINVAL},
        {"no link", {.mode = FERRY_INLINE, .dst = 3}, -EPERM},
        {"itself", {.mode = FERRY_INLINE, .dst = 1}, -EPERM},
        {"nobody", {.mode = FERRY_INLINE, .dst = 0xffff}, -EPERM},
        {"no link, hang-up", {.mode = FERRY_HANGUP, .dst = 3}, -EPERM},
        {"inline too long", {.mode = FERRY_INLINE, .dst = DST, .inline_bytes = 33}, -EMSGSIZE},
        {"inline too long", {.mode = FERRY_INLINE, .dst = DST, .inline_bytes = 255}, -EMSGSIZE},
        {"hang-up with data", {.mode = FERRY_HANGUP, .dst = DST, .inline_bytes = 1}, -EINVAL},
        {"copy with inline data",
         {.mode = FERRY_COPY, .dst = DST, .inline_bytes = 1, PAYLOAD(CORE_MEMORY_ADDR, 1)},
         -EINVAL},
        {"lend with inline data",
         {.mode = FERRY_LEND, .dst = DST, .inline_bytes = 1, PAYLOAD(WINDOW, 4096)},
         -EINVAL},
        {"token",
         {.mode = FERRY_LEND, .dst = DST, .payload = {.addr = WINDOW, .bytes = 1, .token = 1}},
         -EINVAL},
        {"message number",
         {.mode = FERRY_MOVE, .dst = DST, .payload = {.addr = WINDOW, .bytes = 1, .message = 1}},
         -EINVAL},
        {"payload padding",
         {.mode = FERRY_COPY,
          .dst = DST,
          .payload = {.addr = CORE_MEMORY_ADDR, .bytes = 1, .zero = 1}},
         -EINVAL},
        {"copy too long",
         {.mode = FERRY_COPY, .dst = DST, PAYLOAD(CORE_MEMORY_ADDR, FERRY_COPY_BYTES + 1)},
         -EMSGSIZE},
        {"copy too long",
         {.mode = FERRY_COPY, .dst = DST, PAYLOAD(CORE_MEMORY_ADDR, UINT64_MAX)},
         -EMSGSIZE},
        {"copy of nothing mapped", {.mode = FERRY_COPY, .dst = DST, PAYLOAD(0, 1)}, -EFAULT},
        {"copy across the end",
         {.mode = FERRY_COPY, .dst = DST, PAYLOAD(CORE_MEMORY_ADDR + CORE_MEMORY_BYTES - 1, 2)},
         -EFAULT},
        {"lend nothing", {.mode = FERRY_LEND, .dst = DST, PAYLOAD(WINDOW, 0)}, -EFAULT},
        {"lend program memory", {.mode = FERRY_LEND, .dst = DST, PAYLOAD(0x10000, 1)}, -EFAULT},
        {"lend below the window",
         {.mode = FERRY_LEND, .dst = DST, PAYLOAD(WINDOW - 1, 2)},
         -EFAULT},
        {"lend past the end", {.mode = FERRY_LEND, .dst = DST, PAYLOAD(END, 1)}, -EFAULT},
        {"lend across the end", {.mode = FERRY_LEND, .dst = DST, PAYLOAD(END - 1, 2)}, -EFAULT},
        {"lend all there is",
         {.mode = FERRY_LEND, .dst = DST, PAYLOAD(WINDOW, 3 * EXTENT)},
         -EFAULT},
        {"pages and extents",
         {.mode = FERRY_MOVE, .dst = DST, PAYLOAD(WINDOW + EXTENT - 1, 2)},
         -EFAULT},
        {"length wraps", {.mode = FERRY_LEND, .dst = DST, PAYLOAD(WINDOW, UINT64_MAX)}, -EFAULT},
        {"length wraps to 0",
         {.mode = FERRY_MOVE, .dst = DST, PAYLOAD(WINDOW + 4096, UINT64_MAX - WINDOW - 4095)},
         -EFAULT},
        {"address at the top", {.mode = FERRY_LEND, .dst = DST, PAYLOAD(UINT64_MAX, 1)}, -EFAULT},
        {"address wraps", {.mode = FERRY_MOVE, .dst = DST, PAYLOAD(UINT64_MAX, 2)}, -EFAULT},
    };
    struct transfer transfer;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int found = decode(&rows[i].desc, &transfer);
        if (found != rows[i].want)
            fail_msg("row %zu, %s: %d, not %d", i, rows[i].what, found, rows[i].want);
    }
    core_assert_books(engine, 514, 0, 0);
}

static void inline_is_copied_out(void **state)
{
    struct ferry_desc desc = {.mode = FERRY_INLINE, .dst = DST, .inline_bytes = 32, .tag = 99};
    struct transfer transfer;

    (void)state;
    for (int i = 0; i < 32; i++)
        desc.data[i] = (uint8_t)(i + 1);
    assert_int_equal(decode(&desc, &transfer), 0);
    assert_ptr_equal(transfer.link, to_b);
    assert_int_equal(transfer.mode, FERRY_INLINE);
    assert_int_equal(transfer.tag, 99);
    assert_int_equal(transfer.inline_bytes, 32);
    assert_memory_equal(transfer.data, desc.data, 32);
    desc.inline_bytes = 0;
    assert_int_equal(decode(&desc, &transfer), 0);
    assert_int_equal(transfer.inline_bytes, 0);
}

static void copy_finds_its_source(void **state)
{
    struct ferry_desc desc =
        core_payload(FERRY_COPY, DST, CORE_MEMORY_ADDR + 7, FERRY_COPY_BYTES - 7);
    struct transfer transfer;

    (void)state;
    assert_int_equal(decode(&desc, &transfer), 0);
    assert_ptr_equal(transfer.source.at, core_memory_bytes + 7);
    assert_int_equal(transfer.bytes, FERRY_COPY_BYTES - 7);
    desc.payload.bytes = 0;
    assert_int_equal(decode(&desc, &transfer), 0);
}

static void units_are_those_the_payload_touches(void **state)
{
    struct ferry_desc desc = core_payload(FERRY_LEND, DST, WINDOW + 4096 + 100, 4096);
    struct transfer transfer;

    (void)state;
    assert_int_equal(decode(&desc, &transfer), 0);
    assert_int_equal(transfer.units.first, 1);
    assert_int_equal(transfer.units.count, 2);
    assert_int_equal(transfer.offset.bytes, 4096 + 100);
    assert_int_equal(transfer.bytes, 4096);
    assert_true(transfer.wants_completion);
    desc = core_payload(FERRY_MOVE, DST, END - 1, 1);
    assert_int_equal(decode(&desc, &transfer), 0);
    assert_int_equal(transfer.units.first, 513);
    assert_int_equal(transfer.units.count, 1);
    assert_int_equal(transfer.mode, FERRY_MOVE);
}

static void the_host_is_peer_0(void **state)
{
    struct ferry_desc desc = {.mode = FERRY_HANGUP, .dst = 0};
    struct transfer transfer;

    (void)state;
    assert_int_equal(decode(&desc, &transfer), 0);
    assert_ptr_equal(transfer.link, to_host);
    assert_int_equal(transfer.mode, FERRY_HANGUP);
}

/* The traits in the table of modes agree with each other, and there are no other modes. */
static void each_mode_has_its_traits(void **state)
{
    static const int none[] = {INT_MIN, -1, 0, FERRY_HANGUP + 1, 255, 256 + FERRY_COPY, INT_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        assert_null(mode_of(none[i]));
    for (int i = FERRY_INLINE; i <= FERRY_HANGUP; i++) {
        const struct mode *mode = mode_of(i);
        assert_non_null(mode);
        assert_int_equal(mode->is_last, mode->carries == MODE_NOTHING);
        if (mode->has_token)
            assert_true(mode_has_payload(mode) && !mode->moves);
        if (mode->moves)
            assert_int_equal(mode->carries, MODE_UNITS);
        if (mode_lends(mode))
            assert_true(mode->has_token); /* else nobody could bring it home */
    }
    assert_true(mode_of(FERRY_MOVE)->moves && mode_lends(mode_of(FERRY_LEND)));
}

static unsigned asked;

static struct reach asked_memory(struct ferry_vm *vm, struct guest_addr addr, uint64_t bytes,
                                 bool write)
{
    asked++;
    return core_memory(vm, addr, bytes, write);
}

static bool not_at_hand(struct ferry_vm *vm, struct guest_addr addr, uint64_t bytes)
{
    (void)vm;
    (void)addr;
    return bytes == 0;
}

/* Who serves many VMs asks first, and nothing of the sender is touched for that, nor at all for a
 * message that goes nowhere. */
static void memory_is_not_touched_beforehand(void **state)
{
    struct ferry_desc desc = core_payload(FERRY_COPY, DST, CORE_MEMORY_ADDR, 5);
    struct ferry_desc nowhere = core_payload(FERRY_COPY, 3, CORE_MEMORY_ADDR, 5);
    struct transfer transfer;

    (void)state;
    a->endpoint->memory = asked_memory;
    a->endpoint->at_hand = not_at_hand;
    asked = 0;
    assert_true(decode_may_wait(a->endpoint, &desc));
    assert_false(decode_may_wait(a->endpoint, &nowhere));
    assert_int_equal(decode(&nowhere, &transfer), -EPERM);
    assert_int_equal(asked, 0);
    assert_int_equal(decode(&desc, &transfer), 0);
    assert_int_equal(asked, 1);
    desc.payload.bytes = 0;
    assert_false(decode_may_wait(a->endpoint, &desc));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(malformed_descriptors_are_refused),
        CASE(inline_is_copied_out),
        CASE(copy_finds_its_source),
        CASE(units_are_those_the_payload_touches),
        CASE(the_host_is_peer_0),
        CASE(each_mode_has_its_traits),
        CASE(memory_is_not_touched_beforehand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
