/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every thread that waits looks once more after it is known to wait: an event between its last look
 * and that moment wakes nobody. Here each event comes at exactly that moment, and no thread may
 * sleep.
 */
#include "core_fixture.h"

#include <errno.h>
#include <poll.h>

#include "stream/stream.h"
#include "wait_calls.h"

static struct ferry_engine *engine;
static struct ferry_vm *vm_a, *vm_b;
static struct endpoint *a, *b;
static struct ferry_link *link_ab, *to_host, *from_host;

static int setup(void **state)
{
    (void)state;
    engine = core_engine(512, 2);
    vm_a = core_vm(engine, "a");
    vm_b = core_vm(engine, "b");
    a = vm_a->endpoint;
    b = vm_b->endpoint;
    link_ab = core_link(vm_a, vm_b, 1);
    to_host = core_link(vm_a, NULL, 1);
    from_host = core_link(NULL, vm_b, 1);
    blocks = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_null(before_prepare); /* somebody waited */
    assert_int_equal(blocks, 0);
    ferry_vm_destroy(vm_a);
    ferry_vm_destroy(vm_b);
    core_end(engine);
    return 0;
}

static void a_sends_to_the_host(void)
{
    struct ferry_desc desc = core_inline(0, 7);

    assert_int_equal(core_send(a, &desc), 0);
}

static void the_host_receives(void **state)
{
    struct ferry_message message;

    (void)state;
    before_prepare = a_sends_to_the_host;
    assert_int_equal(ferry_link_recv(to_host, UINT64_MAX, &message), 0);
    assert_int_equal(message.tag, 7);
}

static void b_gives_back(void)
{
    core_release(b, core_take(b).payload.token);
    loan_collect(b);
}

/* The one page that may be on its way comes back, then the next is sent. */
static void the_host_sends(void **state)
{
    struct ferry_message message = {.mode = FERRY_COPY, .data = core_memory_bytes, .bytes = 8};

    (void)state;
    assert_int_equal(ferry_link_send(from_host, &message, UINT64_MAX), 0);
    before_prepare = b_gives_back;
    assert_int_equal(ferry_link_send(from_host, &message, UINT64_MAX), 0);
}

static void the_host_reclaims(void **state)
{
    struct ferry_message message = {.mode = FERRY_LEND, .bytes = 8};
    void *addr;
    size_t bytes;

    (void)state;
    assert_int_equal(ferry_link_alloc(from_host, 1, true, &message.data), 0);
    assert_int_equal(ferry_link_send(from_host, &message, UINT64_MAX), 0);
    before_prepare = b_gives_back;
    assert_int_equal(ferry_link_reclaim(from_host, UINT64_MAX, &addr, &bytes), 0);
    assert_ptr_equal(addr, message.data);
    assert_int_equal(ferry_link_free(from_host, addr, bytes), 0);
}

static void b_takes(void)
{
    core_take(b);
    loan_collect(b);
}

static void queue_move(void)
{
    struct ferry_desc move = core_units(FERRY_MOVE, a, b->id, core_alloc(a, 1, true));

    core_queue(a, &move);
}

/* At its end a VM waits until all that it queued was taken. */
static void a_vm_waits_for_its_last_messages(void **state)
{
    (void)state;
    queue_move();
    queue_move();
    drain_out(vm_a->endpoint);
    assert_true(a->out_parked);
    before_prepare = b_takes;
    assert_int_equal(drain_all(vm_a->endpoint), 0);
    assert_int_equal(a->control->vmm.out_tail, 2);
}

/* ---- a VM that ended, and whose last messages wait for room ------------------ */

static struct ferry_desc loan_of_b(void)
{
    return core_units(FERRY_LEND, b, a->id, core_alloc(b, 1, true));
}

static void end_with_two_messages(void)
{
    queue_move();
    queue_move();
    loan_ignore_completions(a);
}

static void b_has_its_page_and_takes(void)
{
    assert_int_equal(core_home(b), 1);
    b_takes();
}

/* It was checked before the VM ended, and comes now. */
static void a_loan_comes(void)
{
    struct ferry_desc loan = loan_of_b();

    assert_int_equal(core_send(b, &loan), 0);
    instead_of_block = b_has_its_page_and_takes;
}

/* B may wait for its page before it makes room. */
static void a_loan_that_comes_late_goes_home(void **state)
{
    (void)state;
    core_link(vm_b, vm_a, 0);
    end_with_two_messages();
    instead_of_block = a_loan_comes;
    assert_int_equal(drain_all(a), 0);
    assert_null(instead_of_block);
    assert_int_equal(a->control->vmm.out_tail, 2);
}

/* Only a payload is sent from a loan: other words of a message that waits may look like its address. */
static void a_loan_is_not_kept_for_a_message_without_payload(void **state)
{
    struct ferry_desc loan, message = core_inline(b->id, 1);

    (void)state;
    core_link(vm_b, vm_a, 0);
    loan = loan_of_b();
    assert_int_equal(core_send(b, &loan), 0);
    message.payload.addr = core_take(a).payload.addr;
    message.payload.bytes = FERRY_PAGE_BYTES;
    end_with_two_messages();
    core_queue(a, &message);
    loan_let_go(a);
    assert_int_equal(core_home(b), 1);
}

/* What another thread of the VM does while this one sleeps. */
static void another_sends_on(void)
{
    b_takes();
    queue_move();
}

/* A write waits until what was queued before it is sent, not until other threads queue no more. */
static void a_vm_waits_for_no_later_messages(void **state)
{
    (void)state;
    queue_move();
    queue_move();
    before_prepare = queue_move; /* it is later already */
    instead_of_block = another_sends_on;
    assert_int_equal(drain_all(a), 0);
    assert_null(instead_of_block);
    assert_int_equal(a->control->vmm.out_tail, 2);
}

/* Another thread drains while this one sleeps: it tells of what it sent, since nobody else may. */
static void another_tells_of_what_it_sent(void **state)
{
    (void)state;
    queue_move();
    queue_move();
    drain_out(a);
    assert_true(a->out_parked);
    b_takes();
    uint32_t seen = a->events;
    drain_out(a);
    assert_int_equal(a->events, seen + 1);
    drain_out(a);
    assert_int_equal(a->events, seen + 1);
}

/* A write that does not wait does not wait for the messages before it either, and who waits until it can
 * write sends them. */
static void a_write_that_does_not_wait(void **state)
{
    struct stream *stream = vm_a->endpoint->byte_stream;
    struct ferry_vm *vm_c = core_vm(engine, "c");

    (void)state;
    core_stream_link(vm_a, vm_c);
    queue_move();
    queue_move();
    assert_int_equal(stream_write_some(stream, core_memory_bytes, 8), -EAGAIN);
    assert_int_equal(stream_poll(stream, POLLOUT, 0), 0);
    b_takes();
    assert_int_equal(stream_poll(stream, POLLOUT, 0), POLLOUT);
    assert_int_equal(a->control->vmm.out_tail, 2);
    assert_int_equal(stream_write_some(stream, core_memory_bytes, 8), 8);
    ferry_vm_destroy(vm_c);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(the_host_receives),
        CASE(the_host_sends),
        CASE(the_host_reclaims),
        CASE(a_vm_waits_for_its_last_messages),
        CASE(a_vm_waits_for_no_later_messages),
        CASE(a_loan_that_comes_late_goes_home),
        CASE(a_loan_is_not_kept_for_a_message_without_payload),
        CASE(another_tells_of_what_it_sent),
        CASE(a_write_that_does_not_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
