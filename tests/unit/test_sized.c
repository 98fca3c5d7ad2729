/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the tests of structs that the caller and the library know at different lengths, and of
 * messages that are copied by assignment.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "core_fixture.h"
#include "lib/sized.h"

#define UNTOUCHED 0x5a
#define TOO_LONG  5000

static struct ferry_engine *engine;
static struct ferry_vm *vm;
static struct ferry_link *in, *out;

static int set_up(void **state)
{
    (void)state;
    engine = core_engine(512, 2);
    vm = core_vm(engine, "a");
    in = core_link(NULL, vm, 8);
    out = core_link(vm, NULL, 8);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ferry_vm_destroy(vm);
    core_end(engine);
    return 0;
}

/* --- every call that takes or fills a struct ----------------------------------- */

static int make_engine(void *config, size_t bytes)
{
    struct ferry_engine *made;
    struct ferry_error err;
    int result = ferry_engine_create_sized(config, bytes, &made, &err);

    assert_true(result < 0);
    assert_non_null(strstr(err.text, "the struct ferry_engine_config"));
    return result;
}

static int make_vm(void *config, size_t bytes)
{
    struct ferry_vm *made;
    struct ferry_error err;
    int result = ferry_vm_create_sized(engine, config, bytes, &made, &err);

    assert_true(result < 0);
    assert_non_null(strstr(err.text, "the struct ferry_vm_config"));
    return result;
}

static int make_link(void *config, size_t bytes)
{
    struct ferry_link *made;
    struct ferry_error err;
    int result = ferry_link_create_sized(engine, vm, NULL, config, bytes, &made, &err);

    assert_true(result < 0);
    assert_non_null(strstr(err.text, "the struct ferry_link_config"));
    return result;
}

static int jail(void *config, size_t bytes)
{
    struct ferry_error err;
    int result = ferry_jail_sized(engine, config, bytes, &err);

    assert_true(result < 0);
    assert_non_null(strstr(err.text, "the struct ferry_jail_config"));
    return result;
}

static int keep(void *machine, size_t bytes)
{
    uint64_t held;

    return ferry_machine_keep_sized(machine, bytes, "/nowhere/at/all", &held);
}

static int look(void *machine, size_t bytes)
{
    return ferry_machine_probe_sized(machine, bytes);
}

static int ledger(void *books, size_t bytes)
{
    return ferry_engine_ledger_sized(engine, books, bytes);
}

static int info(void *found, size_t bytes)
{
    return ferry_engine_info_sized(engine, found, bytes);
}

static int wait_vm(void *end, size_t bytes)
{
    return ferry_vm_wait_sized(vm, 0, end, bytes);
}

static int vm_stats(void *stats, size_t bytes)
{
    return ferry_vm_stats_sized(vm, stats, bytes);
}

static int link_stats(void *stats, size_t bytes)
{
    return ferry_link_stats_sized(in, stats, bytes);
}

static int peer(void *identity, size_t bytes)
{
    return ferry_link_peer_sized(in, identity, bytes);
}

static int send_one(void *message, size_t bytes)
{
    return ferry_link_send_sized(in, message, bytes, 0);
}

static uint32_t waiting_at_the_host(void)
{
    return out->to->in_head - out->to->in_tail;
}

static int receive(void *message, size_t bytes)
{
    struct ferry_desc desc = core_inline(0, 1);

    if (waiting_at_the_host() == 0)
        assert_int_equal(core_send(vm->endpoint, &desc), 0);
    return ferry_link_recv_sized(out, 0, message, bytes);
}

static const struct {
    const char *name;
    int (*call)(void *, size_t);
    size_t bytes;
    bool fills;
} calls[] = {
    {"ferry_engine_create", make_engine, FIRST_ENGINE_CONFIG, false},
    {"ferry_vm_create", make_vm, FIRST_VM_CONFIG, false},
    {"ferry_link_create", make_link, FIRST_LINK_CONFIG, false},
    {"ferry_jail", jail, FIRST_JAIL_CONFIG, false},
    {"ferry_machine_keep", keep, FIRST_MACHINE, false},
    {"ferry_link_send", send_one, FIRST_MESSAGE, false},
    {"ferry_machine_probe", look, FIRST_MACHINE,
     false},                                          /* what it fills is not tried: it measures */
    {"ferry_vm_wait", wait_vm, FIRST_VM_EXIT, false}, /* likewise: it has not ended */
    {"ferry_engine_ledger", ledger, FIRST_LEDGER, true},
    {"ferry_engine_info", info, FIRST_ENGINE_INFO, true},
    {"ferry_vm_stats", vm_stats, FIRST_VM_STATS, true},
    {"ferry_link_stats", link_stats, FIRST_LINK_STATS, true},
    {"ferry_link_peer", peer, FIRST_IDENTITY, true},
    {"ferry_link_recv", receive, FIRST_MESSAGE, true},
};
#define CALLS (sizeof calls / sizeof calls[0])

static union {
    unsigned char bytes[TOO_LONG];
    struct ferry_message message;
} room;

static int call_with(size_t i, size_t bytes)
{
    memset(&room, UNTOUCHED, sizeof room);
    return calls[i].call(&room, bytes);
}

static void expect_byte(const char *name, size_t from, size_t to, unsigned char byte)
{
    for (size_t at = from; at < to; at++)
        if (room.bytes[at] != byte)
            fail_msg("%s: byte %zu is %#x", name, at, room.bytes[at]);
}

