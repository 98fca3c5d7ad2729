/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the tests of host/stream/stream_guest.c, with the test as the guest kernel, and of what
 * host/kvm/kernel.c makes of a CPU that was stopped in it. */
#include "core_pair.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>

#include "ipc/queue.h"
#include "kvm/boot.h"
#include "kvm/kernel.h"
#include "stream/stream.h"
#include "stream/stream_internal.h"

#define NO_WORD 0

static struct ferry_kernel_shown *shown_a, *shown_b;
static struct ferry_kernel_words *words_a, *words_b;

static int setup(void **state)
{
    int result = pair_setup(state);

    shown_a = kernel_shown(vm_a->guest->system);
    words_a = kernel_words(vm_a->guest->system);
    shown_b = kernel_shown(vm_b->guest->system);
    words_b = kernel_words(vm_b->guest->system);
    stream_guest_start(a->byte_stream, shown_a, words_a, 1000);
    stream_guest_start(b->byte_stream, shown_b, words_b, 1000);
    return result;
}

/* --- the guest kernel ------------------------------------------------------------ */

/* Where the guest has it: the rights of its window hold. */
static char *guest_at(const struct ferry_vm *vm, uint64_t addr)
{
    if (addr >= FERRY_WINDOW_BASE)
        return window_at(&vm->endpoint->window,
                         (struct pool_offset){addr - vm->endpoint->window_addr.value});
    return vm->guest->system + (addr - FERRY_SYSTEM_BASE);
}

static uint64_t guest_read(char *to, uint64_t bytes)
{
    uint64_t position = ferry_kernel_position(words_b->input), done = 0;

    if (!ferry_kernel_generation(words_b->input))
        return 0;
    for (uint32_t i = 0; i < shown_b->piece_count && done < bytes; i++) {
        const struct ferry_kernel_piece *piece = &shown_b->pieces[i];
        uint64_t at = position + done, now = piece->end - at;

        if (at >= piece->end)
            continue;
        now = now < bytes - done ? now : bytes - done;
        memcpy(to + done, guest_at(vm_b, piece->base + at), now);
        done += now;
    }
    words_b->input += done;
    return done;
}

static bool guest_write(const char *from, uint64_t bytes)
{
    uint64_t position = ferry_kernel_position(words_a->output);

    if (!ferry_kernel_generation(words_a->output) || bytes > shown_a->room_bytes - position)
        return false;
    memcpy(guest_at(vm_a, shown_a->room_base + position), from, bytes);
    words_a->output += bytes;
    return true;
}

/* The program reads by an exit once, and then its guest kernel has what is there. */
static void publish_input(void)
{
    queue_want(b->stream_in);
    stream_publish(b->byte_stream, true, false);
}

/* One message of the stream. */
static void send(const char *from, uint64_t bytes)
{
    assert_int_equal(stream_write(vm_stream(vm_a), from, bytes), bytes);
    assert_int_equal(stream_finish(vm_stream(vm_a)), 0);
}

/* --- input ----------------------------------------------------------------------- */

static void input_is_read_where_it_lies(void **state)
{
    (void)state;
    send(sent, 1000);               /* a copy */
    send(sent + 1000, 100000);      /* a loan */
    send(sent + 101000, 3 * 65536); /* another one */
    publish_input();
    assert_int_equal(shown_b->piece_count, 3);
    assert_int_equal(guest_read(got, 7), 7);
    assert_int_equal(guest_read(got + 7, 100000), 100000);
    stream_settle(b->byte_stream);
    assert_int_equal(stream_guest_reads(b->byte_stream), 1);
    stream_settle(b->byte_stream);
    assert_int_equal(stream_guest_reads(b->byte_stream), 1);
    assert_int_equal(link_ab->bytes_taken, 100007);
    /* The VMM goes on where the guest left off. */
    assert_int_equal(stream_read(vm_stream(vm_b), got + 100007, EXTENT),
                     101000 + 3 * 65536 - 100007);
    assert_memory_equal(got, sent, 101000 + 3 * 65536);
    assert_int_equal(words_b->input, NO_WORD);
    assert_int_equal(held_in(b, HELD_READ), 0);
}

