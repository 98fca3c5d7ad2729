/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest kernel's part of the streams (abi/kernel.h): publishing input that lies ready and room for
 * output, and taking both back. The stream stays the VMM's: whenever the VMM itself looks at input, or
 * writes output, it takes back what it had published.
 *
 * Nothing of what the guest writes is believed. A position counts if it has the generation of what was
 * published and lies between the one seen before and the end; else it is as if the guest had read, or
 * written, nothing more. What is published is the VM's to read or write in any case: payloads of
 * messages that it received, and extents that it owns. models/input.pml and output.pml try all orders of
 * what CPUs, the ticker and the VMM do here.
 */
#include "stream/stream.h"

#include <errno.h>
#include <unistd.h>

#include "ipc/endpoint_wait.h"
#include "ipc/exchange.h"
#include "ipc/mode.h"
#include "ipc/queue.h"
#include "ipc/units.h"
#include "lib/bits.h"
#include "stream/stream_internal.h"

#define TRIES_MOST 1000

/* So many calls cost about as much as the start of the guest kernel does. */
#define CALLS_TO_START 8

bool stream_is_busy(const struct stream *stream)
{
    return stream->calls >= CALLS_TO_START;
}

void stream_guest_start(struct stream *stream, struct ferry_kernel_shown *shown,
                        struct ferry_kernel_words *words, uint64_t gather_ticks)
{
    struct ferry_link *out = stream->endpoint->stream_out;

    *shown = (struct ferry_kernel_shown){.gather_ticks = gather_ticks,
                                         .gather_bytes = STREAM_GATHER_BYTES,
                                         .input_fd = FERRY_KERNEL_NO_FD,
                                         .output_fd = FERRY_KERNEL_NO_FD};
    stream->guest.shown = shown;
    stream->guest.words = words;
    if (!out)
        return;
    /* As in endpoint_show_waiting: under this lock, so that the last store is the newest one. */
    endpoint_lock(stream->endpoint);
    out->sender_waited = &shown->waited;
    __atomic_store_n(&shown->waited, atomic_load(&out->to->waiting), __ATOMIC_SEQ_CST);
    endpoint_unlock(stream->endpoint);
}

/* The next generation; 0 means that nothing is published. */
static uint64_t next_generation(uint32_t *generation)
{
    const uint32_t most = UINT32_MAX >> (FERRY_KERNEL_GENERATION_SHIFT - 32);

    *generation = *generation < most ? *generation + 1 : 1;
    return (uint64_t)*generation << FERRY_KERNEL_GENERATION_SHIFT;
}

/* Whether the guest's word is about what was published; its position is beyond `seen`, and not
 * beyond `end`. */
static bool is_news(uint64_t word, uint32_t generation, uint64_t seen, uint64_t end)
{
    uint32_t position = ferry_kernel_position(word);

    return ferry_kernel_generation(word) == generation && position > seen && position <= end;
}

/* --- input ----------------------------------------------------------------------- */

/* The program got so many bytes, all of which are there. */
static void consume(struct stream *stream, uint64_t bytes)
{
    atomic_fetch_add_explicit(&stream->endpoint->stream_in->bytes_copied, bytes,
                              memory_order_relaxed);
    while (bytes) {
        uint64_t now = bytes < stream->left ? bytes : stream->left;

        stream_consume(stream, now);
        bytes -= now;
        if (stream->left)
            continue;
        stream_drop_message(stream);
        if (stream->ahead_count) {
            stream_begin_message(stream, &stream->ahead[stream->ahead_first]);
            stream->ahead_first = (stream->ahead_first + 1) % AHEAD_MAX;
            stream->ahead_count--;
        }
    }
}

static void count_input(struct stream *stream, uint64_t word)
{
    struct guest_side *guest = &stream->guest;

    if (!is_news(word, guest->input_generation, guest->input_seen, guest->input_bytes))
        return;
    uint64_t bytes = ferry_kernel_position(word) - guest->input_seen;
    guest->input_seen += bytes;
    guest->reads++;
    consume(stream, bytes);
}

void stream_take_input_back(struct stream *stream)
{
    struct guest_side *guest = &stream->guest;

    if (!guest->input_open)
        return;
    guest->input_open = false;
    count_input(stream, __atomic_exchange_n(&guest->words->input, 0, __ATOMIC_SEQ_CST));
}

