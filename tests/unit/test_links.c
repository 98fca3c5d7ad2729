/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the tests of how links end, in host/vm/vm_link.c and host/ipc/exchange.c: messages that were
 * sent, memory that is used again, and threads that come late and find nothing that concerns them.
 */
#include "core_trio.h"

#include <errno.h>

static struct ferry_link *a_to_b, *c_to_b;

static int setup(void **state)
{
    (void)state;
    trio_setup();
    a_to_b = core_link(vm_a, vm_b, 8);
    c_to_b = core_link(vm_c, vm_b, 8);
    return 0;
}

static uint32_t count_made(void)
{
    uint32_t count = 0;

    for (struct endpoint *e = engine->exchange.made; e; e = e->next_made)
        count++;
    return count;
}

/* Messages of other links stay, in their order, and belong to the same links as before. */
static void an_unused_link_leaves_no_trace(void **state)
{
    struct ferry_desc copy = core_payload(FERRY_COPY, b->id, CORE_MEMORY_ADDR, 7);
    struct ferry_desc small = core_inline(b->id, 5);

    (void)state;
    assert_int_equal(core_send(c, &copy), 0);
    assert_int_equal(core_send(c, &small), 0);
    ferry_link_destroy(a_to_b);
    assert_int_equal(b->in_count, 1);
    assert_int_equal(a->out_count, 0);
    assert_int_equal(c_to_b->index, 0);
    assert_int_equal(core_send(a, &small), -EPERM); /* there is no way now */
    assert_int_equal(core_waiting(b), 2);
    assert_int_equal(core_take(b).mode, FERRY_COPY);
    assert_int_equal(core_take(b).tag, 5);
    loan_collect(b);
    assert_int_equal(c_to_b->inline_in_flight, 0);
    assert_int_equal(c_to_b->in_flight, 1);
    /* The places of the link are free, too. */
    a_to_b = core_link(vm_a, vm_b, 8);
    assert_int_equal(b->control->info.peer_count, 2);
    assert_int_equal(core_send(a, &small), 0);
    assert_int_equal(core_take(b).src, a->id);
}

static void what_was_sent_arrives(void **state)
{
    struct ferry_desc small = core_inline(b->id, 5);

    (void)state;
    assert_int_equal(core_send(a, &small), 0);
    ferry_link_destroy(a_to_b);
    assert_int_equal(core_take(b).tag, 5);
    assert_int_equal(core_take(b).mode, FERRY_HANGUP);
    assert_int_equal(core_send(a, &small), -EPIPE);
    ferry_vm_destroy(vm_a);
    vm_a = core_vm(engine, "again");
}

/* There are more links, one after another, than a VM may have peers. */
static void places_in_the_table_are_used_again(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 3 * FERRY_PEERS_MAX; i++) {
        ferry_link_destroy(a_to_b);
        a_to_b = core_link(vm_a, vm_b, 8);
        struct ferry_link *in = core_link(NULL, vm_b, 8), *out = core_link(vm_b, NULL, 8);
        ferry_link_destroy(i % 2 ? in : out);
        ferry_link_destroy(i % 2 ? out : in);
    }
    assert_true(b->control->info.peer_count <= 3);
    assert_true(count_made() <= 3 + 2);
}

/* A guest is shown that the host is gone with its last link. */
static void the_host_is_one_peer(void **state)
{
    struct ferry_link *in = core_link(NULL, vm_b, 8), *out = core_link(vm_b, NULL, 8);
    struct ferry_message message = {.mode = FERRY_INLINE};

    (void)state;
    vm_b->started = true; /* from here on it may be using them */
    assert_int_equal(ferry_link_send(in, &message, 0), 0);
    ferry_link_destroy(in);
    assert_int_equal(out->sender_peer_entry->state, FERRY_PEER_LIVE);
    ferry_link_destroy(out);
    assert_int_equal(b->out_count, 1); /* they stay until the VM goes */
    assert_int_equal(out->sender_peer_entry->state, FERRY_PEER_GONE);
    assert_int_equal(core_take(b).mode, FERRY_INLINE);
    assert_int_equal(core_take(b).mode, FERRY_HANGUP);
    vm_b->started = false;
}

static void what_the_host_had_goes_to_the_pool(void **state)
{
    struct ferry_link *in = core_link(NULL, vm_b, 8), *out = core_link(vm_b, NULL, 8);
    struct ferry_message message = {.mode = FERRY_LEND, .bytes = 4096};
    struct units moved = core_alloc(b, 2, true);
    void *kept;

    (void)state;
    assert_int_equal(ferry_link_alloc(in, 1, true, &message.data), 0);
    assert_int_equal(ferry_link_alloc(in, 1, false, &kept), 0);
    assert_int_equal(ferry_link_send(in, &message, 0), 0);
    struct ferry_desc move = core_units(FERRY_MOVE, b, 0, moved);
    assert_int_equal(core_send(b, &move), 0);
    assert_int_equal(ferry_link_recv(out, 0, &message), 0);
    ferry_vm_destroy(vm_b);
    vm_b = core_vm(engine, "again");
    core_assert_books(engine, pool_units(&engine->exchange.pool), 0, 0);
}

/* Memory of a destroyed VM that its peers may still look at stays until they are gone, too. */
static void a_peer_keeps_the_memory_of_the_dead(void **state)
{
    struct ferry_desc small = core_inline(b->id, 5);

    (void)state;
    struct endpoint *before = b;
    ferry_vm_destroy(vm_b);
    assert_int_equal(core_send(a, &small), -EPIPE);
    vm_b = core_vm(engine, "again");
    assert_ptr_not_equal(vm_b->endpoint, before);
    assert_int_equal(vm_b->endpoint->index, before->index);
    ferry_vm_destroy(vm_a);
    vm_a = core_vm(engine, "a again");
    assert_ptr_not_equal(vm_a->endpoint, before); /* c looks at it */
    ferry_vm_destroy(vm_c);
    vm_c = core_vm(engine, "c again");
    struct ferry_vm *more = core_vm(engine, "more");
    assert_true(vm_c->endpoint == before || more->endpoint == before);
    ferry_vm_destroy(more);
    assert_int_equal(count_made(), 4);
}

/* A thread that knows an endpoint by its index, or is about to wake it, may come when it is another
 * endpoint. */
static void latecomers_find_another(void **state)
{
    struct endpoint *before = b;
    uint32_t generation = b->generation;

    (void)state;
    ferry_link_destroy(a_to_b);
    ferry_link_destroy(c_to_b);
    assert_true(endpoint_enter(b));
    endpoint_leave(b);
    ferry_vm_destroy(vm_b);
    assert_false(endpoint_enter(before));
    endpoint_wake(before);
    vm_b = core_vm(engine, "again");
    assert_ptr_equal(vm_b->endpoint, before);
    assert_int_not_equal(before->generation, generation);
    assert_int_equal(before->in_head, 0);
    assert_int_equal(before->out_count + before->in_count, 0);
    assert_true(endpoint_enter(before));
    endpoint_leave(before);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, trio_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(an_unused_link_leaves_no_trace),
        CASE(what_was_sent_arrives),
        CASE(places_in_the_table_are_used_again),
        CASE(the_host_is_one_peer),
        CASE(what_the_host_had_goes_to_the_pool),
        CASE(a_peer_keeps_the_memory_of_the_dead),
        CASE(latecomers_find_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