static void a_size_that_cannot_be_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < CALLS; i++) {
        const size_t none[] = {0, 8, calls[i].bytes - 1, 4097, SIZE_MAX};

        for (size_t k = 0; k < sizeof none / sizeof none[0]; k++) {
            int result = call_with(i, none[k]);
            if (result != (none[k] > 4096 ? -E2BIG : -EINVAL))
                fail_msg("%s: size %zu gave %d", calls[i].name, none[k], result);
            expect_byte(calls[i].name, 0, TOO_LONG, UNTOUCHED);
        }
    }
    assert_int_equal(waiting_at_the_host(), 1); /* no message was lost by it */
}

/* A program of this release, and one of a later release. */
static void no_more_is_filled_than_the_caller_knows(void **state)
{
    (void)state;
    for (size_t i = 0; i < CALLS; i++) {
        size_t today = calls[i].bytes, later = today + 24;

        if (!calls[i].fills)
            continue;
        assert_int_equal(call_with(i, today), 0);
        expect_byte(calls[i].name, today, TOO_LONG, UNTOUCHED);
        assert_int_equal(call_with(i, later), 0);
        expect_byte(calls[i].name, today, later, 0);
        expect_byte(calls[i].name, later, TOO_LONG, UNTOUCHED);
    }
}

static void what_the_library_does_not_know_must_be_zero(void **state)
{
    (void)state;
    memset(&room, 0, sizeof room);
    room.message.mode = FERRY_INLINE;
    assert_int_equal(send_one(&room, sizeof room.message + 8), 0);
    room.bytes[sizeof room.message + 7] = 1;
    assert_int_equal(send_one(&room, sizeof room.message + 8), -E2BIG);
    assert_int_equal(send_one(&room, sizeof room.message + 7), 0); /* that byte is the caller's */
    room.message.zero = 1;
    assert_int_equal(send_one(&room, sizeof room.message), -EINVAL);
    assert_int_equal(core_waiting(vm->endpoint), 2);
}

/* --- a struct that grew since the first release -------------------------------- */

struct grown {
    uint32_t first, also_first;
    uint64_t second;
};
#define FIRST_GROWN 8

static void what_an_old_caller_does_not_know_is_zero(void **state)
{
    const struct grown theirs = {.first = 1, .also_first = 2, .second = 3};
    struct grown own;

    (void)state;
    memset(&own, UNTOUCHED, sizeof own);
    assert_int_equal(sized_take(&own, sizeof own, FIRST_GROWN, &theirs, FIRST_GROWN), 0);
    assert_int_equal(own.first, 1);
    assert_int_equal(own.also_first, 2);
    assert_int_equal(own.second, 0);
    assert_int_equal(sized_take(&own, sizeof own, sizeof own, &theirs, FIRST_GROWN), -EINVAL);
}

static void an_old_caller_gets_what_it_knows(void **state)
{
    struct grown theirs = {.second = 3};
    const struct grown own = {.first = 1, .also_first = 2, .second = 4};

    (void)state;
    sized_give(&theirs, FIRST_GROWN, &own, sizeof own);
    assert_int_equal(theirs.first, 1);
    assert_int_equal(theirs.also_first, 2);
    assert_int_equal(theirs.second, 3);
}

/* --- what else a caller does with them ----------------------------------------- */

/* The copy has the payload in itself, and can be sent on when the first one is no more. */
static void a_received_message_can_be_copied(void **state)
{
    struct ferry_message first, copy;
    struct ferry_desc desc = core_inline(0, 5);

    (void)state;
    desc.inline_bytes = 4;
    memcpy(desc.data, "mine", 4);
    assert_int_equal(core_send(vm->endpoint, &desc), 0);
    assert_int_equal(ferry_link_recv(out, 0, &first), 0);
    copy = first;
    memset(&first, UNTOUCHED, sizeof first);
    assert_int_equal(copy.bytes, 4);
    assert_in_range(ferry_message_data(&copy), &copy, &copy + 1);
    assert_memory_equal(ferry_message_data(&copy), "mine", 4);
    assert_int_equal(ferry_link_send(in, &copy, 0), 0);
    assert_memory_equal(core_take(vm->endpoint).data, "mine", 4);
}

static void a_payload_elsewhere_is_where_it_is(void **state)
{
    char text[] = "text";
    struct ferry_message message = {.mode = FERRY_INLINE, .data = text, .bytes = sizeof text};

    (void)state;
    assert_ptr_equal(ferry_message_data(&message), text);
    assert_int_equal(ferry_link_send(in, &message, 0), 0);
    assert_string_equal((const char *)core_take(vm->endpoint).data, text);
}

static void a_link_remembers_what_its_maker_gave_it(void **state)
{
    struct ferry_vm *other = core_vm(engine, "b");
    int mine;
    const struct ferry_link_config config = {.user = &mine};
    struct ferry_link *link;

    (void)state;
    assert_int_equal(ferry_link_create(engine, vm, other, &config, &link, NULL), 0);
    assert_ptr_equal(ferry_link_user(link), &mine);
    assert_null(ferry_link_user(in));
    ferry_vm_destroy(other);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_size_that_cannot_be_is_refused),
        TEST(no_more_is_filled_than_the_caller_knows),
        TEST(what_the_library_does_not_know_must_be_zero),
        TEST(what_an_old_caller_does_not_know_is_zero),
        TEST(an_old_caller_gets_what_it_knows),
        TEST(a_received_message_can_be_copied),
        TEST(a_payload_elsewhere_is_where_it_is),
        TEST(a_link_remembers_what_its_maker_gave_it),
    };

    return cmocka_run_group_tests_name("host/sized", tests, NULL, NULL);
}