/* Whether the guest kernel can read it where it lies. Moved units are the program's, which may give
 * them away; of what is read of the others it has no say. */
static bool can_show(const struct ferry_desc *message)
{
    const struct mode *mode = mode_of(message->mode);

    return mode->has_token && mode_has_payload(mode);
}

/* Whether the next message of the queue is input that can be shown. */
static bool shows_next(const struct stream *stream)
{
    struct endpoint *endpoint = stream->endpoint;
    struct ferry_desc message;

    return queue_peek(endpoint, &message) && message.src == endpoint->stream_in->from->id &&
           can_show(&message) && message.payload.bytes;
}

/* Takes messages that lie ready: those that are no input, or end it, remain. */
static void take_ahead(struct stream *stream)
{
    struct endpoint *endpoint = stream->endpoint;
    struct ferry_desc message;

    while (stream->ahead_count < AHEAD_MAX - 1 && shows_next(stream) &&
           queue_take(endpoint, &message)) {
        stream->ahead[(stream->ahead_first + stream->ahead_count) % AHEAD_MAX] = message;
        stream->ahead_count++;
    }
}

static void show_piece(struct guest_side *guest, uint32_t i, uint64_t addr, uint64_t bytes)
{
    struct ferry_kernel_piece *piece =
        &guest->shown->pieces[i]; /* below the pieces that there are */

    __atomic_store_n(&piece->base, addr - guest->input_bytes, __ATOMIC_RELAXED);
    guest->input_bytes += bytes;
    __atomic_store_n(&piece->end, guest->input_bytes, __ATOMIC_RELAXED);
}

/* A message that can be shown is being read. Positions have 32 bits: of a longer one the beginning is
 * shown, and nothing after it. */
static void show_input(struct stream *stream)
{
    struct guest_side *guest = &stream->guest;
    const uint64_t first = min_u64(stream->left, UINT32_MAX);
    uint32_t count = 1;

    guest->input_seen = guest->input_bytes = 0;
    take_ahead(stream);
    show_piece(guest, 0,
               stream->message.payload.addr + (stream->message.payload.bytes - stream->left),
               first);
    for (; first == stream->left && count <= stream->ahead_count; count++) {
        const struct ferry_desc *next =
            &stream->ahead[(stream->ahead_first + count - 1) % AHEAD_MAX];

        if (guest->input_bytes + next->payload.bytes > UINT32_MAX)
            break;
        show_piece(guest, count, next->payload.addr, next->payload.bytes);
    }
    __atomic_store_n(&guest->shown->piece_count, count, __ATOMIC_RELAXED);
    __atomic_store_n(&guest->shown->input_hung_up, queue_hung_up(stream->endpoint->stream_in),
                     __ATOMIC_RELAXED);
    guest->input_open = true;
    __atomic_store_n(&guest->words->input, next_generation(&guest->input_generation),
                     __ATOMIC_RELEASE);
}

/* Whether so much is left of what was published that more need not be. */
static bool is_enough(const struct stream *stream)
{
    const struct guest_side *guest = &stream->guest;

    return guest->input_open && guest->input_bytes - guest->input_seen > STREAM_GATHER_BYTES;
}

static void publish_input(struct stream *stream)
{
    struct endpoint *endpoint = stream->endpoint;
    struct ferry_desc message;

    if (is_enough(stream) || stream->ended || !endpoint->stream_in ||
        !atomic_load_explicit(&endpoint->stream_in->wanted, memory_order_relaxed))
        return;
    if (stream->guest.input_open && !queue_peek(endpoint, &message))
        return;
    if (stream_input_ready(stream) > 0)
        stream_next_message(stream);
    if (stream->have && can_show(&stream->message))
        show_input(stream);
}

/* --- output ---------------------------------------------------------------------- */

static void count_written(struct stream *stream, uint64_t word)
{
    lock_assert_held(&stream->lock);
    uint64_t position = ferry_kernel_position(word);

    if (!is_news(word, stream->guest.room_generation, stream->fill, FERRY_EXTENT_BYTES))
        return;
    atomic_fetch_add_explicit(&stream->endpoint->stream_out->bytes_copied, position - stream->fill,
                              memory_order_relaxed);
    stream->fill = position;
}

