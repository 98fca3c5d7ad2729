/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the mapped files that memory of the program depends on: those that it may write, and what is
 * made up. */
#include "linux/mapped.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "linux/objects.h"
#include "linux/state.h"
#include "linux/writable.h"

struct mapped_file {
    struct open_file *file;
    uint64_t start, end; /* somewhere there */
};

unsigned file_map_flags(const struct open_file *file)
{
    /* Elsewhere a file is charged by its length. */
    return file->writable && file->writable->kernel >= 0 ? SPACE_HOLES : 0;
}

/* ---- the list ------------------------------------------------------------ */

/* A change of memory walks the list, and what is mapped where it lies in the list; a move walks it for
 * each. */
#define MAPPED_MAX 8192

/* What it holds is charged as long as it is there, so a mapping keeps it. */
static bool is_kept(const struct open_file *file)
{
    return file->writable || file->charged;
}

/* Room for so many more entries. */
static int reserve(struct linux_state *state, size_t more)
{
    size_t room = state->mapped_count + more, bytes;
    struct mapped_file *mapped;

    if (room > MAPPED_MAX)
        return -ENOMEM;
    if (room <= state->mapped_room)
        return 0;
    room = room < 16 ? 16 : 2 * room;
    bytes = (room - state->mapped_room) * sizeof(*mapped);
    if (object_charge(state, bytes))
        return -ENOMEM;
    mapped = realloc(state->mapped, room * sizeof(*mapped));
    if (!mapped) {
        object_uncharge(state, bytes);
        return -ENOMEM;
    }
    state->mapped = mapped;
    state->mapped_room = room;
    return 0;
}

int mapped_reserve(struct linux_state *state, const struct open_file *file)
{
    return is_kept(file) ? reserve(state, 1) : 0;
}

/* One entry is enough for the mappings of a file in a range. */
static bool is_covered(const struct linux_state *state, const struct open_file *file,
                       uint64_t start, uint64_t end)
{
    for (size_t i = 0; i < state->mapped_count; i++) {
        const struct mapped_file *mapped = &state->mapped[i];

        if (mapped->file == file && mapped->start <= start && mapped->end >= end)
            return true;
    }
    return false;
}

static void insert(struct linux_state *state, struct open_file *file, uint64_t start, uint64_t end)
{
    if (is_covered(state, file, start, end))
        return;
    file->references++;
    state->mapped[state->mapped_count++] = (struct mapped_file){file, start, end};
}

/* *holes: set to where the file is, if stores made more of it than it is charged for. There is one such
 * place at most. */
static void take_out(struct linux_state *state, size_t i, struct writable **holes)
{
    struct open_file *file = state->mapped[i].file;

    if (file_map_flags(file))
        *holes = file->writable;
    state->mapped[i] = state->mapped[--state->mapped_count];
    file_release(state, file);
}

/* The charge for a mapping with holes is gone: what stores made counts as the file's. */
static void recount(struct linux_state *state, struct writable *holes)
{
    if (holes)
        writable_recount(state, holes);
}

void mapped_add(struct linux_state *state, struct open_file *file, uint64_t start, uint64_t bytes)
{
    struct writable *holes = NULL;

    /* What it replaces is mapped there no more. */
    for (size_t i = state->mapped_count; i-- > 0;) {
        if (state->mapped[i].start >= start && state->mapped[i].end <= start + bytes)
            take_out(state, i, &holes);
    }
    if (is_kept(file))
        insert(state, file, start, start + bytes);
    recount(state, holes);
}

void mapped_settle(struct linux_state *state, uint64_t start, uint64_t bytes)
{
    struct space *space = vm_space(state->vm);
    struct writable *holes = NULL;

    for (size_t i = state->mapped_count; i-- > 0;) {
        const struct mapped_file *mapped = &state->mapped[i];

        if (mapped->end <= start || (mapped->start >= start && mapped->start - start >= bytes))
            continue;
        if (file_map_flags(mapped->file))
            holes = mapped->file->writable;
        if (!space_has_live(space, guest_addr(mapped->start), guest_addr(mapped->end)))
            take_out(state, i, &holes);
    }
    recount(state, holes);
}

void mapped_settle_all(struct linux_state *state)
{
    mapped_settle(state, 0, UINT64_MAX);
}

int mapped_move(struct linux_state *state, uint64_t from, uint64_t bytes, uint64_t to)
{
    size_t count = state->mapped_count;
    int result = reserve(state, count);

    for (size_t i = 0; i < count && !result; i++) {
        uint64_t start = state->mapped[i].start, end = state->mapped[i].end;

        if (start < from)
            start = from;
        if (end > from + bytes)
            end = from + bytes;
        if (start < end)
            insert(state, state->mapped[i].file, start - from + to, end - from + to);
    }
    return result;
}

void mapped_look(struct linux_state *state)
{
    for (size_t i = 0; i < state->mapped_count; i++) {
        const struct open_file *file = state->mapped[i].file;
        struct stat stat;

        /* The name of a memfd says so itself. */
        if (file->seen && file->writable && !file_is_memfd(state, file) && !fstat(file->fd, &stat))
            file->seen->deleted = !stat.st_nlink;
    }
}

int mapped_copy(struct linux_state *to, const struct linux_state *from)
{
    size_t bytes = from->mapped_room * sizeof(*from->mapped);

    if (!from->mapped_room)
        return 0;
    if (object_charge(to, bytes))
        return -ENOMEM;
    to->mapped = malloc(bytes);
    if (!to->mapped) {
        object_uncharge(to, bytes);
        return -ENOMEM;
    }
    to->mapped_room = from->mapped_room;
    to->mapped_count = from->mapped_count;
    memcpy(to->mapped, from->mapped, from->mapped_count * sizeof(*from->mapped));
    for (size_t i = 0; i < to->mapped_count; i++)
        to->mapped[i].file->references++;
    return 0;
}

void mapped_clear(struct linux_state *state)
{
    struct writable *holes = NULL;

    while (state->mapped_count)
        take_out(state, state->mapped_count - 1, &holes);
    recount(state, holes);
    object_uncharge(state, state->mapped_room * sizeof(*state->mapped));
    free(state->mapped);
    state->mapped = NULL;
    state->mapped_room = 0;
}
