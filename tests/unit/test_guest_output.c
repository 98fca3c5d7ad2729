/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the tests of output in guest/stream.c. */
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest_stream.h"

static struct ferry_peer *receiver(void)
{
    for (uint32_t i = 0; i < fake.control->info.peer_count; i++)
        if (fake.control->info.peers[i].id == FAKE_RECEIVER)
            return &fake.control->info.peers[i];
    fail();
    return NULL;
}

/* The receiver waits: each message leaves at the next piece of output, by an exit of its own. */
static void who_waits_gets_each_message(void **context)
{
    (void)context;
    receiver()->waiting = 1;
    fake.control->info.payload = FERRY_PAYLOAD_COPY;
    for (size_t i = 0; i < 4; i++)
        produce(i * FERRY_COPY_BYTES, FERRY_COPY_BYTES);
    assert_int_equal(fake.doorbells, 3); /* the last is not followed by anything yet */
}

/* Where exits are expensive the stream layer gathers, but not past a flush. */
static void much_output_gathers(void **context)
{
    (void)context;
    receiver()->waiting = 1;
    fake.control->info.payload = FERRY_PAYLOAD_COPY;
    fake.control->info.gather_ticks = 1ull << 62;
    for (size_t i = 0; i < 4; i++)
        produce(i * FERRY_COPY_BYTES, FERRY_COPY_BYTES);
    assert_int_equal(fake.doorbells, 0);
    assert_int_equal(ferry_flush(), 0);
    assert_int_equal(fake.doorbells, 1);
    assert_received(4 * FERRY_COPY_BYTES);
}

static void full_extents_are_lent_and_reused(void **context)
{
    (void)context;
    fake.control->info.pool_extents = 2;
    for (size_t i = 0; i < 6; i++)
        produce(i * EXTENT, EXTENT);
    ferry_yield();
    assert_received(6 * EXTENT);
    assert_int_equal(fake.taken_count, 6);
    assert_int_equal(fake.allocs, 2);
    assert_int_equal(fake.frees + fake.doorbells, 0);
    /* One exit for each extent beyond the first two, and the yield. */
    assert_int_equal(fake.waits, 4 + 1);
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(fake.taken[i].desc.mode, FERRY_LEND);
}

/* Each loan is home before the next is made, and yet the stream comes to use half of its share, in turn. */
static void a_long_stream_circulates(void **context)
{
    (void)context;
    fake.control->info.pool_extents = FAKE_EXTENTS;
    fake.release_early = true;
    for (size_t i = 0; i < 48; i++) {
        produce(i * EXTENT, EXTENT);
        ferry_yield();
        if (i < 4)
            assert_int_equal(fake.allocs, 1);
    }
    assert_int_equal(fake.allocs, FAKE_EXTENTS / 2);
    assert_received(48 * EXTENT);
    for (uint32_t i = 40; i < 47; i++) {
        uint64_t at = fake.taken[i].desc.payload.addr, next = fake.taken[i + 1].desc.payload.addr;
        uint64_t first = (uintptr_t)fake.window;

        assert_int_equal((next - first) / EXTENT, ((at - first) / EXTENT + 1) % (FAKE_EXTENTS / 2));
    }
}

/* Copies leave their extent where it is: another would only be one more to zero. */
static void a_long_stream_of_copies_does_not(void **context)
{
    (void)context;
    fake.control->info.pool_extents = FAKE_EXTENTS;
    fake.control->info.payload = FERRY_PAYLOAD_COPY;
    for (size_t i = 0; i < 12; i++) {
        produce(i * EXTENT, EXTENT);
        ferry_yield();
    }
    assert_received(12 * EXTENT);
    assert_int_equal(fake.allocs, 1);
}

static void one_extent_is_enough(void **context)
{
    (void)context;
    fake.control->info.pool_extents = 1;
    for (size_t i = 0; i < 3; i++)
        produce(i * EXTENT, EXTENT);
    ferry_yield();
    assert_received(3 * EXTENT);
}

static void small_pieces_are_copied_by_auto(void **context)
{
    (void)context;
    produce(0, 16384);
    ferry_flush();
    produce(16384, 16385);
    ferry_flush();
    ferry_yield();
    assert_int_equal(fake.taken[0].desc.mode, FERRY_COPY);
    assert_int_equal(fake.taken[1].desc.mode, FERRY_LEND);
    assert_int_equal(fake.taken_count, 2);
    assert_int_equal(fake.allocs, 1);
    assert_received(16384 + 16385);
}

static void auto_makes_several_copies_up_to_the_crossover(void **context)
{
    const size_t crossover = 5 * FERRY_COPY_BYTES + 100;

    (void)context;
    fake.control->info.crossover_bytes = crossover;
    produce(0, crossover);
    ferry_flush();
    produce(crossover, crossover + 1);
    ferry_flush();
    ferry_yield();
    assert_int_equal(fake.taken_count, 7);
    for (int i = 0; i < 6; i++)
        assert_int_equal(fake.taken[i].desc.mode, FERRY_COPY);
    assert_int_equal(fake.taken[6].desc.mode, FERRY_LEND);
    assert_received(2 * crossover + 1);
}

