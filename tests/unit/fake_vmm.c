/* SPDX-License-Identifier: BSD-2-Clause */
/* The VMM's side of the rings, for tests of the guest library. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <ferry/abi/layout.h>
#include <ferry/guest.h>

#include "call.h"
#include "fake_vmm.h"

#define MASK          (FERRY_RING_ENTRIES - 1)
#define TOKEN_MASK    (FERRY_TOKENS - 1)
#define RECEIVE_BYTES (FERRY_TOKENS * FERRY_COPY_BYTES)

struct fake_vmm fake;
static uint8_t *receive_buffers;

static void add_peer(uint16_t id, uint16_t rights, const char *name)
{
    struct ferry_peer *peer = &fake.control->info.peers[fake.control->info.peer_count++];

    peer->id = id;
    peer->rights = rights;
    peer->state = FERRY_PEER_LIVE;
    strcpy(peer->name, name);
}

void fake_start(uint32_t index)
{
    const size_t bytes = FAKE_EXTENTS * FERRY_EXTENT_BYTES;
    int fd = memfd_create("window", 0);
    uint8_t *reserved;
    struct ferry_control_info *info;

    memset(&fake, 0, sizeof(fake));
    assert_int_not_equal(fd, -1);
    assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
    reserved =
        mmap(NULL, bytes + FERRY_EXTENT_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(reserved, MAP_FAILED);
    reserved += -(uintptr_t)reserved % FERRY_EXTENT_BYTES;
    fake.window = mmap(reserved, bytes, PROT_NONE, MAP_SHARED | MAP_FIXED, fd, 0);
    fake.view = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    fake.control = mmap(NULL, sizeof(*fake.control), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    receive_buffers =
        mmap(NULL, RECEIVE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(fake.window, MAP_FAILED);
    assert_ptr_not_equal(fake.view, MAP_FAILED);
    assert_ptr_not_equal(fake.control, MAP_FAILED);
    assert_ptr_not_equal(receive_buffers, MAP_FAILED);
    close(fd);

    fake.credit = UINT32_MAX;
    info = &fake.control->info;
    info->magic = FERRY_CONTROL_MAGIC;
    info->version = FERRY_ABI_VERSION;
    info->size_bytes = sizeof(*fake.control);
    info->window_base = (uintptr_t)fake.window;
    info->window_bytes = bytes;
    info->crossover_bytes = 16384;
    info->pool_extents = 4;
    info->stdin_peer = FAKE_FEEDER;
    info->stdout_peer = FAKE_RECEIVER;
    add_peer(FAKE_FEEDER, FERRY_MAY_RECEIVE, "feeder");
    add_peer(FAKE_RECEIVER, FERRY_MAY_SEND, "receiver");
    add_peer(FAKE_OTHER, FERRY_MAY_SEND | FERRY_MAY_RECEIVE, "other");
    fake.out_tail = fake.in_head = fake.home_head = fake.release_tail = index;
    fake.control->vmm.out_tail = fake.control->guest.out_head = index;
    fake.control->vmm.in_head = fake.control->guest.in_tail = index;
    fake.control->vmm.home_head = fake.control->guest.home_tail = index;
    fake.control->guest.release_head = index;
}

void fake_stop(void)
{
    if (fake.control != NULL)
        munmap(fake.control, sizeof(*fake.control));
    munmap(fake.window, FAKE_EXTENTS * FERRY_EXTENT_BYTES);
    munmap(fake.view, FAKE_EXTENTS * FERRY_EXTENT_BYTES);
    munmap(receive_buffers, RECEIVE_BYTES);
    free(fake.bytes);
    memset(&fake, 0, sizeof(fake));
}

/* ---- window ------------------------------------------------------------- */

static void open_extents(uint64_t addr, uint64_t bytes, int prot)
{
    uint64_t start = (addr - (uintptr_t)fake.window) & ~(FERRY_EXTENT_BYTES - 1);
    uint64_t end = addr - (uintptr_t)fake.window + bytes;

    assert_true(addr >= (uintptr_t)fake.window && end <= FAKE_EXTENTS * FERRY_EXTENT_BYTES);
    end = (end + FERRY_EXTENT_BYTES - 1) & ~(FERRY_EXTENT_BYTES - 1);
    assert_int_equal(mprotect(fake.window + start, end - start, prot), 0);
}

