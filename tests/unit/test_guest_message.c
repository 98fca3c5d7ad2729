/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the tests of guest/message.c, against a VMM in the same process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The file itself, so that each test starts with its state empty. */
#include "../../guest/message.c"

#include "fake_vmm.h"

/* Indexes start just below the point where 32 bits wrap. */
#define FIRST 0xfffffff0u

static int set_up(void **context)
{
    (void)context;
    fake_start(FIRST);
    memset(&state, 0, sizeof(state));
    memset(&ferry_guest_direct, 0, sizeof(ferry_guest_direct));
    state.out_head = FIRST;
    state.in_tail = state.home_tail = state.release_head = FIRST;
    return 0;
}

static int tear_down(void **context)
{
    (void)context;
    fake_stop();
    return 0;
}

static struct ferry_msg inline_message(const char *text)
{
    return (struct ferry_msg){.mode = FERRY_INLINE,
                              .dst = FAKE_RECEIVER,
                              .tag = 77,
                              .data = (void *)(uintptr_t)text,
                              .bytes = strlen(text)};
}

static struct ferry_peer *peer_writable(uint16_t id)
{
    return (struct ferry_peer *)(uintptr_t)ferry_peer_by_id(id);
}

/* ---- sending ------------------------------------------------------------ */

static void deferred_is_plain_memory(void **context)
{
    struct ferry_msg msg = inline_message("hello");
    int64_t ticket = ferry_send(&msg, FERRY_DEFERRED);

    (void)context;
    assert_true(ticket >= 0);
    assert_int_equal(fake.waits + fake.doorbells, 0);
    assert_int_equal(fake.control->guest.out_head, FIRST + 1);
    assert_int_equal(ferry_status(ticket), -EINPROGRESS);
    assert_int_equal(ferry_yield(), 0);
    assert_int_equal(ferry_status(ticket), 0);
    assert_int_equal(fake.taken_count, 1);
    assert_int_equal(fake.taken[0].desc.tag, 77);
    assert_int_equal(fake.byte_count, 5);
    assert_memory_equal(fake.bytes, "hello", 5);
}

static void immediate_rings_the_doorbell(void **context)
{
    struct ferry_msg msg = inline_message("x");

    (void)context;
    for (uint32_t i = 1; i <= 3; i++) {
        assert_true(ferry_send(&msg, FERRY_IMMEDIATE) >= 0);
        assert_int_equal(fake.doorbells, i);
        assert_int_equal(fake.taken_count, i);
    }
}

static void auto_rings_for_a_waiting_receiver(void **context)
{
    struct ferry_msg msg = inline_message("x");

    (void)context;
    ferry_send(&msg, FERRY_WHEN_AUTO);
    assert_int_equal(fake.doorbells, 0);
    peer_writable(FAKE_OTHER)->waiting = 1;
    ferry_send(&msg, FERRY_WHEN_AUTO);
    assert_int_equal(fake.doorbells, 0);
    peer_writable(FAKE_RECEIVER)->waiting = 1;
    ferry_send(&msg, FERRY_WHEN_AUTO);
    assert_int_equal(fake.doorbells, 1);
}

static void the_operator_overrides(void **context)
{
    struct ferry_msg msg = inline_message("x");

    (void)context;
    peer_writable(FAKE_RECEIVER)->waiting = 1;
    fake.control->info.delivery = FERRY_DELIVERY_DEFERRED;
    ferry_send(&msg, FERRY_IMMEDIATE);
    ferry_send(&msg, FERRY_WHEN_AUTO);
    assert_int_equal(fake.doorbells, 0);
    peer_writable(FAKE_RECEIVER)->waiting = 0;
    fake.control->info.delivery = FERRY_DELIVERY_IMMEDIATE;
    ferry_send(&msg, FERRY_DEFERRED);
    ferry_send(&msg, FERRY_WHEN_AUTO);
    assert_int_equal(fake.doorbells, 2);
}

