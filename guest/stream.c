/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stream layer: bytes over messages, in place on both sides. An exit costs most, so none is
 * made while there is input in the ring and room for output; releases and messages take effect at
 * the exit of the next wait.
 *
 * The library's lock is held in all functions here. Each wait gives it up: one thread may take input
 * while another makes output, and calls for messages send what was committed before they wait.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <ferry/abi/layout.h>
#include <ferry/guest.h>

#include "call.h"
#include "lock.h"
#include "message.h"
#include "process.h"
#include "stream.h"

#define EXTENTS_MAX 64u

/* Extents that a long stream of loans uses in turn, and the bytes after which one more is added: most
 * streams are short, and a new extent costs an exit and zeroing. Where two cores do not share a cache, to
 * write what the other has just read is slower than memory: see docs/performance.md. */
#define CIRCULATING 16u
#define GROW_BYTES  (4ull * FERRY_EXTENT_BYTES)

enum extent_state {
    EXTENT_FREE,    /* ours, nothing in it */
    EXTENT_CURRENT, /* being filled */
    EXTENT_COPYING, /* full; copies out of it were not all taken yet */
    EXTENT_SENDING, /* a loan of it is queued, not taken yet */
    EXTENT_LENT,
};

struct extent {
    uint8_t *base;
    enum extent_state state;
    uint32_t copies; /* queued and not taken */
};

/* A message of this layer whose status is not known yet. */
struct flight {
    int64_t ticket;
    struct extent *extent; /* NULL: a forwarded piece or a hang-up */
    struct ferry_msg msg;
};

static struct {
    bool hooked, hangup_at_exit;

    bool ended; /* input has */
    bool piece_held;
    struct ferry_msg piece;

    bool closed; /* output is */
    int error;   /* the first message that was refused says why; sticky */
    struct extent extents[EXTENTS_MAX];
    uint32_t extent_count;
    uint32_t next;          /* the place in extents[] after the one that was taken last */
    uint64_t lent_since;    /* bytes, since the last extent was added */
    bool extents_all;       /* no more are to be had */
    uint32_t lent;          /* extents in EXTENT_LENT */
    struct extent *current; /* [start, filled) is committed and not sent */
    size_t start, filled;
    bool sending; /* a thread is in send_committed, and may wait for room in the ring */
    /* The thread that has room to write in, which must not be lent meanwhile: its `self`; NULL: none,
     * or there is but one thread. */
    const char *filler;

    uint64_t oldest_ticks; /* when the first flight that was not announced was launched */
    bool unannounced;
    struct flight flights[FERRY_RING_ENTRIES]; /* each occupies a slot of the out ring */
    uint32_t flight_head, flight_tail;
} stream;

static _Thread_local char self;

/* ---- messages under way ------------------------------------------------- */

/* The piece of input is used up: its memory goes back to its owner. */
static void piece_return(const struct ferry_msg *msg)
{
    if (msg->mode == FERRY_COPY || msg->mode == FERRY_LEND) {
        ferry_guest_release(msg->token);
    } else if (msg->mode == FERRY_MOVE) {
        uint64_t addr, bytes;

        ferry_guest_units(msg->data, msg->bytes, &addr, &bytes);
        ferry_guest_call(FERRY_CALL_FREE, addr, bytes, 0);
    }
}

static void flight_ended(const struct flight *flight, int status)
{
    struct extent *extent = flight->extent;

    if (status < 0 && stream.error == 0)
        stream.error = status;
    if (extent == NULL) {
        if (status < 0)
            piece_return(&flight->msg);
    } else if (flight->msg.mode == FERRY_COPY) {
        extent->copies--;
        if (extent->copies == 0 && extent->state == EXTENT_COPYING)
            extent->state = EXTENT_FREE;
    } else if (status < 0) {
        extent->state = EXTENT_FREE;
    } else {
        extent->state = EXTENT_LENT;
        stream.lent++;
    }
}

/* Processes the results of messages of this layer. */
static void settle(void)
{
    while (stream.flight_tail != stream.flight_head) {
        struct flight flight = stream.flights[stream.flight_tail % FERRY_RING_ENTRIES];
        int status = ferry_guest_status(flight.ticket);

        if (status == -EINPROGRESS)
            return;
        stream.flight_tail++;
        flight_ended(&flight, status);
    }
}

/* On an error nothing was queued and the extent is as it was. The program will probably ask for
 * input next, and if it has to wait, the exit of that wait takes the message along. announce() is
 * for the case that it need not wait. */