void stream_count_room(struct stream *stream)
{
    lock_assert_held(&stream->lock);
    if (stream->guest.room_open)
        count_written(stream, __atomic_load_n(&stream->guest.words->output, __ATOMIC_ACQUIRE));
}

void stream_take_room_back(struct stream *stream)
{
    lock_assert_held(&stream->lock);
    if (!stream->guest.room_open)
        return;
    count_written(stream, __atomic_exchange_n(&stream->guest.words->output, 0, __ATOMIC_SEQ_CST));
    stream->guest.room_open = false;
    if (stream->start == stream->fill)
        stream->start = stream->fill = 0;
}

/* Whether a CPU that may be in the guest has claimed the room. The guest may have forged that, so it
 * must be one that is there; and it is made to exit, so that it does not keep the claim. */
static bool is_claimed(const struct stream *stream, uint64_t word)
{
    const struct endpoint *endpoint = stream->endpoint;
    uint32_t owner = ferry_kernel_owner(word);

    return owner && ferry_kernel_generation(word) == stream->guest.room_generation &&
           endpoint->waits && endpoint->waits->kicks(endpoint->vm, owner - 1);
}

bool stream_try_room_back(struct stream *stream)
{
    lock_assert_held(&stream->lock);
    uint64_t *output, word = 0;

    if (!stream->guest.room_open)
        return true;
    output = &stream->guest.words->output;
    /* No claim can begin once the word is 0 (models/output.pml). A guest that forges words without end
     * is its own loss. */
    for (unsigned tries = 0; tries < TRIES_MOST; tries++) {
        word = __atomic_load_n(output, __ATOMIC_ACQUIRE);
        if (is_claimed(stream, word)) {
            stream->guest.wanted = true;
            return false;
        }
        if (__atomic_compare_exchange_n(output, &word, 0, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED))
            break;
    }
    count_written(stream, word);
    stream_take_room_back(stream);
    return true;
}

static bool try_room_back(struct stream *stream)
{
    lock_take(&stream->lock);
    bool done = stream_try_room_back(stream);
    lock_drop(&stream->lock);
    return done;
}

void stream_keep_room(struct stream *stream, unsigned pieces)
{
    if (stream->guest.vmm_writes < pieces)
        stream->guest.vmm_writes = pieces;
}

int stream_await_writers(struct stream *stream)
{
    struct endpoint *endpoint = stream->endpoint;
    int result = 0;

    /* Others may wait as well, and one that is done does not speak for them. */
    stream->guest.awaiting++;
    while (result == 0 && !try_room_back(stream)) {
        uint32_t seen = endpoint_prepare(endpoint);
        if (!try_room_back(stream))
            result = endpoint_block(endpoint, seen, UINT64_MAX);
        endpoint_finish(endpoint);
    }
    stream->guest.awaiting--;
    return result;
}

static void show_room(struct stream *stream)
{
    lock_assert_held(&stream->lock);
    struct endpoint *endpoint = stream->endpoint;
    struct guest_side *guest = &stream->guest;
    struct pool_offset start = pool_offset(&endpoint->exchange->pool, stream->filling->units.first);

    __atomic_store_n(&guest->shown->room_base, endpoint_addr(endpoint, start).value,
                     __ATOMIC_RELAXED);
    __atomic_store_n(&guest->shown->room_bytes, FERRY_EXTENT_BYTES, __ATOMIC_RELAXED);
    __atomic_store_n(&guest->shown->sent, stream->start, __ATOMIC_RELAXED);
    guest->room_open = true;
    /* Position and generation in one store; nobody is in the middle of a write. */
    __atomic_store_n(&guest->words->output, next_generation(&guest->room_generation) | stream->fill,
                     __ATOMIC_RELEASE);
}

/* -EAGAIN: there is none now. */
static int open_room(struct stream *stream)
{
    lock_assert_held(&stream->lock);
    int result = 0;

    if (stream->filling && stream->fill == FERRY_EXTENT_BYTES)
        result = stream_flush(stream);
    if (result == 0)
        result = stream_take_buffer(stream);
    if (result == 0 && !stream->filling->open) {
        result = units_open(stream->endpoint, stream->filling->units);
        stream->filling->open = result == 0;
    }
    return result;
}