static void a_full_ring_waits(void **context)
{
    struct ferry_msg msg = inline_message("x");

    (void)context;
    for (uint32_t i = 0; i < FERRY_RING_ENTRIES; i++)
        assert_true(ferry_send(&msg, FERRY_DEFERRED) >= 0);
    assert_int_equal(fake.waits, 0);
    assert_true(ferry_send(&msg, FERRY_DEFERRED) >= 0);
    assert_int_equal(fake.waits, 1);
    assert_int_equal(fake.taken_count, FERRY_RING_ENTRIES);
}

static void status_tells_what_became_of_it(void **context)
{
    struct ferry_msg msg = inline_message("x");
    int64_t refused;

    (void)context;
    fake.refuse = -EPIPE;
    refused = ferry_send(&msg, FERRY_IMMEDIATE);
    assert_int_equal(ferry_status(refused), -EPIPE);
    fake.refuse = 0;
    for (uint32_t i = 1; i < FERRY_RING_ENTRIES; i++)
        ferry_send(&msg, FERRY_IMMEDIATE);
    assert_int_equal(ferry_status(refused), -EPIPE);
    ferry_send(&msg, FERRY_DEFERRED);
    assert_int_equal(ferry_status(refused), -ESTALE);
    assert_int_equal(ferry_status(refused + FERRY_RING_ENTRIES), -EINPROGRESS);
    assert_int_equal(ferry_status(refused + FERRY_RING_ENTRIES + 1), -EINVAL);
    assert_int_equal(ferry_status(-1), -EINVAL);
}

static void send_wait_returns_the_status(void **context)
{
    struct ferry_msg msg = inline_message("x");

    (void)context;
    assert_int_equal(ferry_send_wait(&msg, FERRY_DEFERRED), 0);
    assert_int_equal(fake.waits, 1);
    fake.refuse = -ENOMEM;
    assert_int_equal(ferry_send_wait(&msg, FERRY_IMMEDIATE), -ENOMEM);
    assert_int_equal(fake.waits, 1);
}

static void what_can_be_seen_is_refused_at_once(void **context)
{
    uint8_t *start = fake.window, *end = fake.window + FAKE_EXTENTS * FERRY_EXTENT_BYTES;
    const struct {
        struct ferry_msg msg;
        int error;
    } cases[] = {
        {{.mode = FERRY_INLINE, .dst = 99}, -EPERM},
        {{.mode = FERRY_INLINE, .dst = FAKE_FEEDER}, -EPERM},
        {{.mode = FERRY_INLINE, .dst = FAKE_RECEIVER, .bytes = FERRY_INLINE_BYTES + 1}, -EMSGSIZE},
        {{.mode = FERRY_COPY, .dst = FAKE_RECEIVER, .bytes = FERRY_COPY_BYTES + 1}, -EMSGSIZE},
        {{.mode = FERRY_LEND, .dst = FAKE_RECEIVER, .data = start}, -EFAULT},
        {{.mode = FERRY_LEND, .dst = FAKE_RECEIVER, .data = start - 1, .bytes = 2}, -EFAULT},
        {{.mode = FERRY_MOVE, .dst = FAKE_RECEIVER, .data = end - 1, .bytes = 2}, -EFAULT},
        {{.mode = FERRY_MOVE, .dst = FAKE_RECEIVER, .data = start, .bytes = SIZE_MAX}, -EFAULT},
        {{.mode = FERRY_HANGUP, .dst = FAKE_RECEIVER, .bytes = 1}, -EINVAL},
        {{.mode = (enum ferry_mode)0, .dst = FAKE_RECEIVER}, -EINVAL},
        {{.mode = (enum ferry_mode)6, .dst = FAKE_RECEIVER}, -EINVAL},
    };

    (void)context;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(ferry_send(&cases[i].msg, FERRY_IMMEDIATE), cases[i].error);
    peer_writable(FAKE_RECEIVER)->state = FERRY_PEER_GONE;
    assert_int_equal(
        ferry_send(&(struct ferry_msg){.mode = FERRY_INLINE, .dst = FAKE_RECEIVER}, FERRY_DEFERRED),
        -EPIPE);
    assert_int_equal(fake.control->guest.out_head, FIRST);
    assert_int_equal(fake.doorbells, 0);
}

/* ---- receiving ---------------------------------------------------------- */

