/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest library against another party that acts between two of its steps: a VMM that fills a
 * slot again as soon as it may, a peer that changes its direct message, a receiver that goes to
 * sleep.
 */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>

/* The file itself, so that each test starts with its state empty. */
#include "../../guest/message.c"

#include "../until.h"
#include "fake_vmm.h"
#include "watch.h"

static struct ferry_direct *ring; /* from FAKE_OTHER */

static int set_up(void **context)
{
    (void)context;
    fake_start(0);
    memset(&state, 0, sizeof(state));
    memset(&ferry_guest_direct, 0, sizeof(ferry_guest_direct));
    ring = mmap(NULL, sizeof(*ring), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return ring == MAP_FAILED ? -1 : 0;
}

static int tear_down(void **context)
{
    (void)context;
    munmap(ring, sizeof(*ring));
    fake_stop();
    return 0;
}

static struct ferry_peer *peer_writable(uint16_t id)
{
    return (struct ferry_peer *)(uintptr_t)ferry_peer_by_id(id);
}

/* ---- a slot that is filled again ---------------------------------------- */

static unsigned tail_stores;

static void fill_again(uintptr_t at, bool write)
{
    if (!write || at != (uintptr_t)&fake.control->guest.in_tail)
        return;
    tail_stores++;
    memset(&fake.control->in[0], 0xff, sizeof(fake.control->in[0]));
}

static void the_copy_is_made_before_the_slot_is_given_back(void **context)
{
    struct ferry_msg msg;
    int error;

    (void)context;
    tail_stores = 0;
    fake_feed(FAKE_OTHER, FERRY_INLINE, "first", 5, 0);
    watch_begin(&fake.control->guest, sizeof(fake.control->guest), fill_again);
    error = ferry_recv(&msg, 0);
    watch_end();
    assert_int_equal(error, 0);
    assert_int_equal(tail_stores, 1);
    assert_int_equal(msg.mode, FERRY_INLINE);
    assert_int_equal(msg.bytes, 5);
    assert_memory_equal(ferry_msg_data(&msg), "first", 5);
    assert_int_equal(msg.src, FAKE_OTHER);
}

/* ---- a direct message that changes -------------------------------------- */

#define SHORT       (FERRY_INLINE | 8ull << 8 | 1ull << 32)
#define LONG        (FERRY_INLINE | 200ull << 8 | 1ull << 32)
#define ANOTHER     (FERRY_LEND | 8ull << 8 | 1ull << 32)
#define LOOKS_AT_IT 8

static uint64_t later;
static unsigned looks, changes_at;

static void change(uintptr_t at, bool write)
{
    if (write || at != (uintptr_t)&ring->slots[0])
        return;
    if (looks++ == changes_at)
        *(direct_word *)(void *)&ring->slots[0] = later;
}

/* Whatever the change and its moment: a good message arrives, or none. */
static void take_changing(uint64_t to, unsigned at)
{
    struct ferry_msg msg = {0};
    int error;

    peer_writable(FAKE_OTHER)->direct_in = (uintptr_t)ring;
    assert_int_equal(ferry_recv(&msg, 0), -ETIMEDOUT); /* it receives from the ring from now on */
    *(direct_word *)(void *)&ring->slots[0] = SHORT;
    later = to;
    looks = 0;
    changes_at = at;
    watch_begin(ring->slots, sizeof(ring->slots), change);
    error = ferry_recv(&msg, 0);
    watch_end();
    assert_true(looks > 0);
    if (error != 0) {
        assert_int_equal(error, -ETIMEDOUT);
        return;
    }
    assert_int_equal(msg.mode, FERRY_INLINE);
    assert_int_equal(msg.bytes, 8);
    assert_null(msg.data); /* it is in the message */
}

static void a_direct_message_is_checked_as_it_was_read(void **context)
{
    const uint64_t changes[] = {LONG, ANOTHER};

    for (unsigned i = 0; i < 2; i++) {
        for (unsigned at = 0; at < LOOKS_AT_IT; at++) {
            take_changing(changes[i], at);
            tear_down(context);
            set_up(context);
        }
    }
}

/* ---- a receiver that goes to sleep ---------------------------------------- */

#define ROUNDS   200000
#define NO_ROUND UINT_MAX
#define DELAYS   64

static atomic_uint begun, ended;
static uint32_t head_before; /* of the out ring; written while the receiver waits for `begun` */
static bool seen_by_receiver;

/* It never waits for long: where both threads share a CPU, the other has to run. Returns what the
 * word is: the value or NO_ROUND. */
static unsigned wait_for(atomic_uint *word, unsigned value)
{
    unsigned now = atomic_load(word);

    for (unsigned i = 1; now != value && now != NO_ROUND; now = atomic_load(word), i++)
        if (i % 128 == 0)
            sched_yield();
    return now;
}

static void delay(unsigned turns)
{
    for (volatile unsigned left = turns; left > 0; left--)
        ;
}

/* On one processor of those that this process may use, the first or the last: on a single one,
 * where a scheduler likes to keep two that wait for each other, nothing can be out of order. */
static void use_processor(pthread_t thread, bool last)
{
    cpu_set_t all, one;
    int found = -1;

    assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &all) && (found < 0 || last))
            found = i;
    CPU_ZERO(&one);
    CPU_SET(found, &one);
    assert_int_equal(pthread_setaffinity_np(thread, sizeof(one), &one), 0);
}