static int launch(const struct ferry_msg *msg, struct extent *extent)
{
    int64_t ticket = ferry_guest_send(msg, FERRY_DEFERRED);

    if (ticket < 0) {
        if (stream.error == 0)
            stream.error = (int)ticket;
        return (int)ticket;
    }
    if (!stream.unannounced || stream.flight_tail == stream.flight_head)
        stream.oldest_ticks = __builtin_ia32_rdtsc();
    stream.unannounced = true;
    stream.flights[stream.flight_head++ % FERRY_RING_ENTRIES] =
        (struct flight){.ticket = ticket, .extent = extent, .msg = *msg};
    return 0;
}

/* The program goes on to compute: a receiver that waits for what was sent gets it first. */
static void announce(void)
{
    uint16_t peer = ferry_control()->info.stdout_peer;

    stream.unannounced = false;
    if (peer != FERRY_NO_PEER)
        ferry_guest_announce(peer);
}

/* The program goes on to make output. If it makes much output in a row and its receiver is faster,
 * it would pay an exit for each extent. So messages gather for as long as a few exits take. */
static void announce_soon(void)
{
    if (stream.unannounced &&
        __builtin_ia32_rdtsc() - stream.oldest_ticks >= ferry_control()->info.gather_ticks)
        announce();
}

/* ---- output ------------------------------------------------------------- */

/* A payload longer than one copy can be is sent as several copies: below the crossover that is
 * still cheaper than a loan. */
static bool must_copy(const struct ferry_control_info *info, size_t bytes)
{
    return info->payload == FERRY_PAYLOAD_COPY ||
           (info->payload == FERRY_PAYLOAD_AUTO && bytes <= info->crossover_bytes);
}

int ferry_stream_await_sender(void)
{
    int64_t events = 0;

    while (stream.sending && events >= 0)
        events = ferry_guest_wait(FERRY_EVENT_OUT, UINT64_MAX);
    return events < 0 ? (int)events : 0;
}

/* Queues what was committed. A loan takes the whole extent away; after copies, the rest of the
 * extent can still be filled. */
static int queue_committed(void)
{
    const struct ferry_control_info *info = &ferry_control()->info;
    struct ferry_msg msg = {.mode = FERRY_LEND, .dst = info->stdout_peer};
    struct extent *extent = stream.current;
    size_t start = stream.start, bytes;

    if (extent == NULL || start == stream.filled)
        return stream.error;
    bytes = stream.filled - start;
    stream.start = stream.filled;
    if (info->stdout_peer == FERRY_NO_PEER)
        return 0; /* nobody receives: output vanishes, as with /dev/null */
    if (must_copy(info, bytes)) {
        msg.mode = FERRY_COPY;
        for (size_t done = 0; done < bytes; done += msg.bytes) {
            msg.data = extent->base + start + done;
            msg.bytes = bytes - done < FERRY_COPY_BYTES ? bytes - done : FERRY_COPY_BYTES;
            if (launch(&msg, extent) != 0)
                return stream.error;
            extent->copies++;
        }
        return 0;
    }
    msg.data = extent->base + start;
    msg.bytes = bytes;
    if (launch(&msg, extent) != 0)
        return stream.error;
    extent->state = EXTENT_SENDING;
    stream.lent_since += bytes;
    stream.current = NULL;
    return 0;
}

static int send_committed(void)
{
    int result;

    if (stream.sending || (stream.filler != NULL && stream.filler != &self))
        return stream.error;
    stream.sending = true;
    result = queue_committed();
    stream.sending = false;
    return result;
}

static struct extent *extent_add(uint8_t *base)
{
    struct extent *extent = &stream.extents[stream.extent_count++];

    *extent = (struct extent){.base = base, .state = EXTENT_FREE};
    stream.lent_since = 0;
    return extent;
}

/* In turn: those that lie side by side are handed over together, and what a receiver has just read has
 * left its cache when it is written again. */
static struct extent *extent_free(void)
{
    for (uint32_t i = 0; i < stream.extent_count; i++) {
        struct extent *extent = &stream.extents[(stream.next + i) % stream.extent_count];

        if (extent->state == EXTENT_FREE)
            return extent;
    }
    return NULL;
}

/* Whether a stream that goes on should have one more, though another may be free: at most half of what
 * the program may own, the rest of which may be wanted for messages. */
static bool should_grow(void)
{
    return stream.lent_since >= GROW_BYTES && !stream.extents_all &&
           stream.extent_count < CIRCULATING &&
           stream.extent_count < ferry_control()->info.pool_extents / 2;
}

static struct extent *extent_alloc(int *error)
{
    int64_t result;

    if (stream.extents_all || stream.extent_count >= EXTENTS_MAX ||
        stream.extent_count >= ferry_control()->info.pool_extents)
        return NULL;
    result = ferry_guest_call(FERRY_CALL_ALLOC, 1, 0, 0);
    if (result > 0)
        return extent_add((uint8_t *)(uintptr_t)result);
    /* Make do with those there are; asking again would cost an exit each time. */
    stream.extents_all = stream.extent_count > 0;
    *error = (int)result;
    return NULL;
}

