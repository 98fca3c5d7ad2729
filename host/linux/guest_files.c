/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns which files of the host the guest kernel reads by itself, where they are mapped for it, and
 * their positions meanwhile.
 *
 * Nothing of what the guest writes is believed: a position counts if it has the generation of what was
 * published and lies in that part of the file. The mapping is read-only, of what the program may read.
 */
#include "linux/guest_files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/vfs.h>

#include <ferry/abi/kernel.h>

#include "lib/bits.h"
#include "linux/mapped.h"
#include "linux/state.h"

/* So many short reads cost about as much as it costs to map a file. */
#define READS_TO_MAP 8
/* Of a longer file the part begins at a multiple of this, so that reads may go back a little. */
#define PART_STEP (FERRY_KERNEL_FILE_BYTES / 4)

struct guest_file {
    struct open_file *file; /* that is mapped; NULL: none is */
    uint32_t fd;
    uint64_t start, bytes; /* of the file */
    bool open;             /* it is published, and its word */
    bool has_position;     /* has the position */
    uint32_t generation;
};

struct guest_files {
    struct vm_files vm; /* shown: NULL until there is a guest kernel */
    struct guest_file files[FERRY_KERNEL_FILES];
    unsigned next; /* to be used again where all are used */
    bool cut;      /* the program has made a file shorter since they were published */
    /* The descriptor of a file to be mapped, around that offset; FERRY_KERNEL_NO_FD: none. */
    uint32_t wanted_fd;
    uint64_t wanted_offset;
};

/* Whether all that a read does to the file can be seen from here: position and bytes. */
static bool can_map(const struct linux_state *state, const struct open_file *file)
{
    return file && file->kind == FILE_REGULAR && file->local && !file->given && file->fd >= 0 &&
           file_can_read(file) && !(file->status & O_DIRECT) && !file->refuses_map &&
           !state->traced;
}

static struct guest_file *find(struct guest_files *files, const struct open_file *file)
{
    for (unsigned i = 0; files && i < FERRY_KERNEL_FILES; i++) {
        if (files->files[i].file == file)
            return &files->files[i];
    }
    return NULL;
}

/* ---- mapping ------------------------------------------------------------- */

static char *place_of(const struct guest_files *files, const struct guest_file *mapped)
{
    return files->vm.place + (size_t)(mapped - files->files) * FERRY_KERNEL_FILE_BYTES;
}

/* Nothing is there any more. Never a hole, into which the kernel could put other memory of this process.
 * It is in place of one mapping, so the host needs nothing for it that it might not have. */