static void receiving_copies_the_descriptor(void **context)
{
    struct ferry_msg msg;

    (void)context;
    fake_feed(FAKE_OTHER, FERRY_INLINE, "first", 5, 0);
    fake_feed(FAKE_FEEDER, FERRY_COPY, "second", 6, 9);
    assert_int_equal(ferry_recv(&msg, UINT64_MAX), 0);
    assert_int_equal(fake.control->guest.in_tail, FIRST + 1);
    memset(&fake.control->in[FIRST & MASK], 0xff, sizeof(struct ferry_desc));
    assert_int_equal(msg.mode, FERRY_INLINE);
    assert_int_equal(msg.src, FAKE_OTHER);
    assert_int_equal(msg.bytes, 5);
    assert_null(msg.data); /* it is in the message */
    assert_memory_equal(ferry_msg_data(&msg), "first", 5);
    assert_int_equal(ferry_recv(&msg, 0), 0);
    assert_int_equal(msg.mode, FERRY_COPY);
    assert_int_equal(msg.token, 9);
    assert_memory_equal(msg.data, "second", 6);
    assert_int_equal(fake.waits, 0);
}

/* The copy has the payload in itself, and can be sent on when the first one is no more. */
static void a_received_message_can_be_copied(void **context)
{
    struct ferry_msg msg, copy;

    (void)context;
    fake_feed(FAKE_OTHER, FERRY_INLINE, "mine", 4, 0);
    assert_int_equal(ferry_recv(&msg, 0), 0);
    copy = msg;
    memset(&msg, 0xff, sizeof(msg));
    assert_in_range(ferry_msg_data(&copy), &copy, &copy + 1);
    assert_memory_equal(ferry_msg_data(&copy), "mine", 4);
    copy.dst = FAKE_RECEIVER;
    assert_true(ferry_send(&copy, FERRY_DEFERRED) >= 0);
    assert_memory_equal(fake.control->out[FIRST & MASK].data, "mine", 5);
}

static void receiving_polls_or_waits(void **context)
{
    struct ferry_msg msg;

    (void)context;
    /* The first look tells the sender that there is a reader; later looks cost nothing. */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ferry_recv(&msg, 0), -ETIMEDOUT);
        assert_int_equal(fake.waits, 1);
    }
    assert_int_equal(ferry_recv(&msg, 1000), -ETIMEDOUT);
    assert_int_equal(fake.waits, 2);
}

static void feed_one(void)
{
    fake_feed(FAKE_OTHER, FERRY_INLINE, "!", 1, 0);
}

static void receiving_wakes(void **context)
{
    struct ferry_msg msg;

    (void)context;
    fake.starved = feed_one;
    assert_int_equal(ferry_recv(&msg, UINT64_MAX), 0);
    assert_int_equal(fake.waits, 1);
    assert_int_equal(msg.bytes, 1);
}

static void a_release_costs_no_exit(void **context)
{
    struct ferry_msg msg;

    (void)context;
    for (uint32_t token = 1; token <= 40; token++) {
        fake_feed(FAKE_FEEDER, FERRY_COPY, "x", 1, token);
        assert_int_equal(ferry_recv(&msg, 0), 0);
        assert_int_equal(ferry_release(&msg), 0);
    }
    assert_int_equal(fake.waits + fake.doorbells, 0);
    ferry_yield();
    assert_int_equal(fake.token_count, 40);
    for (uint32_t i = 0; i < 40; i++)
        assert_int_equal(fake.tokens[i], i + 1);
    msg.mode = FERRY_MOVE;
    assert_int_equal(ferry_release(&msg), -EINVAL);
    msg.mode = FERRY_INLINE;
    assert_int_equal(ferry_release(&msg), 0);
    assert_int_equal(fake.control->guest.release_head, FIRST + 40);
}

/* ---- memory ------------------------------------------------------------- */