static int64_t extent_new(void)
{
    for (uint32_t i = 0; i < FAKE_EXTENTS; i++) {
        if (!fake.extent_used[i]) {
            fake.extent_used[i] = true;
            return i;
        }
    }
    return -ENOMEM;
}

static void extent_discard(uint64_t addr)
{
    uint64_t extent = (addr - (uintptr_t)fake.window) / FERRY_EXTENT_BYTES;

    assert_true(extent < FAKE_EXTENTS && fake.extent_used[extent]);
    open_extents(addr, 1, PROT_NONE);
    fake.extent_used[extent] = false;
}

static int64_t serve_alloc(uint64_t count, uint64_t page)
{
    int64_t extent;

    assert_int_equal(count, 1);
    assert_int_equal(page, 0);
    fake.allocs++;
    extent = extent_new();
    if (extent < 0)
        return extent;
    extent = (int64_t)(uintptr_t)(fake.window + (uint64_t)extent * FERRY_EXTENT_BYTES);
    open_extents((uint64_t)extent, 1, PROT_READ | PROT_WRITE);
    return extent;
}

static int64_t serve_free(uint64_t addr, uint64_t bytes)
{
    uint64_t offset = addr - (uintptr_t)fake.window;

    fake.frees++;
    assert_int_equal(offset % FERRY_EXTENT_BYTES, 0);
    assert_int_equal(bytes % FERRY_EXTENT_BYTES, 0);
    open_extents(addr, bytes, PROT_NONE);
    for (uint64_t i = offset; i < offset + bytes; i += FERRY_EXTENT_BYTES) {
        assert_true(fake.extent_used[i / FERRY_EXTENT_BYTES]);
        fake.extent_used[i / FERRY_EXTENT_BYTES] = false;
    }
    return 0;
}

/* ---- messages to the receiver ------------------------------------------- */

static const uint8_t *payload_of(const struct ferry_desc *desc)
{
    uint64_t offset = desc->payload.addr - (uintptr_t)fake.window;

    /* The VMM reads window memory through its own view, as the real one does. */
    if (offset < FAKE_EXTENTS * FERRY_EXTENT_BYTES)
        return fake.view + offset;
    return (const uint8_t *)(uintptr_t)desc->payload.addr;
}

static void append(const uint8_t *data, size_t bytes)
{
    if (fake.byte_count + bytes > fake.byte_capacity) {
        fake.byte_capacity = 2 * (fake.byte_count + bytes);
        fake.bytes = realloc(fake.bytes, fake.byte_capacity);
        assert_non_null(fake.bytes);
    }
    memcpy(fake.bytes + fake.byte_count, data, bytes);
    fake.byte_count += bytes;
}

static void check_desc(const struct ferry_desc *desc)
{
    assert_int_equal(desc->flags | desc->zero2, 0);
    assert_int_equal(desc->src | desc->src_generation | desc->dst_generation, 0);
    assert_true(desc->turn == 0 || fake.direct_out != NULL);
    if (desc->mode == FERRY_INLINE)
        return;
    assert_int_equal(desc->inline_bytes, 0);
    assert_int_equal(desc->payload.token | desc->payload.message | desc->payload.zero, 0);
    if (desc->mode == FERRY_COPY)
        assert_true(desc->payload.bytes <= FERRY_COPY_BYTES);
    if (desc->mode == FERRY_HANGUP)
        assert_int_equal(desc->payload.bytes, 0);
}

/* A forwarded piece has the tag of the feeder; it does not come home to the program. */
static bool owned_by_program(const struct ferry_desc *desc)
{
    return desc->tag != FAKE_FEEDER;
}

