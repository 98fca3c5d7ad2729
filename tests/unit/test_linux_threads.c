/* SPDX-License-Identifier: BSD-2-Clause */
/* The personality: threads as it knows them, without CPUs on which they run. */
#include "linux_fixture.h"

#include <errno.h>
#include <linux/futex.h>

#include "linux/futexes.h"
#include "linux/state.h"

#define WORD   (SCRATCH + PAGE)
#define LOCK   (WORD + 4)
#define ROW    50 /* threads that hold a lock each and wait for the next one's */
#define MOVED  40 /* threads that are moved to the first of these locks */
#define FIRST  100
#define MEMBER 200

static unsigned finds;

struct linux_thread *__real_thread_find(struct linux_state *state, int32_t id);
struct linux_thread *__wrap_thread_find(struct linux_state *state, int32_t id);

struct linux_thread *__wrap_thread_find(struct linux_state *state, int32_t id)
{
    finds++;
    return __real_thread_find(state, id);
}

static struct linux_thread *add_thread(struct linux_state *state, int32_t id)
{
    struct linux_thread *thread = calloc(1, sizeof(*thread));

    assert_non_null(thread);
    thread->id = id;
    thread->next = state->threads;
    state->threads = thread;
    state->thread_count++;
    return thread;
}

static void waits(struct linux_state *state, struct futex_wait *wait, int32_t id)
{
    wait->thread = add_thread(state, id);
    wait->thread->lock_wait = wait;
    futex_queue(state, wait);
}

/* Thread FIRST holds LOCK and waits for the lock of the next, and so on; the last one waits for none
 * of these, but as the others for WORD, if it is to. */
static void make_row(struct linux_state *state, struct futex_wait row[ROW], bool last_waits)
{
    for (int i = 0; i < ROW; i++) {
        row[i] = (struct futex_wait){
            .addr = LOCK + 4 * (uint64_t)(i + 1), .pi = true, .holder = FIRST + i + 1};
        if (i == ROW - 1)
            row[i] = (struct futex_wait){.addr = WORD, .bitset = ~0u, .lock = LOCK};
        if (i < ROW - 1 || last_waits)
            waits(state, &row[i], FIRST + i);
        else
            add_thread(state, FIRST + i);
    }
}

static void make_members(struct linux_state *state, struct futex_wait members[MOVED])
{
    for (int i = 0; i < MOVED; i++) {
        members[i] = (struct futex_wait){.addr = WORD, .bitset = ~0u, .lock = LOCK};
        waits(state, &members[i], MEMBER + i);
    }
}

/* How far it has to look does not grow with how many are moved. */
static void test_many_are_moved_to_a_lock(void **state)
{
    struct ferry_vm *vm = *state;
    struct linux_state *linux_state = vm->linux_state;
    struct futex_wait row[ROW], members[MOVED];

    make_row(linux_state, row, false);
    make_members(linux_state, members);
    *(uint32_t *)guest(vm, WORD) = 7;
    *(uint32_t *)guest(vm, LOCK) = FIRST;
    finds = 0;
    assert_int_equal(CALL(vm, futex, WORD, FUTEX_CMP_REQUEUE_PI, 1, MOVED, LOCK, 7), MOVED);
    assert_in_range(finds, ROW, 2 * ROW);
    assert_int_equal(*(uint32_t *)guest(vm, LOCK), FIRST | FUTEX_WAITERS);
    for (int i = 0; i < MOVED; i++) {
        assert_int_equal(members[i].addr, LOCK);
        assert_int_equal(members[i].holder, FIRST);
        futex_unqueue(&members[i]);
    }
    for (int i = 0; i < ROW - 1; i++)
        futex_unqueue(&row[i]);
}

/* The last of the row is moved to the lock of the first, behind others. */
static void test_none_is_moved_into_a_circle(void **state)
{
    struct ferry_vm *vm = *state;
    struct linux_state *linux_state = vm->linux_state;
    struct futex_wait row[ROW], members[MOVED];

    make_members(linux_state, members);
    make_row(linux_state, row, true);
    *(uint32_t *)guest(vm, WORD) = 7;
    *(uint32_t *)guest(vm, LOCK) = FIRST;
    assert_int_equal(CALL(vm, futex, WORD, FUTEX_CMP_REQUEUE_PI, 1, MOVED + 1, LOCK, 7), -EDEADLK);
    assert_int_equal(members[MOVED - 1].addr, LOCK);
    assert_int_equal(row[ROW - 1].addr, WORD);
    for (int i = 0; i < MOVED; i++)
        futex_unqueue(&members[i]);
    for (int i = 0; i < ROW; i++)
        futex_unqueue(&row[i]);
}

/* Its record stays, but nobody looks at the call in which it ended. */
static void test_a_thread_that_ended_is_in_no_call(void **state)
{
    struct ferry_vm *vm = *state;
    struct linux_thread *first = linux_first_thread(vm->linux_state);

    add_thread(vm->linux_state, FIRST);
    CALL(vm, exit, 0);
    assert_int_equal(vm->next, LINUX_ENDED);
    assert_true(first->ended);
    assert_null(first->call);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, linux_setup, linux_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_many_are_moved_to_a_lock),
        TEST(test_none_is_moved_into_a_circle),
        TEST(test_a_thread_that_ended_is_in_no_call),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