static void empty(struct guest_files *files, const struct guest_file *mapped, uint64_t bytes)
{
    (void)mmap(place_of(files, mapped), page_up(bytes), PROT_NONE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

/* It is not published. */
static void unmap(struct guest_files *files, struct guest_file *mapped)
{
    empty(files, mapped, mapped->bytes);
    __atomic_store_n(&files->vm.shown->file_fds[mapped - files->files], FERRY_KERNEL_NO_FD,
                     __ATOMIC_RELAXED);
    mapped->file = NULL;
}

/* A read of a file of memory fills its holes, which nobody has paid for. */
static bool has_holes(const struct open_file *file, uint64_t start, uint64_t bytes)
{
    return file_map_flags(file) &&
           lseek(file->fd, (off_t)start, SEEK_HOLE) < (off_t)(start + bytes);
}

/* A mapping of a file that overlayfs has not copied yet stays with the old one when the program writes
 * the file, but a read does not. */
static bool may_be_copied_up(const struct open_file *file)
{
    struct statfs fs;

    return file->writable && !file_can_write(file) &&
           (fstatfs(file->fd, &fs) || fs.f_type == OVERLAYFS_SUPER_MAGIC);
}

struct part {
    uint64_t start, bytes;
};

/* The part of the file around that offset. False: there is none, or none that can be mapped. */
static bool find_part(struct open_file *file, uint64_t offset, struct part *part)
{
    struct stat stat;

    file->refuses_map = may_be_copied_up(file);
    if (file->refuses_map || fstat(file->fd, &stat) || stat.st_size <= 0 ||
        offset >= (uint64_t)stat.st_size)
        return false;
    part->start = (uint64_t)stat.st_size <= FERRY_KERNEL_FILE_BYTES ? 0 : offset & ~(PART_STEP - 1);
    part->bytes = min_u64((uint64_t)stat.st_size - part->start, FERRY_KERNEL_FILE_BYTES);
    return !has_holes(file, part->start, part->bytes);
}

static void map(struct guest_files *files, struct guest_file *mapped, struct open_file *file,
                uint32_t fd, const struct part *part)
{
    if (mmap(place_of(files, mapped), page_up(part->bytes), PROT_READ, MAP_PRIVATE | MAP_FIXED,
             file->fd, (off_t)part->start) == MAP_FAILED) {
        file->refuses_map = true;
        empty(files, mapped, part->bytes); /* a file system may refuse when the old one is gone */
        return;
    }
    mapped->file = file;
    mapped->fd = fd;
    mapped->start = part->start;
    mapped->bytes = part->bytes;
}

static struct guest_file *choose(struct guest_files *files, const struct open_file *file)
{
    struct guest_file *mapped = find(files, file);

    if (!mapped)
        mapped = find(files, NULL);
    if (!mapped)
        mapped = &files->files[files->next++ % FERRY_KERNEL_FILES];
    return mapped;
}

/* ---- publishing ---------------------------------------------------------- */

static void start(struct guest_files *files)
{
    for (unsigned i = 0; i < FERRY_KERNEL_FILES; i++)
        files->vm.shown->file_fds[i] = FERRY_KERNEL_NO_FD;
}

static void serve_want(struct linux_state *state)
{
    struct guest_files *files = state->guest_files;
    uint32_t fd = files->wanted_fd;
    struct open_file *file = descriptor_look(state, fd);
    struct guest_file *mapped;
    struct part part;
    bool first = !files->vm.shown;

    files->wanted_fd = FERRY_KERNEL_NO_FD;
    if (fd == FERRY_KERNEL_NO_FD || !can_map(state, file) || !vm_files(state->vm, &files->vm))
        return;
    if (first)
        start(files);
    if (!find_part(file, files->wanted_offset, &part))
        return;
    mapped = choose(files, file);
    if (mapped->open)
        return; /* it is being read, and the call that wanted another one is over */
    if (mapped->file)
        unmap(files, mapped);
    map(files, mapped, file, fd, &part);
}

/* Position and generation go to the guest in one store. */
static void publish(struct guest_files *files, struct guest_file *mapped)
{
    unsigned i = (unsigned)(mapped - files->files);
    struct ferry_kernel_file *shown = &files->vm.shown->files[i];
    uint64_t position = (uint64_t)mapped->file->position - mapped->start;
    bool has_position = position <= mapped->bytes;
    const uint32_t most = UINT32_MAX >> (FERRY_KERNEL_GENERATION_SHIFT - 32);

    __atomic_store_n(&shown->start, mapped->start, __ATOMIC_RELAXED);
    __atomic_store_n(&shown->bytes, (uint32_t)mapped->bytes, __ATOMIC_RELAXED);
    __atomic_store_n(&shown->has_position, has_position, __ATOMIC_RELAXED);
    __atomic_store_n(&files->vm.shown->file_fds[i], mapped->fd, __ATOMIC_RELAXED);
    mapped->generation = mapped->generation < most ? mapped->generation + 1 : 1;
    mapped->has_position = has_position;
    mapped->open = true;
    __atomic_store_n(&files->vm.words->files[i],
                     (uint64_t)mapped->generation << FERRY_KERNEL_GENERATION_SHIFT |
                         (has_position ? position : 0),
                     __ATOMIC_RELEASE);
}

static void take_back(struct guest_files *files, struct guest_file *mapped)
{
    uint64_t *at = &files->vm.words->files[mapped - files->files];
    uint64_t word = __atomic_exchange_n(at, 0, __ATOMIC_SEQ_CST);

    mapped->open = false;
    if (mapped->has_position && ferry_kernel_generation(word) == mapped->generation &&
        ferry_kernel_position(word) <= mapped->bytes)
        mapped->file->position = (off_t)(mapped->start + ferry_kernel_position(word));
}

static void forget(struct linux_state *state, struct guest_file *mapped)
{
    if (mapped->open)
        take_back(state->guest_files, mapped);
    unmap(state->guest_files, mapped);
}

/* False: it was cut short where the part is not there any more, and in the rest of its last page the
 * guest kernel would find zeros; or the program has set O_DIRECT. */
static bool is_still(const struct linux_state *state, const struct guest_file *mapped)
{
    struct stat stat;

    if (!can_map(state, mapped->file))
        return false;
    if (file_map_flags(mapped->file) && !state->guest_files->cut)
        return true; /* nobody else has that file system */
    return fstat(mapped->file->fd, &stat) == 0 &&
           (uint64_t)stat.st_size >= mapped->start + mapped->bytes &&
           !has_holes(mapped->file, mapped->start, mapped->bytes);
}

void linux_publish_files(struct linux_state *state)
{
    struct guest_files *files = state->guest_files;

    if (!files)
        return;
    serve_want(state);
    for (unsigned i = 0; i < FERRY_KERNEL_FILES; i++) {
        struct guest_file *mapped = &files->files[i];

        if (!mapped->file)
            continue;
        if (state->descriptors[mapped->fd].file != mapped->file || !is_still(state, mapped))
            forget(state, mapped);
        else if (!mapped->open && mapped->file->references == 1)
            publish(files, mapped);
    }
    files->cut = false;
}

bool linux_wants_files(const struct linux_state *state)
{
    return state->guest_files && state->guest_files->wanted_fd != FERRY_KERNEL_NO_FD;
}

bool guest_files_has(const struct linux_state *state, const struct open_file *file)
{
    return find(state->guest_files, file);
}

void guest_files_take_back(struct linux_state *state)
{
    struct guest_files *files = state->guest_files;

    for (unsigned i = 0; files && i < FERRY_KERNEL_FILES; i++) {
        if (files->files[i].open)
            take_back(files, &files->files[i]);
    }
}

/* ---- what is wanted, and no more ----------------------------------------- */

void guest_files_cut(struct linux_state *state)
{
    if (state->guest_files)
        state->guest_files->cut = true;
}

static void want(struct linux_state *state, uint32_t fd, uint64_t offset)
{
    struct guest_files *files = state->guest_files;

    if (!files)
        files = state->guest_files = calloc(1, sizeof(*files));
    if (!files)
        return;
    files->wanted_fd = fd;
    files->wanted_offset = offset;
}

void guest_files_served(struct linux_state *state, struct open_file *file, uint64_t fd,
                        off_t offset, int64_t got)
{
    struct guest_file *mapped;

    if (got <= 0 || got > (int64_t)FERRY_KERNEL_FILE_READ || !can_map(state, file))
        return;
    mapped = find(state->guest_files, file);
    if (mapped && (uint64_t)offset >= mapped->start &&
        (uint64_t)(offset + got) - mapped->start <= mapped->bytes)
        return; /* the guest kernel could have served it, but for a reason */
    if (++file->short_reads >= READS_TO_MAP) {
        file->short_reads = 0;
        want(state, (uint32_t)fd,
             (uint64_t)offset); /* what is there, at the end of the file, too */
    }
}

void guest_files_forget(struct linux_state *state, const struct open_file *file)
{
    struct guest_file *mapped = find(state->guest_files, file);

    if (mapped)
        forget(state, mapped);
}

void guest_files_fini(struct linux_state *state)
{
    free(state->guest_files);
    state->guest_files = NULL;
}