/* The VMM's side: it shows that the receiver waits, then looks whether there is something. */
static void *go_to_sleep(void *peer)
{
    struct ferry_peer *shown = peer;

    for (unsigned round = 1; wait_for(&begun, round) == round; round++) {
        __atomic_store_n(&shown->waiting, 1, __ATOMIC_SEQ_CST);
        seen_by_receiver =
            __atomic_load_n(&fake.control->guest.out_head, __ATOMIC_ACQUIRE) != head_before;
        atomic_store(&ended, round);
    }
    return NULL;
}

/* Each stores before it loads. If the processor, or the compiler, did it the other way round,
 * the receiver would sleep and the sender would not know: so one of the two must have seen. */
static void either_the_sender_or_the_receiver_sees_the_other(void **context)
{
    struct ferry_peer *shown = peer_writable(FAKE_RECEIVER);
    struct ferry_msg msg = {.mode = FERRY_INLINE, .dst = FAKE_RECEIVER, .data = "x", .bytes = 1};
    cpu_set_t before;
    pthread_t receiver;
    unsigned lost = 0;
    time_t begun_at = time(NULL);

    (void)context;
    assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
    atomic_store(&begun, 0);
    atomic_store(&ended, 0);
    assert_int_equal(pthread_create(&receiver, NULL, go_to_sleep, shown), 0);
    use_processor(receiver, true);
    use_processor(pthread_self(), false);
    for (unsigned round = 1; race_goes_on(begun_at, round > ROUNDS, round > 1); round++) {
        uint32_t rung = fake.doorbells;

        head_before = fake.control->guest.out_head;
        atomic_store(&begun, round);
        delay(round % DELAYS);
        ferry_send(&msg, FERRY_WHEN_AUTO);
        wait_for(&ended, round);
        lost += fake.doorbells == rung && !seen_by_receiver;
        shown->waiting = 0;
        fake_drain();
        fake.taken_count = 0;
        fake.byte_count = 0;
    }
    atomic_store(&begun, NO_ROUND);
    pthread_join(receiver, NULL);
    assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
    assert_int_equal(lost, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_copy_is_made_before_the_slot_is_given_back),
        TEST(a_direct_message_is_checked_as_it_was_read),
        TEST(either_the_sender_or_the_receiver_sees_the_other),
    };

    return cmocka_run_group_tests_name("guest/race", tests, NULL, NULL);
}