/* Where no loan is cheaper than copies, nothing is won by gathering a whole extent. */
static void auto_copies_as_it_goes_where_that_is_always_cheaper(void **context)
{
    (void)context;
    fake.control->info.crossover_bytes = EXTENT;
    produce(0, FERRY_COPY_BYTES);
    ferry_yield();
    assert_int_equal(fake.taken_count, 1);
    assert_int_equal(fake.taken[0].desc.mode, FERRY_COPY);
}

static void map_lends_one_byte(void **context)
{
    (void)context;
    fake.control->info.payload = FERRY_PAYLOAD_MAP;
    produce(0, 1);
    ferry_flush();
    ferry_yield();
    assert_int_equal(fake.taken_count, 1);
    assert_int_equal(fake.taken[0].desc.mode, FERRY_LEND);
    assert_received(1);
}

static void copy_never_lends(void **context)
{
    (void)context;
    fake.control->info.payload = FERRY_PAYLOAD_COPY;
    for (size_t i = 0; i < 5; i++)
        produce(i * EXTENT, EXTENT);
    ferry_flush();
    ferry_yield();
    assert_received(5 * EXTENT);
    assert_int_equal(fake.taken_count, 5 * EXTENT / FERRY_COPY_BYTES);
    for (uint32_t i = 0; i < fake.taken_count; i++)
        assert_int_equal(fake.taken[i].desc.mode, FERRY_COPY);
}

/* A payload that is copied must stay unchanged until it is taken; without credit it is not
 * taken. */
static void copies_under_way_are_not_overwritten(void **context)
{
    (void)context;
    fake.control->info.payload = FERRY_PAYLOAD_COPY;
    fake.control->info.pool_extents = 2;
    fake.credit = 1;
    for (size_t i = 0; i < 3000; i++) {
        produce(i * 5000, 5000);
        ferry_flush();
        if (i % 7 == 0)
            ferry_yield();
    }
    while (fake_release_oldest())
        ferry_yield();
    assert_received((size_t)3000 * 5000);
}

/* One copy out of a full extent was taken: the rest of it is still needed. */
static void a_full_extent_waits_for_all_its_copies(void **context)
{
    (void)context;
    fake.control->info.payload = FERRY_PAYLOAD_COPY;
    fake.control->info.pool_extents = 2;
    fake.credit = 1;
    produce(0, EXTENT);
    produce(EXTENT, EXTENT);
    fake_drain();
    assert_int_equal(fake.taken_count, 1);
    produce(2 * EXTENT, EXTENT);
    while (fake_release_oldest())
        ferry_yield();
    assert_received(3 * EXTENT);
}

static void copied_room_is_used_again_from_its_start(void **context)
{
    void *first, *again;

    (void)context;
    assert_true(ferry_output(&first, 0) > 0);
    ferry_commit(100);
    ferry_flush();
    ferry_yield();
    assert_true(ferry_output(&again, 0) > 0);
    assert_ptr_equal(first, again);
}

static void room_is_as_asked_for(void **context)
{
    void *room;

    (void)context;
    assert_int_equal(ferry_output(&room, EXTENT + 1), -EMSGSIZE);
    assert_int_equal(ferry_output(&room, EXTENT), EXTENT);
    assert_int_equal(ferry_commit(EXTENT + 1), -EINVAL);
    assert_int_equal(ferry_commit(EXTENT - 1), 0);
    assert_int_equal(ferry_output(&room, 0), 1);
    assert_int_equal(fake.taken_count, 0);
    assert_int_equal(ferry_output(&room, 2), EXTENT);
    assert_int_equal(ferry_commit(0), 0);
}

static void a_receiver_that_is_gone_is_told(void **context)
{
    void *room;

    (void)context;
    fake.control->info.pool_extents = 1;
    produce(0, EXTENT);
    produce(EXTENT, EXTENT);
    fake_drain();
    assert_int_equal(fake.taken_count, 2);
    produce(2 * EXTENT, EXTENT);
    fake.refuse = -EPIPE;
    /* The loan is refused while the stream waits for it to come home. */
    assert_int_equal(ferry_output(&room, 1), -EPIPE);
    assert_int_equal(ferry_output(&room, 1), -EPIPE);
    assert_int_equal(ferry_flush(), -EPIPE);
    assert_int_equal(ferry_close(), -EPIPE);
    assert_received(2 * EXTENT);
}

static void a_small_pool_is_asked_once(void **context)
{
    (void)context;
    for (uint32_t i = 2; i < FAKE_EXTENTS; i++)
        fake.extent_used[i] = true;
    for (size_t i = 0; i < 6; i++)
        produce(i * EXTENT, EXTENT);
    ferry_yield();
    assert_received(6 * EXTENT);
    assert_int_equal(fake.allocs, 3);
}

static void no_memory_at_all_is_an_error(void **context)
{
    void *room;

    (void)context;
    fake.control->info.pool_extents = 0;
    assert_int_equal(ferry_output(&room, 1), -EDQUOT);
    fake.control->info.pool_extents = 1;
    memset(fake.extent_used, 1, sizeof(fake.extent_used));
    assert_int_equal(ferry_output(&room, 1), -ENOMEM);
}

