/* SPDX-License-Identifier: BSD-2-Clause */
/* The polled engine's thread, with VMs that only look as if they ran. */
#include <string.h>

#include "../until.h"
#include "core_trio.h"

static int setup(void **state)
{
    (void)state;
    trio_setup();
    core_link(vm_a, vm_b, 8);
    assert_int_equal(poller_start(&engine->poller, NULL), 0);
    poller_add(&engine->poller, &vm_a->runner);
    poller_add(&engine->poller, &vm_b->runner);
    return 0;
}

static int teardown(void **state)
{
    poller_remove(&engine->poller, &vm_b->runner);
    poller_remove(&engine->poller, &vm_a->runner);
    poller_stop(&engine->poller);
    return trio_teardown(state);
}

/* The VM's thread does this before KVM_RUN. */
static void enter(struct ferry_vm *vm)
{
    atomic_store(&vm->runner.in_guest, true);
    poller_guest_runs(&engine->poller);
}

static void wait_until_taken(void)
{
    until(__atomic_load_n(&a->control->vmm.out_tail, __ATOMIC_ACQUIRE) ==
          a->control->guest.out_head);
}

static void wait_until_asleep(void)
{
    until(atomic_load(&engine->poller.asleep));
}

static void a_store_is_enough(void **state)
{
    (void)state;
    enter(vm_a);
    for (uint32_t i = 0; i < 100; i++) {
        struct ferry_desc desc = core_inline(b->id, i);
        core_queue(a, &desc);
        wait_until_taken();
        assert_int_equal(core_take(b).tag, i);
    }
}

/* A release by a store alone brings the loan home. */
static void a_release_is_seen(void **state)
{
    struct units page = core_alloc(a, 1, true);
    struct ferry_desc desc = core_units(FERRY_LEND, a, b->id, page);

    (void)state;
    enter(vm_a);
    enter(vm_b);
    core_queue(a, &desc);
    wait_until_taken();
    core_release(b, core_take(b).payload.token);
    until(core_home(a) != 0);
    assert_int_equal(core_rights(a, page.first), WINDOW_WRITE);
}

/* A message that waited for room is sent when there is some, though its sender has done nothing
 * since. */
static void a_parked_message_goes_on(void **state)
{
    (void)state;
    a->out[0]->max_messages = 1;
    for (int i = 0; i < 2; i++) {
        struct ferry_desc desc = core_units(FERRY_MOVE, a, b->id, core_alloc(a, 1, true));
        core_queue(a, &desc);
    }
    enter(vm_a);
    enter(vm_b);
    until(core_waiting(b) != 0);
    core_take(b);
    wait_until_taken();
    core_take(b);
}

static void who_serves_himself_is_left_alone(void **state)
{
    struct ferry_desc desc = core_inline(b->id, 1), other = core_inline(b->id, 2);

    (void)state;
    core_link(vm_c, vm_b, 8);
    poller_add(&engine->poller, &vm_c->runner);
    lock_take(&vm_a->runner.serving);
    enter(vm_c);
    core_queue(a, &desc);
    core_queue(c, &other);
    /* The message of the other guest was taken when the poller looked at both again. */
    until(__atomic_load_n(&c->control->vmm.out_tail, __ATOMIC_ACQUIRE) != 0);
    assert_int_equal(a->control->vmm.out_tail, 0);
    lock_drop(&vm_a->runner.serving);
    wait_until_taken();
    poller_remove(&engine->poller, &vm_c->runner);
}

static atomic_int looks;

/* As core_memory, but a file is mapped there, and whoever looks may wait for its disk. */
static struct reach file_memory(struct ferry_vm *vm, struct guest_addr addr, uint64_t bytes,
                                bool write)
{
    struct reach place = core_memory(vm, addr, bytes, write);

    atomic_fetch_add(&looks, 1);
    place.live = place.at;
    return place;
}

/* The poller must not wait for a disk while other VMs have messages. */
static void what_may_wait_for_a_disk_is_left_to_the_vm(void **state)
{
    struct ferry_desc first = core_inline(b->id, 1),
                      copy = core_payload(FERRY_COPY, b->id, CORE_MEMORY_ADDR, 5), more = copy;

    (void)state;
    memcpy(core_memory_bytes, "bytes", 5);
    a->memory = file_memory;
    enter(vm_a);
    core_queue(a, &first);
    core_queue(a, &copy);
    core_queue(a, &more);
    until(atomic_load(&vm_a->runner.left));
    assert_int_equal(core_take(b).tag, 1);
    assert_int_equal(a->control->vmm.out_tail, 1);
    assert_int_equal(core_waiting(b), 0);
    assert_true(atomic_load(&looks) > 0);
    /* As the VM's thread does after the exit. */
    lock_take(&vm_a->runner.serving);
    drain_out(a);
    lock_drop(&vm_a->runner.serving);
    assert_int_equal(a->control->vmm.out_tail, 3);
    assert_int_equal(core_waiting(b), 2);
    assert_memory_equal(b->receive_buffers +
                            (core_take(b).payload.addr - b->receive_buffers_addr.value),
                        "bytes", 5);
}

static void it_sleeps_and_is_woken(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 5; i++) {
        struct ferry_desc desc = core_inline(b->id, i);
        atomic_store(&vm_a->runner.in_guest, false);
        wait_until_asleep();
        enter(vm_a);
        core_queue(a, &desc);
        wait_until_taken();
    }
    assert_int_equal(core_waiting(b), 5);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_store_is_enough),
        CASE(a_release_is_seen),
        CASE(a_parked_message_goes_on),
        CASE(who_serves_himself_is_left_alone),
        CASE(what_may_wait_for_a_disk_is_left_to_the_vm),
        CASE(it_sleeps_and_is_woken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