/* An extent to fill: one that came home, else a new one, else wait. */
static int extent_take(void)
{
    for (;;) {
        struct extent *extent;
        int result = -EDQUOT;
        int64_t events;

        settle();
        ferry_guest_take_homes();
        if (stream.error != 0)
            return stream.error;
        extent = should_grow() ? extent_alloc(&result) : NULL;
        if (extent == NULL)
            extent = extent_free();
        if (extent == NULL)
            extent = extent_alloc(&result);
        if (extent != NULL) {
            extent->state = EXTENT_CURRENT;
            stream.next = (uint32_t)(extent - stream.extents) + 1;
            stream.current = extent;
            stream.start = stream.filled = 0;
            return 0;
        }
        if (stream.extent_count == 0)
            return result;
        /* A loan that was taken comes home for certain. One that was not may be
         * refused, and only the out ring tells. */
        events = ferry_guest_wait(
            stream.lent > 0 ? FERRY_EVENT_HOME : FERRY_EVENT_HOME | FERRY_EVENT_OUT, UINT64_MAX);
        if (events < 0)
            return (int)events;
    }
}

static bool came_home(uint64_t addr, uint64_t bytes)
{
    bool mine = false;

    settle(); /* the loan was taken before it could come home */
    for (uint32_t i = 0; i < stream.extent_count; i++) {
        struct extent *extent = &stream.extents[i];
        uint64_t base = (uintptr_t)extent->base;

        if (extent->state != EXTENT_LENT || addr + bytes <= base ||
            addr >= base + FERRY_EXTENT_BYTES)
            continue;
        extent->state = EXTENT_FREE;
        stream.lent--;
        mine = true;
    }
    return mine;
}

static void flush_before_wait(void)
{
    send_committed();
}

static void at_exit(void)
{
    if (!stream.closed)
        ferry_close();
}

/* Everything that must be set up before this layer is used in a VM. */
static const struct ferry_control_info *enter(void)
{
    const struct ferry_control *control = ferry_control();

    if (control == NULL)
        return NULL;
    if (!stream.hooked) {
        static const struct ferry_guest_hooks hooks = {settle, flush_before_wait, came_home};

        ferry_guest_set_hooks(&hooks);
        stream.hooked = true;
    }
    return &control->info;
}

/* Output is made from now on, so exit() has to finish it. */
static void finish_at_exit(void)
{
    if (!stream.hangup_at_exit)
        stream.hangup_at_exit = atexit(at_exit) == 0;
}

/* The room left in the extent is too small: sends what is committed. If nobody reads from the
 * extent any more, it is filled again from its start. */
static int room_more(void)
{
    int result = send_committed();

    if (result != 0)
        return result;
    if (stream.current != NULL) {
        if (stream.current->copies == 0) {
            stream.start = stream.filled = 0;
            return 0;
        }
        stream.current->state = EXTENT_COPYING;
        stream.current = NULL;
    }
    return extent_take();
}

/* The output is this thread's from now on. One that made it before has given up the room that it did
 * not commit. */
static void make_output(void)
{
    if (stream.filler != &self)
        stream.filler = NULL;
}

ssize_t ferry_stream_output(void **data, size_t want)
{
    size_t need = want > 0 ? want : 1;

    if (want > FERRY_EXTENT_BYTES)
        return -EMSGSIZE;
    if (enter() == NULL)
        return ferry_process_output(data, want);
    make_output();
    settle();
    if (stream.error < 0)
        return stream.error;
    if (stream.closed)
        return -EPIPE;
    if (stream.current != NULL && stream.current->copies == 0 && stream.start == stream.filled)
        stream.start = stream.filled = 0;
    if (stream.current == NULL || FERRY_EXTENT_BYTES - stream.filled < need) {
        int result = room_more();

        if (result != 0)
            return result < 0 ? result : -EPIPE; /* an error is never positive */
    }
    announce_soon();
    stream.filler = ferry_guest_is_alone() ? NULL : &self;
    *data = stream.current->base + stream.filled;
    return (ssize_t)(FERRY_EXTENT_BYTES - stream.filled);
}

int ferry_stream_commit(size_t bytes)
{
    const struct ferry_control_info *info = enter();

    finish_at_exit();
    if (info == NULL)
        return ferry_process_commit(bytes);
    stream.filler = NULL;
    if (bytes == 0)
        return stream.error;
    if (stream.current == NULL || bytes > FERRY_EXTENT_BYTES - stream.filled)
        return -EINVAL;
    stream.filled += bytes;
    if (stream.filled == FERRY_EXTENT_BYTES ||
        (must_copy(info, FERRY_EXTENT_BYTES) && stream.filled - stream.start >= FERRY_COPY_BYTES))
        return send_committed();
    return stream.error;
}