/* What was read comes home at a tick, though the guest makes no exit; what came since is published. */
static void a_tick_takes_what_was_read(void **state)
{
    (void)state;
    send(sent, 100000);
    send(sent + 100000, 100000);
    publish_input();
    assert_int_equal(guest_read(got, 100001), 100001);
    assert_int_equal(link_ab->in_flight, 2);
    stream_look(b->byte_stream);
    assert_int_equal(link_ab->in_flight, 1);
    send(sent + 200000, 5);
    stream_look(b->byte_stream);
    assert_int_equal(guest_read(got + 100001, 200000), 99999 + 5);
    assert_memory_equal(got, sent, 200005);
}

/* Positions have 32 bits. */
static void of_a_long_message_the_beginning_is_shown(void **state)
{
    struct stream *stream = b->byte_stream;
    struct ferry_payload *payload = &stream->message.payload;

    (void)state;
    send(sent, 10);
    send(sent, 10);
    assert_int_equal(stream_available(vm_stream(vm_b)), 10);
    payload->bytes = stream->left = (1ull << 32) + 5;
    publish_input();
    assert_int_equal(shown_b->piece_count, 1);
    assert_int_equal(shown_b->pieces[0].end, UINT32_MAX);
    stream_publish(b->byte_stream, false, false);
    payload->bytes = stream->left = 10;
}

/* They may come without end, and all VMs share the thread of the tick. */
static void a_tick_drops_no_messages(void **state)
{
    struct ferry_desc nothing = core_inline(b->id, 0);

    (void)state;
    nothing.inline_bytes = 0;
    send(sent, 10);
    publish_input();
    assert_int_equal(guest_read(got, 10), 10);
    assert_int_equal(core_send(a, &nothing), 0);
    stream_look(b->byte_stream);
    assert_true(queue_peek(b, &nothing));
    assert_int_equal(stream_available(vm_stream(vm_b)), 0);
    assert_false(queue_peek(b, &nothing));
}

static void nothing_is_published_before_the_program_looked(void **state)
{
    (void)state;
    send(sent, 10);
    stream_publish(b->byte_stream, true, true);
    assert_int_equal(words_b->input, NO_WORD);
    publish_input();
    assert_int_not_equal(words_b->input, NO_WORD);
    stream_publish(b->byte_stream, false, false);
    assert_int_equal(words_b->input, NO_WORD);
}

/* Words that no guest kernel writes, for what was published with 100 bytes of which 10 were read. */
static void forged_positions_of_input_count_nothing(void **state)
{
    uint64_t good, forged[8];

    (void)state;
    send(sent, 100);
    publish_input();
    assert_int_equal(guest_read(got, 10), 10);
    stream_settle(b->byte_stream);
    good = words_b->input;
    forged[0] = 0;
    forged[1] = good - 1;                /* backwards */
    forged[2] = good + 91;               /* beyond the end */
    forged[3] = good | UINT32_MAX;       /* as far as can be said */
    forged[4] = (good + 1) ^ 1ull << 40; /* of another generation */
    forged[5] = (good + 1) | 0xffull << 56;
    forged[6] = UINT64_MAX;
    forged[7] = good - 10;
    for (unsigned i = 0; i < 8; i++) {
        words_b->input = forged[i];
        stream_settle(b->byte_stream);
        stream_look(b->byte_stream);
    }
    assert_int_equal(stream_guest_reads(b->byte_stream), 1);
    assert_int_equal(link_ab->bytes_taken, 10);
    words_b->input = forged[2];
    assert_int_equal(stream_read(vm_stream(vm_b), got + 10, 1000), 90);
    assert_memory_equal(got, sent, 100);
}

/* An owner is no matter of input, and a position that is right counts. */
static void what_a_forged_owner_reads_is_read(void **state)
{
    (void)state;
    send(sent, 100);
    publish_input();
    words_b->input += 100 | 0xffull << FERRY_KERNEL_OWNER_SHIFT;
    stream_settle(b->byte_stream);
    assert_int_equal(link_ab->bytes_taken, 100);
    assert_int_equal(stream_available(vm_stream(vm_b)), 0);
}

/* The guest kernel may still be copying when a piece is given back: its commit must fail. */
static void each_publication_has_its_generation(void **state)
{
    uint64_t before;

    (void)state;
    send(sent, 100);
    publish_input();
    before = words_b->input;
    stream_publish(b->byte_stream, false, false);
    publish_input();
    assert_int_not_equal(words_b->input, before);
    b->byte_stream->guest.input_generation = (1u << 24) - 1;
    stream_publish(b->byte_stream, false, false);
    publish_input();
    assert_int_equal(ferry_kernel_generation(words_b->input), 1);
}