static void without_a_receiver_output_vanishes(void **context)
{
    (void)context;
    fake.control->info.stdout_peer = FERRY_NO_PEER;
    for (size_t i = 0; i < 5; i++)
        produce(0, EXTENT);
    assert_int_equal(ferry_close(), 0);
    assert_int_equal(fake.allocs, 1);
    assert_int_equal(fake.control->guest.out_head, 0);
}

static void closing_hangs_up_once(void **context)
{
    void *room;

    (void)context;
    produce(0, 1000);
    assert_int_equal(ferry_close(), 0);
    assert_int_equal(ferry_close(), 0);
    assert_int_equal(ferry_output(&room, 1), -EPIPE);
    ferry_yield();
    assert_true(fake.hung_up);
    assert_received(1000);
    assert_int_equal(fake.taken_count, 2);
}

static void exit_finishes_output(void **context)
{
    int status;
    pid_t child;

    (void)context;
    child = fork();
    if (child == 0) {
        stream.hangup_at_exit = false;
        produce(0, 20000);
        exit(7);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(WEXITSTATUS(status), 7);
    /* The control structure and the pool are shared with the child. */
    assert_int_equal(fake.control->guest.out_head, 2);
    fake_drain();
    assert_true(fake.hung_up);
    assert_received(20000);
}

/* A message program's own loans and the stream's come home through one ring. */
static void loans_come_home_to_whom_they_belong(void **context)
{
    struct ferry_msg msg = {.mode = FERRY_LEND, .dst = FAKE_OTHER, .bytes = 1};
    void *addr;
    size_t bytes;

    (void)context;
    fake.control->info.pool_extents = 1;
    msg.data = ferry_alloc_extents(1);
    assert_non_null(msg.data);
    produce(0, EXTENT);
    assert_true(ferry_send(&msg, FERRY_DEFERRED) >= 0);
    ferry_yield();
    fake_release_oldest();
    fake_release_oldest();
    assert_int_equal(ferry_reclaim(&addr, &bytes, 0), 0);
    assert_ptr_equal(addr, msg.data);
    assert_int_equal(ferry_reclaim(&addr, &bytes, 0), -ETIMEDOUT);
    produce(0, 1);
    assert_int_equal(fake.allocs, 2);
    assert_int_equal(fake.waits, 1);
}

/* Messages of the program's own use the slots in which the statuses of the stream's stand. */
static void no_status_is_missed(void **context)
{
    struct ferry_msg msg = {.mode = FERRY_INLINE, .dst = FAKE_OTHER};

    (void)context;
    fake.control->info.pool_extents = 1;
    produce(0, EXTENT);
    for (int i = 0; i < 200; i++)
        assert_true(ferry_send(&msg, FERRY_IMMEDIATE) >= 0);
    produce(EXTENT, EXTENT);
    ferry_yield();
    assert_received(2 * EXTENT);
}

static void *ask_for_room(void *arg)
{
    void *room;

    *(ssize_t *)arg = ferry_output(&room, 1);
    return NULL;
}

/* One thread got room, commits nothing and leaves the output to another: what was committed before
 * is sent, whatever that one begins with. */
static void output_changes_threads(void **context)
{
    (void)context;
    for (int how = 0; how < 2; how++) {
        pthread_t other;
        ssize_t got = 0;

        if (how) {
            fake_stop();
            start();
        }
        produce(0, 100);
        assert_int_equal(pthread_create(&other, NULL, ask_for_room, &got), 0);
        assert_int_equal(pthread_join(other, NULL), 0);
        assert_true(got > 0);
        if (how)
            assert_int_equal(ferry_flush(), 0);
        else
            produce(100, EXTENT);
        ferry_yield();
        assert_received(how ? 100 : 100 + EXTENT);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(who_waits_gets_each_message),
        TEST(much_output_gathers),
        TEST(full_extents_are_lent_and_reused),
        TEST(a_long_stream_circulates),
        TEST(a_long_stream_of_copies_does_not),
        TEST(one_extent_is_enough),
        TEST(small_pieces_are_copied_by_auto),
        TEST(auto_makes_several_copies_up_to_the_crossover),
        TEST(auto_copies_as_it_goes_where_that_is_always_cheaper),
        TEST(map_lends_one_byte),
        TEST(copy_never_lends),
        TEST(copies_under_way_are_not_overwritten),
        TEST(a_full_extent_waits_for_all_its_copies),
        TEST(copied_room_is_used_again_from_its_start),
        TEST(room_is_as_asked_for),
        TEST(a_receiver_that_is_gone_is_told),
        TEST(a_small_pool_is_asked_once),
        TEST(no_memory_at_all_is_an_error),
        TEST(without_a_receiver_output_vanishes),
        TEST(closing_hangs_up_once),
        TEST(exit_finishes_output),
        TEST(loans_come_home_to_whom_they_belong),
        TEST(no_status_is_missed),
        TEST(output_changes_threads),
    };

    return cmocka_run_group_tests_name("guest/output", tests, NULL, NULL);
}