/* The loan is another's now: its token must not be released any more. */
static void pass_on(uint64_t addr)
{
    for (uint32_t token = 0; token < FERRY_TOKENS; token++) {
        if (fake.fed[token] && fake.fed_extent[token] == addr) {
            fake.fed[token] = false;
            return;
        }
    }
    fail_msg("a loan was forwarded that the program does not hold");
}

static void deliver(const struct ferry_desc *desc)
{
    struct fake_message *message = &fake.taken[fake.taken_count++];

    assert_true(fake.taken_count <= FAKE_TAKEN_MAX);
    assert_false(fake.hung_up && desc->dst == FAKE_RECEIVER);
    *message = (struct fake_message){.desc = *desc, .released = true};
    if (desc->mode == FERRY_HANGUP) {
        fake.hung_up = true;
    } else if (desc->mode == FERRY_INLINE) {
        append(desc->data, desc->inline_bytes);
    } else {
        append(payload_of(desc), desc->payload.bytes);
        message->released = desc->mode == FERRY_MOVE;
        fake.held += !message->released;
        if (desc->mode != FERRY_COPY)
            open_extents(desc->payload.addr, desc->payload.bytes, PROT_NONE);
        if (desc->mode == FERRY_MOVE)
            extent_discard(desc->payload.addr);
        else if (!owned_by_program(desc))
            pass_on(desc->payload.addr);
    }
}

static void drain_out(void)
{
    uint32_t head = __atomic_load_n(&fake.control->guest.out_head, __ATOMIC_ACQUIRE);

    assert_true(head - fake.out_tail <= FERRY_RING_ENTRIES);
    while (fake.out_tail != head) {
        struct ferry_desc desc = fake.control->out[fake.out_tail & MASK];

        check_desc(&desc);
        if (fake.refuse == 0) {
            if (fake.held >= fake.credit && desc.mode != FERRY_HANGUP)
                return;
            deliver(&desc);
        }
        fake.control->out_status[fake.out_tail & MASK] = fake.refuse;
        fake.out_tail++;
        __atomic_store_n(&fake.control->vmm.out_tail, fake.out_tail, __ATOMIC_RELEASE);
    }
}

static void drain_releases(void)
{
    uint32_t head = __atomic_load_n(&fake.control->guest.release_head, __ATOMIC_ACQUIRE);

    assert_true(head - fake.release_tail <= FERRY_TOKENS);
    for (; fake.release_tail != head; fake.release_tail++) {
        uint32_t token = fake.control->guest.release[fake.release_tail & TOKEN_MASK];

        assert_true(token < FERRY_TOKENS && fake.fed[token]);
        fake.fed[token] = false;
        if (fake.fed_extent[token] != 0)
            extent_discard(fake.fed_extent[token]);
        fake.tokens[fake.token_count++ % FERRY_TOKENS] = token;
    }
}

bool fake_release_oldest(void)
{
    for (uint32_t i = 0; i < fake.taken_count; i++) {
        struct fake_message *message = &fake.taken[i];
        struct ferry_home *home = &fake.control->vmm.home[fake.home_head & TOKEN_MASK];

        if (message->released)
            continue;
        message->released = true;
        fake.held--;
        if (message->desc.mode == FERRY_LEND && owned_by_program(&message->desc)) {
            uint64_t unit = message->desc.payload.addr & ~(FERRY_EXTENT_BYTES - 1);

            open_extents(unit, FERRY_EXTENT_BYTES, PROT_READ | PROT_WRITE);
            *home = (struct ferry_home){unit, FERRY_EXTENT_BYTES};
            fake.home_head++;
            __atomic_store_n(&fake.control->vmm.home_head, fake.home_head, __ATOMIC_RELEASE);
        } else if (message->desc.mode == FERRY_LEND) {
            extent_discard(message->desc.payload.addr);
        }
        return true;
    }
    return false;
}

void fake_drain(void)
{
    drain_releases();
    drain_out();
    while (fake.release_early && fake_release_oldest())
        drain_out();
}

