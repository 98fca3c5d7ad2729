/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the tests of output in host/stream/stream.c: plain writes, and a whole pipe. */
#include "core_pair.h"
#include "vm/report.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/units.h"
#include "stream/stream.h"
#include "stream/stream_internal.h"

static size_t read_all_there_is(size_t bytes)
{
    size_t done = 0;

    while (done < bytes && stream_available(vm_stream(vm_b))) {
        ssize_t now = stream_read(vm_stream(vm_b), got + done, bytes - done);
        assert_true(now > 0);
        done += (size_t)now;
    }
    return done;
}

/* --- writing --------------------------------------------------------------------- */

static void output_gathers_until_it_is_pulled(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++)
        assert_int_equal(stream_write(vm_stream(vm_a), sent + 100 * i, 100), 100);
    assert_int_equal(link_ab->messages, 0);
    /* The receiver is about to wait, so all of it is sent as one message. */
    assert_int_equal(stream_read(vm_stream(vm_b), got, EXTENT), 10000);
    assert_memory_equal(got, sent, 10000);
    assert_int_equal(link_ab->messages, 1);
    assert_int_equal(link_ab->extents_2m, 1); /* longer than the crossover */
    assert_int_equal(link_ab->bytes_handed_over, 10000);
    /* Each byte is copied twice, in and out again. */
    assert_int_equal(link_ab->bytes_copied, 20000);
}

static void a_full_extent_leaves_by_itself(void **state)
{
    (void)state;
    assert_int_equal(stream_write(vm_stream(vm_a), sent, EXTENT - 1), EXTENT - 1);
    assert_int_equal(link_ab->messages, 0);
    assert_int_equal(stream_write(vm_stream(vm_a), sent + EXTENT - 1, 1), 1);
    assert_int_equal(link_ab->messages, 1);
    assert_int_equal(stream_write(vm_stream(vm_a), sent + EXTENT, EXTENT + 5), EXTENT + 5);
    assert_int_equal(link_ab->messages, 2);
    stream_finish(a->byte_stream);
    assert_int_equal(link_ab->messages, 3);
    assert_int_equal(read_all_there_is(8 * EXTENT), 2 * EXTENT + 5);
    assert_memory_equal(got, sent, 2 * EXTENT + 5);
}

/* A program may write even if its share is used up by units that others moved to it or that it
 * got itself. */
static void a_full_share_does_not_stop_output(void **state)
{
    struct ferry_vm *vm_c = core_vm(engine, "c");
    struct units units = core_alloc(b, 1, false), more;

    (void)state;
    core_stream_link(vm_b, vm_c);
    b->most_extents = 2;
    struct units moved = core_alloc(a, 1, false);
    struct ferry_desc desc = core_units(FERRY_MOVE, a, b->id, moved);
    assert_int_equal(core_send(a, &desc), 0);
    assert_int_equal(units_alloc(b, 1, false, &more), -EDQUOT);
    assert_int_equal(stream_write(vm_stream(vm_b), sent, 1000), 1000);
    assert_int_equal(stream_write(vm_stream(vm_b), sent, EXTENT - 1000), EXTENT - 1000);
    /* One extent is given beyond the share, and no second one. */
    assert_int_equal(stream_poll(vm_stream(vm_b), POLLOUT, 0), 0);
    assert_int_equal(units_free(b, units), 0);
    assert_int_equal(units_alloc(b, 1, false, &more), -EDQUOT);
    ferry_vm_destroy(vm_c);
}

static void a_waiting_receiver_gets_it_at_once(void **state)
{
    (void)state;
    endpoint_prepare(b);
    assert_int_equal(stream_write(vm_stream(vm_a), sent, 10), 10);
    assert_int_equal(link_ab->messages, 1);
    endpoint_finish(b);
    assert_int_equal(stream_write(vm_stream(vm_a), sent + 10, 10), 10);
    assert_int_equal(link_ab->messages, 1);
    assert_int_equal(stream_read(vm_stream(vm_b), got, 100), 10);
    assert_int_equal(stream_read(vm_stream(vm_b), got, 100), 10);
    assert_memory_equal(got, sent + 10, 10);
}

static void just_sent(void)
{
    a->byte_stream->sent_ns = clock_now() + 1000000000ull; /* however slow this is */
}

/* Piece after piece: only what is much, or old, is worth a message of its own
 * at once; the tick and the writer's next wait send what is left. */