static void moved_units_are_not_published(void **state)
{
    struct units units = core_alloc(a, 1, false);
    struct ferry_desc desc = core_units(FERRY_MOVE, a, b->id, units);

    (void)state;
    assert_int_equal(core_send(a, &desc), 0);
    publish_input();
    assert_int_equal(words_b->input, NO_WORD);
    assert_int_equal(stream_read(vm_stream(vm_b), got, EXTENT), EXTENT);
}

static void the_end_of_input_is_the_vmms(void **state)
{
    (void)state;
    send(sent, 100);
    stream_close_output(vm_stream(vm_a));
    publish_input();
    assert_int_equal(guest_read(got, 1000), 100);
    assert_int_equal(guest_read(got, 1000), 0);
    assert_int_equal(stream_read(vm_stream(vm_b), got, 1000), 0);
}

/* --- output ---------------------------------------------------------------------- */

static void room_is_filled_without_the_vmm(void **state)
{
    (void)state;
    stream_publish(a->byte_stream, false, true);
    assert_true(guest_write(sent, 1000));
    assert_true(guest_write(sent + 1000, 150000));
    assert_int_equal(link_ab->messages, 0);
    /* The receiver is about to wait: it gets copies, as the guest may be in the middle of a write. */
    assert_int_equal(stream_read(vm_stream(vm_b), got, EXTENT), 151000);
    assert_int_equal(link_ab->extents_2m, 0);
    assert_int_equal(link_ab->messages, 3);
    assert_int_equal(shown_a->sent, 151000);
    /* Then the VMM writes, then the guest again. */
    assert_int_equal(stream_write(vm_stream(vm_a), sent + 151000, 10), 10);
    assert_int_equal(words_a->output, NO_WORD);
    stream_publish(a->byte_stream, false, true);
    assert_true(guest_write(sent + 151010, 10));
    assert_int_equal(stream_finish(vm_stream(vm_a)), 0);
    assert_int_equal(stream_read(vm_stream(vm_b), got + 151000, EXTENT), 20);
    assert_memory_equal(got, sent, 151020);
}

/* Another thread pulls; the guest may be in the middle of its next write. */
static void room_that_is_published_is_not_lent(void **state)
{
    (void)state;
    stream_publish(a->byte_stream, false, true);
    assert_true(guest_write(sent, EXTENT));
    endpoint_pull_stream(a);
    assert_int_equal(link_ab->extents_2m, 0);
    assert_int_equal(core_rights(a, a->byte_stream->filling->units.first), WINDOW_WRITE);
    for (uint64_t done = 0; done < EXTENT;) {
        ssize_t now = stream_read(vm_stream(vm_b), got + done, EXTENT);
        assert_true(now > 0);
        done += (uint64_t)now;
    }
    assert_memory_equal(got, sent, EXTENT);
}

static void a_room_that_is_full_is_lent(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 4; i++) {
        stream_publish(a->byte_stream, false, true);
        assert_true(guest_write(sent + i * EXTENT, EXTENT));
        assert_false(guest_write(sent, 1));
    }
    assert_int_equal(stream_finish(vm_stream(vm_a)), 0);
    assert_int_equal(link_ab->extents_2m, 4);
    for (uint64_t i = 0; i < 4; i++)
        assert_int_equal(core_rights(a, a->byte_stream->buffers[i].units.first), WINDOW_CLOSED);
    assert_int_equal(stream_read(vm_stream(vm_b), got, 8 * EXTENT), 4 * EXTENT);
    assert_memory_equal(got, sent, 4 * EXTENT);
    /* Home again, open, and used again. */
    stream_publish(a->byte_stream, false, true);
    assert_true(guest_write(sent, 100));
    assert_int_equal(a->byte_stream->buffer_count, 4);
}

/* What a hostile program wrote behind its output, or left there, is not seen by who borrows it. */
static void nothing_beside_the_output_is_lent(void **state)
{
    const char *payload;
    struct ferry_desc desc;

    (void)state;
    stream_publish(a->byte_stream, false, true);
    memset(guest_at(vm_a, shown_a->room_base), 'x', EXTENT);
    assert_true(guest_write(sent, EXTENT / 2 + 1));
    assert_int_equal(stream_finish(vm_stream(vm_a)), 0);
    assert_int_equal(link_ab->extents_2m, 1);
    assert_true(queue_peek(b, &desc));
    payload = guest_at(vm_b, desc.payload.addr);
    assert_memory_equal(payload, sent, EXTENT / 2 + 1);
    for (uint64_t i = EXTENT / 2 + 1; i < EXTENT; i++)
        assert_int_equal(payload[i], 0);
}

