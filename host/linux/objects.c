/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what the objects of the personality have in common. */
#include "linux/objects.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "linux/calls.h"
#include "linux/state.h"

/* Inodes below are those of streams and devices. */
#define FIRST_NUMBER 4096

uint64_t object_number(struct linux_state *state)
{
    return FIRST_NUMBER + state->common->objects++;
}

/* The limit is charged for good, but what one object gave back the next has free. */
int object_charge(struct linux_state *state, size_t bytes)
{
    uint64_t used = state->common->object_bytes + bytes;

    if (used > state->common->object_bytes_most) {
        if (space_charge(vm_space(state->vm), used - state->common->object_bytes_most))
            return -ENOMEM;
        state->common->object_bytes_most = used;
    }
    state->common->object_bytes = used;
    return 0;
}

void object_uncharge(struct linux_state *state, size_t bytes)
{
    state->common->object_bytes -= bytes;
}

int64_t install_object(struct linux_state *state, const struct open_file *like, bool close_on_exec)
{
    struct open_file *file;
    int64_t fd = file_create(state, *like, &file);

    if (fd < 0)
        return fd;
    fd = descriptor_install(state, file, 0, close_on_exec);
    file_release(state, file);
    return fd;
}

int64_t install_pair(struct linux_state *state, const struct open_file *like, uint64_t addr,
                     bool close_on_exec)
{
    int64_t first = install_object(state, &like[0], close_on_exec);
    int64_t second = install_object(state, &like[1], close_on_exec);
    int64_t result = first < 0 ? first : second < 0 ? second : 0;
    int fds[2] = {(int)first, (int)second};

    if (!result)
        result = guest_put(state, addr, fds, sizeof(fds));
    for (unsigned i = 0; i < 2 && result; i++) {
        if (fds[i] >= 0)
            sys_close(state, (const uint64_t[6]){(uint64_t)fds[i]});
    }
    return result;
}

/* ---- bytes in order ------------------------------------------------------ */

void byte_ring_init(struct byte_ring *ring, size_t capacity)
{
    *ring = (struct byte_ring){.capacity = capacity};
}

void byte_ring_fini(struct linux_state *state, struct byte_ring *ring)
{
    if (ring->bytes)
        object_uncharge(state, ring->capacity);
    free(ring->bytes);
    ring->bytes = NULL;
}

static int have_memory(struct linux_state *state, struct byte_ring *ring)
{
    if (ring->bytes)
        return 0;
    if (object_charge(state, ring->capacity))
        return -ENOMEM;
    ring->bytes = malloc(ring->capacity);
    if (ring->bytes)
        return 0;
    object_uncharge(state, ring->capacity);
    return -ENOMEM;
}

size_t byte_ring_peek(const struct byte_ring *ring, size_t skip, void *to, size_t bytes)
{
    size_t at, part;

    if (skip >= ring->fill)
        return 0;
    at = (ring->start + skip) % ring->capacity;
    part = ring->capacity - at;
    if (bytes > ring->fill - skip)
        bytes = ring->fill - skip;
    if (!bytes)
        return 0;
    if (part > bytes)
        part = bytes;
    memcpy(to, ring->bytes + at, part);
    memcpy((char *)to + part, ring->bytes, bytes - part);
    return bytes;
}

void byte_ring_drop(struct byte_ring *ring, size_t bytes)
{
    ring->fill -= bytes;
    ring->start = ring->fill ? (ring->start + bytes) % ring->capacity : 0;
}

size_t byte_ring_get(struct byte_ring *ring, void *to, size_t bytes)
{
    size_t got = byte_ring_peek(ring, 0, to, bytes);

    byte_ring_drop(ring, got);
    return got;
}

int64_t byte_ring_put(struct linux_state *state, struct byte_ring *ring, const void *from,
                      size_t bytes)
{
    size_t room = byte_ring_room(ring), at, part;
    int result = bytes ? have_memory(state, ring) : 0;

    if (result || !bytes)
        return result;
    if (bytes > room)
        bytes = room;
    at = (ring->start + ring->fill) % ring->capacity;
    part = ring->capacity - at < bytes ? ring->capacity - at : bytes;
    memcpy(ring->bytes + at, from, part);
    memcpy(ring->bytes, (const char *)from + part, bytes - part);
    ring->fill += bytes;
    return (int64_t)bytes;
}

int byte_ring_resize(struct linux_state *state, struct byte_ring *ring, size_t capacity)
{
    struct byte_ring other;

    if (capacity < ring->fill)
        return -EBUSY;
    byte_ring_init(&other, capacity);
    if (ring->fill) {
        int result = have_memory(state, &other);

        if (result)
            return result;
        other.fill = byte_ring_peek(ring, 0, other.bytes, ring->fill);
    }
    byte_ring_fini(state, ring);
    *ring = other;
    return 0;
}
