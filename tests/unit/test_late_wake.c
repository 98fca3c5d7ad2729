/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A thread that wakes another one is late: it has counted, and clears `asleep` only when who waited has
 * seen the count, gone on, and is about to sleep again. That second wait must end at the next wake.
 */
#include "core_fixture.h"

#include <pthread.h>
#include <sys/mman.h>

#include "../until.h"
#include "ipc/endpoint_wait.h"
#include "watch.h"

#define BYTES ((sizeof(struct endpoint) + 4095) & ~(size_t)4095)

static struct endpoint *endpoint;
static pthread_t waiter;
static atomic_bool is_about_to_sleep, late_is_done, sleeps, all_is_done;
static atomic_uint woken; /* those that sleep, so many times */
static bool is_lost;      /* it sleeps, and nobody wakes it any more */

int __wrap_clock_futex_wait_for(atomic_uint *word, uint32_t seen, uint64_t deadline, uint32_t what);
void __wrap_clock_futex_wake_for(atomic_uint *word, uint32_t what);

/* In the place of the kernel, which looks at the word and then sleeps until somebody is woken. It looks
 * when the late thread is done. */
int __wrap_clock_futex_wait_for(atomic_uint *word, uint32_t seen, uint64_t deadline, uint32_t what)
{
    (void)deadline;
    (void)what;
    atomic_store(&is_about_to_sleep, true);
    until(atomic_load(&late_is_done));
    unsigned before = atomic_load(&woken);
    bool sleep = atomic_load(word) == seen;
    atomic_store(&sleeps, true);
    until(atomic_load(&all_is_done));
    is_lost = sleep && atomic_load(&woken) == before;
    return 0;
}

void __wrap_clock_futex_wake_for(atomic_uint *word, uint32_t what)
{
    (void)word;
    (void)what;
    atomic_fetch_add(&woken, 1);
}

static void *wait_anew(void *unused)
{
    uint32_t seen = endpoint_prepare(endpoint);

    endpoint_block(endpoint, seen, UINT64_MAX);
    endpoint_finish(endpoint);
    return unused;
}

/* The late thread is about to clear `asleep`: it has counted already. */
static void at_access(uintptr_t at, bool write)
{
    if (at != (uintptr_t)&endpoint->asleep || !write || waiter)
        return;
    assert_int_equal(atomic_load(&endpoint->events), 1);
    assert_int_equal(pthread_create(&waiter, NULL, wait_anew, NULL), 0);
    until(atomic_load(&is_about_to_sleep));
}

static void a_late_wake_leaves_the_next_wait_its_own(void **state)
{
    (void)state;
#ifdef __SANITIZE_THREAD__
    skip();
#endif
    endpoint = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(endpoint, MAP_FAILED);
    assert_int_equal(endpoint_init(endpoint), 0);
    atomic_store(&endpoint->asleep, UINT32_MAX); /* of the wait that is woken late */
    watch_begin(endpoint, BYTES, at_access);
    endpoint_wake(endpoint);
    watch_end();
    assert_true(waiter != 0);
    atomic_store(&late_is_done, true);
    until(atomic_load(&sleeps));
    endpoint_wake(endpoint); /* the next message */
    atomic_store(&all_is_done, true);
    pthread_join(waiter, NULL);
    assert_false(is_lost);
    endpoint_fini(endpoint);
    munmap(endpoint, BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_late_wake_leaves_the_next_wait_its_own),
    };

    return cmocka_run_group_tests_name("late_wake", tests, NULL, NULL);
}