static void forged_positions_of_output_count_nothing(void **state)
{
    uint64_t good, forged[7];

    (void)state;
    stream_publish(a->byte_stream, false, true);
    assert_true(guest_write(sent, 100));
    endpoint_pull_stream(a);
    good = words_a->output;
    forged[0] = 0;
    forged[1] = good - 1;
    forged[2] = good - 100;
    forged[3] = good + EXTENT - 99;
    forged[4] = good | UINT32_MAX;
    forged[5] = (good + 1) ^ 1ull << 40;
    forged[6] = UINT64_MAX;
    for (unsigned i = 0; i < 7; i++) {
        words_a->output = forged[i];
        endpoint_pull_stream(a);
        stream_look(a->byte_stream);
    }
    assert_int_equal(link_ab->messages, 1);
    words_a->output = forged[4];
    assert_int_equal(stream_write(vm_stream(vm_a), sent + 100, 10), 10);
    assert_int_equal(stream_read(vm_stream(vm_b), got, 1000), 100);
    assert_int_equal(stream_read(vm_stream(vm_b), got + 100, 1000), 10);
    assert_memory_equal(got, sent, 110);
}

/* A CPU that is taken out of the middle of a write lets others write; no other may do that for it. */
static void a_claim_ends_with_its_cpu(void **state)
{
    uint64_t before;

    (void)state;
    stream_publish(a->byte_stream, false, true);
    before = words_a->output;
    words_a->output |= 3ull << FERRY_KERNEL_OWNER_SHIFT;
    stream_guest_left(a->byte_stream, 1);
    assert_int_not_equal(words_a->output, before);
    stream_guest_left(a->byte_stream, 2);
    assert_int_equal(words_a->output, before);
}

/* Another CPU, in the middle of a write: it leaves the guest once it was kicked. */
static uint32_t away, kicked;

/* It has written so much, and is in the middle of its next write. */
static void claim_room(uint64_t written)
{
    stream_publish(a->byte_stream, false, true);
    if (written)
        assert_true(guest_write(sent, written));
    words_a->output |= 3ull << FERRY_KERNEL_OWNER_SHIFT;
    away = 3;
    kicked = 0;
}

static bool begin_wait(struct ferry_vm *vm, void **who)
{
    (void)vm;
    *who = NULL;
    if (!kicked)
        return false; /* who waits now waits for ever */
    stream_guest_left(a->byte_stream, kicked - 1);
    away = 0;
    stream_settle(a->byte_stream);
    a->byte_stream->guest.vmm_writes = 0;
    stream_publish(a->byte_stream, false, true); /* who goes on first finds no room */
    assert_int_equal(words_a->output, NO_WORD);
    return true;
}

static bool end_wait(struct ferry_vm *vm, void *who)
{
    (void)vm;
    (void)who;
    return true;
}

static bool kicks(struct ferry_vm *vm, uint32_t cpu)
{
    (void)vm;
    if (cpu + 1 != away)
        return false;
    kicked = away;
    return true;
}

static bool keeps(struct ferry_vm *vm, const void *at, uint64_t bytes, bool write)
{
    (void)vm;
    (void)at;
    (void)bytes;
    (void)write;
    return true;
}

/* While one thread waits, the CPU commits, and a second thread finds the room free. The CPU, which was
 * kicked, leaves after that. */
static bool begin_wait_beside(struct ferry_vm *vm, void **who)
{
    uint32_t seen = atomic_load(&a->events);

    (void)vm;
    *who = NULL;
    assert_int_equal(kicked, 3);
    away = 0;
    stream_guest_left(a->byte_stream, 2);
    assert_int_equal(stream_await_writers(a->byte_stream), 0);
    stream_settle(a->byte_stream);
    assert_int_not_equal(atomic_load(&a->events), seen);
    return true;
}

static const struct endpoint_waits waits = {begin_wait, end_wait, kicks, keeps};

