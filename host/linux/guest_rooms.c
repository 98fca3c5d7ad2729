/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the rooms in which the guest kernel writes to files by itself, and writing out what is there.
 *
 * Nothing of what the guest writes is believed: a position counts if it has the generation of what was
 * published and lies in the room. Whatever the bytes are by then, they are written: the program could
 * have written them by a call. That there is memory for them was found out before they were published,
 * and no call is served from then on until they are taken back, so none can use it up.
 */
#include "linux/guest_rooms.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/uio.h>

#include <ferry/abi/kernel.h>

#include "linux/guest_files.h"
#include "linux/mapped.h"
#include "linux/state.h"
#include "linux/writable.h"

/* So many short writes cost more than it costs to have a room. */
#define WRITES_TO_HAVE 8
/* A longer one had better make its exit than be copied twice. */
#define WRITE_MOST (FERRY_KERNEL_ROOM_BYTES / 2)
/* The pages of a file that a room may fill: it need not begin at a page. */
#define NEEDED_BYTES (FERRY_KERNEL_ROOM_BYTES + FERRY_PAGE_BYTES)

struct guest_room {
    struct open_file *file; /* NULL: it is nobody's */
    uint32_t fd, size;
    uint32_t generation;
    uint32_t
        claimed; /* by the CPU of this number plus 1, which may still store there; 0: by none */
    bool open;   /* it is published */
};

struct guest_rooms {
    struct vm_files vm; /* shown: NULL until there is a guest kernel */
    struct guest_room rooms[FERRY_KERNEL_ROOMS];
    unsigned next;      /* to be used again where all are used */
    uint32_t wanted_fd; /* of a file that is to have one; FERRY_KERNEL_NO_FD: none */
};

/* ---- whose they may be --------------------------------------------------- */

/* Whether it is the only open file of its inode; each mapping has one, too. */
static bool is_alone(const struct linux_state *state, const struct open_file *file)
{
    for (const struct open_file *other = state->common->writables; other;
         other = other->next_writable) {
        if (other != file && other->ino == file->ino && other->dev == file->dev)
            return false;
    }
    return file->references == 1;
}

/* Whether all that a write does can wait: nobody else has that file system, and nobody is told of changes. */
static bool can_wait(const struct linux_state *state, const struct open_file *file)
{
    return file && file->kind == FILE_REGULAR && file_map_flags(file) && file_can_write(file) &&
           !(file->status & (O_APPEND | O_DIRECT)) && !state->common->files[FILE_INOTIFY] &&
           !state->traced;
}

static struct guest_room *find(struct guest_rooms *rooms, const struct open_file *file)
{
    for (unsigned i = 0; rooms && i < FERRY_KERNEL_ROOMS; i++) {
        if (rooms->rooms[i].file == file)
            return &rooms->rooms[i];
    }
    return NULL;
}

/* Not published. */
static void drop(struct guest_rooms *rooms, struct guest_room *room)
{
    __atomic_store_n(&rooms->vm.shown->room_fds[room - rooms->rooms], FERRY_KERNEL_NO_FD,
                     __ATOMIC_RELAXED);
    room->file = NULL;
}

static void start(struct guest_rooms *rooms)
{
    for (unsigned i = 0; i < FERRY_KERNEL_ROOMS; i++)
        rooms->vm.shown->room_fds[i] = FERRY_KERNEL_NO_FD;
}

static void serve_want(struct linux_state *state)
{
    struct guest_rooms *rooms = state->guest_rooms;
    uint32_t fd = rooms->wanted_fd;
    struct open_file *file = descriptor_look(state, fd);
    struct guest_room *room;
    bool first = !rooms->vm.shown;

    rooms->wanted_fd = FERRY_KERNEL_NO_FD;
    if (!can_wait(state, file) || find(rooms, file) || !vm_files(state->vm, &rooms->vm))
        return;
    if (first)
        start(rooms);
    guest_files_forget(state, file); /* its position can only be in one place */
    room = find(rooms, NULL);
    if (!room)
        room = &rooms->rooms[rooms->next++ % FERRY_KERNEL_ROOMS];
    room->file = file;
    room->fd = fd;
}

/* ---- publishing ---------------------------------------------------------- */

/* How much may be written to the file without a call, where that many others are published. */
static uint32_t size_of(struct linux_state *state, const struct open_file *file, unsigned others)
{
    const struct host_room room = writable_room(state, file->writable);
    uint64_t position = (uint64_t)file->position;

    if (room.bytes < (others + 1) * NEEDED_BYTES || position >= room.length)
        return 0;
    return (uint32_t)min_u64(FERRY_KERNEL_ROOM_BYTES, room.length - position);
}

