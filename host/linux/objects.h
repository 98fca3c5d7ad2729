/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Private to the personality: what its objects have in common (pipes, sockets, events, timers).
 * They take no descriptor of the host. What they hold for the program is counted in its memory.
 */
#ifndef FERRY_HOST_LINUX_OBJECTS_H
#define FERRY_HOST_LINUX_OBJECTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct linux_state;
struct open_file;

#define PIPE_BYTES 65536 /* what a pipe of Linux holds at first */

/* A number that no other object has: its inode. */
uint64_t object_number(struct linux_state *state);

/* Counts bytes that the VMM keeps for the program as the program's memory, and no more; -ENOMEM. */
int object_charge(struct linux_state *state, size_t bytes);
void object_uncharge(struct linux_state *state, size_t bytes);

/* A descriptor of a new file like that, whose object it takes over, also when it fails. */
int64_t install_object(struct linux_state *state, const struct open_file *like, bool close_on_exec);
/* Two of them; their numbers go to the two ints at `addr`. 0, or a negative errno. */
int64_t install_pair(struct linux_state *state, const struct open_file *like, uint64_t addr,
                     bool close_on_exec);

/* Copies what a pipe of the program holds, and leaves it there: as a read that does not wait. */
int64_t pipe_peek(const struct open_file *file, void *to, size_t bytes);

/* Bytes in the order in which they came. There is memory behind it once there are some. */
struct byte_ring {
    char *bytes;
    size_t capacity, start, fill;
};

void byte_ring_init(struct byte_ring *ring, size_t capacity);
void byte_ring_fini(struct linux_state *state, struct byte_ring *ring);
static inline size_t byte_ring_room(const struct byte_ring *ring)
{
    return ring->capacity - ring->fill;
}
/* Up to so many bytes leave it, or go in: how many; -ENOMEM. */
size_t byte_ring_get(struct byte_ring *ring, void *to, size_t bytes);
void byte_ring_drop(struct byte_ring *ring, size_t bytes);
int64_t byte_ring_put(struct linux_state *state, struct byte_ring *ring, const void *from,
                      size_t bytes);
/* Copies bytes that come after the first `skip`, and leaves them there. */
size_t byte_ring_peek(const struct byte_ring *ring, size_t skip, void *to, size_t bytes);
/* -EBUSY: it holds more. */
int byte_ring_resize(struct linux_state *state, struct byte_ring *ring, size_t capacity);

#endif