/* Nothing is shown where each write has to be sent, or everything has to be lent. */
static bool can_have_room(const struct stream *stream)
{
    const struct endpoint *endpoint = stream->endpoint;

    return endpoint->stream_out && !stream->output_closed && !stream->writing &&
           !stream->guest.awaiting && !stream->guest.vmm_writes &&
           endpoint->delivery != FERRY_DELIVER_IMMEDIATE &&
           endpoint->transfer != FERRY_TRANSFER_MAP && queue_accepts(endpoint->stream_out);
}

/* Where a write finds no room now, it leaves, and the VMM waits. */
static void publish_room(struct stream *stream)
{
    if (!can_have_room(stream)) {
        stream_unpublish(stream, false, true);
        return;
    }
    lock_take(&stream->lock);
    stream_count_room(stream);
    if (stream->guest.room_open && stream->fill == FERRY_EXTENT_BYTES)
        stream_take_room_back(stream); /* there is no room for a claim */
    if (!stream->guest.room_open && open_room(stream) == 0)
        show_room(stream);
    lock_drop(&stream->lock);
}

/* --- all ------------------------------------------------------------------------- */

/* Which descriptors are streams, also for calls that touch no stream. */
static void show_files(struct guest_side *guest, bool input, bool output)
{
    __atomic_store_n(&guest->shown->input_fd, input ? STDIN_FILENO : FERRY_KERNEL_NO_FD,
                     __ATOMIC_RELEASE);
    __atomic_store_n(&guest->shown->output_fd, output ? STDOUT_FILENO : FERRY_KERNEL_NO_FD,
                     __ATOMIC_RELEASE);
}

void stream_publish(struct stream *stream, bool input, bool output)
{
    show_files(&stream->guest, input, output);
    stream_unpublish(stream, !input, !output);
    if (input)
        publish_input(stream);
    if (output)
        publish_room(stream);
}

void stream_unpublish(struct stream *stream, bool input, bool output)
{
    if (input)
        stream_take_input_back(stream);
    if (output && stream->guest.room_open)
        stream_await_writers(stream); /* where it is interrupted, the program ends */
}

void stream_settle(struct stream *stream)
{
    struct guest_side *guest = &stream->guest;

    if (guest->input_open)
        count_input(stream, __atomic_load_n(&guest->words->input, __ATOMIC_ACQUIRE));
    if (!guest->wanted)
        return;
    /* Taken back here, since this CPU may write again before who waits has a turn. */
    guest->wanted = false;
    if (try_room_back(stream))
        endpoint_wake(stream->endpoint);
}

unsigned stream_guest_reads(const struct stream *stream)
{
    return stream->guest.reads;
}

void stream_guest_left(struct stream *stream, uint32_t cpu)
{
    uint64_t *output = &stream->guest.words->output;
    uint64_t word = __atomic_load_n(output, __ATOMIC_RELAXED);

    if (ferry_kernel_owner(word) != cpu + 1)
        return;
    stream_keep_room(stream, STREAM_PIECES_CUT_OFF);
    /* If it fails, somebody has taken the room back. */
    __atomic_compare_exchange_n(output, &word,
                                word & ~(FERRY_KERNEL_OWNER_MASK << FERRY_KERNEL_OWNER_SHIFT),
                                false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

void stream_look(struct stream *stream)
{
    struct guest_side *guest = &stream->guest;

    if (!guest->shown)
        return;
    if (guest->input_open) {
        count_input(stream, __atomic_load_n(&guest->words->input, __ATOMIC_ACQUIRE));
        /* Messages that are only dropped are the VM's own work: they may come without end. */
        if (stream->have || shows_next(stream))
            publish_input(stream);
        __atomic_store_n(&guest->shown->input_hung_up, queue_hung_up(stream->endpoint->stream_in),
                         __ATOMIC_RELAXED);
    }
    /* The next write leaves, and finds that nobody reads any more. The guest may be in the middle of
     * one, so the room is taken back only at its exit. */
    if (guest->room_open && !queue_accepts(stream->endpoint->stream_out))
        __atomic_store_n(&guest->words->output, 0, __ATOMIC_RELEASE);
}