static void a_loan_comes_home(void **context)
{
    struct ferry_msg msg = {.mode = FERRY_LEND, .dst = FAKE_RECEIVER, .bytes = 10};
    void *addr = NULL;
    size_t bytes = 0;

    (void)context;
    msg.data = ferry_alloc_extents(1);
    assert_non_null(msg.data);
    strcpy(msg.data, "lent data");
    assert_int_equal(ferry_send_wait(&msg, FERRY_DEFERRED), 0);
    assert_memory_equal(fake.bytes, "lent data", 10);
    assert_int_equal(ferry_reclaim(&addr, &bytes, 0), -ETIMEDOUT);
    assert_int_equal(ferry_reclaim(&addr, &bytes, UINT64_MAX), 0);
    assert_ptr_equal(addr, msg.data);
    assert_int_equal(bytes, FERRY_EXTENT_BYTES);
    assert_int_equal(fake.control->guest.home_tail, FIRST + 1);
    assert_int_equal(ferry_free(addr, bytes), 0);
    assert_int_equal(fake.frees, 1);
}

static void no_memory_is_said(void **context)
{
    (void)context;
    for (uint32_t i = 0; i < FAKE_EXTENTS; i++)
        assert_non_null(ferry_alloc_extents(1));
    errno = 0;
    assert_null(ferry_alloc_extents(1));
    assert_int_equal(errno, ENOMEM);
}

static void units_are_whole(void **context)
{
    uint64_t addr, bytes;

    (void)context;
    fake.control->info.small_bytes = FERRY_EXTENT_BYTES;
    ferry_guest_units(fake.window + 4097, 4096, &addr, &bytes);
    assert_int_equal(addr, (uintptr_t)fake.window + 4096);
    assert_int_equal(bytes, 8192);
    ferry_guest_units(fake.window + FERRY_EXTENT_BYTES + 5, 1, &addr, &bytes);
    assert_int_equal(addr, (uintptr_t)fake.window + FERRY_EXTENT_BYTES);
    assert_int_equal(bytes, FERRY_EXTENT_BYTES);
    ferry_guest_units(fake.window + FERRY_EXTENT_BYTES, FERRY_EXTENT_BYTES + 1, &addr, &bytes);
    assert_int_equal(bytes, 2 * FERRY_EXTENT_BYTES);
}

static void peers_are_found(void **context)
{
    (void)context;
    assert_int_equal(ferry_peer_by_name("other")->id, FAKE_OTHER);
    assert_null(ferry_peer_by_name("oth"));
    assert_null(ferry_peer_by_name("nobody"));
    assert_string_equal(ferry_peer_by_id(FAKE_FEEDER)->name, "feeder");
    assert_null(ferry_peer_by_id(0));
}

static void outside_a_vm_nothing_works(void **context)
{
    struct ferry_control *control = fake.control;
    struct ferry_msg msg = inline_message("x");
    void *addr;
    size_t bytes;

    (void)context;
    fake.control = NULL;
    assert_int_equal(ferry_send(&msg, FERRY_DEFERRED), -ENOSYS);
    assert_int_equal(ferry_send_wait(&msg, FERRY_DEFERRED), -ENOSYS);
    assert_int_equal(ferry_recv(&msg, 0), -ENOSYS);
    assert_int_equal(ferry_release(&msg), -ENOSYS);
    assert_int_equal(ferry_reclaim(&addr, &bytes, 0), -ENOSYS);
    assert_int_equal(ferry_status(0), -ENOSYS);
    assert_int_equal(ferry_yield(), -ENOSYS);
    assert_null(ferry_alloc_pages(1));
    assert_int_equal(errno, ENOSYS);
    assert_null(ferry_peer_by_id(0));
    fake.control = control;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(deferred_is_plain_memory),
        TEST(immediate_rings_the_doorbell),
        TEST(auto_rings_for_a_waiting_receiver),
        TEST(the_operator_overrides),
        TEST(a_full_ring_waits),
        TEST(status_tells_what_became_of_it),
        TEST(send_wait_returns_the_status),
        TEST(what_can_be_seen_is_refused_at_once),
        TEST(receiving_copies_the_descriptor),
        TEST(a_received_message_can_be_copied),
        TEST(receiving_polls_or_waits),
        TEST(receiving_wakes),
        TEST(a_release_costs_no_exit),
        TEST(a_loan_comes_home),
        TEST(no_memory_is_said),
        TEST(units_are_whole),
        TEST(peers_are_found),
        TEST(outside_a_vm_nothing_works),
    };

    return cmocka_run_group_tests_name("guest/message", tests, NULL, NULL);
}
