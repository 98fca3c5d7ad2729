/* SPDX-License-Identifier: BSD-2-Clause */
/* Transports by memory: rings between two processes, process_vm_readv, and memcpy in one. */
#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include "lines.h"
#include "processes.h"

#define RING_BYTES  (1u << 20)
#define PIECE_BYTES (64u << 10)  /* copied in, then shown to the receiver */
#define READ_BYTES  (256u << 10) /* fetched at once: still in the cache when it is read */
#define COLD_BYTES  (64u << 20)  /* more than a core's own caches hold */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static int open_ring(struct pair *pair)
{
    pair->ring_bytes = RING_BYTES;
    pair->ring = pair_memory(pair->ring_bytes, true);
    return pair->ring ? 0 : -ENOMEM;
}

/* Two messages at least: one is written while the other is read. */
static int open_slots(struct pair *pair, bool shared)
{
    size_t two = 2 * pair->work->bytes;

    pair->ring_bytes = two > RING_BYTES ? two : RING_BYTES;
    pair->ring = pair_memory(pair->ring_bytes, shared);
    return pair->ring ? 0 : -ENOMEM;
}

static int open_shared_slots(struct pair *pair)
{
    return open_slots(pair, true);
}

static int open_private_slots(struct pair *pair)
{
    return open_slots(pair, false);
}

/* Where the next `bytes` go, as soon as they are free. */
static char *ring_room(struct pair *pair, size_t bytes)
{
    uint64_t head = atomic_load_explicit(&pair->shared->head, memory_order_relaxed);

    while (head + bytes - atomic_load_explicit(&pair->shared->tail, memory_order_acquire) >
           pair->ring_bytes)
        __builtin_ia32_pause();
    return pair->ring + head % pair->ring_bytes;
}

static void ring_publish(struct pair *pair, size_t bytes)
{
    uint64_t head = atomic_load_explicit(&pair->shared->head, memory_order_relaxed);

    atomic_store_explicit(&pair->shared->head, head + bytes, memory_order_release);
}

static int send_by_copy(struct pair *pair)
{
    size_t bytes = pair->work->bytes, piece = least(bytes, PIECE_BYTES);
    char *message = pair_memory(bytes, false);

    if (!message)
        return -ENOMEM;
    while (pair_more(pair)) {
        pair_fill(pair, message);
        for (size_t at = 0; at < bytes; at += piece) {
            memcpy(ring_room(pair, piece), message + at, piece);
            ring_publish(pair, piece);
        }
    }
    atomic_store(&pair->shared->done, true);
    return 0;
}

static int send_in_place(struct pair *pair)
{
    while (pair_more(pair)) {
        pair_fill(pair, ring_room(pair, pair->work->bytes));
        ring_publish(pair, pair->work->bytes);
    }
    atomic_store(&pair->shared->done, true);
    return 0;
}

/* process_vm_readv reads the sender's memory, so that has to stay until all was read. */
static int send_readable(struct pair *pair)
{
    send_in_place(pair);
    ring_room(pair, pair->ring_bytes);
    return 0;
}

/* What lies in the ring, up to its end; 0: nothing more will come. */
static size_t ring_wait(struct pair *pair, uint64_t tail)
{
    for (;;) {
        bool done = atomic_load(&pair->shared->done);
        uint64_t head = atomic_load_explicit(&pair->shared->head, memory_order_acquire);

        if (head != tail)
            return least(head - tail, pair->ring_bytes - tail % pair->ring_bytes);
        if (done)
            return 0;
        __builtin_ia32_pause();
    }
}

static int receive_in_place(struct pair *pair)
{
    size_t bytes;

    for (uint64_t tail = 0; (bytes = ring_wait(pair, tail)) != 0; tail += bytes) {
        pair_take(pair, pair->ring + tail % pair->ring_bytes, bytes);
        atomic_store_explicit(&pair->shared->tail, tail + bytes, memory_order_release);
    }
    return 0;
}

static int receive_by_readv(struct pair *pair)
{
    char *buffer = pair_memory(READ_BYTES, false);
    size_t bytes;

    if (!buffer)
        return -ENOMEM;
    for (uint64_t tail = 0; (bytes = ring_wait(pair, tail)) != 0; tail += bytes) {
        bytes = least(bytes, READ_BYTES);
        const struct iovec local = {buffer, bytes};
        const struct iovec remote = {pair->ring + tail % pair->ring_bytes, bytes};

        if (process_vm_readv(pair->sender, &local, 1, &remote, 1, 0) != (ssize_t)bytes)
            return errno == EPERM ? -ENOTSUP : -EIO;
        atomic_store_explicit(&pair->shared->tail, tail + bytes, memory_order_release);
        pair_take(pair, buffer, bytes);
    }
    return 0;
}

const struct transport transport_ring = {open_ring, send_by_copy, receive_in_place,
                                         .spinning = true};
const struct transport transport_ring_in_place = {open_shared_slots, send_in_place,
                                                  receive_in_place, .spinning = true};
const struct transport transport_readv = {open_private_slots, send_readable, receive_by_readv,
                                          .spinning = true};

int memcpy_run(struct bench *bench, const void *arg, struct sample *out)
{
    struct pair pair = {.work = arg, .duration_ns = stream_duration_ns(bench)};
    size_t bytes = pair.work->bytes;
    char *from = pair_memory(COLD_BYTES, false), *to = pair_memory(COLD_BYTES, false);
    int result = -ENOMEM;

    if (!from || !to)
        goto out;
    bench_pin(0);
    for (size_t at = 0; pair_more(&pair); at = (at + bytes) % COLD_BYTES) {
        pair_fill(&pair, from + at);
        memcpy(to + at, from + at, bytes);
        pair_take(&pair, to + at, bytes);
    }
    uint64_t ns = bench_now_ns() - pair.first_ns;

    bench_pin(-1);
    out->value = (double)(pair.total - pair.first_total) / (double)ns;
    result = pair.work->honest && pair.sum != lines_sum(pair.total) ? -EBADMSG : 0;
out:
    pair_memory_free(from, COLD_BYTES);
    pair_memory_free(to, COLD_BYTES);
    return result;
}