void fake_feed(uint16_t src, enum ferry_mode mode, const void *data, size_t bytes, uint32_t token)
{
    struct ferry_desc *desc = &fake.control->in[fake.in_head & MASK];
    uint8_t *place = receive_buffers + (uint64_t)token * FERRY_COPY_BYTES;

    assert_true(token < FERRY_TOKENS);
    assert_true(fake.in_head - fake.control->guest.in_tail < FERRY_RING_ENTRIES);
    *desc = (struct ferry_desc){.mode = (uint8_t)mode, .src = src, .dst = 1, .tag = src};
    if (mode == FERRY_INLINE) {
        desc->inline_bytes = (uint8_t)bytes;
        memcpy(desc->data, data, bytes);
    } else if (mode != FERRY_HANGUP) {
        if (mode != FERRY_COPY) {
            int64_t extent = extent_new();

            assert_true(extent >= 0);
            place = fake.window + (uint64_t)extent * FERRY_EXTENT_BYTES;
            open_extents((uintptr_t)place, 1,
                         mode == FERRY_MOVE ? PROT_READ | PROT_WRITE : PROT_READ);
            memcpy(fake.view + (uint64_t)extent * FERRY_EXTENT_BYTES, data, bytes);
        } else {
            memcpy(place, data, bytes);
        }
        desc->payload.addr = (uintptr_t)place;
        desc->payload.bytes = bytes;
        if (mode != FERRY_MOVE) {
            assert_false(fake.fed[token]);
            desc->payload.token = token;
            fake.fed[token] = true;
            fake.fed_extent[token] = mode == FERRY_LEND ? (uintptr_t)place : 0;
        }
    }
    __atomic_store_n(&fake.control->vmm.in_head, ++fake.in_head, __ATOMIC_RELEASE);
}

/* ---- the calls ---------------------------------------------------------- */

static bool direct_holds(const struct ferry_direct *ring)
{
    uint32_t tail = ring->receiver.tail;

    return ring->slots[tail & MASK].turn == tail + 1;
}

static unsigned events_that_hold(void)
{
    unsigned events = 0;

    for (unsigned i = 0; i < 2; i++)
        if (fake.direct_in[i] != NULL && direct_holds(fake.direct_in[i]))
            events |= FERRY_EVENT_IN;

    if (fake.in_head != __atomic_load_n(&fake.control->guest.in_tail, __ATOMIC_ACQUIRE))
        events |= FERRY_EVENT_IN;
    if (fake.home_head != __atomic_load_n(&fake.control->guest.home_tail, __ATOMIC_ACQUIRE))
        events |= FERRY_EVENT_HOME;
    if (fake.out_tail == __atomic_load_n(&fake.control->guest.out_head, __ATOMIC_ACQUIRE))
        events |= FERRY_EVENT_OUT;
    return events;
}

static int64_t serve_wait(uint64_t events, uint64_t timeout_ns)
{
    fake.waits++;
    while ((events_that_hold() & events) == 0 && timeout_ns > 0) {
        /* Time passes: the receiver goes on, else the feeder does, else it is over. */
        if (!fake_release_oldest()) {
            if (fake.starved == NULL && timeout_ns != UINT64_MAX)
                return 0;
            if (fake.starved == NULL || (events & FERRY_EVENT_IN) == 0)
                fail_msg("the program waits for ever for %u", (unsigned)events);
            fake.starved();
        }
        drain_out();
    }
    return events_that_hold() & events;
}

int64_t ferry_guest_call(enum ferry_call number, uint64_t first, uint64_t second, uint64_t third)
{
    assert_int_equal(third, 0);
    fake_drain();
    switch (number) {
    case FERRY_CALL_WAIT:
        return serve_wait(first, second);
    case FERRY_CALL_ALLOC:
        return serve_alloc(first, second);
    case FERRY_CALL_FREE:
        return serve_free(first, second);
    case FERRY_CALL_READY:
        return 0; /* nobody wants a snapshot */
    }
    return -ENOSYS;
}

void ferry_guest_doorbell(void)
{
    fake.doorbells++;
    fake_drain();
}

const struct ferry_control *ferry_control(void)
{
    return fake.control;
}
