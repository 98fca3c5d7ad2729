/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns how much a program may write. In a file system of our own the kernel counts. Elsewhere the
 * program is charged for each file that it makes and for each byte by which it makes one longer, and
 * what it was charged for a file is given back when that file is cut or removed. So it never adds
 * more than its limit, and gains nothing by removing what others wrote.
 */
#include "linux/writable.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/bits.h"
#include "linux/state.h"

/* What a file costs beside its contents: its inode and name. */
#define FILE_BYTES 4096
/* The same in a file system of our own, where they are in memory. */
#define INODE_BYTES 1024

struct writable *writable_create(uint64_t limit_bytes)
{
    struct writable *writable = malloc(sizeof(*writable));

    if (writable)
        *writable = (struct writable){.kernel = -1, .lifeline = -1, .limit_bytes = limit_bytes};
    return writable;
}

uint32_t writable_umask(void)
{
    char status[4096];
    const char *line;
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, status, sizeof(status) - 1);

    if (fd >= 0)
        close(fd);
    status[got > 0 ? got : 0] = 0;
    line = strstr(status, "\nUmask:");
    return line ? (uint32_t)strtoul(line + sizeof("\nUmask:") - 1, NULL, 8) & 0777 : 022;
}

/* ---- what is used -------------------------------------------------------- */

static void set_used(struct linux_state *state, struct writable *writable, uint64_t bytes)
{
    if (writable->memory)
        space_recharge(vm_space(state->vm), writable->used_bytes, bytes);
    writable->used_bytes = bytes;
}

void writable_recharge(struct linux_state *state, struct writable *writable, uint64_t bytes)
{
    set_used(state, writable, bytes);
}

void writable_recount(struct linux_state *state, struct writable *writable)
{
    struct statfs fs;

    if (writable->kernel >= 0 && fstatfs(writable->kernel, &fs) == 0)
        set_used(state, writable,
                 (fs.f_blocks - fs.f_bfree) * (uint64_t)fs.f_bsize +
                     (fs.f_files - fs.f_ffree) * INODE_BYTES);
}

void writable_is_empty(struct linux_state *state, struct writable *writable)
{
    free(writable->charges);
    writable->charges = NULL;
    writable->charge_count = writable->charge_room = 0;
    set_used(state, writable, 0);
    writable_recount(state, writable);
}

void writable_leave(struct linux_state *state, struct writable *writable)
{
    if (writable->kernel >= 0)
        close(writable->kernel);
    if (writable->lifeline >= 0)
        close(writable->lifeline);
    writable->kernel = writable->lifeline = -1;
    writable_is_empty(state, writable);
}

void writable_destroy(struct linux_state *state, struct writable *writable)
{
    if (!writable)
        return;
    writable_leave(state, writable);
    free(writable);
}

struct host_room writable_room(struct linux_state *state, const struct writable *writable)
{
    rlim_t length = state->limits[RLIMIT_FSIZE].rlim_cur;
    struct host_room room = {.bytes = UINT64_MAX,
                             .length = length < INT64_MAX ? length : INT64_MAX};

    if (!writable)
        return room;

    const struct space *space = vm_space(state->vm);
    uint64_t limit = writable->memory ? space->limit_bytes : writable->limit_bytes;
    uint64_t used = writable->memory ? space->used_bytes : writable->used_bytes;

    room.bytes = used < limit ? limit - used : 0;
    room.pages = writable->kernel >= 0;
    return room;
}

int64_t writable_error(struct linux_state *state, const struct writable *writable, int64_t result)
{
    if (result != -EDQUOT && !(result == -ENOSPC && writable->memory))
        return result;
    refused_room(state, writable);
    return writable->memory ? -ENOSPC : -EDQUOT;
}

int writable_has_file(struct linux_state *state, const struct writable *writable)
{
    uint64_t bytes = writable->kernel >= 0 ? INODE_BYTES : FILE_BYTES;

    if (writable_room(state, writable).bytes < bytes)
        return (int)writable_error(state, writable, -EDQUOT);
    return 0;
}

void writable_owner(struct stat *stat)
{
    if (stat->st_uid == geteuid())
        stat->st_uid = LINUX_USER;
    if (stat->st_gid == getegid())
        stat->st_gid = LINUX_USER;
}

/* ---- charges ------------------------------------------------------------- */

static struct charge *charge_of(const struct writable *writable, const struct stat *file)
{
    size_t mask = writable->charge_room - 1;
    size_t at = (size_t)((file->st_ino * 0x9e3779b97f4a7c15ull) >> 32) & mask;

    while (writable->charges[at].bytes &&
           (writable->charges[at].ino != file->st_ino || writable->charges[at].dev != file->st_dev))
        at = (at + 1) & mask;
    return &writable->charges[at];
}

/* Makes room for one more entry. Without memory the program is charged and never given back. */
static bool charges_grow(struct writable *writable)
{
    struct writable larger = *writable;

    if (writable->charge_count * 2 < writable->charge_room)
        return true;
    larger.charge_room = writable->charge_room ? 2 * writable->charge_room : 64;
    larger.charges = calloc(larger.charge_room, sizeof(*larger.charges));
    if (!larger.charges)
        return false;
    for (size_t i = 0; i < writable->charge_room; i++) {
        const struct charge *old = &writable->charges[i];

        if (old->bytes)
            *charge_of(&larger, &(struct stat){.st_dev = old->dev, .st_ino = old->ino}) = *old;
    }
    free(writable->charges);
    *writable = larger;
    return true;
}