/* The VMM writes nothing where a CPU may still be copying: not the next bytes, and no other writer. */
static void a_write_waits_for_the_one_before(void **state)
{
    (void)state;
    a->waits = &waits;
    claim_room(100);
    assert_int_equal(stream_poll(vm_stream(vm_a), POLLOUT, 0), 0);
    assert_int_equal(kicked, 3);
    kicked = 0;
    assert_int_equal(stream_write(vm_stream(vm_a), sent + 100, 10), 10);
    assert_int_equal(kicked, 3);
    assert_int_equal(words_a->output, NO_WORD);
    assert_int_equal(stream_finish(vm_stream(vm_a)), 0);
    assert_int_equal(stream_read(vm_stream(vm_b), got, 1000), 110);
    assert_memory_equal(got, sent, 110);
}

/* Nor does a write that may not wait: it is made again when the CPU, which was kicked, has left. */
static void a_write_that_may_not_wait_is_refused(void **state)
{
    const size_t much = PIPE_BUF + 1; /* less is written only as a whole */

    (void)state;
    a->waits = &waits;
    claim_room(100);
    assert_int_equal(stream_write_some(vm_stream(vm_a), sent + 100, much), -EAGAIN);
    assert_int_equal(kicked, 3);
    stream_guest_left(a->byte_stream, 2);
    away = 0;
    assert_int_equal(stream_write_some(vm_stream(vm_a), sent + 100, much), much);
    assert_int_equal(stream_finish(vm_stream(vm_a)), 0);
    assert_int_equal(stream_read(vm_stream(vm_b), got, 2 * much), 100 + much);
    assert_memory_equal(got, sent, 100 + much);
}

/* Who found that there is no room is told when the CPU has left. */
static void who_waits_for_room_is_woken_by_the_cpu(void **state)
{
    (void)state;
    a->waits = &waits;
    claim_room(0);
    assert_int_equal(stream_poll(vm_stream(vm_a), POLLOUT, 0), 0);
    unsigned seen = a->events;
    away = 0;
    stream_settle(a->byte_stream);
    assert_int_equal(a->events, seen + 1);
    assert_int_equal(stream_poll(vm_stream(vm_a), POLLOUT, 0), POLLOUT);
    stream_settle(a->byte_stream);
    assert_int_equal(a->events, seen + 1);
}

/* A thread beside one that writes large pieces without end looks, or tries, again and again: the one
 * that writes must not be in its next piece each time. */
static void who_was_refused_has_its_turn(void **state)
{
    const size_t much = PIPE_BUF + 1;

    (void)state;
    a->waits = &waits;
    for (unsigned i = 0; i < 2; i++) {
        claim_room(0);
        if (i == 0)
            assert_int_equal(stream_poll(vm_stream(vm_a), POLLOUT, 0), 0);
        else
            assert_int_equal(stream_write_some(vm_stream(vm_a), sent, much), -EAGAIN);
        away = 0;
        stream_guest_left(a->byte_stream, 2);
        stream_settle(a->byte_stream);
        for (unsigned n = 0; n < 3; n++) {
            stream_publish(a->byte_stream, false, true);
            assert_int_equal(words_a->output, NO_WORD);
            assert_int_equal(stream_write(vm_stream(vm_a), sent, 10), 10);
            assert_int_equal(stream_poll(vm_stream(vm_a), POLLOUT, 0), POLLOUT);
        }
        assert_int_equal(stream_write_some(vm_stream(vm_a), sent, much), much);
        /* Who does not come back for it does not keep the room for ever. */
        for (unsigned n = 0; n < STREAM_PIECES_REFUSED; n++)
            assert_int_equal(stream_write(vm_stream(vm_a), sent, 10), 10);
        stream_publish(a->byte_stream, false, true);
        assert_int_not_equal(words_a->output, NO_WORD);
    }
}

/* It might be kicked in the middle of each of its tries, by who only looks. */
static void the_vmm_writes_for_a_cpu_that_was_cut_off(void **state)
{
    (void)state;
    a->waits = &waits;
    stream_publish(a->byte_stream, false, true);
    words_a->output |= 3ull << FERRY_KERNEL_OWNER_SHIFT;
    stream_guest_left(a->byte_stream, 2);
    stream_publish(a->byte_stream, false, true);
    assert_false(guest_write(sent, 10));
    assert_int_equal(stream_write(vm_stream(vm_a), sent, 10), 10);
    stream_publish(a->byte_stream, false, true);
    assert_true(guest_write(sent, 10));
}