/* Position and generation go to the guest in one store. */
static void publish(struct guest_rooms *rooms, struct guest_room *room, uint32_t size)
{
    unsigned i = (unsigned)(room - rooms->rooms);
    const uint32_t most = UINT32_MAX >> (FERRY_KERNEL_GENERATION_SHIFT - 32);

    __atomic_store_n(&rooms->vm.shown->room_sizes[i], size, __ATOMIC_RELAXED);
    __atomic_store_n(&rooms->vm.shown->room_fds[i], room->fd, __ATOMIC_RELAXED);
    room->size = size;
    room->generation = room->generation < most ? room->generation + 1 : 1;
    room->open = true;
    __atomic_store_n(&rooms->vm.words->rooms[i],
                     (uint64_t)room->generation << FERRY_KERNEL_GENERATION_SHIFT, __ATOMIC_RELEASE);
}

void linux_publish_rooms(struct linux_state *state)
{
    struct guest_rooms *rooms = state->guest_rooms;
    unsigned published = 0;
    uint32_t size;

    /* Another process may look at the file while this one is in the guest. */
    if (!rooms || state->common->processes->next_process)
        return;
    if (rooms->wanted_fd != FERRY_KERNEL_NO_FD)
        serve_want(state);
    for (unsigned i = 0; i < FERRY_KERNEL_ROOMS; i++) {
        struct guest_room *room = &rooms->rooms[i];

        if (!room->file)
            continue;
        if (state->descriptors[room->fd].file != room->file || guest_files_has(state, room->file))
            drop(rooms, room);
        else if (!room->claimed && can_wait(state, room->file) && is_alone(state, room->file) &&
                 (size = size_of(state, room->file, published)) != 0) {
            publish(rooms, room, size);
            published++;
        }
    }
}

bool linux_wants_rooms(const struct linux_state *state)
{
    return state->guest_rooms && state->guest_rooms->wanted_fd != FERRY_KERNEL_NO_FD;
}

/* ---- taking back --------------------------------------------------------- */

/* 0 or an errno. */
static int write_out(const struct open_file *file, char *from, uint32_t bytes)
{
    uint32_t done = 0;

    while (done < bytes) {
        struct iovec piece = {from + done, bytes - done};
        ssize_t put = pwritev2(file->fd, &piece, 1, file->position + (off_t)done, 0);

        if (put <= 0)
            return put < 0 ? errno : ENOSPC;
        done += (uint32_t)put;
    }
    return 0;
}

/* How many bytes the guest has written there. */
static uint32_t close_room(const struct guest_rooms *rooms, struct guest_room *room)
{
    uint64_t word =
        __atomic_exchange_n(&rooms->vm.words->rooms[room - rooms->rooms], 0, __ATOMIC_SEQ_CST);

    room->open = false;
    if (ferry_kernel_generation(word) != room->generation)
        return 0;
    room->claimed = ferry_kernel_owner(word);
    return ferry_kernel_position(word) <= room->size ? ferry_kernel_position(word) : 0;
}

static void take_back(struct linux_state *state, struct guest_room *room)
{
    const struct guest_rooms *rooms = state->guest_rooms;
    uint32_t bytes = close_room(rooms, room);
    int error;
    char *place = rooms->vm.place + FERRY_FILES_BYTES +
                  (size_t)(room - rooms->rooms) * FERRY_KERNEL_ROOM_BYTES;

    if (!bytes)
        return;
    error = write_out(room->file, place, bytes);
    if (error)
        vm_lost_write(state->vm, room->file->path, error);
    room->file->position += bytes;
    writable_recount(state, room->file->writable);
}

void guest_rooms_take_back(struct linux_state *state)
{
    struct guest_rooms *rooms = state->guest_rooms;

    for (unsigned i = 0; rooms && i < FERRY_KERNEL_ROOMS; i++) {
        if (rooms->rooms[i].open)
            take_back(state, &rooms->rooms[i]);
    }
}

void linux_left(struct linux_state *state, uint32_t cpu)
{
    struct guest_rooms *rooms = state->guest_rooms;

    for (unsigned i = 0; rooms && i < FERRY_KERNEL_ROOMS; i++) {
        if (rooms->rooms[i].claimed == cpu + 1)
            rooms->rooms[i].claimed = 0;
    }
}

/* ---- what is wanted, and no more ----------------------------------------- */

void guest_rooms_served(struct linux_state *state, struct open_file *file, uint64_t fd, int64_t put)
{
    struct guest_rooms *rooms = state->guest_rooms;

    if (put <= 0 || put > (int64_t)WRITE_MOST || !can_wait(state, file) || find(rooms, file) ||
        ++file->short_writes < WRITES_TO_HAVE)
        return;
    file->short_writes = 0;
    if (!rooms)
        rooms = state->guest_rooms = calloc(1, sizeof(*rooms));
    if (rooms)
        rooms->wanted_fd = (uint32_t)fd;
}

void guest_rooms_forget(struct linux_state *state, const struct open_file *file)
{
    struct guest_room *room = find(state->guest_rooms, file);

    if (room)
        drop(state->guest_rooms, room);
}

void guest_rooms_fini(struct linux_state *state)
{
    free(state->guest_rooms);
    state->guest_rooms = NULL;
}