int ferry_stream_flush(void)
{
    if (enter() == NULL)
        return ferry_process_flush();
    make_output();
    settle();
    send_committed();
    announce();
    return stream.error;
}

/* That a message was refused shows at an exit, and the program may make none before it ends well. What waits
 * for room still waits then. */
static void learn_of_refused(void)
{
    ferry_guest_wait(FERRY_EVENT_OUT, 0);
    settle();
}

int ferry_stream_close(void)
{
    const struct ferry_control_info *info = enter();
    struct ferry_msg hangup = {.mode = FERRY_HANGUP};
    bool unknown;

    if (info == NULL) {
        stream.closed = true;
        return ferry_process_close();
    }
    stream.filler = NULL; /* exit() may be called by any thread */
    if (!stream.closed) {
        settle();
        send_committed();
        unknown = stream.flight_tail != stream.flight_head;
        hangup.dst = info->stdout_peer;
        if (hangup.dst != FERRY_NO_PEER && stream.error == 0)
            launch(&hangup, NULL);
        stream.closed = true;
        if (unknown)
            learn_of_refused();
    }
    return stream.error;
}

/* ---- input -------------------------------------------------------------- */

/* If the program makes output and lacks an extent, it keeps a moved one for that; otherwise moved
 * extents go back to the pool, or they would pile up here. */
static bool adopt(const struct ferry_msg *msg)
{
    uint64_t addr, bytes;

    if (msg->mode != FERRY_MOVE || stream.extent_count == 0 || extent_free() != NULL)
        return false;
    ferry_guest_units(msg->data, msg->bytes, &addr, &bytes);
    if (addr % FERRY_EXTENT_BYTES != 0 || bytes % FERRY_EXTENT_BYTES != 0 ||
        bytes / FERRY_EXTENT_BYTES > EXTENTS_MAX - stream.extent_count)
        return false;
    for (uint64_t offset = 0; offset < bytes; offset += FERRY_EXTENT_BYTES)
        extent_add((uint8_t *)(uintptr_t)(addr + offset));
    return true;
}

static void piece_drop(void)
{
    if (stream.piece_held && !adopt(&stream.piece))
        piece_return(&stream.piece);
    stream.piece_held = false;
}

ssize_t ferry_stream_input(const void **data)
{
    const struct ferry_control_info *info = enter();

    if (info == NULL)
        return ferry_process_input(data);
    piece_drop();
    while (!stream.ended && info->stdin_peer != FERRY_NO_PEER) {
        int result = ferry_guest_take_from(info->stdin_peer, &stream.piece);

        if (result == -EAGAIN) {
            int64_t events;

            settle();
            send_committed();
            events = ferry_guest_wait(FERRY_EVENT_IN, UINT64_MAX);
            if (events < 0)
                return events;
            continue;
        }
        if (result != 0)
            return result;
        stream.piece_held = true;
        if (stream.piece.mode == FERRY_HANGUP)
            stream.ended = true;
        if (stream.piece.bytes > 0) {
            announce();
            *data = ferry_msg_data(&stream.piece);
            return (ssize_t)stream.piece.bytes;
        }
        piece_drop();
    }
    return 0;
}

/* A piece that cannot be forwarded is copied through the room for output. */
static int forward_copy(const uint8_t *data, size_t bytes)
{
    while (bytes > 0) {
        void *room;
        ssize_t got = ferry_stream_output(&room, 0);
        size_t part;
        int result;

        if (got < 0)
            return (int)got;
        part = bytes < (size_t)got ? bytes : (size_t)got;
        memcpy(room, data, part);
        result = ferry_stream_commit(part);
        if (result != 0)
            return result;
        data += part;
        bytes -= part;
    }
    return 0;
}

int ferry_stream_forward(void)
{
    const struct ferry_control_info *info = enter();
    struct ferry_msg msg = stream.piece;
    int result;

    finish_at_exit();
    if (info == NULL)
        return ferry_process_forward();
    if (!stream.piece_held)
        return -EINVAL;
    if (stream.closed)
        return -EPIPE;
    make_output();
    if ((msg.mode != FERRY_LEND && msg.mode != FERRY_MOVE) || info->payload == FERRY_PAYLOAD_COPY ||
        info->stdout_peer == FERRY_NO_PEER) {
        result = forward_copy(ferry_msg_data(&msg), msg.bytes);
        piece_drop();
        return result;
    }
    settle();
    result = send_committed(); /* earlier output goes first */
    msg.dst = info->stdout_peer;
    if (result == 0)
        result = launch(&msg, NULL);
    if (result == 0)
        stream.piece_held = false;
    else
        piece_drop();
    return result;
}