/* The program may read what its guest kernel fills. */
static void output_may_come_from_its_own_extent(void **state)
{
    (void)state;
    stream_publish(a->byte_stream, false, true);
    char *room = guest_at(vm_a, shown_a->room_base);
    assert_true(guest_write(sent, 100));
    assert_int_equal(stream_write(vm_stream(vm_a), room + 50, 100), 100);
    assert_int_equal(stream_finish(vm_stream(vm_a)), 0);
    assert_int_equal(stream_read(vm_stream(vm_b), got, 1000), 200);
    assert_memory_equal(got, sent, 100);
    assert_memory_equal(got + 100, sent + 50, 50);
}

/* A thread that waits for room, or for the one that closes. */
static void the_end_of_the_output_wakes_its_writers(void **state)
{
    (void)state;
    unsigned seen = a->events;
    stream_close_output(vm_stream(vm_a));
    assert_true(a->events > seen);
}

static void one_wait_that_ends_leaves_the_others_theirs(void **state)
{
    static const struct endpoint_waits beside = {begin_wait_beside, end_wait, kicks, keeps};

    (void)state;
    a->waits = &beside;
    claim_room(0);
    assert_int_equal(stream_await_writers(a->byte_stream), 0);
    assert_int_equal(a->byte_stream->guest.awaiting, 0);
}

/* A claim of a CPU that is not there, or not in the guest, holds nobody up. */
static void a_forged_claim_holds_nobody_up(void **state)
{
    (void)state;
    a->waits = &waits;
    away = kicked = 0;
    stream_publish(a->byte_stream, false, true);
    words_a->output |= 0xffull << FERRY_KERNEL_OWNER_SHIFT;
    assert_int_equal(stream_write(vm_stream(vm_a), sent, 10), 10);
    assert_int_equal(kicked, 0);
    stream_publish(a->byte_stream, false, true);
    words_a->output |= 1ull << FERRY_KERNEL_OWNER_SHIFT;
    stream_publish(a->byte_stream, false, false);
    assert_int_equal(words_a->output, NO_WORD);
}

static void there_is_no_room_where_each_write_is_sent(void **state)
{
    (void)state;
    a->delivery = FERRY_DELIVER_IMMEDIATE;
    stream_publish(a->byte_stream, false, true);
    assert_int_equal(words_a->output, NO_WORD);
    a->delivery = FERRY_DELIVER_AUTO;
    a->transfer = FERRY_TRANSFER_MAP;
    stream_publish(a->byte_stream, false, true);
    assert_int_equal(words_a->output, NO_WORD);
}

static void a_writer_finds_that_its_reader_left(void **state)
{
    (void)state;
    stream_publish(a->byte_stream, false, true);
    assert_true(guest_write(sent, 100));
    stream_close_input(vm_stream(vm_b));
    assert_true(guest_write(sent, 100)); /* as into a pipe, just before */
    stream_look(a->byte_stream);
    assert_false(guest_write(sent, 100));
    assert_int_equal(stream_write(vm_stream(vm_a), sent, 100), -EPIPE);
    stream_publish(a->byte_stream, false, true);
    assert_false(guest_write(sent, 100));
}

/* The store that the guest kernel looks at after its commit. */
static void the_guest_sees_who_waits(void **state)
{
    (void)state;
    assert_int_equal(shown_a->waited, 0);
    endpoint_prepare(b);
    assert_int_equal(shown_a->waited, 1);
    endpoint_finish(b);
    assert_int_equal(shown_a->waited, 0);
}

/* --- a CPU that was stopped ------------------------------------------------------- */

static struct ferry_kernel_head code(void)
{
    static struct guest_tables tables;
    static uint64_t pages[512 * 64];
    struct ferry_kernel_head head;

    guest_tables_init(&tables, pages, guest_addr(0), 64);
    assert_int_equal(kernel_install(vm_a->guest->system, &tables, true), 0);
    memcpy(&head, vm_a->guest->system + (FERRY_KERNEL_BASE - FERRY_SYSTEM_BASE), sizeof head);
    return head;
}