static void a_flood_of_pieces_gathers(void **state)
{
    (void)state;
    endpoint_prepare(b);
    assert_int_equal(stream_write(vm_stream(vm_a), sent, 10), 10);
    assert_int_equal(link_ab->messages, 1);
    just_sent();
    assert_int_equal(stream_write(vm_stream(vm_a), sent, 10), 10);
    assert_int_equal(link_ab->messages, 1);
    assert_int_equal(stream_write(vm_stream(vm_a), sent, 1 << 18), 1 << 18);
    assert_int_equal(link_ab->messages, 2);
    just_sent();
    assert_int_equal(stream_write(vm_stream(vm_a), sent, 10), 10);
    assert_int_equal(link_ab->messages, 2);
    runner_send_gathered(&vm_a->runner);
    assert_int_equal(link_ab->messages, 3);
    just_sent();
    assert_int_equal(stream_write(vm_stream(vm_a), sent, 10), 10);
    assert_int_equal(link_ab->messages, 3);
    endpoint_prepare(a); /* about to wait itself */
    assert_int_equal(link_ab->messages, 4);
    a->byte_stream->sent_ns = clock_now() - 1000000;
    assert_int_equal(stream_write(vm_stream(vm_a), sent, 10), 10);
    assert_int_equal(link_ab->messages, 5);
    endpoint_finish(a);
    endpoint_finish(b);
}

static void nothing_is_sent_early_to_who_does_not_wait(void **state)
{
    (void)state;
    assert_int_equal(stream_write(vm_stream(vm_a), sent, 10), 10);
    runner_send_gathered(&vm_a->runner);
    endpoint_prepare(a);
    endpoint_finish(a);
    assert_int_equal(link_ab->messages, 0);
}

static void immediate_sends_each_write(void **state)
{
    (void)state;
    a->delivery = FERRY_DELIVER_IMMEDIATE;
    for (int i = 1; i <= 5; i++) {
        assert_int_equal(stream_write(vm_stream(vm_a), sent, 10), 10);
        assert_int_equal(link_ab->messages, i);
    }
    assert_int_equal(read_all_there_is(1000), 50);
}

static void auto_copies_what_is_short(void **state)
{
    (void)state;
    assert_int_equal(stream_write(vm_stream(vm_a), sent, 4096), 4096);
    stream_pull(a->byte_stream);
    assert_int_equal(link_ab->bytes_handed_over, 0);
    assert_int_equal(stream_write(vm_stream(vm_a), sent + 4096, 4097), 4097);
    stream_pull(a->byte_stream);
    assert_int_equal(link_ab->bytes_handed_over, 4097);
    assert_int_equal(read_all_there_is(EXTENT), 8193);
    assert_memory_equal(got, sent, 8193);
}

static void copy_mode_never_hands_over(void **state)
{
    const size_t bytes = 3 * FERRY_COPY_BYTES + 17;

    (void)state;
    a->transfer = FERRY_TRANSFER_COPY;
    assert_int_equal(stream_write(vm_stream(vm_a), sent, bytes), bytes);
    stream_pull(a->byte_stream);
    assert_int_equal(link_ab->messages, 4);
    assert_int_equal(link_ab->extents_2m, 0);
    assert_int_equal(read_all_there_is(EXTENT), bytes);
    assert_memory_equal(got, sent, bytes);
    assert_int_equal(link_ab->bytes_copied, 3 * bytes);
}

static void map_mode_never_copies(void **state)
{
    (void)state;
    a->transfer = FERRY_TRANSFER_MAP;
    assert_int_equal(stream_write(vm_stream(vm_a), sent, 1), 1);
    stream_pull(a->byte_stream);
    assert_int_equal(link_ab->extents_2m, 1);
    assert_int_equal(stream_read(vm_stream(vm_b), got, 9), 1);
    assert_int_equal(got[0], sent[0]);
}

static void a_copy_that_finds_no_room_goes_on_where_it_was(void **state)
{
    const size_t bytes = 20 * FERRY_COPY_BYTES; /* the link takes 16 */

    (void)state;
    a->transfer = FERRY_TRANSFER_COPY;
    assert_int_equal(stream_write(vm_stream(vm_a), sent, bytes), bytes);
    stream_pull(a->byte_stream);
    assert_int_equal(link_ab->messages, 16);
    size_t done = read_all_there_is(16 * FERRY_COPY_BYTES);
    assert_int_equal(done, 16 * FERRY_COPY_BYTES);
    assert_int_equal(stream_write(vm_stream(vm_a), sent + bytes, 100), 100);
    while (done < bytes + 100) {
        ssize_t now = stream_read(vm_stream(vm_b), got + done, 8 * EXTENT - done);
        assert_true(now > 0);
        done += (size_t)now;
    }
    assert_int_equal(done, bytes + 100);
    assert_memory_equal(got, sent, bytes + 100);
}

static void buffers_come_home_and_are_used_again(void **state)
{
    (void)state;
    a->most_extents = 2;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(stream_write(vm_stream(vm_a), sent + i, EXTENT), EXTENT);
        assert_int_equal(stream_read(vm_stream(vm_b), got, EXTENT), EXTENT);
        assert_memory_equal(got, sent + i, EXTENT);
    }
    assert_int_equal(core_home(a), 0); /* the guest hears nothing of them */
    core_assert_books(engine, 517, 1, 0);
}