/* The entry is empty now: those that stand behind it because it was in their way move up. */
static void close_gap(struct writable *writable, struct charge *gap)
{
    size_t mask = writable->charge_room - 1;

    writable->charge_count--;
    for (size_t at = (size_t)(gap - writable->charges + 1) & mask; writable->charges[at].bytes;
         at = (at + 1) & mask) {
        struct charge moved = writable->charges[at];

        writable->charges[at].bytes = 0;
        *charge_of(writable, &(struct stat){.st_dev = moved.dev, .st_ino = moved.ino}) = moved;
    }
}

static void charge(struct linux_state *state, struct writable *writable, const struct stat *file,
                   uint64_t bytes)
{
    struct charge *entry;

    if (!bytes)
        return;
    set_used(state, writable, writable->used_bytes + bytes);
    if (!charges_grow(writable))
        return;
    entry = charge_of(writable, file);
    if (!entry->bytes) {
        *entry = (struct charge){.dev = file->st_dev, .ino = file->st_ino};
        writable->charge_count++;
    }
    entry->bytes += bytes;
}

/* Gives back up to so many bytes of what the file was charged for. */
static void give_back(struct linux_state *state, struct writable *writable, const struct stat *file,
                      uint64_t bytes)
{
    struct charge *entry = writable->charge_room ? charge_of(writable, file) : NULL;

    if (!entry || !entry->bytes)
        return;
    if (bytes > entry->bytes)
        bytes = entry->bytes;
    entry->bytes -= bytes;
    set_used(state, writable, writable->used_bytes - bytes);
    if (!entry->bytes)
        close_gap(writable, entry);
}

/* ---- calls that take a while --------------------------------------------- */

/* In a file system of our own the kernel counts, whoever else writes. */
uint64_t writable_reserve(struct linux_state *state, struct writable *writable, uint64_t bytes)
{
    uint64_t room = writable_room(state, writable).bytes;
    uint64_t taken = writable->kernel >= 0 ? 0 : min_u64(bytes, room);

    set_used(state, writable, writable->used_bytes + taken);
    return taken;
}

void writable_unreserve(struct linux_state *state, struct writable *writable, uint64_t bytes)
{
    set_used(state, writable, writable->used_bytes - bytes);
}

int64_t writable_make(struct linux_state *state, struct writable *writable, bool local,
                      struct host_call *call)
{
    int64_t result = writable_has_file(state, writable);
    uint64_t taken;

    if (result)
        return result;
    taken = writable_reserve(state, writable, local ? 0 : FILE_BYTES);
    result = host_file_call(state, local, call);
    writable_unreserve(state, writable, taken);
    if (result >= 0)
        writable_made(state, writable, &call->stat);
    return writable_error(state, writable, result);
}

/* ---- what happened ------------------------------------------------------- */

void writable_made(struct linux_state *state, struct writable *writable, const struct stat *file)
{
    if (writable->kernel >= 0)
        writable_recount(state, writable);
    else
        charge(state, writable, file, FILE_BYTES);
}

void writable_changed(struct linux_state *state, struct writable *writable,
                      const struct host_call *call)
{
    if (writable->kernel >= 0)
        writable_recount(state, writable);
    else if (call->result >= 0 && call->grown > 0)
        charge(state, writable, &call->stat, (uint64_t)call->grown);
    else if (call->result >= 0 && call->grown < 0)
        give_back(state, writable, &call->stat, (uint64_t)-call->grown);
}

void writable_opened(struct linux_state *state, struct open_file *file)
{
    if (!file->writable)
        return;
    file->next_writable = state->common->writables;
    file->writable_link = &state->common->writables;
    if (file->next_writable)
        file->next_writable->writable_link = &file->next_writable;
    state->common->writables = file;
}

void writable_forget(struct open_file *file)
{
    if (!file->writable)
        return;
    *file->writable_link = file->next_writable;
    if (file->next_writable)
        file->next_writable->writable_link = file->writable_link;
}

/* Whether the program has the file open, or mapped. */
static bool is_open(const struct linux_state *state, const struct writable *writable,
                    const struct stat *file)
{
    for (const struct open_file *open = state->common->writables; open;
         open = open->next_writable) {
        if (open->writable == writable && open->ino == file->st_ino && open->dev == file->st_dev)
            return true;
    }
    return false;
}

/* Its bytes are gone with its last name, or later with its last open file. */
void writable_removed(struct linux_state *state, struct writable *writable, const struct stat *file)
{
    if (writable->kernel >= 0)
        writable_recount(state, writable);
    else if ((S_ISDIR(file->st_mode) || file->st_nlink == 1) && !is_open(state, writable, file))
        give_back(state, writable, file, UINT64_MAX);
}

void writable_close(struct linux_state *state, const struct open_file *file)
{
    struct writable *writable = file->writable;
    struct stat stat = {.st_nlink = 1, .st_dev = file->dev, .st_ino = file->ino};

    /* A call that waited for a record may have got it after the last descriptor was closed. */
    if (!is_open(state, writable, &stat))
        locks_drop(state, file);
    /* Only of a file that answers. For another one the program remains charged. */
    if (file->local && fstat(file->fd, &stat))
        stat.st_nlink = 1;
    close(file->fd);
    if (writable->kernel >= 0)
        writable_recount(state, writable);
    else if (stat.st_nlink == 0 && !is_open(state, writable, &stat))
        give_back(state, writable, &stat, UINT64_MAX);
}