static void a_place_tells_whether_the_call_took_effect(void **state)
{
    const struct ferry_kernel_head head = code();
    const struct ferry_kernel_entry *entries[] = {&head.at_cpl3, &head.at_cpl0};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        const struct ferry_kernel_entry *entry = entries[i];

        assert_int_equal(kernel_entry(i == 0).value, FERRY_KERNEL_BASE + entry->entry);
        for (uint64_t at = entry->entry; at < entry->end; at++) {
            enum kernel_place expected = at < entry->saved        ? KERNEL_LIVE
                                         : at < entry->committed  ? KERNEL_SAVED
                                         : at == entry->committed ? KERNEL_SAVED
                                         : at < entry->done       ? KERNEL_SAVED
                                                                  : KERNEL_DONE;

            assert_int_equal(kernel_place(FERRY_KERNEL_BASE + at, 0), expected);
        }
        assert_int_equal(kernel_place(FERRY_KERNEL_BASE + entry->committed, 0x40), KERNEL_DONE);
        assert_int_equal(kernel_place(FERRY_KERNEL_BASE + entry->committed - 1, 0x40),
                         KERNEL_SAVED);
    }
    assert_int_equal(kernel_place(FERRY_KERNEL_BASE + head.bytes - 1, 0), KERNEL_SAVED);
    assert_int_equal(kernel_place(FERRY_KERNEL_BASE - 1, 0), KERNEL_OUTSIDE);
    assert_int_equal(kernel_place(FERRY_KERNEL_SHOWN, 0), KERNEL_OUTSIDE);
    assert_int_equal(kernel_place(UINT64_MAX, 0), KERNEL_OUTSIDE);
}

static void registers_are_those_of_the_call(void **state)
{
    struct ferry_kernel_cpu *cpu;
    struct kvm_regs regs = {.rax = 1, .rsp = 2, .rip = 3};

    (void)state;
    code();
    cpu = (void *)(vm_a->guest->system + (FERRY_KERNEL_CPUS - FERRY_SYSTEM_BASE) +
                   5 * FERRY_KERNEL_CPU_BYTES);
    assert_int_equal(cpu->self, kernel_gs(5).value);
    cpu->rax = 10;
    cpu->rsp = 20;
    cpu->r15 = 30;
    cpu->result = 40;
    kernel_registers(vm_a->guest->system, 5, KERNEL_LIVE, &regs);
    assert_int_equal(regs.rax, 1);
    kernel_registers(vm_a->guest->system, 5, KERNEL_SAVED, &regs);
    assert_int_equal(regs.rax, 10);
    assert_int_equal(regs.rsp, 20);
    assert_int_equal(regs.r15, 30);
    kernel_registers(vm_a->guest->system, 5, KERNEL_DONE, &regs);
    assert_int_equal(regs.rax, 40);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, pair_teardown)
    const struct CMUnitTest tests[] = {
        CASE(input_is_read_where_it_lies),
        CASE(a_tick_takes_what_was_read),
        CASE(of_a_long_message_the_beginning_is_shown),
        CASE(a_tick_drops_no_messages),
        CASE(nothing_is_published_before_the_program_looked),
        CASE(forged_positions_of_input_count_nothing),
        CASE(what_a_forged_owner_reads_is_read),
        CASE(each_publication_has_its_generation),
        CASE(moved_units_are_not_published),
        CASE(the_end_of_input_is_the_vmms),
        CASE(room_is_filled_without_the_vmm),
        CASE(room_that_is_published_is_not_lent),
        CASE(a_room_that_is_full_is_lent),
        CASE(nothing_beside_the_output_is_lent),
        CASE(forged_positions_of_output_count_nothing),
        CASE(a_claim_ends_with_its_cpu),
        CASE(a_write_waits_for_the_one_before),
        CASE(a_write_that_may_not_wait_is_refused),
        CASE(who_waits_for_room_is_woken_by_the_cpu),
        CASE(who_was_refused_has_its_turn),
        CASE(the_vmm_writes_for_a_cpu_that_was_cut_off),
        CASE(output_may_come_from_its_own_extent),
        CASE(the_end_of_the_output_wakes_its_writers),
        CASE(one_wait_that_ends_leaves_the_others_theirs),
        CASE(a_forged_claim_holds_nobody_up),
        CASE(there_is_no_room_where_each_write_is_sent),
        CASE(a_writer_finds_that_its_reader_left),
        CASE(the_guest_sees_who_waits),
        CASE(a_place_tells_whether_the_call_took_effect),
        CASE(registers_are_those_of_the_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