static void without_a_link_output_is_discarded(void **state)
{
    (void)state;
    assert_int_equal(stream_write(vm_stream(vm_b), sent, 5), 5);
    assert_int_equal(stream_read(vm_stream(vm_a), got, 5), 0);
    assert_int_equal(stream_poll(vm_stream(vm_b), POLLOUT, 0), POLLOUT);
    assert_int_equal(stream_poll(vm_stream(vm_a), POLLIN, 0), POLLHUP);
    stream_close_output(vm_stream(vm_b));
    stream_close_input(vm_stream(vm_a));
    core_assert_books(engine, 518, 0, 0);
}

static void without_any_extent_there_is_an_error(void **state)
{
    (void)state;
    core_alloc(b, 6, false);
    assert_int_equal(stream_write(vm_stream(vm_a), sent, 5), -ENOMEM);
}

/* The output was gathered while somebody read, but nobody reads any more when it is to be sent. */
static void the_exit_report_knows_of_output_that_is_not_read(void **state)
{
    (void)state;
    assert_int_equal(stream_write(vm_stream(vm_a), sent, 100), 100);
    report_output(vm_a);
    assert_false(vm_a->process->exit.output_unread);
    queue_refuse(link_ab);
    assert_int_equal(stream_write(vm_stream(vm_a), sent, 0), 0); /* which is no output */
    report_output(vm_a);
    assert_false(vm_a->process->exit.output_unread);
    stream_finish(a->byte_stream);
    report_output(vm_a);
    assert_true(vm_a->process->exit.output_unread);
    assert_int_equal(stream_write(vm_stream(vm_a), sent, 1), -EPIPE);
}

static void queued_messages_go_before_later_output(void **state)
{
    struct ferry_desc desc = core_inline(b->id, 0);

    (void)state;
    assert_int_equal(stream_write(vm_stream(vm_a), "first ", 6), 6);
    memcpy(desc.data, "second ", 7);
    desc.inline_bytes = 7;
    core_queue(a, &desc);
    assert_int_equal(stream_write(vm_stream(vm_a), "third", 5), 5);
    stream_finish(a->byte_stream);
    assert_int_equal(stream_read(vm_stream(vm_b), got, 100), 18);
    assert_memory_equal(got, "first second third", 18);
}

/* The memory that is written left with a message that had waited, so it is another VM's now. */
static void output_of_memory_that_was_sent_away(void **state)
{
    struct units units = core_alloc(a, 1, true);
    struct ferry_desc desc = core_units(FERRY_MOVE, a, b->id, units);

    (void)state;
    core_queue(a, &desc);
    assert_int_equal(stream_write(vm_stream(vm_a), core_bytes(engine, units.first), 4096), -EFAULT);
    assert_int_equal(link_ab->messages, 1);
    units = core_alloc(a, 1, true);
    assert_int_equal(stream_write(vm_stream(vm_a), core_bytes(engine, units.first), 4096), 4096);
}

/* --- two threads ------------------------------------------------------------------- */

static void *write_all(void *arg)
{
    size_t done = 0, step = 1;

    (void)arg;
    while (done < 8 * EXTENT) {
        size_t now = step < 8 * EXTENT - done ? step : 8 * EXTENT - done;
        if (stream_write(vm_stream(vm_a), sent + done, now) != (ssize_t)now)
            break;
        done += now;
        step = step * 5 % 300007 + 1;
    }
    stream_close_output(vm_stream(vm_a));
    return NULL;
}

static void a_pipe_between_two_threads(void **state)
{
    size_t done = 0, step = 3;
    pthread_t writer;
    ssize_t now;

    (void)state;
    a->most_extents = 2;
    assert_int_equal(pthread_create(&writer, NULL, write_all, NULL), 0);
    while ((now = stream_read(vm_stream(vm_b), got + done, step)) > 0) {
        done += (size_t)now;
        step = step * 7 % 500009 + 1;
        if (step > 8 * EXTENT - done)
            step = 8 * EXTENT - done + 1;
        if (done == 8 * EXTENT)
            step = 1;
    }
    pthread_join(writer, NULL);
    assert_int_equal(now, 0);
    assert_int_equal(done, 8 * EXTENT);
    assert_int_equal(memcmp(got, sent, done), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, pair_setup, pair_teardown)
    const struct CMUnitTest tests[] = {
        CASE(output_gathers_until_it_is_pulled),
        CASE(a_full_extent_leaves_by_itself),
        CASE(a_full_share_does_not_stop_output),
        CASE(a_waiting_receiver_gets_it_at_once),
        CASE(a_flood_of_pieces_gathers),
        CASE(nothing_is_sent_early_to_who_does_not_wait),
        CASE(immediate_sends_each_write),
        CASE(auto_copies_what_is_short),
        CASE(copy_mode_never_hands_over),
        CASE(map_mode_never_copies),
        CASE(a_copy_that_finds_no_room_goes_on_where_it_was),
        CASE(buffers_come_home_and_are_used_again),
        CASE(without_a_link_output_is_discarded),
        CASE(without_any_extent_there_is_an_error),
        CASE(the_exit_report_knows_of_output_that_is_not_read),
        CASE(queued_messages_go_before_later_output),
        CASE(output_of_memory_that_was_sent_away),
        CASE(a_pipe_between_two_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
